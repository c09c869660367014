"""PSNR and SSIM of a pair of 8-bit images under three protocols, and the consistency of SR with its LR.

- `paper`: the y channel of Ledig et al. 2017, Table 2: BT.709 luma, studio range, 8 bits, as computed by the Daala
  package's PNG-to-Y4M converter (4:2:0, dithered), scored with that package's PSNR and SSIM tools.
- `bt601`: most other publications: the luma of MATLAB's rgb2ycbcr, SSIM with a Gaussian window of 11 x 11 pixels.
- `rgb`: all three channels.

Figures of different protocols cannot be compared. The figure of a set is the mean over its images.
"""

import math

import numpy as np

from srgan_tf.evaluation.channels import as_rgb, bt601_luma
from srgan_tf.evaluation.daala import paper_luma, paper_ssim
from srgan_tf.evaluation.ssim import PEAK, ssim
from srgan_tf.resize import imresize

PROTOCOLS = ("paper", "bt601", "rgb")


def score(hr: np.ndarray, sr: np.ndarray, protocol: str, border: int = 4) -> tuple[float, float]:
    """PSNR and SSIM of one pair.

    Args:
        hr, sr: the original and the super-resolved image, uint8 [H, W] or [H, W, 3].
        protocol: one of PROTOCOLS.
        border: pixels to crop at each side first; by convention the scale (4 in the paper, section 3.1).

    Returns:
        (psnr, ssim): decibels, infinite for equal images; and at most 1.

    Raises:
        ValueError: for images of different sizes, of another type or shape, or smaller than the protocol's window
            after cropping, and for another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}. Received: {protocol!r}")
    hr, sr = _checked(hr, "hr"), _checked(sr, "sr")
    if hr.shape[:2] != sr.shape[:2]:
        raise ValueError(f"hr and sr must have the same size. Received: shapes {hr.shape} and {sr.shape}")
    if min(hr.shape[:2]) <= 2 * border:
        raise ValueError(f"no pixels remain of shape {hr.shape} after cropping {border} at each side")
    hr, sr = crop_border(hr, border), crop_border(sr, border)
    if protocol == "paper":
        hr, sr = paper_luma(hr), paper_luma(sr)
        return psnr(hr, sr), paper_ssim(hr, sr)
    if protocol == "rgb":
        hr, sr = as_rgb(hr), as_rgb(sr)
    elif hr.ndim == 3 or sr.ndim == 3:  # two grey images are compared as they are
        hr, sr = bt601_luma(hr), bt601_luma(sr)
    return psnr(hr, sr), ssim(hr, sr)


def lr_consistency(lr: np.ndarray, sr: np.ndarray, border: int = 0) -> float:
    """Consistency of SR with the LR it was made from: PSNR in dB over RGB of LR and SR downscaled to its size.

    SR is downscaled like the LR of the benchmark sets: the edge pixel is repeated outside the image. LR that was made
    with mirrored edges, such as DIV2K's, differs in its outer two pixels even for SR = HR.

    Args:
        lr, sr: uint8 [h, w] or [h, w, 3], and [H, W] or [H, W, 3].
        border: LR pixels to ignore at each side, for a crop whose surroundings are unknown.
    """
    lr, sr = as_rgb(_checked(lr, "lr")), as_rgb(_checked(sr, "sr"))
    downscaled = imresize(sr, size=lr.shape[:2], edge="repeat")
    return psnr(crop_border(lr, border), crop_border(downscaled, border))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """10 log10(255^2 / MSE) in dB over all samples of two uint8 arrays of one shape; infinite if they are equal."""
    difference = a.astype(np.int32) - b
    error = float(np.mean(difference * difference, dtype=np.float64))
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """[H, W] or [H, W, C] without `border` pixels at each side."""
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _checked(image, name):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] != 3:
        raise ValueError(f"{name} must be uint8 [H, W] or [H, W, 3]. Received: {image.dtype} {image.shape}")
    return image
