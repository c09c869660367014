"""The U-Net discriminator."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.networks.unet import GAIN, SpectralConv2D, unet_discriminator


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def test_every_pixel_has_a_verdict():
    logits = unet_discriminator(32, features=4)(np.zeros((2, 32, 32, 3), "float32"))
    assert logits.shape == (2, 32, 32, 1) and logits.dtype == tf.float32


@pytest.mark.parametrize("crop", [0, 4, 100])
def test_a_crop_that_cannot_be_halved_three_times_is_refused(crop):
    with pytest.raises(ValueError, match="multiple of 8"):
        unet_discriminator(crop)


def test_power_iteration_finds_the_largest_singular_value():
    layer = SpectralConv2D(6, 3)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    for _ in range(60):
        y = layer(x, training=True)
    kernel = layer.kernel.numpy()
    largest = np.linalg.svd(kernel.reshape(-1, 6), compute_uv=False)[0]
    expected = tf.nn.conv2d(x, GAIN * kernel / largest, 1, "SAME")
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_outside_of_training_nothing_changes():
    layer = SpectralConv2D(6, 3)
    layer.build((None, 8, 8, 4))
    before = layer.direction.numpy()
    layer(np.ones((1, 8, 8, 4), "float32"))
    np.testing.assert_array_equal(before, layer.direction.numpy())


def test_the_gradient_keeps_the_norm_of_the_kernel():
    """The output does not depend on the kernel's scale, so the gradient is orthogonal to the kernel."""
    layer = SpectralConv2D(6, 3)
    x = tf.random.normal((1, 8, 8, 4))
    for _ in range(60):
        layer(x, training=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    kernel = layer.kernel.numpy()
    cosine = (gradient * kernel).sum() / np.linalg.norm(gradient) / np.linalg.norm(kernel)
    assert abs(cosine) < 1e-3


def test_it_computes_in_bfloat16_with_float32_variables_and_logits():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = unet_discriminator(16, features=4)
    finally:
        keras.config.set_dtype_policy(policy)
    assert network.get_layer("down1_conv").compute_dtype == "bfloat16"
    assert {v.dtype for v in network.variables} == {"float32"}
    assert network(np.zeros((1, 16, 16, 3), "float32")).dtype == tf.float32


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_its_gradient_is_compiled_by_xla_in_half_precision(precision):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = unet_discriminator(16, features=4)
    finally:
        keras.config.set_dtype_policy(policy)

    def gradient(picture):
        with tf.GradientTape() as tape:
            tape.watch(picture)
            loss = tf.reduce_mean(network(picture))
        return tape.gradient(loss, picture)

    picture = tf.constant(np.random.default_rng(0).normal(size=(1, 16, 16, 3)), tf.float32)
    compiled, plain = (tf.function(gradient, jit_compile=xla)(picture).numpy() for xla in (True, None))
    assert np.abs(compiled - plain).max() < 0.1 * np.abs(plain).max()


def test_it_is_saved_and_loaded(tmp_path):
    network = unet_discriminator(16, features=4)
    network.save(tmp_path / "unet.keras")
    again = keras.models.load_model(tmp_path / "unet.keras")
    picture = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(network(picture), again(picture), atol=1e-6)
