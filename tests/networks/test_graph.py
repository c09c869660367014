"""The faster training graph is the plain Keras model: outputs, gradients and moving averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.networks import graph, models


def randomised(model, seed=0):
    """Weights as after some training: no slope, gamma or average at its start."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        v.assign(np.asarray(v) + rng.normal(0, 0.05, v.shape) * ("variance" not in v.name))
    return model


def compare(model, view, x):
    """Both in a training call: outputs, gradients of every variable, averages afterwards."""
    before = models.named_weights(model)
    results = []
    for function in (lambda x: (model(x, training=True), []), lambda x: view(model, x, training=True)):
        models.load_named_weights(model, before)
        with tf.GradientTape() as tape:
            y, statistics = function(x)
            loss = tf.reduce_mean(tf.sin(3 * y))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        graph.move_averages(statistics)
        results.append((y.numpy(), gradients, models.named_weights(model)))
    (y1, g1, w1), (y2, g2, w2) = results
    np.testing.assert_allclose(y1, y2, atol=2e-5)
    largest = max(np.abs(g).max() for g in g1)
    for a, b, v in zip(g1, g2, model.trainable_variables):
        np.testing.assert_allclose(a, b, atol=2e-5 * largest + 1e-4 * np.abs(a).max(), err_msg=v.path)
    for name in w1:
        np.testing.assert_allclose(w1[name], w2[name], atol=2e-5, err_msg=name)
        assert not name.endswith("moving_mean") or not np.array_equal(w1[name], before[name]), name


@pytest.mark.parametrize("scale", models.SCALES)
def test_generator_view_equals_keras_in_a_training_call(scale):
    keras.utils.set_random_seed(scale)
    model = randomised(models.srresnet(scale, blocks=3, features=12))
    compare(model, graph.generator, np.random.default_rng(1).random((2, 9, 7, 3), "float32"))


def test_discriminator_view_equals_keras_in_a_training_call():
    keras.utils.set_random_seed(0)
    model = randomised(models.discriminator(32))
    compare(model, graph.discriminator, np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 3)).astype("float32"))


def test_generator_view_equals_keras_in_inference():
    model = randomised(models.srresnet(4, blocks=2, features=16))
    lr = np.random.default_rng(1).random((1, 11, 6, 3), "float32")
    sr, statistics = graph.generator(model, lr, training=False)
    np.testing.assert_allclose(sr, model(lr, training=False), atol=1e-5)
    assert not statistics


def test_generator_view_equals_keras_for_a_hundred_blocks_and_more():
    model = randomised(models.srresnet(2, blocks=101, features=4))
    lr = np.random.default_rng(1).random((1, 6, 7, 3), "float32")
    sr = model(lr, training=False).numpy()
    np.testing.assert_allclose(graph.generator(model, lr, training=False)[0], sr, atol=1e-4 * np.abs(sr).max())


def test_bfloat16_stays_close_and_returns_float32():
    model = randomised(models.srresnet(4, blocks=2, features=16))
    lr = np.random.default_rng(1).random((2, 12, 12, 3), "float32")
    exact, _ = graph.generator(model, lr, training=True)
    rough, _ = graph.generator(model, lr, training=True, dtype=tf.bfloat16)
    assert rough.dtype == tf.float32
    assert float(tf.reduce_mean(tf.abs(rough - exact))) < 0.02 * float(tf.math.reduce_std(exact)) + 1e-3
