"""A U-Net discriminator with spectral normalisation (Wang et al. 2021, Real-ESRGAN, arXiv:2107.10833, section 3.2).

It classifies every pixel, so its gradient shows the generator where a picture looks generated; the paper's
discriminator classifies the whole crop. It has no batch normalisation. Its kernel sizes are multiples of their
strides, so that every pixel is read equally often. It depends on `keras` only.
"""

import keras
from keras import layers, ops

STAGES = 3  # number of times the resolution is halved
GAIN = 4.0  # largest singular value of a kernel; with 2, about that of He's initialisation, texture came out worse


@keras.saving.register_keras_serializable(package="srgan_tf")
class SpectralConv2D(layers.Conv2D):
    """A convolution without bias whose kernel is scaled to the largest singular value `GAIN`.

    With a singular value of 1, as in Real-ESRGAN, the signal shrinks from layer to layer: the discriminator's loss did
    not leave 2 log 2 in the first 200 steps.

    The singular value is estimated by one power iteration per training call, as in Miyato et al. 2018,
    arXiv:1802.05957, section 2.1; the gradient includes the division. The kernel [h, w, C, F] is treated as a matrix
    [h w C, F].
    """

    def __init__(self, filters, kernel_size, strides=1, **kwargs):
        super().__init__(filters, kernel_size, strides, **{"padding": "same", "use_bias": False, **kwargs})

    def build(self, input_shape):
        super().build(input_shape)
        self.direction = self.add_weight(
            name="direction",
            shape=(self.filters,),
            initializer=keras.initializers.RandomNormal(1.0),
            trainable=False,
            autocast=False,
        )

    def call(self, x, training=False):
        kernel = ops.cast(self.kernel, "float32")
        matrix = ops.reshape(kernel, (-1, self.filters))
        fixed = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(fixed, self.direction[:, None]))
        right = _unit(ops.matmul(ops.transpose(fixed), left))
        if training:
            self.direction.assign(right[:, 0])
        norm = ops.sum(left * ops.matmul(matrix, right))
        return ops.conv(x, ops.cast(GAIN * kernel / norm, x.dtype), list(self.strides), self.padding)

    # Keras' convolutions save kernel and bias only.
    save_own_variables = layers.Layer.save_own_variables
    load_own_variables = layers.Layer.load_own_variables


def unet_discriminator(crop: int = 96, features: int = 32) -> keras.Model:
    """The U-Net discriminator.

    Input: HR or SR, float [B, H, W, 3] in [-1, 1]. Output: logits, float32 [B, H, W, 1], high for HR. H and W are
    multiples of 8.

    Args:
        crop: side of the training crops; only checked.
        features: channels at the full resolution; Real-ESRGAN has 64.

    Raises:
        ValueError: for another crop.
    """
    if crop < 2**STAGES or crop % 2**STAGES:
        raise ValueError(f"crop must be a positive multiple of {2**STAGES}. Received: {crop}")
    picture = keras.Input((None, None, 3), name="picture")
    x = layers.Conv2D(features, 3, padding="same", name="head_conv")(picture)
    x = layers.LeakyReLU(negative_slope=0.2, name="head_lrelu")(x)
    skips = []
    for i in range(1, STAGES + 1):
        skips.append(x)
        x = _conv(x, features * 2**i, f"down{i}", kernel_size=4, strides=2)
    for i in range(STAGES, 0, -1):
        # In half precision, XLA refuses the gradient, which TensorFlow computes in float32.
        x = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name=f"up{i}_resize")(x)
        x = _conv(x, features * 2 ** (i - 1), f"up{i}")
        x = layers.Add(name=f"up{i}_add")([x, skips.pop()])
    for i in (1, 2):
        x = _conv(x, features, f"tail{i}")
    logit = layers.Conv2D(1, 3, padding="same", dtype="float32", name="logit")(x)
    return keras.Model(picture, logit, name="unet_discriminator")


def _conv(x, features, name, kernel_size=3, strides=1):
    x = SpectralConv2D(features, kernel_size, strides, name=f"{name}_conv")(x)
    return layers.LeakyReLU(negative_slope=0.2, name=f"{name}_lrelu")(x)


def _unit(vector):
    return vector / (ops.norm(vector) + 1e-12)
