"""SRResNet and the discriminator of SRGAN as Keras functional models, on `keras` alone.

Architecture: Ledig et al. 2017, figure 4. The names of the layers are part of the format: weights of another
scale, of a checkpoint or of another framework are matched by them.
"""

import keras
import numpy as np
from keras import layers

SCALES = (2, 4, 8)
BN = {"momentum": 0.99, "epsilon": 1e-3}


@keras.saving.register_keras_serializable(package="srgan_tf")
class DepthToSpace(layers.Layer):
    """Rearrange channels into pixels: [B, H, W, 4C] -> [B, 2H, 2W, C], the paper's PixelShuffle.

    The channel order is TensorFlow's: channel (2i + j) * C + c becomes pixel (i, j) of channel c.
    """

    def call(self, x):
        ops = keras.ops
        batch, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (batch, height, width, 2, 2, channels // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (batch, 2 * height, 2 * width, channels // 4))

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        return (batch, height and 2 * height, width and 2 * width, channels // 4)


def srresnet(scale=4, *, blocks=16, features=64):
    """The generator of SRResNet and SRGAN (Ledig et al. 2017, section 2.1.1).

    Input: LR, float [B, H, W, 3] in [0, 1], any H and W. Output: SR, float [B, scale H, scale W, 3], trained on
    [-1, 1] and linear at its end: values may lie a little outside.

    Args:
        scale: 2, 4 or 8; one up-sampling stage a factor of 2.
        blocks: residual blocks, 16 in the paper.
        features: channels of the trunk, 64 in the paper.

    Returns:
        A `keras.Model`; 1,552,771 parameters at scale 4, moving averages included.

    Raises:
        ValueError: for another scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}. Received: {scale}")
    lr = keras.Input((None, None, 3), name="lr")
    x = layers.Conv2D(features, 9, padding="same", name="head_conv")(lr)
    x = first = layers.PReLU(shared_axes=[1, 2], name="head_prelu")(x)
    for i in range(1, blocks + 1):
        x = _residual_block(x, features, f"block{i:02}")
    x = layers.Conv2D(features, 3, padding="same", use_bias=False, name="trunk_conv")(x)
    x = layers.BatchNormalization(**BN, name="trunk_bn")(x)
    x = layers.Add(name="trunk_add")([first, x])
    for k in range(1, stages(scale) + 1):
        x = layers.Conv2D(4 * features, 3, padding="same", name=f"up{k}_conv")(x)
        x = DepthToSpace(name=f"up{k}_shuffle")(x)
        x = layers.PReLU(shared_axes=[1, 2], name=f"up{k}_prelu")(x)
    sr = layers.Conv2D(3, 9, padding="same", name="tail_conv")(x)
    return keras.Model(lr, sr, name="srresnet")


def _residual_block(x, features, name):
    y = layers.Conv2D(features, 3, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = layers.BatchNormalization(**BN, name=f"{name}_bn1")(y)
    y = layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(y)
    y = layers.Conv2D(features, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = layers.BatchNormalization(**BN, name=f"{name}_bn2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def discriminator(crop=96):
    """The discriminator of SRGAN (Ledig et al. 2017, figure 4, below).

    Input: HR or SR, float [B, crop, crop, 3] in [-1, 1]. Output: logits [B, 1], high for HR; the sigmoid is in
    the loss.

    Raises:
        ValueError: for a crop that is not a positive multiple of 16 (four convolutions halve it).
    """
    if crop < 16 or crop % 16:
        raise ValueError(f"crop must be a positive multiple of 16. Received: {crop}")
    picture = keras.Input((crop, crop, 3), name="picture")
    x = layers.Conv2D(64, 3, padding="same", name="conv1")(picture)
    x = layers.LeakyReLU(negative_slope=0.2, name="lrelu1")(x)
    for i, (features, stride) in enumerate(DISCRIMINATOR_CONVS, 2):
        x = layers.Conv2D(features, 3, stride, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.BatchNormalization(**BN, name=f"bn{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"lrelu{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, name="dense")(x)
    x = layers.LeakyReLU(negative_slope=0.2, name="dense_lrelu")(x)
    logit = layers.Dense(1, name="logit")(x)
    return keras.Model(picture, logit, name="discriminator")


DISCRIMINATOR_CONVS = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2))  # features, stride


def stages(scale):
    """How many factors of 2 are in the scale."""
    return int(scale).bit_length() - 1


def scale_of(generator):
    """The scale of a generator, read off its layers."""
    return 2 ** sum(isinstance(layer, DepthToSpace) for layer in generator.layers)


def start_as_interpolation(generator):
    """Make a fresh generator interpolate: the same network, a better place to start from.

    Colours pass through channels 0 to 2: centre taps in `head_conv`, copied to all four positions by each
    `up*_conv`, untouched by PReLU because they are not negative. Every residual branch and the trunk's last BN
    start at gamma 0. `tail_conv`, scaled by 0.1 elsewhere, smooths those channels with a box as wide as the
    scale and maps [0, 1] to [-1, 1].
    """
    weights = named_weights(generator)
    scale = scale_of(generator)
    features = weights["head_conv/kernel"].shape[-1]
    colours = np.arange(3)
    new = {
        name: np.zeros(v.shape, "float32")
        for name, v in weights.items()
        if name.endswith("_bn2/gamma") or name == "trunk_bn/gamma"
    }
    head = np.array(weights["head_conv/kernel"])
    head[..., :3] = 0
    head[4, 4, colours, colours] = 1
    new["head_conv/kernel"] = head
    for k in range(1, stages(scale) + 1):
        up = np.array(weights[f"up{k}_conv/kernel"])
        for position in range(4):
            up[..., position * features + colours] = 0
            up[1, 1, colours, position * features + colours] = 1
        new[f"up{k}_conv/kernel"] = up
    tail = 0.1 * np.array(weights["tail_conv/kernel"])
    box = np.zeros(9, "float32")  # an even box about a pixel: half weights at both ends
    box[4 - scale // 2 : 5 + scale // 2] = 1 / scale
    box[[4 - scale // 2, 4 + scale // 2]] /= 2
    tail[:, :, :3, :] = 0
    tail[:, :, colours, colours] = 2 * np.outer(box, box)[..., None]
    new["tail_conv/kernel"] = tail
    new["tail_conv/bias"] = -np.ones(3, "float32")
    load_named_weights(generator, {**weights, **new})


def named_weights(model):
    """All variables of a model as arrays by "layer/variable", moving averages included."""
    return {f"{layer.name}/{v.name}": keras.ops.convert_to_numpy(v) for layer in model.layers for v in layer.weights}


def load_named_weights(model, weights, *, partial=False):
    """Set a model's variables from arrays by "layer/variable".

    Args:
        weights: a mapping as `named_weights` gives it.
        partial: leave variables alone whose name or shape is not among them (another scale of the same trunk).

    Returns:
        The names that were left alone.

    Raises:
        ValueError: naming the first variable that is missing or of another shape, unless `partial`.
    """
    left = []
    for layer in model.layers:
        for v in layer.weights:
            name = f"{layer.name}/{v.name}"
            if name in weights and tuple(weights[name].shape) == tuple(v.shape):
                v.assign(weights[name])
            elif partial:
                left.append(name)
            else:
                found = weights[name].shape if name in weights else "nothing"
                raise ValueError(f"{name} should have shape {tuple(v.shape)}. Received: {found}")
    return left
