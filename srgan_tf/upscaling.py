"""Upscaler: arrays in, larger arrays out; tiles with a halo, greyscale, alpha."""
import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from srgan_tf import zoo
from srgan_tf.errors import UserError

TILE = 768  # LR pixels: large enough that the halo costs little, small enough for 2 GB
PIXELS = 2 ** 21  # at most, of a tile with its halo, where a model sets no limit of its own
CPUINFO = Path("/proc/cpuinfo")
PRECISIONS = ("auto", "float32", "bfloat16")


class Upscaler:
    """A model that enlarges pictures.

        upscale = Upscaler("srresnet", scale=4)
        large = upscale(small)  # uint8 [H, W, 3] -> uint8 [4H, 4W, 3]

    Attributes:
        scale: how many times larger each side becomes.
        halo: how far a pixel reaches, in LR pixels.
        folder: where the model was found.
        attributes: what its export wrote about it.
        precision: what its convolutions compute in, "float32" or "bfloat16".
    """

    def __init__(self, model=zoo.DEFAULT_MODEL, scale=None, *, tile=0, precision="auto"):
        """Load a model.

        Args:
            model: a shipped model's name or a path, as `zoo.resolve` takes it.
            scale: 2, 4 or 8; None is the model's own.
            tile: side of a tile in LR pixels without its halo; 0 chooses one and computes what is small at once.
            precision: "float32"; "bfloat16", which costs under 0.02 dB; or "auto", which is bfloat16 where the
                processor computes in it.

        Raises:
            UserError: when there is no such model, or it is of another scale or was exported without that precision.
            ValueError: for a negative tile or another precision.
        """
        if tile < 0:
            raise ValueError(f"tile must be 0 or positive. Received: {tile}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}. Received: {precision!r}")
        self.folder = zoo.resolve(model, scale)
        self.attributes = zoo.attributes(self.folder)
        self.scale, self.halo = self.attributes["scale"], self.attributes["halo"]
        self._loaded = tf.saved_model.load(str(self.folder))  # kept: its variables live as long as it does
        self.precision, self._network = _choose(self._loaded.signatures, precision, self.folder)
        limit = max(1, math.isqrt(self.attributes.get("pixel_limit", PIXELS)) - 2 * self.halo)
        self.tile, self._automatic = min(tile, limit), min(TILE, limit)

    def __call__(self, image):
        """Enlarge a picture or a batch.

        Greyscale stays so: the rounded mean of what the network makes of three equal channels. Alpha is enlarged
        as a grey picture, and colours of fully transparent pixels, which mean nothing, are replaced by their
        neighbours' first, so that they do not shine through along the edges.

        Args:
            image: uint8 [H, W], [H, W, 3], [H, W, 2] or [H, W, 4] with alpha last, or [B, H, W, 3].

        Returns:
            uint8, of the same kind, with both sides `scale` times as long.

        Raises:
            ValueError: for another type or shape, or an empty picture.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8:
            raise ValueError(f"image must be uint8. Received: {image.dtype}")
        if image.size == 0:
            raise ValueError(f"image must have at least one pixel. Received: shape {image.shape}")
        if image.ndim == 4 and image.shape[3] == 3:
            return self._colours(image)
        if image.ndim == 2:
            return self._grey(image)
        if image.ndim == 3 and image.shape[2] == 3:
            return self._colours(image[None])[0]
        if image.ndim == 3 and image.shape[2] == 4:
            return np.dstack([self(bleed(image[..., :3], image[..., 3])), self._alpha(image[..., 3])])
        if image.ndim == 3 and image.shape[2] == 2:
            return np.dstack([self(bleed(image[..., :1], image[..., 1])[..., 0]), self._alpha(image[..., 1])])
        raise ValueError(f"image must be [H, W], [H, W, 2 to 4] or [B, H, W, 3]. Received: shape {image.shape}")

    def picture(self, picture):
        """Enlarge an `images.Picture`; what its file said about it goes along."""
        colour = picture.pixels[..., :1] if picture.grey else picture.pixels
        alpha = [] if picture.alpha is None else [picture.alpha]
        array = np.dstack([colour, *alpha])
        large = self(array[..., 0] if array.shape[2] == 1 else array)
        large = large[..., None] if large.ndim == 2 else large
        return dataclasses.replace(
            picture,
            pixels=np.repeat(large[..., :1], 3, axis=2) if picture.grey else large[..., :3],
            alpha=None if picture.alpha is None else large[..., -1])

    def _grey(self, image):
        large = self._colours(np.repeat(image[None, ..., None], 3, axis=3))[0]
        return ((large.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8)

    def _alpha(self, alpha):
        if (alpha == alpha.flat[0]).all():  # nothing to enlarge: keeps opaque pictures opaque
            return np.full([self.scale * n for n in alpha.shape], alpha.flat[0])
        return self._grey(alpha)

    def _colours(self, batch):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3], tile by tile."""
        scale = self.scale
        count, height, width, _ = batch.shape
        large = np.empty((count, scale * height, scale * width, 3), np.uint8)
        small = height * width <= (self._automatic + 2 * self.halo) ** 2
        tile = self.tile or (max(height, width) if small else self._automatic)
        for rows in spans(height, tile, self.halo):
            for columns in spans(width, tile, self.halo):
                sr = self._network(image=tf.constant(batch[:, rows.seen, columns.seen]))["image"].numpy()
                large[:, rows.larger(scale), columns.larger(scale)] = sr[:, rows.within(scale), columns.within(scale)]
        return large


