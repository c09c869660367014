"""Picture files: what goes in comes out, and what cannot be read is refused in one line."""

import dataclasses
import io
import os
import re
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from srgan_tf.errors import UserError
from srgan_tf.images import animations, png, reading, writing
from srgan_tf.images.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 3, y * 4, 255 - x * 2]).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossless_formats_keep_every_pixel_and_grey_grey(tmp_path, suffix, grey):
    pixels = np.repeat(noise(7, 5, 1), 3, axis=2) if grey else noise(7, 5, 3)
    writing.write(tmp_path / f"x{suffix}", Picture(pixels, grey=grey))
    found = reading.read(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.grey, found.alpha, found.notes) == (grey, None, ())
    assert Image.open(tmp_path / f"x{suffix}").mode == ("L" if grey else "RGB")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("grey", [False, True])
def test_alpha_comes_back(tmp_path, suffix, grey):
    pixels = np.repeat(noise(7, 5, 1), 3, axis=2) if grey else noise(7, 5, 3)
    writing.write(tmp_path / f"x{suffix}", Picture(pixels, noise(7, 5), grey))
    found = reading.read(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.alpha, noise(7, 5))
    assert found.grey == grey


def test_jpeg_is_written_at_quality_95_without_chroma_subsampling(tmp_path):
    writing.write(tmp_path / "x.jpg", Picture(smooth(40, 60)))
    file = Image.open(tmp_path / "x.jpg")
    assert [component[1:3] for component in file.layer] == [(1, 1)] * 3
    reference = io.BytesIO()
    Image.fromarray(smooth(40, 60)).save(reference, "JPEG", quality=95)
    assert file.quantization == Image.open(reference).quantization
    assert np.abs(reading.read(tmp_path / "x.jpg").pixels.astype(int) - smooth(40, 60)).max() <= 6


def test_webp_keeps_colours_and_alpha(tmp_path):
    writing.write(tmp_path / "x.webp", Picture(smooth(40, 60), noise(40, 60)))
    found = reading.read(tmp_path / "x.webp")
    visible = found.alpha > 0
    assert np.abs(found.pixels.astype(int) - smooth(40, 60))[visible].mean() < 4
    np.testing.assert_array_equal(found.alpha, noise(40, 60))


