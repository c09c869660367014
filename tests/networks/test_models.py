"""The networks are those of the paper, and weights are matched by name."""

import keras
import numpy as np
import pytest

from srgan_tf.networks import models
from srgan_tf.resize import imresize


@pytest.mark.parametrize("scale, parameters", [(2, 1_404_995), (4, 1_552_771), (8, 1_700_547)])
def test_srresnet_has_the_papers_parameters_and_enlarges_any_size(scale, parameters):
    generator = models.srresnet(scale)
    assert generator.count_params() == parameters
    assert models.scale_of(generator) == scale
    assert generator(np.zeros((2, 5, 7, 3), "float32")).shape == (2, 5 * scale, 7 * scale, 3)


def test_discriminator_has_the_papers_parameters_and_returns_logits():
    critic = models.discriminator(96)
    assert critic.count_params() == 23_567_361
    assert critic.output_shape == (None, 1)
    assert critic.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize(
    "make", [lambda: models.srresnet(3), lambda: models.srresnet(blocks=-1), lambda: models.discriminator(90)]
)
def test_a_scale_number_of_blocks_or_crop_that_does_not_fit_is_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()


def test_no_layer_is_a_lambda_and_a_saved_keras_file_loads_again(tmp_path):
    generator = models.srresnet(2, blocks=1, features=4)
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in generator.layers)
    generator.save(tmp_path / "model.keras")
    lr = np.random.default_rng(0).random((1, 6, 5, 3), "float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(lr), generator(lr))


def test_depth_to_space_puts_channels_where_tensorflow_does():
    import tensorflow as tf

    x = np.random.default_rng(0).random((2, 3, 4, 8), "float32")
    np.testing.assert_array_equal(models.DepthToSpace()(x), tf.nn.depth_to_space(x, 2))


@pytest.mark.parametrize("scale", models.SCALES)
def test_a_generator_that_starts_as_interpolation_enlarges_a_smooth_picture_well(scale):
    keras.utils.set_random_seed(1)
    generator = models.srresnet(scale, blocks=2, features=16)
    models.start_as_interpolation(generator)
    y, x = np.mgrid[:16, :16] / 16
    lr = np.stack([x, y, 0.5 + 0.4 * np.sin(5 * x)], -1).astype("float32")
    sr = (np.asarray(generator(lr[None]))[0] + 1) / 2
    inside = slice(3 * scale, -3 * scale)  # the zero padding shows near the border
    difference = np.abs(sr - imresize(lr, scale))[inside, inside]
    assert difference.mean() < 0.03


def test_weights_are_copied_between_models_by_name_and_a_mismatch_is_named():
    a, b = (models.srresnet(4, blocks=1, features=8) for _ in range(2))
    assert models.load_named_weights(b, models.named_weights(a)) == []
    lr = np.random.default_rng(0).random((1, 6, 5, 3), "float32")
    np.testing.assert_array_equal(a(lr), b(lr))
    with pytest.raises(ValueError, match="up2_conv/kernel"):
        models.load_named_weights(a, models.named_weights(models.srresnet(2, blocks=1, features=8)))


def test_a_model_of_another_scale_takes_over_the_trunk():
    small, large = models.srresnet(2, blocks=1, features=8), models.srresnet(4, blocks=1, features=8)
    left = models.load_named_weights(large, models.named_weights(small), partial=True)
    assert {name.split("/")[0] for name in left} == {"up2_conv", "up2_prelu"}
