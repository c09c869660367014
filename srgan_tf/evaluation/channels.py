"""Conversions between grey, RGB and luma."""

import numpy as np


def as_rgb(image: np.ndarray) -> np.ndarray:
    """[H, W] -> [H, W, 3] with equal channels; [H, W, 3] is returned unchanged."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)


def as_grey(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> [H, W], the rounded mean of the channels; [H, W] is returned unchanged."""
    return image if image.ndim == 2 else np.rint(image.mean(axis=-1)).astype(np.uint8)


def bt601_luma(image: np.ndarray) -> np.ndarray:
    """The luma of MATLAB's rgb2ycbcr for 8-bit images, 16 to 235: uint8 [H, W] or [H, W, 3] -> uint8 [H, W]."""
    r, g, b = np.moveaxis(as_rgb(image).astype(np.float64), -1, 0)
    return np.floor(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255 + 0.5).astype(np.uint8)