def test_palettes_become_rgb_and_their_transparency_alpha(tmp_path):
    palette = Image.fromarray(noise(9, 8, 3)).quantize(8)
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "transparent.png", transparency=3)
    palette.save(tmp_path / "transparent.gif", transparency=3)
    np.testing.assert_array_equal(reading.read(tmp_path / "plain.png").pixels, np.asarray(palette.convert("RGB")))
    assert reading.read(tmp_path / "plain.png").alpha is None
    for name in ("transparent.png", "transparent.gif"):
        found = reading.read(tmp_path / name)
        np.testing.assert_array_equal(found.alpha, np.where(np.asarray(palette) == 3, 0, 255))
        np.testing.assert_array_equal(
            found.pixels[found.alpha > 0], np.asarray(palette.convert("RGB"))[found.alpha > 0]
        )


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_grey_of_few_bits_becomes_alpha(tmp_path, bits):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    greys = np.arange(2**bits, dtype=np.uint8)  # each once, in a row
    row = np.packbits(np.unpackbits(greys[:, None], axis=1)[:, -bits:])
    (tmp_path / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", len(greys), 1, bits, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", 1))
        + chunk(b"IDAT", zlib.compress(b"\0" + row.tobytes()))
        + chunk(b"IEND", b"")
    )
    found = reading.read(tmp_path / "x.png")
    np.testing.assert_array_equal(found.alpha[0], np.where(greys == 1, 0, 255))
    seen = greys != 1
    np.testing.assert_array_equal(found.pixels[0, seen, 0], (greys * (255 // greys[-1]))[seen])


def test_a_grey_palette_with_a_profile_of_colours_stays_rgb_and_keeps_it(tmp_path):
    grey = Image.fromarray(noise(6, 6)).convert("P")
    grey.save(tmp_path / "plain.png")
    grey.save(tmp_path / "profile.png", icc_profile=SRGB)
    found = reading.read(tmp_path / "profile.png")
    assert reading.read(tmp_path / "plain.png").grey and not found.grey and found.icc == SRGB
    writing.write(tmp_path / "y.png", found)
    assert Image.open(tmp_path / "y.png").mode == "RGB"


def test_a_ppm_of_16_bits_is_refused_as_it_would_be_cut_to_8(tmp_path):
    (tmp_path / "x.ppm").write_bytes(b"P6 2 2 65535\n" + bytes(24))
    with pytest.raises(UserError, match="or as PNG or TIFF with 16"):
        reading.read(tmp_path / "x.ppm")


def test_a_bmp_of_5_6_and_5_bits_a_channel_is_read(tmp_path):
    red, green, blue = np.moveaxis(noise(4, 6, 3).astype(int) >> (3, 2, 3), 2, 0)
    data = (red << 11 | green << 5 | blue)[::-1].astype("<u2").tobytes()
    header = struct.pack("<2sIII", b"BM", 66 + len(data), 0, 66)
    header += struct.pack("<IiiHHIIiiII", 40, 6, 4, 1, 16, 3, len(data), 0, 0, 0, 0)
    (tmp_path / "x.bmp").write_bytes(header + struct.pack("<III", 0xF800, 0x07E0, 0x001F) + data)
    wanted = np.dstack([red * 255 / 31, green * 255 / 63, blue * 255 / 31])
    assert np.abs(reading.read(tmp_path / "x.bmp").pixels - wanted).max() <= 1


@pytest.mark.parametrize("mode, transparent", [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode, transparent):
    array = noise(6, 6, 3) if mode == "RGB" else noise(6, 6)
    array[2, 3] = 7
    Image.fromarray(array).save(tmp_path / "x.png", transparency=transparent)
    found = reading.read(tmp_path / "x.png")
    assert found.grey == (mode == "L")
    assert found.alpha[2, 3] == 0 and found.alpha[array.reshape(6, 6, -1)[..., 0] != 7].min() == 255


def test_one_bit_becomes_grey(tmp_path):
    black_and_white = Image.fromarray(noise(6, 6)).convert("1")
    black_and_white.save(tmp_path / "x.png")
    found = reading.read(tmp_path / "x.png")
    assert found.grey
    np.testing.assert_array_equal(found.pixels[..., 1], 255 * np.asarray(black_and_white))


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb_and_is_noted(tmp_path, suffix):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / f"x{suffix}", quality=95)
    found = reading.read(tmp_path / f"x{suffix}")
    assert np.abs(found.pixels.astype(int) - (255, 0, 0)).max() <= 3
    assert found.icc is None and found.notes == ("converted from CMYK to sRGB",)


@pytest.mark.parametrize("profile", [b"no profile at all", SRGB[:200], SRGB])
def test_a_profile_that_does_not_fit_is_no_reason_to_refuse_cmyk(tmp_path, profile):
    cmyk = Image.fromarray(smooth(8, 8)).convert("CMYK")
    cmyk.save(tmp_path / "x.tif", icc_profile=profile)
    found = reading.read(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.pixels, np.asarray(cmyk.convert("RGB")))
    assert (found.icc, found.notes) == (None, ("converted from CMYK to sRGB",))


@pytest.mark.parametrize("name", ["still.png", "moving.png"])
def test_a_palette_with_a_broken_profile_is_read_without_it(tmp_path, name):
    image = Image.fromarray(smooth(8, 8)).quantize(16)
    others = [image.rotate(90)] if name == "moving.png" else []
    image.save(tmp_path / name, icc_profile=SRGB, save_all=bool(others), append_images=others)
    data = (tmp_path / name).read_bytes()
    start = data.index(b"iCCP")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    broken = b"iCCPICC Profile\0\0" + bytes(length - 13)
    data = data[:start] + broken + struct.pack(">I", zlib.crc32(broken)) + data[start + 8 + length :]
    (tmp_path / name).write_bytes(data)
    with reading.opened(tmp_path / name) as file:
        found = next(animations.read(file).frames()) if others else file.picture()
    np.testing.assert_array_equal(found.pixels, np.asarray(image.convert("RGB")))
    assert found.icc is None


def test_orientation_is_applied_and_the_rest_of_exif_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a cat"
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "in.png", exif=exif)
    found = reading.read(tmp_path / "in.png")
    np.testing.assert_array_equal(found.pixels, np.rot90(noise(4, 7, 3), -1))
    for suffix in (".png", ".jpg", ".webp"):
        writing.write(tmp_path / f"out{suffix}", found)
        tags = Image.open(tmp_path / f"out{suffix}").getexif()
        assert dict(tags) == {0x010E: "a cat"}
        assert reading.read(tmp_path / f"out{suffix}").pixels.shape == (7, 4, 3)


@pytest.mark.parametrize("orientation, dpi", [(3, (300, 200)), (5, (200, 300)), (6, (200, 300)), (8, (200, 300))])
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "lzw.tif", "deep.tif"])
def test_unequal_resolutions_are_turned_with_the_picture(tmp_path, name, orientation, dpi):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = orientation, 300, 200, 2
    if name == "deep.tif":
        pytest.importorskip("tifffile").imwrite(
            tmp_path / name,
            np.ones((4, 7, 3), np.uint16),
            photometric="rgb",
            resolution=(300, 200),
            resolutionunit="inch",
            extratags=[(274, 3, 1, orientation, True)],
        )
    else:
        options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
        Image.fromarray(noise(4, 7, 3)).save(tmp_path / name, exif=exif, dpi=(300, 200), **options)
    found = reading.read(tmp_path / name)
    assert found.dpi == pytest.approx(dpi, abs=0.02)
    assert found.pixels.shape == ((4, 7, 3) if orientation < 5 else (7, 4, 3))
    if name == "x.jpg":
        exif.load(found.exif)
        assert (exif[0x011A], exif[0x011B]) == dpi


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_with_damaged_tags_is_read_without_them(tmp_path, dtype):
    """Such as an artist that is a number."""
    pytest.importorskip("tifffile").imwrite(
        tmp_path / "x.tif",
        np.ones((4, 7, 3), dtype),
        photometric="rgb",
        extratags=[(315, 5, 1, (1, 2), True), (274, 3, 1, 6, True)],
    )
    found = reading.read(tmp_path / "x.tif")
    assert found.pixels.shape == (7, 4, 3) and found.notes == ("without its EXIF data, which is damaged",)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_profile_and_resolution_are_carried_over(tmp_path, suffix):
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / f"in{suffix}", icc_profile=SRGB, dpi=(300, 200))
    writing.write(tmp_path / f"out{suffix}", reading.read(tmp_path / f"in{suffix}"))
    info = Image.open(tmp_path / f"out{suffix}").info
    assert info["icc_profile"] == SRGB
    assert [round(x) for x in info["dpi"]] == [300, 200]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_a_channel_are_kept(tmp_path, suffix, channels):
    array = np.random.default_rng(channels).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    tags = Image.Exif()
    tags[0x010E] = "a cat"
    picture = Picture.of(array, icc=SRGB, dpi=(300.0, 200.0), exif=tags.tobytes())
    assert writing.write(tmp_path / f"x{suffix}", picture) == ()
    found = reading.read(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(found.array(), array)
    assert (found.icc, found.dpi) == (SRGB, pytest.approx((300, 200), abs=0.02))
    tags = Image.Exif()
    tags.load(found.exif)
    assert dict(tags) == {0x010E: "a cat"}


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".gif"])
def test_16_bits_are_rounded_where_the_format_has_8_and_it_is_noted(tmp_path, suffix):
    deep = np.full((8, 8, 3), 32767, np.uint16)  # 127.5 of 255
    notes = writing.write(tmp_path / f"x{suffix}", Picture.of(deep))
    assert "rounded to 8 bits a channel" in notes
    assert np.abs(reading.read(tmp_path / f"x{suffix}").pixels.astype(float) - 127.5).max() <= 1.5


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_of_10_to_14_bits_is_scaled_to_16(tmp_path, bits, channels):
    tifffile = pytest.importorskip("tifffile")
    levels = np.linspace(0, 2**bits - 1, 9 * 7 * channels).astype(np.uint16).reshape(9, 7, channels)
    tifffile.imwrite(
        tmp_path / "x.tif", levels.squeeze(), bitspersample=bits, photometric="rgb" if channels == 3 else "minisblack"
    )
    found = reading.read(tmp_path / "x.tif").array()
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.rint(levels / (2**bits - 1) * 65535))


