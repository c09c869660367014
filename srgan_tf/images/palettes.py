"""Reduces colours to the palette of a GIF file."""

import math

import numpy as np
from PIL import Image

_SAMPLE = 2**17  # pixels from which the palette is computed: all pixels would take minutes
_TRANSPARENT = 255


def with_palette(image, *, dither=True, transparent=False):
    """Reduce a picture to 255 colours and a transparent one.

    Args:
        image: a Pillow image, RGB, RGBA or LA. Pixels less than half opaque become transparent, all others opaque.
        dither: whether missing colours are approximated by dithering, which would flicker in an animation.
        transparent: whether to declare the transparent colour even if no pixel uses it. Viewers of animations clear
            frames with it.

    Returns:
        A Pillow image of mode P, and notes about what changed.
    """
    alpha = np.asarray(image.getchannel("A")) if "A" in image.getbands() else None
    rgb = image.convert("RGB")
    hidden = None if alpha is None else alpha < 128
    if hidden is not None and hidden.any() and not hidden.all():  # invisible pixels need no palette entries
        pixels = np.array(rgb)
        pixels[hidden] = np.median(pixels[~hidden], axis=0)
        rgb = Image.fromarray(pixels)
    few = rgb.getcolors(255) is not None
    palette = (rgb if few else _sample(rgb)).quantize(255, method=Image.Quantize.MEDIANCUT, kmeans=0 if few else 1)
    result = (
        palette
        if few
        else rgb.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE)
    )
    same = np.array_equal(np.asarray(result.convert("RGB")), np.asarray(rgb))
    notes = () if same else ("reduced to 255 colours",)
    if alpha is not None and not set(np.unique(alpha)) <= {0, 255}:
        notes += ("partly transparent pixels became transparent or opaque",)
    if hidden is not None and (transparent or hidden.any()):
        indices = np.where(hidden, _TRANSPARENT, np.asarray(result)).astype(np.uint8)
        colours = (result.getpalette() + 768 * [0])[:768]
        result = Image.fromarray(indices)
        result.putpalette(colours)
        result.info["transparency"] = _TRANSPARENT
    return result, notes


def _sample(image):
    shrink = max(1, math.ceil(math.sqrt(image.width * image.height / _SAMPLE)))
    size = (max(1, image.width // shrink), max(1, image.height // shrink))
    return image.resize(size, Image.Resampling.NEAREST)
