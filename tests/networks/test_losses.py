"""The losses are those of the paper, and VGG19 is not trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.networks import losses


def pictures(seed=0, side=32):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (2, 2, side, side, 3)).astype("float32")


@pytest.mark.parametrize(
    "content, layer, shape",
    [
        ("vgg22", "block2_conv2", (2, 16, 16, 128)),
        ("vgg34", "block3_conv4", (2, 8, 8, 256)),
        ("vgg54", "block5_conv4", (2, 2, 2, 512)),
    ],
)
def test_vgg_features_are_keras_preprocessed_and_rescaled(vgg_weights, content, layer, shape):
    picture = pictures()[0]
    vgg = keras.applications.VGG19(include_top=False, weights=str(vgg_weights))
    plain = keras.Model(vgg.input, vgg.get_layer(layer).output)
    expected = plain(keras.applications.vgg19.preprocess_input((picture + 1) * 127.5)) / 12.75
    found = losses.vgg_features(losses.vgg_model(content, vgg_weights), picture)
    assert found.shape == shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(tf.reduce_max(expected)))


def test_the_feature_model_is_frozen_and_differentiable(vgg_weights):
    vgg = losses.vgg_model("vgg22", vgg_weights)
    hr, sr = map(tf.constant, pictures())
    with tf.GradientTape() as tape:
        tape.watch(sr)
        loss = losses.mse(losses.vgg_features(vgg, hr), losses.vgg_features(vgg, sr))
    assert vgg.trainable_variables == []
    assert np.abs(tape.gradient(loss, sr)).max() > 0


def test_the_multi_layer_loss_is_the_weighted_distance_of_features_before_relu(vgg_weights):
    hr, sr = pictures()
    vgg = keras.applications.VGG19(include_top=False, weights=str(vgg_weights))
    expected = 0
    for name, weight in losses.VGG_MULTI.items():
        layer = vgg.get_layer(name)
        before = keras.Model(vgg.input, layer.input)
        kernel, bias = layer.get_weights()
        f, g = (
            tf.nn.conv2d(before(keras.applications.vgg19.preprocess_input((x + 1) * 127.5)), kernel, 1, "SAME") + bias
            for x in (hr, sr)
        )
        assert float(tf.reduce_min(f)) < 0
        expected += weight * float(tf.reduce_mean(tf.abs(f - g))) / losses.VGG_MULTI_RESCALE
    loss = losses.vgg_loss("vgg-multi", vgg_weights)
    assert float(loss(hr, sr)) == pytest.approx(expected, rel=1e-4)
    assert float(loss(hr, hr)) == 0


@pytest.mark.parametrize("content", ["vgg54", "vgg-multi"])
def test_a_picture_too_small_for_vgg_is_refused(vgg_weights, content):
    hr, sr = pictures(side=12)
    with pytest.raises(ValueError, match="sides of at least 16 pixels. Received: .2, 12, 12, 3"):
        losses.vgg_loss(content, vgg_weights)(hr, sr)


@pytest.mark.parametrize("file", ["missing.h5", "text.h5"])
def test_a_file_without_weights_gives_one_line_that_names_the_flag(tmp_path, file):
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(UserError, match=r"--vgg_weights") as error:
        losses.vgg_model("vgg54", tmp_path / file)
    assert "\n" not in str(error.value) and file in str(error.value)


def test_no_network_gives_one_line_that_names_the_flag(monkeypatch):
    def refused(*_, **__):
        raise Exception("URL fetch failure on https://...: None -- unreachable\nmore")

    monkeypatch.setattr(keras.applications, "VGG19", refused)
    with pytest.raises(UserError, match=r"--vgg_weights: .*cannot be downloaded .*Give the file") as error:
        losses.vgg_model("vgg54")
    assert "\n" not in str(error.value)


def test_the_logarithmic_mse_is_the_negative_psnr_of_luma_and_counts_all_pictures_the_same():
    rng = np.random.default_rng(3)
    hr = rng.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    errors = np.float32([0.05, 0.4])[:, None, None, None] * rng.normal(size=(2, 16, 16, 1)).astype("float32")
    grey, larger = float(losses.log_mse(hr, hr + errors)), float(losses.log_mse(hr, hr + 2 * errors))
    psnr = [20 * np.log10(2 / np.sqrt(np.mean(error**2))) for error in errors]  # the range is 2
    assert -10 / np.log(10) * grey == pytest.approx(np.mean(psnr) - 20 * np.log10(2), abs=0.4)
    assert larger - grey == pytest.approx(np.log(4), abs=0.05)  # half of it from the small errors
    colours = np.float32([0.587, -0.299, 0.0]) * errors  # of the same luma
    assert np.exp(losses.log_mse(hr, hr + colours)) < 0.02 * np.exp(grey)
    hr, error = np.zeros((1, 16, 16, 3), "float32"), tf.Variable(np.zeros((1, 16, 16, 3), "float32"))
    with tf.GradientTape() as tape:
        loss = losses.log_mse(hr, error)
    assert np.isfinite(loss) and np.all(np.isfinite(tape.gradient(loss, error)))


def test_adversarial_losses_are_the_papers_logarithms():
    real, fake = np.float32([[2.0], [-1.0]]), np.float32([[0.5], [-3.0]])
    d_real, d_fake = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    np.testing.assert_allclose(losses.adversarial(fake), np.mean(-np.log(d_fake)), rtol=1e-6)
    np.testing.assert_allclose(
        losses.discrimination(real, fake), np.mean(-np.log(d_real)) + np.mean(-np.log(1 - d_fake)), rtol=1e-6
    )


def test_total_variation_is_0_for_a_flat_picture_and_counts_each_edge_once():
    flat = np.full((1, 6, 5, 3), 0.3, "float32")
    assert float(losses.total_variation(flat)) == 0
    flat[0, 2, 1, 0] += 1  # four neighbours
    np.testing.assert_allclose(losses.total_variation(flat), 4, rtol=1e-6)


def test_the_consistency_loss_depends_on_colours_and_not_on_texture_within_4_x_4_pixels():
    hr = pictures()[0]
    texture = np.tile(np.float32([[1, -1], [-1, 1]])[..., None], (16, 16, 1))
    assert losses.consistency(hr, hr + texture, 4) < 1e-12
    assert float(losses.consistency(hr, hr + np.float32(0.5), 4)) == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("strength", [0.01, 0.3])
@pytest.mark.parametrize("scale, side", [(2, 96), (4, 96), (8, 96), (4, 32), (4, 192)])
def test_the_grid_loss_finds_a_faint_grid_in_texture_of_any_strength(scale, side, strength):
    rng = np.random.default_rng(1)
    hr = rng.uniform(-1, 1, (8, side, side, 3)).astype("float32")
    sr = hr + rng.normal(0, strength, hr.shape).astype("float32")
    usual = float(losses.grid(hr, sr, scale))
    assert 0.6 < usual < 1.9
    shifted = sr + np.float32([0.1, -0.2, 0.3])
    assert float(losses.grid(hr, shifted, scale)) == pytest.approx(usual, rel=0.02)
    pattern = np.tile(rng.normal(0, strength, (scale, scale, 1)), (side // scale, side // scale, 1))
    assert losses.grid(hr, sr + pattern.astype("float32") * (16 / side), scale) > 5 * usual


@pytest.mark.parametrize("side, scale", [(16, 4), (16, 8), (64, 8)])
def test_the_grid_loss_of_small_crops_is_finite(side, scale):
    hr, sr = np.random.default_rng(2).uniform(-1, 1, (2, 2, side, side, 3)).astype("float32")
    assert np.isfinite(float(losses.grid(hr, sr, scale))) and np.isfinite(float(losses.grid(hr, hr, scale)))


def test_the_grid_loss_refuses_crops_that_are_not_square():
    hr, sr = pictures()
    with pytest.raises(ValueError, match="must be square. Received: .2, 32, 16, 3"):
        losses.grid(hr[:, :, :16], sr[:, :, :16], 4)