def test_a_16_bit_tiff_without_tifffile_names_the_packages(tmp_path, monkeypatch):
    writing.write(tmp_path / "x.tif", Picture.of(np.ones((3, 4, 3), np.uint16)))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert_refused(tmp_path / "x.tif", "pip install tifffile imagecodecs")
    writing.write(tmp_path / "grey.tif", Picture.of(np.ones((3, 4, 1), np.uint16)))
    assert reading.read(tmp_path / "grey.tif").pixels.dtype == np.uint16


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_exif_is_updated_for_the_larger_picture(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x0100] = 6, "Zoë".encode(), 7
    exif.get_ifd(0x8769).update({0x829A: (1, 50), 0xA002: 7, 0xA003: 4, 0x9214: (3, 2), 0xA214: (3, 2)})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5)})
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "in.jpg", exif=exif)
    found = reading.read(tmp_path / "in.jpg")
    writing.write(tmp_path / f"out{suffix}", dataclasses.replace(found, pixels=noise(28, 16, 3)))
    with Image.open(tmp_path / f"out{suffix}") as image:
        image.load()
        tags = image.getexif()
        assert tags.get_ifd(0x8769) == {0x829A: (1, 50), 0xA002: 16, 0xA003: 28}
        assert tags.get_ifd(0x8825) == {1: "N", 2: (52.0, 31.0, 12.5)}
        assert tags[0x013B].encode("latin-1").decode() == "Zoë" and 0x0112 not in tags
        assert suffix == ".tif" or 0x0100 not in tags


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif"])
def test_resolution_is_read_from_every_format_that_holds_it(tmp_path, suffix):
    assert writing.write(tmp_path / f"a{suffix}", Picture(noise(4, 7, 3), dpi=(300.0, 200.0))) == ()
    assert reading.read(tmp_path / f"a{suffix}").dpi == pytest.approx((300, 200), abs=0.02)


