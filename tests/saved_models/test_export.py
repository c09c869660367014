"""SavedModels: their results, signatures and loaders, and restoring a Keras model."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import ROOT, capi
from srgan_tf.errors import UserError
from srgan_tf.networks import models, pixels
from srgan_tf.saved_models import export, variables, zoo


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(1)
    generator = models.srresnet(4, blocks=2, features=16)
    rng = np.random.default_rng(1)
    models.load_named_weights(
        generator,
        {
            name: np.abs(v) + rng.uniform(0.5, 1.5, v.shape)
            if name.endswith(("variance", "gamma"))
            else v + rng.normal(0, 0.05, v.shape)
            for name, v in models.named_weights(generator).items()
        },
    )
    return generator


@pytest.fixture(scope="module")
def folder(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small" / "7"
    export.export(generator, folder, attributes={"step": 7, "pixel_limit": 4096})
    return folder


@pytest.fixture(scope="module")
def session(folder):
    session = capi.Session(folder)
    yield session
    session.close()


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


def picture(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def encoded(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


SHAPES = [(1, 24, 24, 3), (1, 17, 31, 3), (1, 1, 1, 3), (1, 1, 40, 3), (3, 13, 9, 3)]


@pytest.mark.parametrize("signature", ["serving_default", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gives_the_same_bytes_through_the_c_api_twice_in_a_row(loaded, session, shape, signature):
    image = picture(*shape)
    expected = loaded.signatures[signature](image=image)["image"]
    for _ in range(2):
        np.testing.assert_array_equal(session.run({"image": image}, signature)["image"], expected)


def test_calls_side_by_side_give_what_each_gives_alone(folder):
    """In a process of its own, which calls that write over each other may end: oneDNN's convolution with a sum did."""
    code = """if True:
        import concurrent.futures, sys
        import numpy as np
        from helpers import capi
        session, rng = capi.Session(sys.argv[1]), np.random.default_rng(0)
        pictures = [rng.integers(0, 256, (1, 6 + k, 6 - k, 3), dtype=np.uint8) for k in range(4)]
        for signature in "serving_default", "bfloat16":
            def enlarge(k):
                return session.run({"image": pictures[k % 4]}, signature)["image"].astype(int)
            alone = [enlarge(k) for k in range(4)]
            with concurrent.futures.ThreadPoolExecutor(16) as calls:
                for k, large in enumerate(calls.map(enlarge, range(3000))):
                    off = np.abs(large - alone[k % 4])
                    assert not off.any(), (signature, k, large.shape, np.count_nonzero(off), off.max())
    """
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT / "tests", capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("shape", [(2, 48, 40, 3), *SHAPES])
def test_differs_from_keras_in_rounding_only(session, generator, shape):
    image = picture(*shape)
    exported = session.run({"image": image})["image"].astype(int)
    layered = pixels.to_uint8(generator(pixels.to_lr(image), training=False)).numpy()
    assert np.abs(exported - layered).max() <= 1
    assert (exported != layered).sum() <= 0.001 * layered.size + 1


def test_names_types_and_shapes_of_the_signatures(session):
    ends = {
        name: (
            {n: (s.dtype, [d.size for d in s.tensor_shape.dim]) for n, s in signature.inputs.items()},
            {n: (s.dtype, [d.size for d in s.tensor_shape.dim]) for n, s in signature.outputs.items()},
        )
        for name, signature in session.signatures.items()
        if not name.startswith("__")
    }
    uint8, string = tf.uint8.as_datatype_enum, tf.string.as_datatype_enum
    assert ends == {
        "serving_default": ({"image": (uint8, [-1, -1, -1, 3])}, {"image": (uint8, [-1, -1, -1, 3])}),
        "bfloat16": ({"image": (uint8, [-1, -1, -1, 3])}, {"image": (uint8, [-1, -1, -1, 3])}),
        "serve_bytes": ({"image_bytes": (string, [-1])}, {"image_bytes": (string, [-1])}),
        "attributes": ({"any": (string, [-1])}, {"attributes": (string, [-1])}),
    }


@pytest.mark.parametrize("signature", ["serving_default", "bfloat16"])
def test_a_batch_is_its_pictures(session, signature):
    batch = picture(3, 13, 9, 3)
    together = session.run({"image": batch}, signature)["image"]
    for image, large in zip(batch, together, strict=True):
        alone = session.run({"image": image[None]}, signature)["image"][0]
        np.testing.assert_allclose(alone.astype(int), large, atol=1)


