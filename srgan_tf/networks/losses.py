"""Pixel, VGG and adversarial losses: pure functions of tensors and a feature model, on `keras` and NumPy.

HR and SR are float [B, H, W, 3] in [-1, 1]. Source: Ledig et al. 2017, section 2.2.
"""

import keras
import numpy as np
from keras import ops

from srgan_tf.errors import UserError, reason

VGG_LAYERS = {"vgg22": "block2_conv2", "vgg34": "block3_conv4", "vgg54": "block5_conv4"}
VGG_RESCALE = 12.75  # the paper's 1/12.75, which brings VGG losses to the size of the MSE's
# Wang et al. 2021, Real-ESRGAN, arXiv:2107.10833, section 4.1: features before ReLU and their weights.
VGG_MULTI = {"block1_conv2": 0.1, "block2_conv2": 0.1, "block3_conv4": 1.0, "block4_conv4": 1.0, "block5_conv4": 1.0}
VGG_MULTI_RESCALE = 57.0  # brings these features to the size that they have for pictures of variance 1
CAFFE_MEANS = (103.939, 116.779, 123.68)  # B, G, R
LUMA = (0.299, 0.587, 0.114)  # R, G, B
PSNR_COLOURS = 0.05  # share of the MSE of all channels beside that of the luma
PSNR_FLOOR = 1e-4  # of this MSE, or 46 dB: otherwise crops that are nearly flat would dominate


def mse(hr, sr):
    """Mean squared difference over all pixels and channels (equation 4)."""
    return ops.mean(ops.square(hr - sr))


def log_mse(hr, sr):
    """The logarithm of the MSE of each picture, mostly of its luma, as a mean over the pictures.

    PSNR is a logarithm too, so this loss is close to the negative PSNR of the luma. All pictures of a batch count the
    same, while the MSE is dominated by those with strong texture. Source: the PSNR loss of Chen et al. 2021, HINet,
    arXiv:2105.06086. Not in the paper.
    """
    luma = ops.mean(ops.square(ops.sum((sr - hr) * np.float32(LUMA), -1)), (1, 2))
    colours = ops.mean(ops.square(sr - hr), (1, 2, 3))
    return ops.mean(ops.log(luma + PSNR_COLOURS * colours + PSNR_FLOOR))


def vgg_model(content, weights="imagenet", dtype="float32"):
    """VGG19 up to the layer of a content loss, frozen: float [B, H, W, 3] in [-1, 1] -> features after ReLU.

    Args:
        content: a key of `VGG_LAYERS`; the paper has "vgg22" (block2_conv2) and "vgg54" (block5_conv4).
        weights: "imagenet" downloads Keras' official file; or the path of a Keras VGG19 notop .h5 file.
        dtype: a Keras dtype policy, e.g. "mixed_bfloat16".

    Raises:
        UserError: naming `--vgg_weights`, if the weights cannot be read or downloaded.
    """
    vgg = _vgg19(weights, dtype)
    return keras.Model(vgg.input, vgg.get_layer(VGG_LAYERS[content]).output, name=content)


def vgg_features(vgg, picture):
    """Features of HR or SR, divided by 12.75, in float32: Caffe preprocessing of the picture on [0, 255].

    Raises:
        ValueError: if the picture is too small for the layer: 16 pixels for "vgg54", 4 for "vgg34", 2 for "vgg22".
    """
    return ops.cast(_outputs(vgg, picture), "float32") / VGG_RESCALE


def vgg_loss(content, weights="imagenet", dtype="float32"):
    """The VGG content loss (equation 5) as a function of HR and SR that returns a scalar.

    Args and Raises: see `vgg_model` and `vgg_features`. "vgg-multi" is the loss of `vgg_multi_loss`.
    """
    if content == "vgg-multi":
        return vgg_multi_loss(weights, dtype)
    vgg = vgg_model(content, weights, dtype)
    return lambda hr, sr: mse(vgg_features(vgg, hr), vgg_features(vgg, sr))


def vgg_multi_loss(weights="imagenet", dtype="float32"):
    """A content loss over five layers of VGG19, as a function of HR and SR that returns a scalar.

    The mean absolute difference of the features before ReLU, weighted as in Real-ESRGAN (`VGG_MULTI`). The first
    layers see noise, blocks and blur, which block5_conv4 alone forgives. Not in the paper.

    Args and Raises: see `vgg_model`. The loss raises a ValueError for pictures with a side below 16 pixels.
    """
    vgg = _vgg19(weights, dtype)
    x, features = vgg.input, []
    for layer in vgg.layers[1:]:
        if layer.name in VGG_MULTI:
            layer.activation = keras.activations.linear
            features.append(layer(x))
            x = ops.relu(features[-1])
        else:
            x = layer(x)
    vgg = keras.Model(vgg.input, features, name="vgg-multi")

    def loss(hr, sr):
        pairs = zip(VGG_MULTI.values(), *(_outputs(vgg, picture) for picture in (hr, sr)))
        return sum(w * ops.mean(ops.abs(ops.cast(f - g, "float32"))) for w, f, g in pairs) / VGG_MULTI_RESCALE

    return loss


