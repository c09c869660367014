"""What all protocols share: channels, and the moments of SSIM's windows."""

import numpy as np

PEAK = 255  # in every protocol, although the luma of two of them ends at 235


def as_rgb(image):
    """[H, W] -> [H, W, 3] with equal channels; [H, W, 3] as it is."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)


def moments(x, y, kernel):
    """Weighted sums of x, y, x^2 + y^2 and x y under the window: float64 [H - n + 1, W - n + 1] each."""
    return tuple(_filter(_filter(p, kernel).T, kernel).T for p in (x, y, x * x + y * y, x * y))


def _filter(p, kernel):
    """Correlate the rows (axis 0) with a symmetric kernel of odd length, where it lies wholly inside."""
    n, length = len(kernel), len(p) - len(kernel) + 1
    result = kernel[n // 2] * p[n // 2 : n // 2 + length]
    pair = np.empty_like(result)
    for i in range(n // 2):
        np.add(p[i : i + length], p[n - 1 - i : n - 1 - i + length], out=pair)
        pair *= kernel[i]
        result += pair
    return result


def similarity(mx, my, squares, products, weight=1.0):
    """SSIM of every window from its moments; `weight` is the window's total."""
    c1, c2 = (0.01 * PEAK * weight) ** 2, (0.03 * PEAK * weight) ** 2
    cross, powers = mx * my, mx * mx + my * my
    return (
        (2 * cross + c1) * (2 * (products * weight - cross) + c2) / ((powers + c1) * (squares * weight - powers + c2))
    )
