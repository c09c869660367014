"""Texts in PNG files: kept as they are, and never a danger to the picture."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from srgan_tf.images import png, reading, writing

PIXELS = np.random.default_rng(5).integers(0, 256, (9, 7, 3), dtype=np.uint8)
TITLE, AUTHOR = (b"tEXt", b"Title\0A cat, caf\xe9"), (b"zTXt", b"Author\0\0" + zlib.compress(b"Zo\xeb " * 99))
WORKFLOW = (b"iTXt", b"workflow\0\1\0en\0\xe6\xb5\x81\0" + zlib.compress('{"猫": 1}'.encode()))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write(path, *texts, behind=(), deep=False):
    """A PNG file with texts before its pixels and behind them."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    data = png.encode(PIXELS.astype(np.uint16) * 257) if deep else file.getvalue()
    path.write_bytes(
        data[:33]
        + b"".join(chunk(*text) for text in texts)
        + data[33:-12]
        + b"".join(chunk(*text) for text in behind)
        + data[-12:]
    )
    return path


def chunks(path):
    """All text chunks in a file, walked by hand."""
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + content)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            found.append((kind, content))
        place += 12 + length
    return found


@pytest.mark.parametrize("deep", [False, True])
def test_every_kind_of_text_is_kept_as_it_is(tmp_path, deep):
    parameters = (b"tEXt", b"parameters\0a cat\nSteps: 20, Size: 512x512")
    found = reading.read(write(tmp_path / "in.png", TITLE, AUTHOR, WORKFLOW, behind=[parameters, TITLE], deep=deep))
    assert found.notes == () and writing.write(tmp_path / "out.png", found) == ()
    assert chunks(tmp_path / "out.png") == [TITLE, AUTHOR, WORKFLOW, parameters, TITLE]
    np.testing.assert_array_equal(
        reading.read(tmp_path / "out.png").array(), PIXELS.astype(np.uint16) * 257 if deep else PIXELS
    )


def test_texts_about_the_unturned_picture_are_left_out(tmp_path):
    tags = Image.Exif()
    tags[0x0112], tags[0x010E] = 6, "a cat"
    profile = tags.tobytes()
    raw = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(profile), profile.hex().encode()))
    write(
        tmp_path / "in.png",
        (b"zTXt", raw),
        (b"tEXt", b"exif:Orientation\x006"),
        TITLE,
        (b"tEXt", b"exif:PixelXDimension\x007"),
    )
    found = reading.read(tmp_path / "in.png")
    np.testing.assert_array_equal(found.pixels, np.rot90(PIXELS, -1))
    writing.write(tmp_path / "out.png", found)
    assert chunks(tmp_path / "out.png") == [TITLE]
    assert dict(Image.open(tmp_path / "out.png").getexif()) == {0x010E: "a cat"}


SRGB = (b"sRGB", b"\0")
LINEAR = (b"gAMA", struct.pack(">I", 100000))
WIDE = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
HDR = (b"cICP", bytes((9, 16, 0, 1)))
LIKE_SRGB = (b"gAMA", struct.pack(">I", 45455))
DISPLAY = [(b"mDCV", bytes(range(24))), (b"cLLI", bytes(range(8)))]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "colours, note",
    [
        ([LINEAR], True),
        ([WIDE, LIKE_SRGB], True),
        ([HDR, SRGB], True),
        ([LIKE_SRGB], False),
        ([SRGB, LIKE_SRGB], False),
    ],
)
def test_colour_chunks_are_kept_in_png_and_noted_otherwise(tmp_path, colours, note, deep):
    found = reading.read(write(tmp_path / "in.png", *colours, TITLE, deep=deep))
    assert writing.write(tmp_path / "out.png", found) == ()
    data = (tmp_path / "out.png").read_bytes()
    assert all(0 < data.find(chunk(*colour)) < data.find(b"IDAT") for colour in colours)
    assert reading.read(tmp_path / "out.png").colours == tuple(colours)
    for name in ("out.jpg", "out.tif"):
        assert ("without its colour chunks" in writing.write(tmp_path / name, found)) == note


