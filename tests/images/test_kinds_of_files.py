"""Kinds of picture files that people bring: what is read, kept or noted, and refusals that tell the truth."""

import dataclasses
import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from srgan_tf.errors import UserError
from srgan_tf.images import folders, formats, options, reading, writing
from srgan_tf.images.picture import Picture


def colours(height=12, width=17, channels=3, most=255):
    y, x = np.mgrid[:height, :width]
    planes = [x * most // width, y * most // height, (x + y) * most // (height + width), x * 0 + most // 2]
    return np.stack(planes[:channels], -1).astype(np.uint8 if most == 255 else np.uint16)


def enlarged(picture):
    """Twice as large."""
    pixels = picture.pixels.repeat(2, axis=0).repeat(2, axis=1)
    return dataclasses.replace(picture, pixels=pixels)


def refusal(path):
    with pytest.raises(UserError) as error:
        reading.read(path)
    assert str(error.value).startswith(f"{path}: ") and str(error.value).endswith(".")
    return str(error.value)


# IPTC: title, keyword, caption, copyright.
IPTC = b"".join(
    struct.pack(">BBBH", 0x1C, 2, field, len(text)) + text
    for field, text in ((5, b"Bridge"), (25, b"river"), (120, "Br\u00fccke".encode()), (116, b"(c) A"))
)


def with_iptc(path):
    if path.suffix == ".jpg":
        resource = b"8BIM" + struct.pack(">HxxI", 0x0404, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
        other = b"8BIM" + struct.pack(">HxxI", 0x0425, 16) + bytes(16)
        content = b"Photoshop 3.0\0" + other + resource
        segment = b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content
        Image.fromarray(colours()).save(path, extra=segment)
    else:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[33723] = IPTC
        Image.fromarray(colours()).save(path, tiffinfo=tags)


@pytest.mark.parametrize("target", ["y.jpg", "y.tif"])
@pytest.mark.parametrize("source", ["x.jpg", "x.tif"])
def test_captions_and_keywords_of_iptc_stay(tmp_path, source, target):
    with_iptc(tmp_path / source)
    picture = reading.read(tmp_path / source)
    assert picture.iptc == IPTC and writing.write(tmp_path / target, picture) == ()
    assert reading.read(tmp_path / target).iptc == IPTC
    with Image.open(tmp_path / target) as image:
        if target == "y.jpg":
            assert image.info["photoshop"][0x0404] == IPTC
        else:
            assert image.tag_v2[33723] == IPTC


def test_iptc_is_noted_where_the_format_does_not_hold_it(tmp_path):
    with_iptc(tmp_path / "x.jpg")
    assert writing.write(tmp_path / "y.png", reading.read(tmp_path / "x.jpg")) == ("without its IPTC data",)


def geotiff(path, *, deep=False, raster=1, orientation=1):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, kind, value in (
        (33550, 12, (10.0, 10.0, 0.0)),
        (33922, 12, (0.0, 0.0, 0.0, 500000.0, 5800000.0, 0.0)),
        (34735, 3, (1, 1, 0, 1, 1025, 0, 1, raster)),
    ):
        tags.tagtype[tag] = kind
        tags[tag] = value
    if orientation != 1:
        tags[274] = orientation
    if deep:
        tifffile = pytest.importorskip("tifffile")
        extra = [(33550, 12, 3, tags[33550]), (33922, 12, 6, tags[33922]), (34735, 3, 8, tags[34735])]
        tifffile.imwrite(path, colours(most=65535), photometric="rgb", extratags=extra)
    else:
        Image.fromarray(colours()).save(path, tiffinfo=tags)


@pytest.mark.parametrize("deep", [False, True])
def test_a_georeference_is_true_of_the_larger_picture(tmp_path, deep):
    geotiff(tmp_path / "x.tif", deep=deep)
    assert writing.write(tmp_path / "y.tif", enlarged(reading.read(tmp_path / "x.tif"))) == ()
    with Image.open(tmp_path / "y.tif") as image:
        assert image.tag_v2[33550] == (5, 5, 0)
        assert image.tag_v2[33922] == (0, 0, 0, 500000, 5800000, 0)
        assert image.tag_v2[34735] == (1, 1, 0, 1, 1025, 0, 1, 1)


def test_a_georeference_of_centres_of_pixels_is_true_of_the_larger_picture(tmp_path):
    geotiff(tmp_path / "x.tif", raster=2)
    writing.write(tmp_path / "y.tif", enlarged(reading.read(tmp_path / "x.tif")))
    with Image.open(tmp_path / "y.tif") as image:  # the first centre of the small picture lies between four of these
        assert image.tag_v2[33922] == (0.5, 0.5, 0, 500000, 5800000, 0)


def test_a_georeference_is_noted_where_it_is_lost(tmp_path):
    geotiff(tmp_path / "x.tif")
    assert writing.write(tmp_path / "y.png", reading.read(tmp_path / "x.tif")) == ("without its georeference",)
    geotiff(tmp_path / "x.tif", orientation=6)
    assert "without its georeference, as the picture was turned" in reading.read(tmp_path / "x.tif").notes


def test_a_gain_map_is_noted(tmp_path):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/></rdf:RDF>'
        b"</x:xmpmeta>"
    )
    Image.fromarray(colours()).save(tmp_path / "x.jpg", xmp=xmp)
    assert reading.read(tmp_path / "x.jpg").notes == ("without its HDR gain map",)
    iso = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(iso)) + iso
    Image.fromarray(colours()).save(tmp_path / "y.jpg", extra=segment)
    assert reading.read(tmp_path / "y.jpg").notes == ("without its HDR gain map",)


