"""Inference equals the Keras model except for rounding: whole, in strips, in groups, in bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.evaluation import metrics
from srgan_tf.networks import inference, models, pixels
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.upscaler import Upscaler


def trained(scale, *, blocks=3, features=12, slopes=(-0.5, 1.0), seed=0):
    """A network as after some training: it enlarges, and no slope, gamma or average is at its start."""
    keras.utils.set_random_seed(seed)
    model, rng = models.srresnet(scale, blocks=blocks, features=features), np.random.default_rng(seed)
    models.start_as_interpolation(model)
    weights = models.named_weights(model)
    for name, v in weights.items():
        if name.endswith("alpha"):
            weights[name] = rng.uniform(*slopes, v.shape)
        elif name.endswith("variance"):
            weights[name] = v + rng.uniform(-0.5, 0.5, v.shape)
        elif name.endswith(("gamma", "beta", "mean")):
            weights[name] = v + rng.normal(0, 0.2, v.shape)
    models.load_named_weights(model, weights)
    return model


def keras_pixels(model, image):
    return pixels.to_uint8(model(pixels.to_lr(image), training=False)).numpy().astype(int)


def view(model, dtype=tf.float32):
    generator = inference.Generator(
        {f"{layer.name}/{v.name}": v.value for layer in model.layers for v in layer.weights}
    )
    function = tf.function(
        lambda image: generator(image, dtype), input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)]
    )
    return lambda image: function(image).numpy()


def picture(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("slopes", [(-0.5, 1.0), (-0.5, 1.5)], ids=["slopes up to 1", "slopes above 1"])
@pytest.mark.parametrize("scale", models.SCALES)
def test_equals_keras_except_for_rounding(scale, slopes):
    model = trained(scale, slopes=slopes)
    image = picture(2, 61, 47, 3)
    folded, plain = view(model)(image), keras_pixels(model, image)
    assert plain.std() > 30  # not all clipped
    assert np.abs(folded - plain).max() <= 1
    assert (folded == plain).mean() > 0.999


def test_equals_keras_for_the_papers_network():
    model = trained(4, blocks=16, features=64)
    image = picture(1, 40, 56, 3)
    folded, plain = view(model)(image), keras_pixels(model, image)
    assert np.abs(folded - plain).max() <= 1
    assert (folded == plain).mean() > 0.999


def test_equals_keras_for_more_than_a_hundred_blocks():
    model = trained(2, blocks=101, features=4)
    image = picture(1, 9, 12, 3)
    tf.config.run_functions_eagerly(True)  # tracing so many takes longer
    try:
        large = view(model)(image)
    finally:
        tf.config.run_functions_eagerly(False)
    assert np.abs(large - keras_pixels(model, image)).max() <= 1


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 2, 3, 3), (3, 1, 17, 3), (2, 9, 1, 3)])
def test_pictures_of_few_pixels(shape, dtype):
    model = trained(4, blocks=1, features=8)
    image = picture(*shape)
    assert np.abs(view(model, dtype)(image) - keras_pixels(model, image)).max() <= (1 if dtype == tf.float32 else 8)


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("rows, size", [(1, (37, 11)), (5, (37, 11)), (16, (37, 11)), (1, (11, 37)), (16, (11, 37))])
def test_strips_give_the_whole_picture(monkeypatch, scale, rows, size):
    model, image = trained(scale, blocks=1, features=8), picture(2, *size, 3)
    whole = view(model)(image).astype(int)
    monkeypatch.setattr(inference, "STRIP", 0)
    monkeypatch.setattr(inference, "ROWS", rows)
    strips = view(model)(image)
    assert np.abs(strips - whole).max() <= 1
    assert (strips == whole).mean() > 0.999


@pytest.mark.parametrize("shape", [(1, 12, 200, 3), (1, 200, 12, 3), (20, 8, 8, 3)])
def test_a_strip_never_has_more_pixels_than_its_limit(monkeypatch, shape):
    monkeypatch.setattr(inference, "STRIP", 1024)
    enlarge, found = inference._Network.enlarge, []

    def note(self, x, *arguments):
        found.append(int(np.prod(x.shape[:3])))
        return enlarge(self, x, *arguments)

    monkeypatch.setattr(inference._Network, "enlarge", note)
    model, image = trained(2, blocks=1, features=4), picture(*shape)
    tf.config.run_functions_eagerly(True)
    try:
        large = view(model)(image)
    finally:
        tf.config.run_functions_eagerly(False)
    assert max(found) <= 1024 + 2 * inference.REACH * 12 < image.size // 3
    assert np.abs(large - keras_pixels(model, image)).max() <= 1


@pytest.mark.parametrize("together", [1, 2, 3])
def test_a_batch_in_groups_gives_the_whole_batch(monkeypatch, together):
    model, batch = trained(2, blocks=1, features=8), picture(7, 12, 10, 3)
    whole = view(model)(batch).astype(int)
    monkeypatch.setattr(inference, "TOGETHER", together * 12 * 10)
    groups = view(model)(batch)
    assert groups.shape == whole.shape
    assert np.abs(groups - whole).max() <= 1


@pytest.mark.parametrize("slopes", [(0.0, 0.4), (0.5, 1.5)], ids=["slopes up to 1", "slopes above 1"])
def test_bfloat16_stays_close(slopes):
    model, image = trained(4, slopes=slopes), picture(1, 48, 40, 3)
    exact, rough = view(model)(image), view(model, tf.bfloat16)(image)
    assert not np.array_equal(exact, rough)
    assert metrics.psnr(exact, rough) > 45


def test_uses_the_current_values_of_the_variables():
    model, image = trained(2, blocks=1, features=8), picture(1, 9, 9, 3)
    function = view(model)
    before = function(image)
    for layer in model.layers:
        for v in layer.weights:
            v.assign(v * 0.9)
    after = function(image)
    assert not np.array_equal(before, after)
    assert np.abs(after - keras_pixels(model, image)).max() <= 1


def test_bfloat16_costs_under_two_hundredths_of_a_decibel_on_set5(benchmarks):
    if not (folder := zoo.shipped().get("srresnet_x4")):
        pytest.skip("needs a shipped model: weights/srresnet_x4")
    upscalers = [Upscaler(folder, precision=precision) for precision in ("float32", "bfloat16")]
    scores = []
    for path in sorted((benchmarks / "Set5" / "image_SRF_4").glob("*_HR.png")):
        hr, lr = (np.asarray(Image.open(file).convert("RGB")) for file in (path, str(path).replace("_HR", "_LR")))
        scores.append([metrics.score(hr, upscale(lr), "paper")[0] for upscale in upscalers])
    float32, bfloat16 = np.mean(scores, axis=0)
    assert len(scores) == 5
    assert bfloat16 > float32 - 0.02
