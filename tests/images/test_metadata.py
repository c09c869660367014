"""EXIF, XMP, resolution, profile, comment and texts: kept, updated for the larger picture, or noted."""

import dataclasses
import re
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from srgan_tf.images import animations, png, reading, writing
from srgan_tf.images.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


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