def test_serve_bytes_takes_pictures_of_several_sizes_and_kinds(session):
    colour, grey, rgba = picture(9, 12, 3), picture(5, 7), picture(6, 4, 4)
    photo = encoded(picture(8, 8, 3), "JPEG")
    batch = np.array([encoded(colour), encoded(grey), encoded(rgba), photo], object)
    results = session.run({"image_bytes": batch}, "serve_bytes")["image_bytes"]
    seen = [colour, np.repeat(grey[..., None], 3, axis=2), rgba[..., :3], np.asarray(Image.open(io.BytesIO(photo)))]
    for result, rgb in zip(results, seen, strict=True):
        large = np.asarray(Image.open(io.BytesIO(result)))
        np.testing.assert_array_equal(large, session.run({"image": rgb[None]})["image"][0])


def test_serve_bytes_rounds_16_bits_to_8(session):
    deep = np.random.default_rng(1).integers(0, 65536, (6, 7), dtype=np.uint16)
    [result] = session.run({"image_bytes": np.array([encoded(deep)], object)}, "serve_bytes")["image_bytes"]
    rgb = np.repeat(np.rint(deep / 257).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(result))), session.run({"image": rgb[None]})["image"][0]
    )


def header_only(width, height):
    """A PNG that says how large it is and then ends."""
    start = encoded(picture(2, 2, 3))
    chunk = b"IHDR" + struct.pack(">II", width, height) + start[24:29]
    return start[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + start[33:]


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "broken"),
        (b"no picture", "broken"),
        (b"\x89PNG\r\n\x1a\n", "broken"),
        (lambda: encoded(picture(32, 32, 3))[:-500], "broken"),
        (lambda: encoded(picture(32, 32, 3), "JPEG")[:-200], "broken"),
        (lambda: encoded(picture(4, 4, 3), "BMP"), "neither PNG nor JPEG"),
        (lambda: header_only(0, 4), "broken"),
        (lambda: header_only(65, 64), "has 65 x 64 pixels, the limit for one picture is 4096 in all"),
        (lambda: header_only(50000, 50000), "has 50000 x 50000 pixels"),
        (lambda: encoded(picture(64, 65, 3), "JPEG"), "has 65 x 64 pixels"),
    ],
    ids=[
        "nothing",
        "text",
        "signature only",
        "half a PNG",
        "half a JPEG",
        "BMP",
        "no width",
        "over the limit",
        "a bomb",
        "a JPEG over the limit",
    ],
)
def test_serve_bytes_names_the_picture_it_refuses_and_answers_the_next_request(session, content, problem):
    good = encoded(picture(2, 2, 3))
    bad = content() if callable(content) else content
    with pytest.raises(capi.Error, match=re.escape("image_bytes[1]") + ".*" + problem) as refusal:
        session.run({"image_bytes": np.array([good, bad, good], object)}, "serve_bytes")
    assert refusal.value.code == 3  # an invalid argument: a server answers 400
    assert len(session.run({"image_bytes": np.array([good], object)}, "serve_bytes")["image_bytes"]) == 1


@pytest.mark.parametrize("signature", ["serving_default", "bfloat16"])
@pytest.mark.parametrize(
    "shape, problem",
    [
        ((1, 64, 65, 3), "image has 65 x 64 pixels, the limit for one picture is 4096 in all"),
        ((0, 4, 4, 3), "image has no pixels"),
        ((1, 0, 4, 3), "image has no pixels"),
        ((2, 4, 0, 3), "image has no pixels"),
    ],
)
def test_pictures_that_are_too_large_or_empty_are_refused_and_the_next_request_is_answered(
    session, signature, shape, problem
):
    with pytest.raises(capi.Error, match=problem) as refusal:
        session.run({"image": np.zeros(shape, np.uint8)}, signature)
    assert refusal.value.code == 3
    assert session.run({"image": np.zeros((2, 32, 40, 3), np.uint8)}, signature)["image"].shape == (2, 128, 160, 3)


@pytest.mark.parametrize("signature", ["serving_default", "bfloat16"])
@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 1, 4, 4, 3), (1, 4, 4, 1), (1, 4, 4, 4), (3,), ()])
def test_other_arrays_than_batches_of_rgb_are_refused_and_the_next_request_is_answered(session, signature, shape):
    with pytest.raises(capi.Error, match=r"not compatible with expected shape \[\?,\?,\?,3\]") as refusal:
        session.run({"image": np.zeros(shape, np.uint8)}, signature)  # a server feeds what it was sent
    assert refusal.value.code == 3
    assert session.run({"image": np.zeros((1, 2, 2, 3), np.uint8)}, signature)["image"].shape == (1, 8, 8, 3)


