"""A faster TensorFlow view of the Keras models for training: the same variables, the same function.

`models.py` says what the networks are, on `keras` alone; here the same layers are computed the way that costs
TensorFlow least. Exact but for rounding (`tests/networks/test_graph.py`):

- Batch normalisation is TensorFlow's fused kernel; on several replicas its statistics are the whole batch's. By the
  averages it is folded into the convolution before it.
- The last convolution comes before the last depth to space: its 9 x 9 kernel on the large picture is a 5 x 5
  kernel on the half-size one with four times the channels, gathered inside the graph from the 9 x 9 variable,
  and a large picture of 64 channels never exists.
- Variables stay float32; convolutions run in `dtype`.
"""

import numpy as np
import tensorflow as tf

from srgan_tf.networks.kernels import block_number, half_size_kernel


def generator(model, lr, *, training, dtype=tf.float32):
    """The output of `models.srresnet` for LR.

    Args:
        model: a generator of `models.srresnet`, of any scale, blocks and features.
        lr: float [B, H, W, 3] in [0, 1].
        training: whether BN uses the batch's statistics (and moves its averages) or the averages.
        dtype: what convolutions compute in.

    Returns:
        SR, float32 [B, scale H, scale W, 3], and the batch's statistics for `move_averages`; none unless training.
    """
    view = _View(model, training, dtype)
    x = first = view.prelu("head_prelu", view.conv("head_conv", tf.cast(lr, dtype)))
    for block in sorted({name.split("_")[0] for name in view.layers if name.startswith("block")}, key=block_number):
        y = view.prelu(f"{block}_prelu", view.conv_norm(f"{block}_conv1", f"{block}_bn1", x))
        x += view.conv_norm(f"{block}_conv2", f"{block}_bn2", y)
    x = first + view.conv_norm("trunk_conv", "trunk_bn", x)
    last = sum(name.endswith("_shuffle") for name in view.layers)
    for k in range(1, last):
        x = view.prelu(f"up{k}_prelu", tf.nn.depth_to_space(view.conv(f"up{k}_conv", x), 2))
    x = view.prelu(f"up{last}_prelu", view.conv(f"up{last}_conv", x), repeat=4)
    x = tf.nn.conv2d(x, tf.cast(half_size_kernel(view.value("tail_conv", "kernel")), dtype), 1, "SAME")
    sr = tf.nn.depth_to_space(tf.cast(x, tf.float32), 2) + view.value("tail_conv", "bias")
    return sr, view.statistics


def discriminator(model, picture, *, training, dtype=tf.float32):
    """The logits of `models.discriminator` for HR or SR, float [B, crop, crop, 3] in [-1, 1].

    Returns:
        Logits, float32 [B, 1], and the batch's statistics for `move_averages`; none unless training.
    """
    view = _View(model, training, dtype)
    x = tf.nn.leaky_relu(view.conv("conv1", tf.cast(picture, dtype)), 0.2)
    i = 2
    while f"conv{i}" in view.layers:
        x = tf.nn.leaky_relu(view.conv_norm(f"conv{i}", f"bn{i}", x), 0.2)
        i += 1
    x = tf.reshape(x, (tf.shape(x)[0], np.prod(x.shape[1:])))
    x = tf.matmul(x, view.cast("dense", "kernel")) + view.cast("dense", "bias")
    x = tf.cast(tf.nn.leaky_relu(x, 0.2), tf.float32)
    return tf.matmul(x, view.value("logit", "kernel")) + view.value("logit", "bias"), view.statistics


def move_averages(statistics):
    """Move BN's averages towards the batch's statistics, as Keras does in a training call."""
    for norm, *batch in statistics:
        for average, now in zip((norm.moving_mean, norm.moving_variance), batch):
            average.value.assign(average.value * norm.momentum + now * (1 - norm.momentum))


class _View:
    """The layers of one model by name, as functions of tensors; collects the batch's statistics."""

    def __init__(self, model, training, dtype):
        self.layers = {layer.name: layer for layer in model.layers}
        self.training, self.dtype, self.statistics = training, dtype, []

    def value(self, layer, variable):
        return getattr(self.layers[layer], variable).value

    def cast(self, layer, variable):
        return tf.cast(self.value(layer, variable), self.dtype)

    def conv(self, name, x):
        layer = self.layers[name]
        y = tf.nn.conv2d(x, self.cast(name, "kernel"), layer.strides, "SAME")
        return tf.nn.bias_add(y, self.cast(name, "bias")) if layer.use_bias else y

    def prelu(self, name, x, repeat=1):
        slope = tf.tile(tf.reshape(self.cast(name, "alpha"), (-1,)), (repeat,))
        return tf.nn.relu(x) + slope * tf.minimum(x, tf.zeros((), x.dtype))

    def conv_norm(self, conv, norm, x):
        """A convolution without bias, and the normalisation of what it gives."""
        layer = self.layers[norm]
        gamma, beta = layer.gamma.value, layer.beta.value
        if not self.training:
            scale = gamma * tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
            kernel = tf.cast(self.value(conv, "kernel") * scale, self.dtype)
            y = tf.nn.conv2d(x, kernel, self.layers[conv].strides, "SAME")
            return tf.nn.bias_add(y, tf.cast(beta - layer.moving_mean.value * scale, self.dtype))
        x = self.conv(conv, x)
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            y, mean, variance = _synchronised_norm(x, gamma, beta, layer.epsilon)
        else:
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=gamma,
                offset=beta,
                mean=tf.zeros(0),
                variance=tf.zeros(0),
                epsilon=layer.epsilon,
                is_training=True,
            )
            count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
            variance *= (count - 1) / count  # the fused kernel gives the unbiased one, Keras keeps the other
        self.statistics.append((layer, mean, variance))
        return y


def _synchronised_norm(x, gamma, beta, epsilon):
    """Batch normalisation over what all replicas hold of the batch; also its mean and variance."""
    exact = tf.cast(x, tf.float32)
    moments = tf.stack([tf.reduce_mean(exact, (0, 1, 2)), tf.reduce_mean(tf.square(exact), (0, 1, 2))])
    moments = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, moments)
    mean, variance = moments[0], moments[1] - tf.square(moments[0])
    scale = gamma * tf.math.rsqrt(variance + epsilon)
    return tf.cast(exact * scale + (beta - mean * scale), x.dtype), mean, variance