def test_second_views_are_noted(tmp_path):
    image = Image.fromarray(colours())
    image.save(tmp_path / "x.mpo", save_all=True, append_images=[image])
    picture = reading.read(tmp_path / "x.mpo")
    assert picture.notes == ("the first of 2 pictures in the file",)


@pytest.mark.parametrize("name", ["x.avif", "x.jp2"])
def test_more_than_8_bits_of_avif_and_jpeg_2000_are_kept(tmp_path, name):
    imagecodecs = pytest.importorskip("imagecodecs")
    if name == "x.avif":
        data, most = imagecodecs.avif_encode(colours(most=1023), level=100, bitspersample=10), 1023
    else:
        data, most = imagecodecs.jpeg2k_encode(colours(most=65535), level=0, codecformat="jp2"), 65535
    (tmp_path / name).write_bytes(data)
    picture = reading.read(tmp_path / name)
    assert picture.pixels.dtype == np.uint16
    wanted = np.rint(colours(most=most).astype(float) * 65535 / most)
    assert np.abs(picture.pixels - wanted).mean() < 2 * 65535 / most


@pytest.mark.parametrize("name", ["x.avif", "x.jp2"])
def test_more_than_8_bits_are_not_cut_where_imagecodecs_is_missing(tmp_path, monkeypatch, name):
    imagecodecs = pytest.importorskip("imagecodecs")
    encoded = {
        "x.avif": lambda: imagecodecs.avif_encode(colours(most=1023), bitspersample=10),
        "x.jp2": lambda: imagecodecs.jpeg2k_encode(colours(most=65535), level=0, codecformat="jp2"),
    }
    (tmp_path / name).write_bytes(encoded[name]())
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert "needs imagecodecs. Run pip install imagecodecs." in refusal(tmp_path / name)


def test_8_bits_of_avif_and_jpeg_2000_are_read_by_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for name, exact in (("x.avif", False), ("x.jp2", True)):
        Image.fromarray(colours()).save(tmp_path / name, **({} if exact else {"quality": 100}))
        pixels = reading.read(tmp_path / name).pixels
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(int) - colours()).mean() < (1 if exact else 4)


@pytest.mark.parametrize("compression", ["jpeg2000", "jpegxl", "lerc"])
def test_tiff_of_8_bits_that_only_tifffile_reads(tmp_path, compression):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    pixels = colours(32, 40)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", compression=compression)
    picture = reading.read(tmp_path / "x.tif")
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 2


