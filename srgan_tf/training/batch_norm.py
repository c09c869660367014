"""Recomputes the averages of batch normalisation after training with frozen averages.

While the averages are frozen, the weights change and the activations drift away from them. Inference is correct, but
further training of such a network with batch statistics computes a different function.
"""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


def remeasure(generator: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Set the averages of a generator to the statistics of its activations, without changing what it computes.

    With m and v the mean and variance of a normalisation's input, e its epsilon, and old values marked by 0:
    gamma = gamma0 sqrt(v + e) / sqrt(v0 + e) and beta = beta0 + gamma0 (m - m0) / sqrt(v0 + e).

    Args:
        generator: a Keras model of float32 [B, h, w, 3] in [0, 1], computing in float32. It is changed in place.
        batches: LR, float32 [B, h, w, 3] in [0, 1], such as the crops that it was trained on, all of one shape.
    """
    norms = [layer for layer in generator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    inputs = keras.Model(generator.input, [layer.input for layer in norms])

    @tf.function
    def moments(lr):
        return [tf.stack(tf.nn.moments(x, (0, 1, 2))) for x in inputs(lr, training=False)]

    measured = [[pair.numpy().astype(np.float64) for pair in moments(tf.convert_to_tensor(lr))] for lr in batches]
    for layer, pairs in zip(norms, zip(*measured)):
        means, variances = np.swapaxes(pairs, 0, 1)
        mean = means.mean(0)
        variance = variances.mean(0) + np.square(means - mean).mean(0)
        _fold(layer, mean, variance)


def _fold(layer, mean, variance):
    """Replace the averages of a normalisation, and adapt gamma and beta so that its output stays the same."""
    gamma, beta, old_mean, old_variance = (
        keras.ops.convert_to_numpy(v).astype(np.float64)
        for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    old_scale = gamma / np.sqrt(old_variance + layer.epsilon)
    layer.gamma.assign(old_scale * np.sqrt(variance + layer.epsilon))
    layer.beta.assign(beta + old_scale * (mean - old_mean))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