@pytest.mark.parametrize("name, dpi", [("a.gif", 300.0), ("a.jpg", 101600.0)])
def test_a_resolution_that_the_format_does_not_hold_is_left_out_and_noted(tmp_path, name, dpi):
    assert writing.write(tmp_path / name, Picture(np.zeros((4, 7, 3), np.uint8), dpi=(dpi, dpi))) == (
        "without its resolution",
    )
    assert reading.read(tmp_path / name).dpi is None


XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"{stale}>
<dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
STALE = ' tiff:Orientation="6" tiff:ImageWidth="7" exif:PixelXDimension="7" exif:PixelYDimension="4"'


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_folder_within_exif_is_kept_in_tiff_files(tmp_path, dtype):
    tags = Image.Exif()
    tags[0x010E] = "a cat"
    tags.get_ifd(0x8769).update({0x9003: "2020:02:20 20:20:20", 0xA005: {1: "R98", 2: b"0100"}})
    writing.write(tmp_path / "x.tif", Picture(np.ones((3, 4, 3), dtype), exif=tags.tobytes()))
    writing.write(tmp_path / "y.tif", reading.read(tmp_path / "x.tif"))
    for name in ("x.tif", "y.tif"):
        found = reading.read(tmp_path / name)
        assert found.notes == ()
        tags = Image.Exif()
        tags.load(found.exif)
        assert tags.get_ifd(0x8769)[0x9003] == "2020:02:20 20:20:20"
        assert tags.get_ifd(0xA005) == {1: "R98", 2: b"0100"}