def total_variation(sr):
    """Absolute differences of neighbouring pixels, summed in each picture (section 3.4, SRResNet-VGG22)."""
    down = ops.sum(ops.abs(sr[:, 1:] - sr[:, :-1]), (1, 2, 3))
    right = ops.sum(ops.abs(sr[:, :, 1:] - sr[:, :, :-1]), (1, 2, 3))
    return ops.mean(down + right)


def consistency(hr, sr, scale):
    """Mean squared difference of HR and SR after both are reduced to LR, by means of `scale` x `scale` pixels.

    It keeps the colours and leaves the texture free. Not in the paper.
    """
    return mse(*(ops.average_pool(picture, scale, scale) for picture in (hr, sr)))


def grid(hr, sr, scale):
    """The power of SR - HR at periods that divide `scale`, relative to that at the periods beside them.

    A network that makes `scale` x `scale` pixels of each LR pixel easily draws a grid, which VGG and the discriminator
    penalise less than the eye does. A grid is a set of points in the spectrum of the luma. At each of them the power
    of the crops and the power of their mean are added and divided by the power of the crops around the point. The
    quotient has no unit, hardly depends on how strong the texture is, and is little more than 1 for texture without a
    grid. The loss is the mean over the points. Not in the paper.

    Raises:
        ValueError: if the crops are not square.
    """
    side = sr.shape[1]
    if sr.shape[2] != side:
        raise ValueError(f"HR and SR must be square. Received: {tuple(sr.shape)}")
    spacing = side // scale  # of the points, in frequencies of the crop
    reach = min(4, (spacing - 1) // 2)
    away = np.arange(-reach, reach + 1)
    waves = 2j * np.pi * (spacing * np.arange(scale)[:, None, None] + away[:, None]) * np.arange(side) / side
    waves = (np.exp(-waves) * np.hanning(side + 1)[:-1]).reshape(-1, side)
    cos, sin = waves.real.astype("float32"), waves.imag.astype("float32")
    luma = ops.sum((sr - hr) * np.float32(LUMA), -1)

    def transform(rows, columns):
        products = ops.matmul(ops.matmul(rows, luma), columns.T)
        products = ops.reshape(products, (-1, scale, len(away), scale, len(away)))
        return ops.transpose(products, (0, 1, 3, 2, 4))  # [B, scale, scale, 2 reach + 1, 2 reach + 1]

    parts = transform(cos, cos) - transform(sin, sin), transform(cos, sin) + transform(sin, cos)
    power = sum(ops.mean(ops.square(part), 0) for part in parts)
    common = sum(ops.square(ops.mean(part[..., reach, reach], 0)) for part in parts)
    beside = np.float32(np.maximum(abs(away)[:, None], abs(away)) > min(2, reach - 1))  # the window widens a point
    usual = ops.sum(power * beside, (-2, -1)) / beside.sum()
    ratio = (power[..., reach, reach] + common) / (ops.stop_gradient(usual) + 1e-6)
    return (ops.sum(ratio) - ratio[0, 0]) / (scale**2 - 1)


def adversarial(fake_logits):
    """The generator's adversarial loss, -log D(SR) (equation 6), from logits."""
    return ops.mean(ops.softplus(-fake_logits))


def discrimination(real_logits, fake_logits):
    """The discriminator's loss, -log D(HR) - log(1 - D(SR)) (equation 2), from logits."""
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def _outputs(vgg, picture):
    """The outputs of a feature model. Pooling would leave nothing of a small picture: the mean of that is NaN."""
    least = 2 ** sum(isinstance(layer, keras.layers.MaxPooling2D) for layer in vgg.layers)
    if any(side is not None and side < least for side in picture.shape[1:3]):
        raise ValueError(f"HR and SR need sides of at least {least} pixels. Received: {tuple(picture.shape)}")
    return vgg(_caffe(picture), training=False)


def _caffe(picture):
    """Preprocess HR or SR for VGG19: B, G, R on [0, 255] minus the means of ImageNet."""
    return ops.flip((picture + 1) * 127.5, axis=-1) - ops.convert_to_tensor(CAFFE_MEANS, picture.dtype)


def _vgg19(weights, dtype):
    """VGG19's convolutions, frozen."""
    try:
        vgg = keras.applications.VGG19(include_top=False, weights=str(weights))
    except Exception as error:  # Keras raises whatever its downloader, h5py or the shape check raised
        missing = "cannot be downloaded" if weights == "imagenet" else f"are not in {weights}"
        raise UserError(
            f"--vgg_weights: the weights of VGG19 {missing} ({reason(error)}). Give the file "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras-applications."
        ) from error
    vgg.trainable = False
    for layer in vgg.layers:
        layer.dtype_policy = keras.dtype_policies.get(dtype)
    return vgg
