"""Rearranged kernels, with which TensorFlow computes the same convolutions faster."""

import numpy as np
import tensorflow as tf

EPSILON = 1e-3  # of `models.BN`; importing that would load Keras


def half_size_kernel(kernel):
    """A kernel for the large picture as a kernel for its 2 x 2 blocks: [9, 9, C, F] -> [5, 5, 4C, 4F].

    Output pixel i of a block reads input pixel p of the block r steps away with tap 2r + p - i.
    """
    taps, _, channels, features = kernel.shape
    r, p, i = np.ogrid[-2:3, :2, :2]
    tap = (2 * r + p - i + taps // 2 + 1).astype(
        np.int32
    )  # + 1: index 0 and the last one are the padding below, no tap
    padded = tf.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    rows = tf.gather(padded, tap, axis=0)  # [r, p, i, 11, C, F]
    both = tf.gather(rows, tap, axis=3)  # [r, p, i, r', p', i', C, F]
    both = tf.transpose(both, (0, 3, 1, 4, 6, 2, 5, 7))
    return tf.reshape(both, (5, 5, 4 * channels, 4 * features))


def block_number(name):
    """The number of a block: 7 of "block07", 100 of "block100"."""
    return int(name.removeprefix("block"))


def signed(kernel, bias, before, after):
    """A convolution whose input channels are multiplied by `before`, 1 or -1 each, and whose outputs by `after`."""
    return kernel * before[:, None] * after, bias * after


def folded(variables, name):
    """Kernel and bias of a convolution with its batch normalisation: scale (W x) + beta - scale mean."""
    gamma, beta, mean, variance = (
        variables[f"{name.replace('conv', 'bn')}/{what}"]
        for what in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma * tf.math.rsqrt(variance + EPSILON)
    return variables[f"{name}/kernel"] * scale, beta - mean * scale


def rows_as_channels(kernel):
    """[5, 5, C, 12] -> [1, 5, C, 64]: each row of taps has 12 output channels; the last 4 channels are 0."""
    rows = tf.concat(tf.unstack(kernel), axis=-1)[None]
    return tf.pad(rows, ((0, 0), (0, 0), (0, 0), (0, 4)))


def rows_summed():
    """[5, 1, 64, 12]: moves the channels of each row of taps to their row of the picture, and adds them up."""
    taps = np.pad(np.eye(60, dtype=np.float32), ((0, 4), (0, 0))).reshape(64, 5, 12)
    return tf.constant(taps.transpose(1, 0, 2)[:, None])


def depth_to_space(x):
    """[B, H, W, 12] -> [B, 2 H, 2 W, 3]; `tf.nn.depth_to_space` takes four times as long for so few channels."""
    batch, height, width = tf.unstack(tf.shape(x)[:3])
    pair = (3, 2) if x.dtype == tf.uint8 else (6,)  # bytes are moved two at a time
    x = tf.reshape(x, (batch, height, width, 2, *pair))
    x = tf.transpose(tf.bitcast(x, tf.uint16) if x.dtype == tf.uint8 else x, (0, 1, 3, 2, 4))
    x = tf.bitcast(x, tf.uint8) if x.dtype == tf.uint16 else x
    return tf.reshape(x, (batch, 2 * height, 2 * width, 3))
