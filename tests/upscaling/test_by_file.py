"""The default model of upscale.py depends on how the file was compressed."""

import io

import numpy as np
import pytest
from PIL import Image

from srgan_tf.errors import ModelError
from srgan_tf.images import reading
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import by_file
from srgan_tf.upscaling.upscaler import Upscaler

PIXELS = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)


def picture(folder, kind, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    (folder / "picture").write_bytes(file.getvalue())
    return reading.read(folder / "picture")


@pytest.mark.parametrize(
    "kind, options, model",
    [
        ("JPEG", {}, "photo"),
        ("WEBP", {}, "photo"),
        ("AVIF", {}, "photo"),
        ("TIFF", {"compression": "jpeg"}, "photo"),
        ("PNG", {}, "srgan"),
        ("WEBP", {"lossless": True}, "srgan"),
        ("TIFF", {"compression": "tiff_lzw"}, "srgan"),
        ("BMP", {}, "srgan"),
    ],
)
def test_lossy_files_are_enlarged_by_photo_and_others_by_srgan(tmp_path, monkeypatch, kind, options, model):
    used = []

    class Recorded(Upscaler):
        def __init__(self, name, **arguments):
            used.append(name)
            super().__init__(name, **arguments)

    monkeypatch.setattr("srgan_tf.upscaling.upscaler.Upscaler", Recorded)
    monkeypatch.setattr(Recorded, "picture", lambda self, picture, step: picture)
    small = picture(tmp_path, kind, **options)
    upscale = by_file.ByFile()
    assert upscale.picture(small).notes[0] == f"model {model}" and used == [model]
    upscale.picture(small)
    assert used == [model]  # loaded once


def test_the_size_is_that_of_an_upscaler():
    assert by_file.ByFile().size.of(3, 5) == (12, 20)
    assert by_file.ByFile(outscale=2).size.of(3, 5) == (6, 10)
    assert by_file.ByFile(width=100).size.of(10, 20) == (50, 100)


def test_a_scale_without_the_models_is_refused():
    with pytest.raises(ModelError, match="no such model of scale 2"):
        by_file.ByFile(scale=2)


def test_a_given_model_is_used_for_all_files(small_model):
    upscale = by_file.load(model=str(small_model))
    assert isinstance(upscale, Upscaler) and upscale.folder == zoo.resolve(small_model)
