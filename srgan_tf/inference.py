"""A faster TensorFlow view of the Keras generator for inference: the same variables, the same function.

`models.py` says what the network is, on `keras` alone; here it is computed the way that costs TensorFlow least, and
inside one graph from the variables as they were trained. Exact but for rounding (`tests/test_inference.py`):

- Batch normalisation is folded into the convolution before it, [0, 255] -> [0, 1] into the first one: pixels enter
  as whole numbers, which bfloat16 holds exactly.
- The last convolution comes before the last depth to space, with its kernel rearranged (`half_size_kernel`).
- PReLU is max(x, slope x) where no slope is above 1.
- Small pictures of a batch are computed together, large ones one after the other, and the up-sampling part, which
  takes most of the memory, in horizontal strips.
"""
import numpy as np
import tensorflow as tf

from srgan_tf import pixels

TOGETHER = 2 ** 18  # LR pixels of a batch that go through the trunk at once: about 1 kB each in float32
STRIP = 2 ** 16  # LR pixels that are enlarged at once: about 8 kB each in float32
ROWS = 16  # a strip's least height in LR pixels: lower ones would mostly compute their overlap


class Generator:
    """A `models.srresnet` as a function of pixels, for use in a `tf.function`."""

    def __init__(self, model):
        """Outside of graphs: which form of PReLU is right is decided here, from the slopes as they are now."""
        self._layers = {layer.name: layer for layer in model.layers}
        self._steep = {name for name, layer in self._layers.items()
                       if name.endswith("_prelu") and not np.all(np.asarray(layer.alpha) <= 1)}

    def __call__(self, image, dtype=tf.float32):
        """Enlarge a batch.

        Args:
            image: uint8 [B, H, W, 3], at least one picture and one pixel.
            dtype: what convolutions compute in.

        Returns:
            uint8 [B, scale H, scale W, 3].
        """
        network = _Network(self._layers, self._steep, dtype)
        batch, height, width = tf.unstack(tf.shape(image)[:3])
        size = tf.maximum(1, TOGETHER // (height * width))
        return _in_turn(lambda i: network.enlarge_in_strips(network.trunk(image[i * size:(i + 1) * size])),
                        count=-(-batch // size), axis=0)


def half_size_kernel(kernel):
    """A kernel on the large picture as one between its 2 x 2 blocks: [9, 9, C, F] -> [5, 5, 4C, 4F].

    Output pixel i of a block reads input pixel p of the block r steps away with tap 2r + p - i.
    """
    taps, _, channels, features = kernel.shape
    r, p, i = np.ogrid[-2:3, :2, :2]
    tap = (2 * r + p - i + taps // 2 + 1).astype(np.int32)  # + 1: the padding below stands for "no tap"
    padded = tf.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    rows = tf.gather(padded, tap, axis=0)  # [r, p, i, 11, C, F]
    both = tf.gather(rows, tap, axis=3)  # [r, p, i, r', p', i', C, F]
    both = tf.transpose(both, (0, 3, 1, 4, 6, 2, 5, 7))
    return tf.reshape(both, (5, 5, 4 * channels, 4 * features))


class _Network:
    """The network in one precision. Its kernels are derived from the variables once, in front of all loops."""

    def __init__(self, layers, steep, dtype):
        self.layers, self.steep, self.dtype = layers, steep, dtype
        self.blocks = sorted({name[:7] for name in layers if name.startswith("block")})
        self.stages = sum(name.endswith("_shuffle") for name in layers)
        head, tail = layers["head_conv"], layers["tail_conv"]
        convs = {"head_conv": (head.kernel.value / 255.0, head.bias.value), "trunk_conv": self._fold("trunk_conv")}
        convs |= {name: self._fold(name) for block in self.blocks for name in (f"{block}_conv1", f"{block}_conv2")}
        convs |= {name: (layers[name].kernel.value, layers[name].bias.value)
                  for name in (f"up{k}_conv" for k in range(1, self.stages + 1))}
        convs["tail_conv"] = half_size_kernel(tail.kernel.value), tf.zeros(4 * tail.filters)
        self.convs = {name: tuple(tf.cast(t, dtype) for t in conv) for name, conv in convs.items()}
        self.tail_bias = tf.tile(tail.bias.value, (4,))
        self.slopes = {name: tf.cast(tf.reshape(layer.alpha.value, (-1,)), dtype)
                       for name, layer in layers.items() if name.endswith("_prelu")}

    def trunk(self, image):
        """uint8 [B, H, W, 3] -> features [B, H, W, C]."""
        x = first = self._prelu("head_prelu", self._conv("head_conv", tf.cast(image, self.dtype)))
        for block in self.blocks:
            y = self._prelu(f"{block}_prelu", self._conv(f"{block}_conv1", x))
            x += self._conv(f"{block}_conv2", y)
        return first + self._conv("trunk_conv", x)

    def enlarge_in_strips(self, x):
        """Features [B, H, W, C] -> uint8 [B, scale H, scale W, 3]; a strip also sees the rows that reach into it."""
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        scale = 2 ** self.stages
        reach = 3  # LR rows: 1 + 1/2 + 1/4 ... of the 3 x 3 convolutions, 4 / scale of the last one, rounded up
        count = -(-height // tf.maximum(ROWS, STRIP // (batch * width)))
        rows = -(-height // count)

        def strip(i):
            start, stop = i * rows, tf.minimum((i + 1) * rows, height)
            first, last = tf.maximum(0, start - reach), tf.minimum(stop + reach, height)
            return self._enlarge(x[:, first:last])[:, scale * (start - first):scale * (stop - first)]

        return _in_turn(strip, count=-(-height // rows), axis=1)

    def _enlarge(self, x):
        for k in range(1, self.stages + 1):
            x = self._prelu(f"up{k}_prelu", self._conv(f"up{k}_conv", x), repeat=4)
            x = tf.nn.depth_to_space(x, 2) if k < self.stages else x
        sr = tf.cast(self._conv("tail_conv", x), tf.float32) + self.tail_bias
        return tf.nn.depth_to_space(pixels.to_uint8(sr), 2)

    def _fold(self, name):
        """Kernel and bias of a convolution and its BN as one: scale (W x) + beta - scale mean."""
        bn = self.layers[name.replace("conv", "bn")]
        scale = bn.gamma.value * tf.math.rsqrt(bn.moving_variance.value + bn.epsilon)
        return self.layers[name].kernel.value * scale, bn.beta.value - bn.moving_mean.value * scale

    def _conv(self, name, x):
        kernel, bias = self.convs[name]
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    def _prelu(self, name, x, repeat=1):
        slope = tf.tile(self.slopes[name], (repeat,))
        if name in self.steep:
            return tf.nn.relu(x) + slope * tf.minimum(x, tf.zeros((), x.dtype))
        if self.dtype == tf.bfloat16:  # TensorFlow's own product of bfloat16 tensors takes twice as long as oneDNN's
            return tf.maximum(x, tf.nn.depthwise_conv2d(x, tf.reshape(slope, (1, 1, -1, 1)), (1, 1, 1, 1), "SAME"))
        return tf.maximum(x, slope * x)


def _in_turn(function, count, axis):
    """function(0), function(1) ... function(count - 1), uint8 [B, H, W, 3], joined along axis 0 or 1."""
    order = (0, 1, 2, 3) if axis == 0 else (1, 0, 2, 3)
    parts = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None, None, 3))
    _, parts = tf.while_loop(  # one at a time, for the sake of memory
        lambda i, _: i < count, lambda i, parts: (i + 1, parts.write(i, tf.transpose(function(i), order))),
        (0, parts), parallel_iterations=1)
    joined = tf.transpose(parts.concat(), order)
    joined.set_shape((None, None, None, 3))
    return joined