@pytest.mark.parametrize("name", ["x.webp", "x.tif"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_an_impossible_resolution_is_left_out(tmp_path, name, suffix):
    tags = Image.Exif()
    tags[0x011A], tags[0x011B], tags[0x0128] = 4294967295, 4294967295, 2
    Image.fromarray(noise(5, 7, 3)).save(tmp_path / "x.webp", exif=tags)
    deep = Picture.of(np.ones((5, 7, 3), np.uint16), dpi=(300.0, 200.0))
    writing.write(tmp_path / "x.tif", deep)
    data = (tmp_path / "x.tif").read_bytes()
    for dots in (300, 200):
        assert data.count(struct.pack("<II", dots, 1)) == 1
        data = data.replace(struct.pack("<II", dots, 1), bytes(8))  # 0/0
    (tmp_path / "x.tif").write_bytes(data)
    found = reading.read(tmp_path / name)
    assert found.dpi is None
    writing.write(tmp_path / f"large{suffix}", found)
    assert reading.read(tmp_path / f"large{suffix}").dpi is None


def save_with_xmp(path, packet, orientation=1):
    """By Pillow and tifffile, a picture of 7 x 4 pixels; of 16 bits a channel where its name says so."""
    pixels, options = noise(4, 7, 3), {"exif": Image.Exif()}
    options["exif"][0x0112] = orientation
    if orientation == 1:
        options = {}
    if path.suffix == ".tif":
        tifffile = pytest.importorskip("tifffile")
        pixels = pixels.astype(np.uint16) * 257 if path.name == "deep.tif" else pixels
        turn = [(274, 3, 1, orientation, True)] if options else []
        tifffile.imwrite(
            path, pixels, photometric="rgb", metadata=None, extratags=[*turn, (700, 1, len(packet), packet, True)]
        )
    elif path.name == "deep.png":
        path.write_bytes(png.encode(pixels.astype(np.uint16) * 257, xmp=packet))
    elif path.suffix == ".png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet)
        Image.fromarray(pixels).save(path, pnginfo=info, **options)
    else:
        Image.fromarray(pixels).save(path, xmp=packet, **options)


def xmp_of(path):
    with Image.open(path) as image:
        image.load()
        return image.info.get("xmp")


WITH_XMP = ["x.png", "x.jpg", "x.webp", "x.tif", "deep.png", "deep.tif"]


@pytest.mark.parametrize("source", WITH_XMP)
def test_xmp_is_copied_from_every_format_to_every_format(tmp_path, source):
    packet = XMP.format(stale="").encode()
    save_with_xmp(tmp_path / source, packet)
    found = reading.read(tmp_path / source)
    assert found.xmp == packet and found.notes == ()
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        writing.write(tmp_path / f"out{suffix}", found)
        assert xmp_of(tmp_path / f"out{suffix}") == packet
    assert "without its XMP data" in writing.write(tmp_path / "out.bmp", found)


@pytest.mark.parametrize("name", WITH_XMP)
def test_xmp_loses_its_orientation_and_gets_the_size_of_the_result(tmp_path, name):
    save_with_xmp(tmp_path / name, XMP.format(stale=STALE).encode())
    found = reading.read(tmp_path / name)
    assert found.pixels.shape == (7, 4, 3)
    large = found.pixels.repeat(4, axis=0).repeat(4, axis=1)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        writing.write(tmp_path / f"out{suffix}", dataclasses.replace(found, pixels=large))
        packet = xmp_of(tmp_path / f"out{suffix}").decode()
        assert "Orientation" not in packet and "Zoë" in packet
        assert re.findall(r'[a-zX-Y]+="([0-9]+)"', packet) == ["16", "16", "28"]
        assert reading.read(tmp_path / f"out{suffix}").pixels.shape == large.shape


REGIONS = (
    "<r:Regions xmlns:r='http://www.metadataworkinggroup.com/schemas/regions/'><r:RegionList/></r:Regions><dc:creator>"
)


@pytest.mark.parametrize("name", [name for name in WITH_XMP if name != "deep.png"])
def test_faces_marked_by_xmp_are_scaled_or_left_out(tmp_path, name):
    packet = XMP.format(stale="").replace("<dc:creator>", REGIONS).encode()
    for orientation, note in ((1, ()), (6, ("without the regions that its XMP data marks",))):
        save_with_xmp(tmp_path / name, packet, orientation)
        found = reading.read(tmp_path / name)
        assert found.notes == note and (b"Regions" in found.xmp) == (not note) and b"Zo" in found.xmp


@pytest.mark.parametrize("count", [1, 3])
def test_xmp_of_a_gif_is_kept_in_png_and_noted_in_gif(tmp_path, count):
    first, *others = (Image.new("L", (7, 4), 90 * i) for i in range(count))
    first.save(tmp_path / "x.gif", save_all=True, append_images=others, duration=100)
    data = (tmp_path / "x.gif").read_bytes()
    palette = 13 + 3 * 2 ** (data[10] % 8 + 1)
    trailer = bytes([1, *range(255, -1, -1), 0])
    packet = b"!\xff\x0bXMP DataXMP" + XMP.format(stale="").encode() + trailer
    (tmp_path / "x.gif").write_bytes(data[:palette] + packet + data[palette:])
    with reading.opened(tmp_path / "x.gif") as file:
        frames = list(animations.read(file).frames()) if count > 1 else [file.picture()]
    assert len(frames) == count and frames[0].xmp == XMP.format(stale="").encode()
    assert writing.write(tmp_path / "y.png", frames[0]) == () and b"Zo" in xmp_of(tmp_path / "y.png")
    assert writing.write(tmp_path / "y.gif", frames[0]) == ("without its XMP data",)


def test_xmp_among_exif_is_not_written_twice(tmp_path):
    tags = Image.Exif()
    tags[700] = XMP.format(stale=STALE).encode()
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "in.webp", exif=tags)
    writing.write(tmp_path / "out.jpg", reading.read(tmp_path / "in.webp"))
    assert b"Zo" in xmp_of(tmp_path / "out.jpg") and b"Orientation" not in xmp_of(tmp_path / "out.jpg")
    assert 700 not in Image.open(tmp_path / "out.jpg").getexif()


def test_metadata_too_long_for_jpeg_are_left_out_and_noted(tmp_path):
    long = Picture(noise(200, 300, 3), xmp=XMP.format(stale="").encode() + b" " * 65503, comment=b"c" * 65501)
    notes = writing.write(tmp_path / "x.jpg", long)
    assert notes == ("without its XMP data, too long for JPEG", "without its comment, too long for JPEG")
    assert writing.write(tmp_path / "x.jpg", Picture(long.pixels, xmp=long.xmp[:65504])) == ()
    assert xmp_of(tmp_path / "x.jpg") == long.xmp[:65504]
    assert writing.write(tmp_path / "x.jpg", Picture(long.pixels, comment=b"c" * 65500)) == ()
    assert Image.open(tmp_path / "x.jpg").info["comment"] == b"c" * 65500


def test_a_comment_is_kept_in_formats_with_comments(tmp_path):
    for kind in ("jpg", "gif"):
        Image.fromarray(noise(4, 7)).save(tmp_path / f"in.{kind}", comment="Created by Zoë".encode())
        found = reading.read(tmp_path / f"in.{kind}")
        for suffix in (".jpg", ".gif"):
            writing.write(tmp_path / f"out{suffix}", found)
            assert Image.open(tmp_path / f"out{suffix}").info["comment"] == "Created by Zoë".encode()
        assert writing.write(tmp_path / "out.png", found) == ("without its comment",)
    for comment, kept in ((b"mine", b"mine"), (b"Created by OpenJPEG version 2.5.0", None)):  # by the encoder
        Image.fromarray(noise(4, 7)).save(tmp_path / "in.jp2", comment=comment)
        assert reading.read(tmp_path / "in.jp2").comment == kept


def test_texts_are_kept_in_png_only_and_noted_otherwise(tmp_path):
    info = PngInfo()
    info.add_text("parameters", "a cat")
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "in.png", pnginfo=info)
    found = reading.read(tmp_path / "in.png")
    for suffix in (".jpg", ".webp", ".tif", ".bmp"):
        assert writing.write(tmp_path / f"out{suffix}", found) == ("without its texts",)


