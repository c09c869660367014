"""MATLAB's imresize with the bicubic kernel, used to make LR and as the bicubic baseline.

Results of super-resolution depend on how LR was made: a model that is trained with one kernel and evaluated with
another loses several dB. DIV2K, the benchmark sets and the paper use MATLAB's kernel.
"""

import functools
import math

import numpy as np

EDGES = ("mirror", "repeat")
BAND = 2**20  # samples computed at a time: a large image would take several GB in float64


def imresize(image, scale=None, *, size=None, edge="mirror"):
    """Resize an image as MATLAB's `imresize(image, scale)` does, with antialiasing when downscaling.

    Args:
        image: array [H, W] or [H, W, C], integer or float.
        scale: factor of both sides. A side of n pixels becomes ceil(scale * n) pixels.
        size: (height, width) of the result, instead of or in addition to `scale`. Without `scale`, the factor of
            each side is the quotient of its lengths.
        edge: the values outside the image. "mirror" reflects it, including the edge pixel, as in current versions of
            MATLAB and for the LR of DIV2K; "repeat" repeats the edge pixel, as in old versions and for the LR of Set5,
            Set14, BSD100 and Urban100.

    Returns:
        An array of the input's type. Integers are rounded (half up) and clamped to the range of the type after each
        axis, as in MATLAB.

    Raises:
        ValueError: for an empty image, a size or factor that is not positive, or another edge.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image must be a non-empty [H, W] or [H, W, C] array. Received: shape {image.shape}")
    if edge not in EDGES:
        raise ValueError(f"edge must be one of {EDGES}. Received: {edge!r}")
    if size is None and scale is None:
        raise ValueError("give a scale or a size")
    lengths = size or [math.ceil(round(scale * n, 9)) for n in image.shape[:2]]
    factors = [scale or length / n for length, n in zip(lengths, image.shape[:2])]
    if min(lengths) < 1 or min(factors) <= 0:
        raise ValueError(f"the result must have at least one pixel. Received: size {tuple(lengths)}")
    # MATLAB starts with the axis of the smallest factor, and with the rows if both are equal.
    first = int(np.argsort(factors, kind="stable")[0])
    down, across = (
        _taps(n, int(length), float(factor), edge) for n, length, factor in zip(image.shape, lengths, factors)
    )
    result = np.empty((*map(int, lengths), *image.shape[2:]), image.dtype)
    rows = max(1, BAND // max(1, image[:1].size, result[:1].size))
    for start in range(0, len(result), rows):
        taps, weights = down[0][start : start + rows], down[1][start : start + rows]
        if first == 0:
            band = _resize_axis(_resize_axis(image, 0, taps, weights), 1, *across)
        else:
            top = taps.min()
            band = _resize_axis(image[top : taps.max() + 1], 1, *across)
            band = _resize_axis(band, 0, taps - top, weights)
        result[start : start + rows] = band
    return result


def _resize_axis(image, axis, taps, weights):
    source = np.moveaxis(image, axis, 0)
    shape = (len(taps),) + (1,) * (source.ndim - 1)
    # Exact in float64 for the usual factors, whose weights are dyadic, so that ties are rounded as in MATLAB.
    kind = np.float32 if image.dtype == np.float32 else np.float64
    result = np.zeros((len(taps),) + source.shape[1:], kind)
    for tap, weight in zip(taps.T, weights.T):
        result += weight.astype(kind).reshape(shape) * source[tap]
    if np.issubdtype(image.dtype, np.integer):
        limits = np.iinfo(image.dtype)
        result = np.clip(np.floor(result + 0.5), limits.min, limits.max)
    return np.moveaxis(result, 0, axis).astype(image.dtype, copy=False)


@functools.lru_cache(maxsize=64)
def _taps(n, length, factor, edge):
    """Source indices and weights of every output sample: int [length, taps] and float64 [length, taps]."""
    stretch = min(factor, 1.0)  # antialiasing: the kernel is widened to the output's pixels
    support = 4 / stretch
    centre = np.arange(1, length + 1) / factor + 0.5 * (1 - 1 / factor)  # counted from 1, as in MATLAB
    left = np.floor(centre - support / 2)
    index = left[:, None] + np.arange(math.ceil(support) + 2)
    weights = stretch * _cubic(stretch * (centre[:, None] - index))
    weights /= weights.sum(axis=1, keepdims=True)
    index = index.astype(np.int64) - 1
    if edge == "repeat":
        index = np.clip(index, 0, n - 1)
    else:
        index = np.mod(index, 2 * n)
        index = np.where(index < n, index, 2 * n - 1 - index)
    used = weights.any(axis=0)
    return index[:, used], weights[:, used]


def _cubic(x):
    """Keys' cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))
