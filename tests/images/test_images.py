"""Picture files: pixels, transparency, depth and colours are those of the file."""

import dataclasses
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from srgan_tf.errors import UserError
from srgan_tf.images import animations, reading, writing
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


def test_the_header_tells_the_size_of_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "x.jpg", exif=exif)
    Image.fromarray(noise(4, 7, 3)).save(tmp_path / "y.png")
    for name, shape in (("x.jpg", (7, 4)), ("y.png", (4, 7))):
        with reading.opened(tmp_path / name) as file:
            assert file.shape == shape == file.picture().pixels.shape[:2]


@pytest.mark.parametrize("big", [False, True])
def test_the_size_of_a_tiff_file_that_pillow_does_not_read_is_known(tmp_path, big):
    pytest.importorskip("imagecodecs", reason="needs imagecodecs: pip install .[formats]")
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile: pip install .[formats]")
    pixels = noise(40, 70, 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", pixels, compression="lerc", photometric="rgb", bigtiff=big)
    with reading.opened(tmp_path / "x.tif") as file:
        assert file.image is None and file.shape == (40, 70)


def test_a_16_bit_tiff_without_tifffile_names_the_packages(tmp_path, monkeypatch):
    writing.write(tmp_path / "x.tif", Picture.of(np.ones((3, 4, 3), np.uint16)))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match="x.tif.*pip install tifffile imagecodecs"):
        reading.read(tmp_path / "x.tif")
    writing.write(tmp_path / "grey.tif", Picture.of(np.ones((3, 4, 1), np.uint16)))
    assert reading.read(tmp_path / "grey.tif").pixels.dtype == np.uint16


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


def test_the_content_determines_the_format_not_the_name(tmp_path):
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "really_jpeg.png", "JPEG")
    assert reading.read(tmp_path / "really_jpeg.png").pixels.shape == (40, 40, 3)


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
