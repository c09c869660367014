"""SRResNet and the discriminator of SRGAN as Keras functional models, on any Keras backend.

Architecture: Ledig et al. 2017, figure 4. The names of the layers are part of the format: weights of another
scale, of a checkpoint or of another framework are matched by them.
"""

import keras
import numpy as np
from keras import layers

from srgan_tf.networks.layers import BatchNormalization, DepthToSpace, DepthToSpaceConv2D, PReLU

SCALES = (2, 4, 8)
BN = {"momentum": 0.99, "epsilon": 1e-3}


def srresnet(scale=4, *, blocks=16, features=64):
    """The generator of SRResNet and SRGAN (Ledig et al. 2017, section 2.1).

    Input: LR, float [B, H, W, 3] in [0, 1], any H and W. Output: SR, float32 [B, scale H, scale W, 3], trained on
    [-1, 1]; the last layer is linear, so values can lie slightly outside.

    Args:
        scale: 2, 4 or 8; one up-sampling stage per factor of 2.
        blocks: residual blocks, 16 in the paper.
        features: channels of the trunk, 64 in the paper.

    Returns:
        A `keras.Model`; 1,552,771 parameters at scale 4, including the moving averages.

    Raises:
        ValueError: for any other scale, or fewer than 0 blocks.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}. Received: {scale}")
    if blocks < 0:
        raise ValueError(f"blocks must be at least 0. Received: {blocks}")
    lr = keras.Input((None, None, 3), name="lr")
    x = layers.Conv2D(features, 9, padding="same", name="head_conv")(lr)
    x = first = PReLU(name="head_prelu")(x)
    for i in range(1, blocks + 1):
        x = _residual_block(x, features, f"block{i:02}")
    x = layers.Conv2D(features, 3, padding="same", use_bias=False, name="trunk_conv")(x)
    x = BatchNormalization(**BN, name="trunk_bn")(x)
    x = layers.Add(name="trunk_add")([first, x])
    last = stages(scale)
    for k in range(1, last):
        x = layers.Conv2D(4 * features, 3, padding="same", name=f"up{k}_conv")(x)
        x = DepthToSpace(name=f"up{k}_shuffle")(x)
        x = PReLU(name=f"up{k}_prelu")(x)
    x = layers.Conv2D(4 * features, 3, padding="same", name=f"up{last}_conv")(x)
    x = PReLU(repeat=4, name=f"up{last}_prelu")(x)  # the same before the depth to space, which is in the next layer
    sr = DepthToSpaceConv2D(3, 9, padding="same", name="tail_conv")(x)
    return keras.Model(lr, sr, name="srresnet")


def _residual_block(x, features, name):
    y = layers.Conv2D(features, 3, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = BatchNormalization(**BN, name=f"{name}_bn1")(y)
    y = PReLU(name=f"{name}_prelu")(y)
    y = layers.Conv2D(features, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = BatchNormalization(**BN, name=f"{name}_bn2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def discriminator(crop=96):
    """The discriminator of SRGAN (Ledig et al. 2017, figure 4, bottom).

    Input: HR or SR, float [B, crop, crop, 3] in [-1, 1]. Output: logits [B, 1], positive for HR; the losses apply
    the sigmoid.

    Args:
        crop: the side of the input in pixels, a multiple of 16.

    Returns:
        A `keras.Model`; 23,567,361 parameters for crops of 96 pixels.

    Raises:
        ValueError: if the crop is not a positive multiple of 16 (four convolutions halve it).
    """
    if crop < 16 or crop % 16:
        raise ValueError(f"crop must be a positive multiple of 16. Received: {crop}")
    picture = keras.Input((crop, crop, 3), name="picture")
    x = layers.Conv2D(64, 3, padding="same", name="conv1")(picture)
    x = layers.LeakyReLU(negative_slope=0.2, name="lrelu1")(x)
    for i, (features, stride) in enumerate(DISCRIMINATOR_CONVS, 2):
        x = layers.Conv2D(features, 3, stride, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = BatchNormalization(**BN, name=f"bn{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"lrelu{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, name="dense")(x)
    x = layers.LeakyReLU(negative_slope=0.2, name="dense_lrelu")(x)
    logit = layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(picture, logit, name="discriminator")


DISCRIMINATOR_CONVS = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2))  # features, stride


def stages(scale):
    """The number of factors of 2 in the scale."""
    return int(scale).bit_length() - 1


def scale_of(generator):
    """The scale of a generator, counted from its layers."""
    return 2 ** sum(isinstance(layer, (DepthToSpace, DepthToSpaceConv2D)) for layer in generator.layers)


def start_as_interpolation(generator):
    """Initialise a new generator as an interpolation, from which training gets further than from random weights.

    The architecture is unchanged. Colours pass through channels 0 to 2: `head_conv` copies them with centre taps, each
    `up*_conv` copies them to all four positions, and PReLU keeps them because they are not negative. Every residual
    branch and the last normalisation of the trunk start with gamma 0. `tail_conv`, scaled by 0.1 in all other
    channels, smooths the colours with a box as wide as the scale and maps [0, 1] to [-1, 1].
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
    box = np.zeros(9, "float32")  # the width is even, so both ends have half weights
    box[4 - scale // 2 : 5 + scale // 2] = 1 / scale
    box[[4 - scale // 2, 4 + scale // 2]] /= 2
    tail[:, :, :3, :] = 0
    tail[:, :, colours, colours] = 2 * np.outer(box, box)[..., None]
    new["tail_conv/kernel"] = tail
    new["tail_conv/bias"] = -np.ones(3, "float32")
    load_named_weights(generator, {**weights, **new})


def named_weights(model):
    """All variables of a model as arrays by "layer/variable", including moving averages."""
    return {f"{layer.name}/{v.name}": keras.ops.convert_to_numpy(v) for layer in model.layers for v in layer.weights}


def load_named_weights(model, weights, *, partial=False):
    """Set a model's variables from arrays by "layer/variable".

    Args:
        weights: arrays by name, as `named_weights` returns them.
        partial: skip variables that have no array of their name and shape (another scale of the same trunk).

    Returns:
        The names of the variables that were skipped.

    Raises:
        ValueError: naming the first variable without an array of its shape, unless `partial`.
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