def test_gif_keeps_few_colours_exactly_and_notes_more(tmp_path):
    few = np.kron(noise(3, 5, 3), np.ones((20, 20, 1), np.uint8))
    assert writing.write(tmp_path / "few.gif", Picture(few)) == ()
    np.testing.assert_array_equal(reading.read(tmp_path / "few.gif").pixels, few)
    many = smooth(60, 80)
    assert writing.write(tmp_path / "many.gif", Picture(many)) == ("reduced to 255 colours",)
    half = Picture(few, np.full(few.shape[:2], 200, np.uint8))
    assert writing.write(tmp_path / "half.gif", half) == ("partly transparent pixels became transparent or opaque",)
    assert np.abs(reading.read(tmp_path / "many.gif").pixels.astype(int) - many).mean() < 6
    grey = Picture.of(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    assert writing.write(tmp_path / "grey.gif", grey) == ()
    np.testing.assert_array_equal(reading.read(tmp_path / "grey.gif").pixels, grey.pixels)


def test_opaque_alpha_is_not_transparency(tmp_path):
    writing.write(tmp_path / "x.jpg", Picture(smooth(9, 9), np.full((9, 9), 255, np.uint8)))
    assert reading.read(tmp_path / "x.jpg").alpha is None


def wide_gamut():
    """A profile whose red is that of Display P3, made of sRGB's."""
    profile = bytearray(SRGB)
    for i in range(int.from_bytes(profile[128:132], "big")):
        tag, place = profile[132 + 12 * i :][:4], int.from_bytes(profile[136 + 12 * i :][:4], "big")
        if bytes(tag) in (b"rXYZ", b"gXYZ", b"bXYZ"):
            xyz = {b"r": (0.5151, 0.2412, -0.0011), b"g": (0.2920, 0.6922, 0.0419), b"b": (0.1571, 0.0666, 0.7841)}
            values = (round(65536 * value) for value in xyz[bytes(tag[:1])])
            profile[place + 8 : place + 20] = struct.pack(">3i", *values)
    return bytes(profile)


@pytest.mark.parametrize("suffix", ["bmp", "gif"])
def test_colours_become_srgb_where_the_format_holds_no_profile(tmp_path, suffix):
    wide = Picture(np.full((9, 9, 3), (200, 80, 60), np.uint8), icc=wide_gamut())
    assert writing.write(tmp_path / f"x.{suffix}", wide) == ("converted to sRGB",)
    np.testing.assert_allclose(reading.read(tmp_path / f"x.{suffix}").pixels[4, 4].astype(int), (216, 69, 50), atol=1)
    assert writing.write(tmp_path / "x.png", wide) == ()
    assert reading.read(tmp_path / "x.png").icc == wide.icc


def test_colours_of_the_profile_of_srgb_stay_exactly(tmp_path):
    assert writing.write(tmp_path / "x.bmp", Picture(smooth(9, 9), icc=SRGB)) == ()
    np.testing.assert_array_equal(reading.read(tmp_path / "x.bmp").pixels, smooth(9, 9))


def test_a_profile_that_does_not_fit_is_left_out_and_noted(tmp_path):
    grey = Picture.of(np.zeros((3, 4, 1), np.uint8))
    profile = SRGB[:16] + b"GRAY" + SRGB[20:]
    notes = writing.write(tmp_path / "x.webp", dataclasses.replace(grey, icc=profile))
    with Image.open(tmp_path / "x.webp") as image:  # as RGB, for WebP has no grey
        assert notes == ("without its colour profile",) and "icc_profile" not in image.info


def assert_refused(path, problem):
    with pytest.raises(UserError, match=problem) as refusal:
        reading.read(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def encoded(kind, **options):
    file = io.BytesIO()
    Image.fromarray(noise(40, 40, 3)).save(file, kind, **options)
    return file.getvalue()


def encoded_array(dtype):
    file = io.BytesIO()
    Image.fromarray(np.ones((3, 4), dtype)).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("text.png", b"no picture at all\n", "not an image"),
        ("empty.png", b"", "empty"),
        ("short.jpg", encoded("JPEG")[:-200], "damaged"),
        ("short.png", encoded("PNG")[:-200], "damaged"),
        ("header.png", encoded("PNG")[:20], "damaged|not an image"),
        ("short.webp", encoded("WEBP")[:-50], "damaged"),
        ("float.tif", encoded_array(np.float32), "would not be kept"),
        ("int.tif", encoded_array(np.int32), "signed channels would not be kept"),
        ("int8.tif", encoded_array(np.int8), "signed channels would not be kept"),
        ("moving.gif", encoded("GIF", save_all=True, append_images=[Image.new("RGB", (40, 40))]), "2 pictures"),
        (
            "bomb.png",
            encoded("PNG").replace(struct.pack(">II", 40, 40), struct.pack(">II", 60000, 60000)),
            "megapixels",
        ),
        (
            "large.bmp",
            encoded("BMP").replace(struct.pack("<3i", 40, 40, 40), struct.pack("<3i", 40, 15000, 11700)),
            "megapixels",
        ),
    ],
)
def test_files_that_are_not_valid_pictures_are_refused(tmp_path, name, content, problem):
    if name == "bomb.png":  # with a checksum that fits, or it would be refused as damaged
        content = content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + content[33:]
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name, problem)


