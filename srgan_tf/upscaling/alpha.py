"""Alpha channels: transparent areas stay transparent, and their hidden colours do not bleed into visible pixels."""

import numpy as np


def settle(large, small):
    """Restore alpha, in place, in areas where it was uniformly transparent or opaque.

    Args:
        large: uint8 or uint16 [S H, S W], alpha enlarged by the network.
        small: the same type, [H, W], the original alpha. If a pixel and all pixels within a distance of two are
            transparent, or all are opaque, the corresponding pixels of `large` become so, too.
    """
    (height, width), scale = small.shape, len(large) // len(small)
    blocks = large.reshape(height, scale, width, scale)
    for value in (0, np.iinfo(small.dtype).max):
        same = np.pad(small == value, 2, constant_values=True)
        same = np.logical_and.reduce([same[i : i + height] for i in range(5)])
        same = np.logical_and.reduce([same[:, i : i + width] for i in range(5)])
        np.copyto(blocks, value, where=same[:, None, :, None])


def bleed(colour, alpha):
    """Replace the colours of fully transparent pixels by those of nearby visible pixels.

    Args:
        colour: uint8 or uint16 [H, W, C].
        alpha: the same type, [H, W].

    Returns:
        The same type, [H, W, C]; pixels with alpha above 0 are unchanged.
    """
    known = alpha > 0
    if known.all() or not known.any():
        return colour
    return np.rint(_fill(colour.astype(np.float32), known)).astype(colour.dtype)


def _fill(colour, known):
    """Fill unknown pixels with the mean of the known ones in the smallest block (side 2, 4, 8 ...) that has any."""
    if known.all():
        return colour
    height, width = known.shape
    odd = ((0, height % 2), (0, width % 2))
    weight = np.pad(known, odd).astype(np.float32)[..., None]
    count = _block_sums(weight)
    mean = _block_sums(np.pad(colour, (*odd, (0, 0))) * weight) / np.maximum(count, 1)
    coarse = _fill(mean, count[..., 0] > 0)
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(known[..., None], colour, fine)


def _block_sums(x):
    return x[::2, ::2] + x[::2, 1::2] + x[1::2, ::2] + x[1::2, 1::2]
