"""Inference of the Keras generator in TensorFlow: the same variables, the same function, computed faster.

`models.py` defines the network; this module computes it from the trained variables. The result is the same except for
rounding (`tests/networks/test_inference.py`):

- Batch normalisation is folded into the convolution before it, [0, 255] -> [0, 1] into the first one.
- In bfloat16 the first convolution and the last bias stay float32: rounding them costs SRResNet version 3 0.025 dB on
  Set5, and float32 costs no measurable time.
- The last convolution comes before the last depth to space, with a rearranged kernel (`half_size_kernel`), and in two
  steps: first along the rows, for all five rows of taps at once, which fills the registers of the processor better than
  twelve channels would; then the sum of the five, a convolution along the columns.
- PReLU is max(x, slope x). A channel with a slope above 1 is computed times -slope, and the next convolution reverses
  its sign: -max(y, y / slope) of y = -slope x.
- The maximum of bfloat16 values is taken of their bits as float16, which have the same order and are not rounded again.
- Small pictures of a batch are computed together, large ones one after the other. The up-sampling part, which takes
  most of the memory, is computed in strips: horizontal ones, unless the picture is very wide.
"""

import tensorflow as tf

from srgan_tf.networks import pixels
from srgan_tf.networks.kernels import (
    block_number,
    depth_to_space,
    folded,
    half_size_kernel,
    rows_as_channels,
    rows_summed,
    signed,
)

TOGETHER = 2**18  # LR pixels of a batch that the trunk computes at once: about 1 kB each in float32
STRIP = 2**16  # LR pixels that are enlarged at a time: about 8 kB each in float32
REACH = 3  # LR rows or columns: 1 + 1/2 + 1/4 ... of the 3 x 3 convolutions, 4 / scale of the last one, rounded up
ROWS = 16  # least LR rows or columns of a strip: smaller strips would mostly compute their overlap