def _choose(signatures, precision, folder):
    """The precision that is meant and the signature that computes in it."""
    if precision == "auto":
        precision = "bfloat16" if "bfloat16" in signatures and computes_bfloat16() else "float32"
    name = "serving_default" if precision == "float32" else precision
    if name not in signatures:
        raise UserError(f"the model was exported without {precision}, {folder}, take --precision float32 or export it "
                        "again")
    return precision, signatures[name]


def computes_bfloat16():
    """Whether this machine computes convolutions in bfloat16 natively: a GPU since Ampere, or a processor that says so.

    Without oneDNN TensorFlow would emulate it on the processor, slower than float32.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    try:
        flags = set(CPUINFO.read_text(encoding="ascii", errors="replace").split())
    except OSError:  # no Linux
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"}) and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"


@dataclasses.dataclass(frozen=True)
class Span:
    """One tile along one side, in LR pixels: it answers for [start, stop) and sees [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def seen(self):
        return slice(self.first, self.last)

    def larger(self, scale):
        """Its place in the result."""
        return slice(scale * self.start, scale * self.stop)

    def within(self, scale):
        """Its place in what the network made of the pixels it sees."""
        return slice(scale * (self.start - self.first), scale * (self.stop - self.first))


def spans(length, tile, halo):
    """Cut a side into tiles of about equal length, at most `tile` each.

    A tile sees `halo` more pixels on both sides, but never beyond the picture: there the network's own padding
    is what the whole picture would get, too.
    """
    count = -(-length // tile)
    cuts = [round(i * length / count) for i in range(count + 1)]
    return [Span(start, stop, max(0, start - halo), min(length, stop + halo))
            for start, stop in zip(cuts, cuts[1:])]


def bleed(colour, alpha):
    """Replace the colours of fully transparent pixels by those of visible ones around them.

    Args:
        colour: uint8 [H, W, C].
        alpha: uint8 [H, W].

    Returns:
        uint8 [H, W, C]; the same where alpha is not 0.
    """
    known = alpha > 0
    if known.all() or not known.any():
        return colour
    return np.rint(_fill(colour.astype(np.float32), known)).astype(np.uint8)


def _fill(colour, known):
    """Unknown pixels take the mean of the known ones in the smallest block of 2, 4, 8 ... that has any."""
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
