"""Layers of the networks that Keras lacks, or that TensorFlow can compute faster than Keras does.

Every layer runs on every Keras backend. On TensorFlow some take a faster way to the same result
(`tests/networks/test_layers.py`). Variables have the names and shapes of the Keras layers that these extend.
"""

import contextlib

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from srgan_tf.networks.kernels import half_size_kernel
else:
    tf = None


@contextlib.contextmanager
def precision(dtype):
    """Set the precision of the layers that are created in a `with` block. Their variables are float32.

    Args:
        dtype: "float32", "bfloat16" or "float16".
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="srgan_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of [B, H, W, C] over B, H and W.

    On TensorFlow this is the fused kernel, which reads and writes half precision without conversions. On several
    replicas the statistics are those of the whole batch (Keras' `synchronized=True`).
    """

    def call(self, x, training=None):
        if tf is None or self.variable_dtype != "float32":
            return super().call(x, training=training)
        if not (training and self.trainable):
            averages = {"mean": self.moving_mean.value, "variance": self.moving_variance.value}
            return self._fused(x, is_training=False, **averages)[0]
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            y, mean, variance = self._synchronised(x, replica)
        else:
            y, mean, variance = self._fused(x, is_training=True, mean=tf.zeros(0), variance=tf.zeros(0))
            count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
            variance *= (count - 1) / count  # the kernel returns the unbiased variance, Keras averages the other one
        for average, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + now * (1 - self.momentum))
        return y

    def _fused(self, x, **options):
        """The normalised batch, its mean and its unbiased variance."""
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.gamma.value, offset=self.beta.value, epsilon=self.epsilon, **options
        )
        return y, mean, variance

    def _synchronised(self, x, replica):
        """This replica's part of the normalised batch, and mean and variance of the whole batch."""
        exact = tf.cast(x, tf.float32)
        moments = tf.stack([tf.reduce_mean(exact, (0, 1, 2)), tf.reduce_mean(tf.square(exact), (0, 1, 2))])
        mean, square = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.MEAN, moments))
        variance = square - tf.square(mean)
        scale = self.gamma.value * tf.math.rsqrt(variance + self.epsilon)
        return tf.cast(exact * scale + (self.beta.value - mean * scale), x.dtype), mean, variance


@keras.saving.register_keras_serializable(package="srgan_tf")
class PReLU(keras.layers.PReLU):
    """PReLU of [B, H, W, C] with one slope per channel (He et al. 2015).

    Args:
        repeat: how many groups of channels share the slopes. Before a depth to space it is 4: the four pixels that
            are made of one position then have the same slopes.
    """

    def __init__(self, repeat=1, shared_axes=(1, 2), **kwargs):
        super().__init__(shared_axes=shared_axes, **kwargs)
        self.repeat = repeat

    def build(self, shape):
        super().build((*shape[:-1], shape[-1] // self.repeat))
        self.input_spec = None  # of the slopes, not of the input

    def call(self, x):
        return ops.relu(x) + ops.tile(self.alpha, (1, 1, self.repeat)) * ops.minimum(x, 0)

    def get_config(self):
        return {**super().get_config(), "repeat": self.repeat}


@keras.saving.register_keras_serializable(package="srgan_tf")
class DepthToSpace(keras.layers.Layer):
    """Rearrange channels into pixels: [B, H, W, 4C] -> [B, 2H, 2W, C], the paper's PixelShuffle.

    The channel order is TensorFlow's: channel (2i + j) * C + c becomes pixel (i, j) of channel c.
    """

    def call(self, x):
        return depth_to_space(x)

    def compute_output_shape(self, shape):
        return _doubled(shape, shape[-1] // 4)


@keras.saving.register_keras_serializable(package="srgan_tf")
class DepthToSpaceConv2D(keras.layers.Conv2D):
    """A depth to space and a 9 x 9 convolution: [B, H, W, 4C] -> float32 [B, 2H, 2W, filters].

    TensorFlow computes the convolution first, with the kernel rearranged to 5 x 5 taps on the small picture and
    four times the channels. The large picture with C channels is never stored.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, autocast=False, **kwargs)  # kernel and bias stay float32 until they are used

    def build(self, shape):
        super().build((*shape[:-1], shape[-1] // 4))
        self.input_spec = None  # of the kernel, not of the input

    def call(self, x):
        bias = ops.cast(self.bias, "float32")  # of other precision under a policy that is not mixed
        if tf is None:
            y = ops.conv(depth_to_space(x), ops.cast(self.kernel, x.dtype), padding="same")
            return ops.cast(y, "float32") + bias
        y = tf.nn.conv2d(x, tf.cast(half_size_kernel(self.kernel.value), x.dtype), 1, "SAME")
        return depth_to_space(tf.cast(y, tf.float32)) + bias

    def compute_output_shape(self, shape):
        return _doubled(shape, self.filters)


def depth_to_space(x):
    """[B, H, W, 4C] -> [B, 2H, 2W, C], see `DepthToSpace`."""
    if tf is not None:
        return tf.nn.depth_to_space(x, 2)
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height, width, 2, 2, channels // 4))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, 2 * height, 2 * width, channels // 4))


def _doubled(shape, channels):
    batch, height, width, _ = shape
    return batch, height and 2 * height, width and 2 * width, channels
