"""The layers compute what plain Keras layers compute, on one device and on several, in each precision."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import ROOT
from srgan_tf.networks import layers, models


def randomised(model, seed=0):
    """Weights as after some training: no slope, gamma or average at its start."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        v.assign(np.asarray(v) + rng.normal(0, 0.05, v.shape) * ("variance" not in v.name))
    return model


def plain(model, x, training):
    """The model by Keras' own layers and in the paper's order: depth to space before PReLU and the last convolution."""
    prelu, tail = [layer.name for layer in model.layers[-2:]] if "tail_conv" in model.layers[-1].name else (None, None)
    outputs = {}
    for layer in model.layers:
        incoming = [outputs[t._keras_history.operation.name] for t in keras.tree.flatten(layer.input)] or [x]
        if isinstance(layer, keras.layers.InputLayer):
            y = x
        elif isinstance(layer, keras.layers.BatchNormalization):
            y = keras.layers.BatchNormalization.call(layer, incoming[0], training=training)
        elif isinstance(layer, keras.layers.PReLU):
            y = plain_shuffle(incoming[0]) if layer.name == prelu else incoming[0]
            y = keras.layers.PReLU.call(layer, y)
        elif isinstance(layer, layers.DepthToSpace):
            y = plain_shuffle(incoming[0])
        elif layer.name == tail:
            y = keras.layers.Conv2D.call(layer, incoming[0])
        else:
            y = layer(incoming if len(incoming) > 1 else incoming[0])
        outputs[layer.name] = y
    return y


def plain_shuffle(x):
    b, h, w, c = x.shape
    x = keras.ops.transpose(keras.ops.reshape(x, (b, h, w, 2, 2, c // 4)), (0, 1, 3, 2, 4, 5))
    return keras.ops.reshape(x, (b, 2 * h, 2 * w, c // 4))


def compare(model, x, training):
    """Outputs, gradients of every variable and averages afterwards, of the model and of plain Keras layers."""
    before = models.named_weights(model)
    results = []
    for function in (lambda x: plain(model, x, training), lambda x: model(x, training=training)):
        models.load_named_weights(model, before)
        with tf.GradientTape() as tape:
            y = function(x)
            loss = tf.reduce_mean(tf.sin(3 * y))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        results.append((y.numpy(), gradients, models.named_weights(model)))
    (y1, g1, w1), (y2, g2, w2) = results
    np.testing.assert_allclose(y1, y2, atol=2e-5)
    largest = max(np.abs(g).max() for g in g1)
    for a, b, v in zip(g1, g2, model.trainable_variables):
        np.testing.assert_allclose(a, b, atol=2e-5 * largest + 1e-4 * np.abs(a).max(), err_msg=v.path)
    for name in w1:
        np.testing.assert_allclose(w1[name], w2[name], atol=2e-5, err_msg=name)
        assert not name.endswith("moving_mean") or np.array_equal(w1[name], before[name]) != training, name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", models.SCALES)
def test_the_generator_equals_plain_keras_layers(scale, training):
    keras.utils.set_random_seed(scale)
    model = randomised(models.srresnet(scale, blocks=3, features=12))
    compare(model, np.random.default_rng(1).random((2, 9, 7, 3), "float32"), training)


def test_the_discriminator_equals_plain_keras_layers():
    keras.utils.set_random_seed(0)
    model = randomised(models.discriminator(32))
    compare(model, np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 3)).astype("float32"), True)


@pytest.mark.parametrize("training", [True, False])
def test_without_tensorflow_the_layers_compute_the_same(training, monkeypatch):
    model = randomised(models.srresnet(4, blocks=2, features=8))
    lr, before = np.random.default_rng(1).random((2, 9, 7, 3), "float32"), models.named_weights(model)
    fast = model(lr, training=training)
    averages = models.named_weights(model)
    models.load_named_weights(model, before)
    monkeypatch.setattr(layers, "tf", None)
    np.testing.assert_allclose(model(lr, training=training), fast, atol=2e-5)
    for name, value in models.named_weights(model).items():
        np.testing.assert_allclose(value, averages[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("policy", ["float16", "float64"])
def test_networks_can_be_trained_under_a_global_policy_that_is_not_mixed(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = models.srresnet(4, blocks=1, features=8)
    finally:
        keras.config.set_dtype_policy("float32")
    sr = model(np.zeros((1, 8, 8, 3)), training=True)
    assert sr.shape == (1, 32, 32, 3) and np.isfinite(np.asarray(sr, "float32")).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_close_and_returns_float32_of_float32_variables(dtype):
    exact = randomised(models.srresnet(4, blocks=2, features=16))
    with layers.precision(dtype):
        rough = models.srresnet(4, blocks=2, features=16)
        critic = models.discriminator(32)
    assert keras.config.dtype_policy().name == "float32"
    models.load_named_weights(rough, models.named_weights(exact))
    lr = np.random.default_rng(1).random((2, 12, 12, 3), "float32")
    for training in (True, False):
        sr, expected = rough(lr, training=training), exact(lr, training=training)
        assert sr.dtype == tf.float32
        assert float(tf.reduce_mean(tf.abs(sr - expected))) < 0.02 * float(tf.math.reduce_std(expected)) + 1e-3
    assert critic(np.zeros((2, 32, 32, 3), "float32"), training=True).dtype == tf.float32
    for model in (rough, critic):
        assert {v.dtype for v in model.variables} == {"float32"}
        assert {layer.compute_dtype for layer in model.layers if layer.name.startswith(("block", "conv"))} == {dtype}


SYNCHRONISED = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                           [tf.config.LogicalDeviceConfiguration()] * 2)
from srgan_tf.networks.layers import BatchNormalization
x = np.random.default_rng(0).normal(3, 2, (4, 5, 6, 7)).astype("float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone = BatchNormalization()
with strategy.scope():
    shared = BatchNormalization()
    shared.build(x.shape)
halves = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(x[context.replica_id_in_sync_group::2]))
for _ in range(3):
    expected = alone(x, training=True)
    parts = strategy.run(tf.function(lambda part: shared(part, training=True)), (halves,))
    for i, part in enumerate(strategy.experimental_local_results(parts)):
        np.testing.assert_allclose(part, expected[i::2], atol=1e-5)
for v, w in zip(shared.variables, alone.variables):
    np.testing.assert_allclose(v.numpy(), w.numpy(), rtol=1e-5, err_msg=v.name)
    for copy in strategy.experimental_local_results(v.value):
        np.testing.assert_allclose(copy.numpy(), w.numpy(), rtol=1e-5, err_msg=v.name)
"""


def test_on_two_devices_statistics_and_averages_are_those_of_the_whole_batch_on_each():
    subprocess.run([sys.executable, "-c", SYNCHRONISED], cwd=ROOT, check=True)
