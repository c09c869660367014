"""PSNR and SSIM of a pair of 8-bit pictures under three protocols, and how well SR agrees with its LR.

- `paper`: the y channel of Ledig et al. 2017, Table 2: BT.709 luma, studio range, 8 bits, as the Daala package's
  PNG-to-Y4M converter makes it (4:2:0, dithered), then that package's PSNR and SSIM tools.
- `bt601`: the rest of the literature: MATLAB's rgb2ycbcr luma, Gaussian SSIM of 11 x 11.
- `rgb`: all three channels.

Figures of different protocols are not comparable with each other. The figure of a set is the plain mean of its
pictures' figures.
"""

import math

import numpy as np

from srgan_tf.evaluation.daala import paper_luma, paper_ssim
from srgan_tf.evaluation.windows import PEAK, as_rgb, moments, similarity
from srgan_tf.resize import imresize

PROTOCOLS = ("paper", "bt601", "rgb")
SSIM_WINDOW = 11  # pixels a side, of `bt601` and `rgb`


def score(hr, sr, protocol, border=4):
    """PSNR and SSIM of one pair.

    Args:
        hr, sr: the original and the super-resolved picture, uint8 [H, W] or [H, W, 3].
        protocol: one of PROTOCOLS.
        border: pixels that are cut off each side first; the scale, by custom (4 in the paper, section 3.1).

    Returns:
        (psnr, ssim): decibels, infinite for equal pictures; and at most 1.

    Raises:
        ValueError: for pictures of different sizes, of another type or shape, too small for the protocol's
            window after the cut, or for another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}. Received: {protocol!r}")
    hr, sr = _picture(hr, "hr"), _picture(sr, "sr")
    if hr.shape[:2] != sr.shape[:2]:
        raise ValueError(f"hr and sr must be of the same size. Received: shapes {hr.shape} and {sr.shape}")
    if min(hr.shape[:2]) <= 2 * border:
        raise ValueError(f"nothing is left of shape {hr.shape} after a cut of {border} pixels")
    hr, sr = (_cut(p, border) for p in (hr, sr))
    if protocol == "paper":
        hr, sr = paper_luma(hr), paper_luma(sr)
        return psnr(hr, sr), paper_ssim(hr, sr)
    if protocol == "rgb":
        hr, sr = as_rgb(hr), as_rgb(sr)
    elif hr.ndim == 3 or sr.ndim == 3:  # a pair of grey pictures is taken as it is
        hr, sr = bt601_luma(hr), bt601_luma(sr)
    return psnr(hr, sr), ssim(hr, sr)


def lr_consistency(lr, sr, border=0):
    """How well SR, shrunk again, gives back the LR it was made from: PSNR in dB over RGB.

    SR is shrunk as the benchmark sets' LR was, the edge pixel repeated outside the picture. An LR that mirrors the
    picture there, such as DIV2K's, is not given back in its outer two pixels, even by the original.

    Args:
        lr, sr: uint8 [h, w] or [h, w, 3], and [H, W] or [H, W, 3].
        border: LR pixels that are cut off at each side, for a part of a picture whose neighbours are missing.
    """
    lr, sr = as_rgb(_picture(lr, "lr")), as_rgb(_picture(sr, "sr"))
    shrunk = imresize(sr, size=lr.shape[:2], edge="repeat")
    return psnr(_cut(lr, border), _cut(shrunk, border))


def psnr(a, b):
    """10 log10(255^2 / MSE) in dB over all samples of two uint8 arrays of one shape; infinite when equal."""
    difference = a.astype(np.int32) - b
    error = float(np.mean(difference * difference, dtype=np.float64))
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(a, b):
    """SSIM of Wang et al. 2004 for `bt601` and `rgb`: Gaussian window of 11 x 11, sigma 1.5, wholly inside.

    Args:
        a, b: uint8 [H, W] or [H, W, C], at least 11 x 11 pixels.

    Returns:
        The mean over the region and the channels.
    """
    if min(a.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least 11 x 11 pixels. Received: shape {a.shape}")
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel /= kernel.sum()
    a, b = (np.atleast_3d(p).transpose(2, 0, 1).astype(np.float64) for p in (a, b))
    return float(np.mean([similarity(*moments(x, y, kernel)).mean() for x, y in zip(a, b)]))


def bt601_luma(image):
    """The luma of MATLAB's rgb2ycbcr for 8-bit pictures (16..235): [H, W] or [H, W, 3] -> uint8 [H, W]."""
    r, g, b = np.moveaxis(as_rgb(image).astype(np.float64), -1, 0)
    return np.floor(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255 + 0.5).astype(np.uint8)


def _picture(image, name):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] != 3:
        raise ValueError(f"{name} must be uint8 [H, W] or [H, W, 3]. Received: {image.dtype} {image.shape}")
    return image


def _cut(image, border):
    return image[border : image.shape[0] - border, border : image.shape[1] - border]