def test_missing_files_and_folders_are_refused(tmp_path):
    assert_refused(tmp_path / "missing.png", "no such file")
    (tmp_path / "folder.png").mkdir()
    assert_refused(tmp_path / "folder.png", "folder")


def test_the_content_determines_the_format_not_the_name(tmp_path):
    (tmp_path / "really_jpeg.png").write_bytes(encoded("JPEG"))
    assert reading.read(tmp_path / "really_jpeg.png").pixels.shape == (40, 40, 3)


@pytest.mark.parametrize(
    "path, picture, problem",
    [
        ("x.jpg", Picture(noise(4, 4, 3), noise(4, 4)), "transparency"),
        ("x.xyz", Picture(noise(4, 4, 3)), "format"),
        ("x", Picture(noise(4, 4, 3)), "format"),
        ("x.webp", Picture(noise(1, 16384, 3)), "too many"),
        ("missing/x.png", Picture(noise(4, 4, 3)), "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, path, picture, problem):
    with pytest.raises(UserError, match=problem):
        writing.write(tmp_path / path, picture)
    assert list(tmp_path.iterdir()) == []


def test_a_tiff_beyond_4_gigabytes_suggests_png(tmp_path, monkeypatch):
    monkeypatch.setattr("srgan_tf.images.tiff._MAX_BYTES", 1000)  # 4 GB
    with pytest.raises(UserError, match="x.tif.*at most 4 GB.*Choose .png"):
        writing.write(tmp_path / "x.tif", Picture(noise(40, 40, 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch, failure):
    def fail(self, file, *_, **__):
        file.write(b"half a")
        raise failure

    (tmp_path / "x.png").write_bytes(b"an older result")
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises((UserError, KeyboardInterrupt)):
        writing.write(tmp_path / "x.png", Picture(noise(4, 4, 3)))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.png", b"an older result")]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    writing.write(tmp_path / "x.png", Picture(noise(4, 4, 3)))
    (tmp_path / "y").touch()
    assert os.stat(tmp_path / "x.png").st_mode == os.stat(tmp_path / "y").st_mode


@pytest.mark.parametrize("name", ["x.png", "deep.png", "x.tif", "deep.tif", "x.webp", "moving.gif", "moving.png"])
def test_a_picture_file_is_opened_once(tmp_path, monkeypatch, name):
    image = Image.fromarray(smooth(8, 8))
    if name.startswith("deep"):
        writing.write(tmp_path / name, Picture.of(np.full((8, 8, 3), 1000, np.uint16)))
    elif name.startswith("moving"):
        image.save(tmp_path / name, save_all=True, append_images=[image.rotate(90)], duration=100)
    else:
        image.save(tmp_path / name)
    opened = []
    for place in ("builtins.open", "io.open"):
        monkeypatch.setattr(place, lambda path, *rest, _open=open: opened.append(str(path)) or _open(path, *rest))
    with reading.opened(tmp_path / name) as file:
        if moving := animations.read(file):
            assert len(list(moving.frames())) == 2
        else:
            assert file.picture().pixels.shape == (8, 8, 3)
    assert opened.count(str(tmp_path / name)) == 1
