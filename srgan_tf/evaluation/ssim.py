"""The structural similarity index (Wang et al. 2004), with any separable window.

Protocols `bt601` and `rgb` use `ssim`; `daala.paper_ssim` uses the same formulas with the window of protocol `paper`.
"""

import numpy as np

PEAK = 255  # in every protocol, although the luma of two of them ends at 235
WINDOW = 11  # side of the window of `ssim`, pixels


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM with the Gaussian window of 11 x 11 pixels, sigma 1.5, without padding.

    Args:
        a, b: uint8 [H, W] or [H, W, C], at least 11 x 11 pixels.

    Returns:
        The mean over all windows and channels.

    Raises:
        ValueError: for smaller images.
    """
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW} x {WINDOW} pixels. Received: shape {a.shape}")
    kernel = np.exp(-0.5 * (np.arange(-(WINDOW // 2), WINDOW // 2 + 1) / 1.5) ** 2)
    kernel /= kernel.sum()
    a, b = (np.atleast_3d(p).transpose(2, 0, 1).astype(np.float64) for p in (a, b))
    return float(np.mean([similarity(*moments(x, y, kernel)).mean() for x, y in zip(a, b)]))


def moments(x: np.ndarray, y: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weighted sums of x, y, x^2 + y^2 and x y in every window: float64 [H - n + 1, W - n + 1] each.

    Args:
        x, y: float64 [H, W].
        kernel: float64 [n], one axis of the window; symmetric, n is odd.
    """
    return tuple(correlate_rows(correlate_rows(p, kernel).T, kernel).T for p in (x, y, x * x + y * y, x * y))


def similarity(mx, my, squares, products, weight=1.0):
    """SSIM of every window from its moments; `weight` is the sum of the window's weights."""
    c1, c2 = (0.01 * PEAK * weight) ** 2, (0.03 * PEAK * weight) ** 2
    cross, powers = mx * my, mx * mx + my * my
    return (
        (2 * cross + c1) * (2 * (products * weight - cross) + c2) / ((powers + c1) * (squares * weight - powers + c2))
    )


def correlate_rows(p: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate along axis 0 with a symmetric kernel of odd length n, without padding: [H, W] -> [H - n + 1, W]."""
    n, length = len(kernel), len(p) - len(kernel) + 1
    result = kernel[n // 2] * p[n // 2 : n // 2 + length]
    pair = np.empty_like(result)
    for i in range(n // 2):
        np.add(p[i : i + length], p[n - 1 - i : n - 1 - i + length], out=pair)
        pair *= kernel[i]
        result += pair
    return result