@pytest.mark.parametrize("deep", [False, True])
def test_the_chunks_of_hdr_displays_are_kept_with_16_bits_and_noted_otherwise(tmp_path, deep):
    found = reading.read(write(tmp_path / "in.png", HDR, *DISPLAY, deep=deep))
    assert writing.write(tmp_path / "out.png", found) == (() if deep else ("without its HDR metadata",))
    assert reading.read(tmp_path / "out.png").colours == (HDR, *(DISPLAY if deep else []))
    assert "without its colour chunks" in writing.write(tmp_path / "out.jpg", found)


@pytest.mark.parametrize("deep", [False, True])
def test_content_credentials_are_left_out_and_noted(tmp_path, deep):
    found = reading.read(write(tmp_path / "in.png", (b"caBX", b"manifest"), deep=deep))
    assert found.notes == ("without its content credentials",)


@pytest.mark.parametrize("deep", [False, True])
def test_a_profile_overrides_other_colour_chunks(tmp_path, deep):
    profile = (b"iCCP", b"x\0\0" + zlib.compress(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()))
    found = reading.read(write(tmp_path / "in.png", HDR, profile, LINEAR, SRGB, deep=deep))
    assert found.icc and found.colours == (HDR,)
    writing.write(tmp_path / "out.png", found)
    data = (tmp_path / "out.png").read_bytes()
    assert b"iCCP" in data and b"sRGB\0" not in data and chunk(*HDR) in data


def test_a_side_too_long_for_tensorflow_is_a_value_error():
    with pytest.raises(ValueError):
        png.encode(np.zeros((1, 1_000_001, 1), np.uint16))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "hostile",
    [
        (b"tEXt", b"Comment\0" + b"x" * png.MAX_TEXT),
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 * png.MAX_TEXT))),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2 * png.MAX_TEXT))),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * 2 * png.MAX_TEXT),
    ],
)
def test_a_text_that_is_too_long_is_left_out_with_one_note_and_the_picture_is_done(tmp_path, hostile, deep):
    for place in ({"behind": [hostile]}, {"behind": [TITLE, hostile]}):
        found = reading.read(write(tmp_path / "in.png", AUTHOR, **place, deep=deep))
        np.testing.assert_array_equal(found.array() // (257 if deep else 1), PIXELS)
        assert found.notes == ("without texts that are too long",)
        assert found.texts == (AUTHOR, *place["behind"][:-1])


def test_texts_that_are_too_many_are_left_out_with_one_note(tmp_path):
    many = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(png.MAX_TEXT)[:-1]))
    found = reading.read(write(tmp_path / "in.png", TITLE, *[many] * 100, AUTHOR))
    np.testing.assert_array_equal(found.pixels, PIXELS)
    assert found.texts[0] == TITLE and 10 < len(found.texts) < 20
    assert found.notes == ("without texts that are too long",)


def test_a_text_of_2_gigabytes_takes_no_memory(tmp_path):
    """In a process that may not have that much; the file has a hole there."""
    data = write(tmp_path / "in.png", TITLE).read_bytes()
    with open(tmp_path / "in.png", "wb") as file:
        file.write(data[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt")
        file.seek(2**31 - 1 + 4, 1)
        file.write(data[33:])
    code = """if True:
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (2 ** 30, -1))
        from srgan_tf.images import reading
        found = reading.read(sys.argv[1])
        assert found.notes == ("without texts that are too long",) and len(found.texts) == 1, found
    """
    subprocess.run([sys.executable, "-c", code, tmp_path / "in.png"], check=True)
    (tmp_path / "in.png").unlink()


@pytest.mark.parametrize(
    "text",
    [
        (b"tEXt", b""),
        (b"tEXt", b"no end"),
        (b"iTXt", b"key\0"),
        (b"iTXt", b"key\0\1\0\0\0no zlib"),
        (b"zTXt", b"key\0"),
    ],
)
def test_malformed_texts_do_no_harm(tmp_path, text):
    writing.write(tmp_path / "out.png", reading.read(write(tmp_path / "in.png", text)))
    np.testing.assert_array_equal(reading.read(tmp_path / "out.png").pixels, PIXELS)
    assert chunks(tmp_path / "out.png") == [text]


def test_a_file_cut_off_within_a_text_is_damaged(tmp_path):
    path = write(tmp_path / "in.png", TITLE)
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(reading.UserError, match="damaged|no picture"):
        reading.read(path)