def test_bands_beside_the_colours_are_noted(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for dtype, most in ((np.uint8, 255), (np.uint16, 65535)):
        bands = colours(32, 40, 4, most).astype(dtype)
        tifffile.imwrite(tmp_path / "x.tif", bands, photometric="rgb", extrasamples=["unspecified"])
        picture = reading.read(tmp_path / "x.tif")
        assert picture.notes == ("1 further band left out",)
        np.testing.assert_array_equal(picture.pixels, bands[..., :3])


def test_bands_that_are_no_colours_are_refused_with_their_number(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", colours(32, 40, 4), photometric="minisblack", planarconfig="contig")
    assert "4 bands that are not marked as RGB. Save three of them as RGB." in refusal(tmp_path / "x.tif")


def test_a_mask_in_a_tiff_file_is_noted(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for pixels in (colours(), colours(most=65535)):
        with tifffile.TiffWriter(tmp_path / "x.tif") as out:
            out.write(pixels, photometric="rgb", metadata=None)
            out.write(np.ones((12, 17), bool), photometric="mask", subfiletype=4, metadata=None)
        picture = reading.read(tmp_path / "x.tif")
        assert picture.notes == ("without its mask",) and picture.pixels.shape == (12, 17, 3)


def psd(pixels):
    """A flat file of Photoshop, without compression."""
    height, width, channels = pixels.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8, 3) + bytes(12)
    return head + bytes(2) + pixels.transpose(2, 0, 1).tobytes()


def test_a_flat_psd_is_one_picture(tmp_path):
    (tmp_path / "x.psd").write_bytes(psd(colours()))
    np.testing.assert_array_equal(reading.read(tmp_path / "x.psd").pixels, colours())


@pytest.mark.parametrize("name, sizes", [("x.ico", [32, 16]), ("x.ico", [32]), ("x.icns", 8 * [32])])
def test_smaller_icons_are_left_out_and_noted(tmp_path, name, sizes):
    Image.fromarray(colours(32, 32)).save(tmp_path / name, sizes=[(size, size) for size in sizes])
    several = (f"the largest of {len(sizes)} pictures in the file",)
    assert reading.read(tmp_path / name).notes == (several if len(sizes) > 1 else ())


def test_a_jpeg_whose_second_half_is_zero_bytes_is_damaged(tmp_path):
    rng = np.random.default_rng(1)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, "JPEG", quality=90)
    data = file.getvalue()
    half = len(data) // 2
    (tmp_path / "x.jpg").write_bytes(data[:half] + bytes(len(data) - half))
    assert "damaged (its end is missing, with zero bytes in its place). Get it again." in refusal(tmp_path / "x.jpg")
    (tmp_path / "y.jpg").write_bytes(data + bytes(4096))  # padding behind the end
    assert reading.read(tmp_path / "y.jpg").pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("zeros", [False, True])
def test_what_can_be_decoded_of_a_cut_jpeg_is_kept_when_asked(tmp_path, zeros):
    pixels = np.kron(colours(8, 8), np.ones((16, 16, 1), np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    data = file.getvalue()
    start = data[: len(data) * 2 // 3]
    (tmp_path / "x.jpg").write_bytes(start + bytes(len(data) - len(start)) if zeros else start)
    assert "damaged" in refusal(tmp_path / "x.jpg")
    with reading.opened(tmp_path / "x.jpg", keep_damaged=True) as opened:
        picture = opened.picture()
    assert picture.notes == ("damaged: the part that cannot be decoded is grey",)
    assert np.abs(picture.pixels[:32].astype(int) - pixels[:32]).mean() < 6


def test_postscript_is_refused_without_starting_ghostscript(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started"))
    (tmp_path / "x.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n0 0 16 16 rectfill\nshowpage\n"
    )
    assert "not an image. Supported: PNG, JPEG" in refusal(tmp_path / "x.png")


def test_a_bmp_that_pillow_does_not_support_is_not_called_damaged(tmp_path):
    file = io.BytesIO()
    Image.fromarray(colours()).save(file, "BMP")
    data = bytearray(file.getvalue())
    data[14:18], data[28:30], data[30:34] = struct.pack("<I", 56), struct.pack("<H", 16), struct.pack("<I", 3)
    data[54:66] = struct.pack("<3I", 0x3000, 0xE00, 0x100)  # 2, 3 and 1 bits
    (tmp_path / "x.bmp").write_bytes(data)
    message = refusal(tmp_path / "x.bmp")
    assert "this kind of BMP is not supported" in message and "damaged" not in message


def test_xmp_as_imagemagick_writes_it_is_kept(tmp_path):
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="A"/></rdf:RDF></x:xmpmeta>'
    )
    from PIL import PngImagePlugin

    for text, xmp, notes in (
        (f"\nxmp\n{len(packet):8}\n{packet.hex()}\n", packet, ()),
        (f"\nxmp\n{len(packet):8}\nno digits\n", None, ("without its XMP data, which is damaged",)),
    ):
        for packed in (False, True):
            info = PngImagePlugin.PngInfo()
            info.add_text("Raw profile type xmp", text, zip=packed)
            Image.fromarray(colours()).save(tmp_path / "x.png", pnginfo=info)
            picture = reading.read(tmp_path / "x.png")
            assert (picture.xmp, picture.notes) == (xmp, notes)


def test_formats_whose_plugin_is_missing_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_loaded", lambda module, register: False)
    for name in ("HEIF", "JXL"):  # an earlier test may have loaded the plug-ins
        monkeypatch.delitem(Image.OPEN, name, raising=False)
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "x.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    assert "needs pillow-heif. Run pip install pillow-heif." in refusal(tmp_path / "x.heic")
    assert "needs pillow-jxl-plugin. Run pip install pillow-jxl-plugin." in refusal(tmp_path / "x.jxl")
    assert not formats.is_picture("a.heic") and formats.missing_plugin("a.HEIC") == "pillow-heif"


@pytest.mark.parametrize("name", ["x.heic", "x.jxl"])
def test_formats_of_installed_plugins_are_read(tmp_path, name):
    if formats.missing_plugin(name):
        pytest.skip("needs pillow-heif and pillow-jxl-plugin")
    formats.load_plugins()
    Image.fromarray(colours(32, 40)).save(tmp_path / name, quality=95)
    assert formats.is_picture(name)
    pixels = reading.read(tmp_path / name).pixels
    assert np.abs(pixels.astype(int) - colours(32, 40)).mean() < 6


@pytest.fixture
def jpeg_xl():
    if formats.missing_plugin("x.jxl"):
        pytest.skip("needs pillow-jxl-plugin")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_xl_keeps_its_depth(jpeg_xl, tmp_path, bits, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    dtype = np.uint8 if bits == 8 else np.uint16
    values = np.random.default_rng(0).integers(0, 2**bits, (20, 13, channels), dtype)
    values[0, 0] = 2**bits - 1
    options = {} if bits in (8, 16) else {"bitspersample": bits}
    (tmp_path / "x.jxl").write_bytes(imagecodecs.jpegxl_encode(values, lossless=True, **options))
    picture = reading.read(tmp_path / "x.jxl")
    assert picture.pixels.dtype == dtype and picture.notes == ()
    white = np.iinfo(dtype).max
    found = picture.array().astype(int)
    assert np.abs(found - values * (white / (2**bits - 1))).max() <= 1 and found[0, 0].min() == white


def test_floating_point_jpeg_xl_is_refused(jpeg_xl, tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "x.jxl").write_bytes(imagecodecs.jpegxl_encode(np.zeros((8, 8, 3), np.float32), lossless=True))
    assert "channels of this type would not be kept" in refusal(tmp_path / "x.jxl")


def test_the_orientation_of_jpeg_xl_is_that_of_its_codestream_not_of_its_exif_data(jpeg_xl, tmp_path):
    formats.load_plugins()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours(32, 40)).save(tmp_path / "x.jxl", quality=95, exif=exif.tobytes())
    assert Image.open(tmp_path / "x.jxl").getexif()[0x0112] == 6
    picture = reading.read(tmp_path / "x.jxl")
    assert np.abs(picture.pixels.astype(int) - colours(32, 40)).mean() < 6
    writing.write(tmp_path / "x.png", picture)
    assert 0x0112 not in Image.open(tmp_path / "x.png").getexif()


def test_sgi_with_16_bits_is_refused(tmp_path):
    header = b"\x01\xda\0\x02\0\x03" + struct.pack(">3H2I", 2, 2, 3, 0, 65535)
    (tmp_path / "x.sgi").write_bytes(header + bytes(512 - len(header)) + bytes(24))
    assert "channels of this type would not be kept" in refusal(tmp_path / "x.sgi")


def test_one_list_says_what_is_a_picture():
    taken = "a.jpg a.JPE a.jfif a.mpo a.jp2 a.tga a.avif a.png a.gif a.webp a.tiff a.ppm a.psd".split()
    assert all(formats.is_picture(name) and folders.kind(name) == "picture" for name in taken)
    assert not any(map(formats.is_picture, "a.txt a.eps a.pdf a.wmf a.h5 a.mp4 a.mpg jpg".split()))
    assert [folders.kind(name) for name in "._a.jpg a.mpg a.MXF a.txt a".split()] == [
        "hidden",
        "clip",
        "clip",
        ".txt",
        "no suffix",
    ]


def test_avif_is_written_with_its_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "A"
    picture = Picture(colours(32, 40), np.full((32, 40), 128, np.uint8), exif=exif.tobytes())
    assert writing.write(tmp_path / "x.avif", picture) == ()
    found = reading.read(tmp_path / "x.avif")
    assert np.abs(found.pixels.astype(int) - picture.pixels).mean() < 4 and (found.alpha == 128).all()
    tags = Image.Exif()
    tags.load(found.exif)
    assert tags[0x013B] == "A"


@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.avif"])
def test_quality_makes_files_smaller(tmp_path, name):
    picture, sizes = Picture(colours(64, 64)), []
    for quality in (None, 30):
        writing.write(tmp_path / name, picture, options.FileOptions(quality=quality))
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] < sizes[0]


def test_a_lossless_webp_becomes_lossy_when_a_quality_is_given(tmp_path):
    picture = Picture(colours(64, 64), lossless=True)
    writing.write(tmp_path / "x.webp", picture)
    assert reading.read(tmp_path / "x.webp").lossless
    writing.write(tmp_path / "x.webp", picture, options.FileOptions(quality=80))
    assert not reading.read(tmp_path / "x.webp").lossless
