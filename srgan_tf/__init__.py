"""SRResNet and SRGAN (Ledig et al. 2017) for TensorFlow and Keras.

from srgan_tf import Upscaler
large = Upscaler("srgan", scale=4)(small)
"""

__all__ = ["Upscaler"]


def __getattr__(name):
    """`Upscaler`, loaded when it is asked for: the commands' `--help` must not wait for TensorFlow."""
    if name == "Upscaler":
        from srgan_tf.upscaling.upscaler import Upscaler

        return Upscaler
    raise AttributeError(f"module 'srgan_tf' has no attribute {name!r}")