class Generator:
    """A `models.srresnet` as a function of pixels, in the graph of a SavedModel or compiled for this process."""

    def __init__(self, variables):
        """Args: variables: float32 variables or arrays by "layer/variable", as in `models.named_weights`."""
        self._variables = variables

    def __call__(self, image, dtype=tf.float32):
        """Enlarge a batch inside a graph. The kernels are derived from the variables once, before all loops.

        Args:
            image: uint8 [B, H, W, 3], at least one picture and one pixel.
            dtype: precision of the convolutions.

        Returns:
            uint8 [B, scale H, scale W, 3].
        """
        network = _Network(self._variables, dtype)
        batch, height, width = tf.unstack(tf.shape(image)[:3])
        size = tf.maximum(1, tf.minimum(TOGETHER // (height * width), STRIP // (ROWS * width)))
        return _in_turn(
            lambda i: network.enlarge_in_strips(network.trunk(image[i * size : (i + 1) * size])),
            count=-(-batch // size),
            order=(0, 1, 2, 3),
        )

    def compile(self, pixel=tf.uint8, dtype=tf.float32):
        """The two parts of the network for this process, with kernels that are derived now and constant in the graphs.

        Args:
            pixel: tf.uint8, or tf.float32 for more than 8 bits; both in [0, 255].
            dtype: precision of the convolutions.

        Returns:
            Two functions: `trunk`, pixels [B, H, W, 3] -> features [B, H, W, C]; and `enlarge`, features ->
            pixels [B, scale H, scale W, 3], rounded if they are uint8. Pixels that are REACH rows away from the border
            of a strip of features depend on the strip alone.
        """
        network = _Network(self._variables, dtype).constant()
        features = network.kernels["head_conv"].shape[-1]
        return tuple(  # autograph would take half a second without any effect
            tf.function(function, [tf.TensorSpec((None, None, None, channels), kind)], autograph=False)
            for function, channels, kind in (
                (network.trunk, 3, pixel),
                (lambda x: network.enlarge(x, pixel), features, dtype),
            )
        )


class _Network:
    """The network in one precision. Its kernels are derived from the variables once, before all loops."""

    def __init__(self, variables, dtype):
        self.dtype = dtype
        names = {name.split("/")[0] for name in variables}
        self.blocks = sorted({name.split("_")[0] for name in names if name.startswith("block")}, key=block_number)
        self.stages = sum(name.startswith("up") and name.endswith("_conv") for name in names)
        prelus = {name: _Prelu(variables[f"{name}/alpha"]) for name in names if name.endswith("_prelu")}
        trunk, reads = prelus["head_prelu"].sign, prelus["head_prelu"].sign
        kernel, bias = variables["head_conv/kernel"] / 255.0, variables["head_conv/bias"]
        convs = {"head_conv": signed(kernel, bias, tf.ones(3), prelus["head_prelu"].gain)}
        for block in self.blocks:
            inner = prelus[f"{block}_prelu"]
            convs[f"{block}_conv1"] = signed(*folded(variables, f"{block}_conv1"), trunk, inner.gain)
            convs[f"{block}_conv2"] = signed(*folded(variables, f"{block}_conv2"), inner.sign, trunk)
        convs["trunk_conv"] = signed(*folded(variables, "trunk_conv"), trunk, trunk)
        for k in range(1, self.stages + 1):
            kernel, bias, inner = variables[f"up{k}_conv/kernel"], variables[f"up{k}_conv/bias"], prelus[f"up{k}_prelu"]
            convs[f"up{k}_conv"] = signed(kernel, bias, reads, tf.tile(inner.gain, (4,)))
            reads = inner.sign
        tail = half_size_kernel(variables["tail_conv/kernel"] * reads[:, None])
        kinds = {name: tf.float32 if name == "head_conv" else dtype for name in convs}
        self.kernels = {name: tf.cast(kernel, kinds[name]) for name, (kernel, _) in convs.items()}
        self.kernels["tail_conv"] = tf.cast(rows_as_channels(tail), dtype)
        self.kernels["tail_sum"] = tf.cast(rows_summed(), dtype)
        self.biases = {name: tf.cast(bias, kinds[name]) for name, (_, bias) in convs.items()}
        self.biases["tail_sum"] = tf.tile(variables["tail_conv/bias"], (4,))
        self.slopes = {
            name: tf.cast(prelu.slope, tf.float32 if name == "head_prelu" else dtype) for name, prelu in prelus.items()
        }

    def constant(self):
        """Keep the current values: arrays are constants in a graph, which oneDNN rearranges once."""
        for tensors in (self.kernels, self.biases, self.slopes):
            tensors.update({name: tensor.numpy() for name, tensor in tensors.items()})
        return self

    def trunk(self, image):
        """Pixels [B, H, W, 3] in [0, 255] -> features [B, H, W, C]."""
        first = self._conv("head_conv", tf.cast(image, tf.float32))
        first = tf.cast(tf.maximum(first, self.slopes["head_prelu"] * first), self.dtype)
        # A copy for the convolution of the first block to add to. oneDNN would otherwise make one and keep it in the
        # kernel object, and concurrent calls would write into each other's results.
        x = tf.raw_ops.DeepCopy(x=first)
        for block in self.blocks:
            y = self._prelu(f"{block}_prelu", self._conv(f"{block}_conv1", x))
            x += self._conv(f"{block}_conv2", y)
        return first + self._conv("trunk_conv", x)

    def enlarge_in_strips(self, x):
        """Features [B, H, W, C] -> uint8 [B, scale H, scale W, 3], in strips that overlap by REACH.

        A strip is some rows, or some columns if the picture is so wide that ROWS of its rows are too many pixels.
        """
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        scale, sides = 2**self.stages, tf.stack([height, width])
        wide = (width > height) & (width > STRIP // ROWS)
        cut = tf.where(wide, (0, 1), (1, 0))  # the side that is divided
        length = tf.where(wide, width, height)
        count = -(-length // tf.maximum(ROWS, STRIP // (batch * tf.where(wide, height, width))))
        part = -(-length // count)

        def strip(i):
            start, stop = cut * i * part, tf.where(cut > 0, tf.minimum((i + 1) * part, length), sides)
            first, last = tf.maximum(0, start - REACH), tf.minimum(stop + REACH, sides)
            large = self.enlarge(x[:, first[0] : last[0], first[1] : last[1]])
            (top, left), (bottom, right) = (tf.unstack(scale * (edge - first)) for edge in (start, stop))
            return large[:, top:bottom, left:right]

        return _in_turn(strip, count=-(-length // part), order=tf.where(wide, (2, 1, 0, 3), (1, 0, 2, 3)))

    def enlarge(self, x, pixel=tf.uint8):
        """Features [B, H, W, C] -> pixels [B, scale H, scale W, 3]."""
        for k in range(1, self.stages + 1):
            x = self._prelu(f"up{k}_prelu", self._conv(f"up{k}_conv", x), repeat=4)
            x = tf.nn.depth_to_space(x, 2) if k < self.stages else x
        rows = tf.nn.conv2d(x, self.kernels["tail_conv"], 1, "SAME")
        sr = tf.nn.conv2d(rows, self.kernels["tail_sum"], 1, "SAME")
        sr = tf.cast(sr, tf.float32) + self.biases["tail_sum"]
        return depth_to_space(pixels.to_uint8(sr) if pixel == tf.uint8 else pixels.to_levels(sr))

    def _conv(self, name, x):
        return tf.nn.bias_add(tf.nn.conv2d(x, self.kernels[name], 1, "SAME"), self.biases[name])

    def _prelu(self, name, x, repeat=1):
        slope = tf.tile(self.slopes[name], (repeat,))
        if self.dtype == tf.bfloat16:  # TensorFlow's product of bfloat16 tensors takes twice as long as oneDNN's
            sloped = tf.nn.depthwise_conv2d(x, tf.reshape(slope, (1, 1, -1, 1)), (1, 1, 1, 1), "SAME")
            return tf.bitcast(tf.maximum(tf.bitcast(x, tf.float16), tf.bitcast(sloped, tf.float16)), tf.bfloat16)
        return tf.maximum(x, slope * x)


class _Prelu:
    """PReLU as sign max(y, slope y) of y = gain x, with slopes up to 1."""

    def __init__(self, alpha):
        alpha = tf.reshape(alpha, (-1,))
        self.gain = tf.where(alpha > 1, -alpha, 1.0)
        self.sign = tf.where(alpha > 1, -1.0, 1.0)
        self.slope = tf.where(alpha > 1, 1 / tf.maximum(alpha, 1.0), alpha)


def _in_turn(function, count, order):
    """function(0), function(1) ... function(count - 1), uint8 [B, H, W, 3], joined along one axis.

    Args:
        order: the permutation of the axes that puts this axis first, and, applied again, back.
    """
    parts = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None, None, 3))
    _, parts = tf.while_loop(  # one at a time, for the sake of memory
        lambda i, _: i < count,
        lambda i, parts: (i + 1, parts.write(i, tf.transpose(function(i), order))),
        (0, parts),
        parallel_iterations=1,
    )
    joined = tf.transpose(parts.concat(), order)
    joined.set_shape((None, None, None, 3))
    return joined
