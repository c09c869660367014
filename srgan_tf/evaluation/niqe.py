"""NIQE, the natural image quality evaluator: Mittal, Soundararajan and Bovik 2013. Lower is better; no original needed.

It computes the figures of BasicSR, which agree with the authors' MATLAB code. `niqe.npz` holds the parameters of that
code, the statistics of pristine photographs, by the Laboratory for Image and Video Engineering of The University of
Texas at Austin, as BasicSR 1.4.2 distributes them under the Apache License 2.0.
"""

import functools
import math
from pathlib import Path

import numpy as np

from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.metrics import crop_border
from srgan_tf.evaluation.ssim import correlate_rows
from srgan_tf.resize import imresize

BLOCK = 96  # side of the blocks whose statistics are compared, pixels
SHAPES = np.arange(0.2, 10.001, 0.001)  # candidates for the shape of a generalized Gaussian distribution
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def niqe(image: np.ndarray, border: int = 4) -> float:
    """The NIQE of an image.

    Args:
        image: uint8 [H, W, 3] or [H, W].
        border: pixels to crop at each side first; by convention the scale.

    Raises:
        ValueError: for an image in which two blocks of 96 x 96 pixels do not fit.
    """
    luma = crop_border(_luma(image), border)
    rows, columns = (side // BLOCK for side in luma.shape)
    if rows * columns < 2:
        raise ValueError(f"NIQE needs two blocks of {BLOCK} x {BLOCK} pixels. Received: shape {luma.shape}")
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    half = imresize(luma / 255, 0.5) * 255
    features = np.concatenate([_features(luma, BLOCK), _features(half, BLOCK // 2)], axis=1)
    complete = features[~np.isnan(features).any(axis=1)]  # blocks of one colour have no statistics
    if len(complete) < 2:
        return math.nan
    mean, covariance = np.nanmean(features, axis=0), np.cov(complete, rowvar=False)
    pristine_mean, pristine_covariance = _pristine()
    difference = pristine_mean - mean
    return float(np.sqrt(difference @ np.linalg.pinv((pristine_covariance + covariance) / 2) @ difference))


def fits(height: int, width: int, border: int = 4) -> bool:
    """Whether an image is large enough for `niqe`."""
    return ((height - 2 * border) // BLOCK) * ((width - 2 * border) // BLOCK) >= 2


def _luma(image):
    """BT.601 luma, 16 to 235, rounded to integers: float64 [H, W]. Grey images are converted as R = G = B."""
    rgb = as_rgb(image).astype(np.float32) / np.float32(255)
    return np.rint(rgb @ np.array([65.481, 128.553, 24.966]) + 16.0)


def _features(luma, side):
    """18 statistics of each block: float64 [blocks, 18]."""
    normalized = _normalized(luma)
    rows, columns = (n // side for n in luma.shape)
    blocks = normalized.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    return np.array([_statistics(block) for block in blocks])


def _normalized(luma):
    """Luma minus its local mean, divided by its local standard deviation (equation 1)."""
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    kernel /= kernel.sum()

    def local_mean(x):
        return correlate_rows(correlate_rows(np.pad(x, 3, mode="edge"), kernel).T, kernel).T

    mean = local_mean(luma)
    deviation = np.sqrt(np.abs(local_mean(luma * luma) - mean * mean))
    return (luma - mean) / (deviation + 1)


def _statistics(block):
    shape, left, right = _fit(block)
    found = [shape, (left + right) / 2]
    for offset in NEIGHBOURS:
        shape, left, right = _fit(block * np.roll(block, offset, axis=(0, 1)))
        mean = (right - left) * math.gamma(2 / shape) / math.gamma(1 / shape)  # equation 8
        found += [shape, mean, left, right]
    return found


def _fit(values):
    """Shape, left and right scale of an asymmetric generalized Gaussian distribution (equation 7)."""
    with np.errstate(all="ignore"):  # a block of one colour gives NaN
        negative, positive = values[values < 0], values[values > 0]
        left = np.sqrt(negative @ negative / negative.size) if negative.size else math.nan
        right = np.sqrt(positive @ positive / positive.size) if positive.size else math.nan
        ratio = left / right
        rhat = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
        rhat = rhat * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = SHAPES[np.argmin((_ratios() - rhat) ** 2)]
    scale = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    return shape, left * scale, right * scale


@functools.cache
def _ratios():
    return np.array([math.gamma(2 / s) ** 2 / (math.gamma(1 / s) * math.gamma(3 / s)) for s in SHAPES])


@functools.cache
def _pristine():
    """Mean [36] and covariance [36, 36] of the features of pristine photographs."""
    with np.load(Path(__file__).with_name("niqe.npz")) as parameters:
        return parameters["mean"], parameters["covariance"]
