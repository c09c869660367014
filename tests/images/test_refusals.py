"""Files that cannot be read or written: one line says why, and nothing is lost or half written."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import reading, writing
from srgan_tf.images.picture import Picture


def noise(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


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