def test_an_empty_batch_of_encoded_pictures_gives_an_empty_batch(session):
    assert session.run({"image_bytes": np.zeros(0, object)}, "serve_bytes")["image_bytes"].shape == (0,)


def test_a_picture_may_be_full_hd_unless_the_export_says_otherwise(generator, folder):
    assert export.describe(generator)["pixel_limit"] >= 1920 * 1080
    assert zoo.attributes(folder)["pixel_limit"] == 4096


def test_attributes_are_the_same_in_the_file_and_through_the_signature(folder, session, generator):
    facts = zoo.attributes(folder)
    assert facts["step"] == 7
    assert {name: facts[name] for name in ("network", "scale", "blocks", "features", "halo")} == {
        "network": "srresnet",
        "scale": 4,
        "blocks": 2,
        "features": 16,
        "halo": 12,
    }
    assert facts["sha256"] == variables.checksum(models.named_weights(generator))
    twice = session.run({"any": np.array([b"", b"what are you?"], object)}, "attributes")["attributes"]
    assert [json.loads(answer) for answer in twice] == [facts, facts]


def test_halo_of_the_papers_network_is_40_at_every_scale():
    assert [export.describe(models.srresnet(scale))["halo"] for scale in models.SCALES] == [40, 40, 40]


@pytest.mark.parametrize("scale", models.SCALES)
def test_a_pixel_reaches_as_far_as_the_halo_and_no_further(scale):
    generator = models.srresnet(scale, blocks=2, features=4)
    models.load_named_weights(
        generator,
        {name: np.full(v.shape, 0.1 if v.ndim == 4 else 1.0) for name, v in models.named_weights(generator).items()},
    )  # nothing cancels out
    halo = export.describe(generator)["halo"]
    image = np.zeros((2, 1, 4 * halo, 3), np.float32)
    image[1, 0, 2 * halo] = 1
    without, with_pixel = generator(image, training=False).numpy()
    reached = np.flatnonzero(np.any(without != with_pixel, axis=(0, 2))) // scale
    assert (reached.min(), reached.max()) == (2 * halo - halo, 2 * halo + halo)


def test_restore_gives_back_every_variable_and_the_function(folder, generator):
    restored = export.restore(folder)
    before, after = models.named_weights(generator), models.named_weights(restored)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    image = np.float32(picture(1, 8, 8, 3) / 255)
    np.testing.assert_array_equal(restored(image, training=False), generator(image, training=False))


def test_restore_refuses_variables_that_are_not_those_exported(folder, generator, tmp_path):
    export.export(generator, tmp_path / "1", attributes={"sha256": "0" * 64})
    with pytest.raises(UserError, match="checksum"):
        export.restore(tmp_path / "1")
    facts = zoo.attributes(tmp_path / "1")
    del facts["sha256"]
    (tmp_path / "1" / zoo.ATTRIBUTES).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="no 'sha256'"):
        export.restore(tmp_path / "1")


def test_weights_are_written_once(folder, generator):
    weights = 4 * generator.count_params()
    assert weights < sum(file.stat().st_size for file in (folder / "variables").iterdir()) < 1.3 * weights


@pytest.mark.parametrize("moment", ["write_out", "move"])
def test_an_interrupted_export_leaves_nothing(generator, tmp_path, monkeypatch, moment):
    def fail(*_, **__):
        raise OSError("no space left on device")

    if moment == "write_out":
        monkeypatch.setattr(tf.saved_model, "save", fail)
    else:
        monkeypatch.setattr(export.os, "rename", fail)
    with pytest.raises(OSError, match="no space"):
        export.export(generator, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_export_replaces_a_savedmodel_and_nothing_else(folder, generator, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"an older one")
    export.export(generator, tmp_path / "1")
    assert [child.name for child in tmp_path.iterdir()] == ["1"]
    assert zoo.attributes(tmp_path / "1")["scale"] == 4
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(FileExistsError):
        export.export(generator, tmp_path / "letters")


def test_a_savedmodel_that_cannot_be_replaced_stays(generator, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"an older one")
    rename = os.rename

    def fail(source, target):
        if str(source).endswith(".part"):
            raise OSError("permission denied")
        rename(source, target)

    monkeypatch.setattr(export.os, "rename", fail)
    with pytest.raises(OSError, match="permission denied"):
        export.export(generator, tmp_path / "1")
    assert [child.name for child in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == b"an older one"


def test_export_refuses_a_generator_that_computes_in_bfloat16(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator = models.srresnet(2, blocks=1, features=4)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="bfloat16"):
        export.export(generator, tmp_path / "1")
