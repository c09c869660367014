"""Upscaler: arrays in, larger arrays out; tiles with a halo, greyscale, alpha, 16 bits, any size."""
import dataclasses
import math

import numpy as np
import tensorflow as tf

from srgan_tf import inference, memory, variables, zoo
from srgan_tf.devices import computes_bfloat16
from srgan_tf.errors import UserError
from srgan_tf.resize import imresize
from srgan_tf.sizes import Size

TILE = 768  # LR pixels: larger ones save little more of the halo
LEAST = 16  # LR pixels: a tile that does not fit into memory is halved until here
TRUNK, STRIP = 1000, 10_000  # bytes for an LR pixel in the trunk, and in a strip that is enlarged: float32, 64 features
PIXELS = 2 ** 21  # at most, of a tile with its halo
PRECISIONS = ("auto", "float32", "bfloat16")


class Upscaler:
    """A model that enlarges pictures.

        upscale = Upscaler("srresnet", scale=4)
        large = upscale(small)  # uint8 [H, W, 3] -> uint8 [4H, 4W, 3]; uint16 gives uint16

    Attributes:
        scale: how many times larger the network makes each side.
        size: a `sizes.Size`, how large results are.
        halo: how far a pixel reaches, in LR pixels.
        folder: where the model was found.
        attributes: what its export wrote about it.
        precision: what convolutions of 8-bit pictures compute in, "float32" or "bfloat16".
    """

    def __init__(self, model=None, scale=None, *, fidelity=None, outscale=None, width=None, height=None, tile=0,
                 precision="auto"):
        """Load a model.

        Args:
            model: a shipped model's name or a path, as `zoo.resolve` takes it; None is `zoo.DEFAULT_MODEL`.
            scale: 2, 4 or 8; None is the model's own.
            fidelity: instead of a model, a blend of the variables of two: 1 is `srresnet`, 0 is `srgan`.
            outscale, width, height: how large results are, as `sizes.Size` says; None is the model's scale. They
                are made from what the network makes by `imresize`.
            tile: side of a tile in LR pixels without its halo; 0 chooses one and computes what is small at once.
            precision: "float32"; "bfloat16", which costs under 0.02 dB; or "auto", which is bfloat16 where the
                processor computes in it. It holds for 8-bit pictures: others are computed in float32.

        Raises:
            UserError: when there is no such model, or it is of another scale or damaged.
            ValueError: for a negative tile, another precision, or a fidelity outside of [0, 1].
        """
        if tile < 0:
            raise ValueError(f"tile must be 0 or positive. Received: {tile}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}. Received: {precision!r}")
        self.folder = zoo.resolve(model or zoo.DEFAULT_MODEL, scale) if fidelity is None else zoo.blended(
            fidelity, model, scale)[0]
        self.attributes = zoo.attributes(self.folder)
        self.scale, self.halo = self.attributes["scale"], self.attributes["halo"]
        self.size = Size(self.scale if outscale is None else outscale, width, height)
        self.precision = ("bfloat16" if computes_bfloat16() else "float32") if precision == "auto" else precision
        self._generator = inference.Generator(_variables(self.folder, fidelity, scale))
        self._networks = {}  # by what pixels are: compiled when the first comes
        self._most = max(1, math.isqrt(PIXELS) - 2 * self.halo)  # the side of a tile; less when memory ran out
        self.tile = min(tile, self._most)

    def __call__(self, image, step=lambda share: None):
        """Enlarge a picture or a batch.

        Greyscale stays so: the rounded mean of what the network makes of three equal channels. Alpha is enlarged
        as a grey picture, and colours of fully transparent pixels, which mean nothing, are replaced by their
        neighbours' first, so that they do not shine through along the edges.

        Args:
            image: uint8 or uint16 [H, W], [H, W, 3], [H, W, 2] or [H, W, 4] with alpha last, or [B, H, W, 3].
            step: called after each tile with its share of the whole work; the shares add up to 1.

        Returns:
            Of the same type and kind, as large as `size` says: with both sides `scale` times as long.

        Raises:
            ValueError: for another type or shape, or an empty picture.
            UserError: when the memory does not hold even a small tile.
        """
        image = np.asarray(image)
        if image.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"image must be uint8 or uint16. Received: {image.dtype}")
        if image.size == 0:
            raise ValueError(f"image must have at least one pixel. Received: shape {image.shape}")
        if image.ndim == 4 and image.shape[3] == 3:
            return self._colours(image, step)
        if image.ndim == 2:
            return self._grey(image, step)
        if image.ndim == 3 and image.shape[2] == 3:
            return self._colours(image[None], step)[0]
        if image.ndim == 3 and image.shape[2] in (2, 4):
            colour, alpha = bleed(image[..., :-1], image[..., -1]), image[..., -1]
            flat = (alpha == alpha.flat[0]).all()  # nothing to enlarge: keeps opaque pictures opaque

            def half(share):
                step(share if flat else share / 2)

            large = self(colour[..., 0] if image.shape[2] == 2 else colour, half)
            alpha = np.full(large.shape[:2], alpha.flat[0]) if flat else self._grey(alpha, half)
            return np.dstack([large, alpha])
        raise ValueError(f"image must be [H, W], [H, W, 2 to 4] or [B, H, W, 3]. Received: shape {image.shape}")

    def picture(self, picture, step=lambda share: None):
        """Enlarge an `images.Picture`; what its file said about it goes along."""
        colour = picture.pixels[..., :1] if picture.grey else picture.pixels
        alpha = [] if picture.alpha is None else [picture.alpha]
        array = np.dstack([colour, *alpha])
        large = self(array[..., 0] if array.shape[2] == 1 else array, step)
        large = large[..., None] if large.ndim == 2 else large
        return dataclasses.replace(
            picture,
            pixels=np.repeat(large[..., :1], 3, axis=2) if picture.grey else large[..., :3],
            alpha=None if picture.alpha is None else large[..., -1])

    def _grey(self, image, step):
        large = self._network_size(np.repeat(image[None, ..., None], 3, axis=3), step)[0]
        rows = max(1, 2 ** 20 // large.shape[1])
        grey = np.empty(large.shape[:2], image.dtype)
        for i in range(0, len(large), rows):  # in parts: sums take more memory than what they are of
            grey[i:i + rows] = (large[i:i + rows].sum(axis=2, dtype=np.uint32) + 1) // 3
        return self._resized(grey, image.shape[:2])

    def _colours(self, batch, step):
        large = self._network_size(batch, step)
        height, width = self.size.of(*batch.shape[1:3])
        if (height, width) == large.shape[1:3]:
            return large
        return np.stack([self._resized(image, batch.shape[1:3]) for image in large])

    def _resized(self, large, before):
        """What the network made of a picture of the shape `before`, as large as it is to be."""
        size = self.size.of(*before)
        return large if size == large.shape[:2] else imresize(large, size=size)

    def _network_size(self, batch, step):
        """uint8 or uint16 [B, H, W, 3] -> the same type [B, scale H, scale W, 3], tile by tile."""
        count, height, width, _ = batch.shape
        large = np.empty((count, self.scale * height, self.scale * width, 3), batch.dtype)
        tile = min(self.tile, self._most) or self._automatic(height, width)
        boxes = [(rows, columns) for rows in spans(height, tile, self.halo)
                 for columns in spans(width, tile, self.halo)]
        while boxes:
            rows, columns = boxes.pop(0)
            side = max(rows.stop - rows.start, columns.stop - columns.start)
            try:
                if side >= 2 * LEAST and not self._fits((rows.last - rows.first) * (columns.last - columns.first)):
                    raise MemoryError  # before TensorFlow finds out: some of its operations crash instead of failing
                self._enlarge(batch, rows, columns, large)
            except (tf.errors.ResourceExhaustedError, MemoryError):
                if side < 2 * LEAST:
                    raise UserError(f"the memory does not hold a tile of {side} pixels, the picture, close other "
                                    "programs") from None
                self._most = side // 2
                boxes = [(r, c) for down, across in [(rows, columns), *boxes]
                         for r in spans(height, side // 2, self.halo, down)
                         for c in spans(width, side // 2, self.halo, across)]
            else:
                step((rows.stop - rows.start) * (columns.stop - columns.start) / (height * width))
        return large

    def _enlarge(self, batch, rows, columns, large):
        """Compute one tile of all pictures and put it into its place: small ones together, large ones in strips."""
        trunk, enlarge = self._network(batch.dtype)
        levels = batch.dtype.type(257) if batch.dtype == np.uint16 else None
        height, width = rows.last - rows.first, columns.last - columns.first
        together = max(1, inference.TOGETHER // (height * width))
        strip = max(inference.ROWS, inference.STRIP // (min(together, len(batch)) * width))
        for first in range(0, len(batch), together):
            seen = batch[first:first + together, rows.seen, columns.seen]
            features = trunk(tf.constant(seen if levels is None else seen / np.float32(levels)))
            within = Span(rows.start - rows.first, rows.stop - rows.first, 0, height)
            for part in spans(height, strip, inference.REACH, within):
                whole = (part.first, part.last) == (0, height)
                sr = enlarge(features if whole else features[:, part.seen]).numpy()
                sr = sr[:, part.within(self.scale), columns.within(self.scale)]
                place = slice(self.scale * (rows.first + part.start), self.scale * (rows.first + part.stop))
                large[first:first + together, place, columns.larger(self.scale)] = (
                    sr if levels is None else np.rint(sr * np.float32(levels)))

    def _network(self, pixel):
        """The two functions of `inference.Generator.compile` for uint8 or uint16."""
        if pixel not in self._networks:
            deep = pixel == np.uint16
            dtype = tf.bfloat16 if self.precision == "bfloat16" and not deep else tf.float32
            self._networks[pixel] = self._generator.compile(tf.float32 if deep else tf.uint8, dtype)
        return self._networks[pixel]

    def _automatic(self, height, width):
        """The side of the tiles that the memory there is holds: the whole picture at once when it is small."""
        tile = min(TILE, self._most)
        while tile >= 2 * LEAST and not self._fits((tile + 2 * self.halo) ** 2):
            tile //= 2
        return max(height, width) if height * width <= (tile + 2 * self.halo) ** 2 else tile

    def _fits(self, pixels):
        """Whether twice the memory that so many LR pixels take at once is there; allocators grow in large steps.

        A GPU's memory is not asked: what does not fit there fails cleanly and is halved.
        """
        left = None if tf.config.list_physical_devices("GPU") else memory.available()
        share = self.attributes.get("features", 64) / 64
        strip = min(pixels, inference.STRIP)
        return left is None or 2 * share * max(TRUNK * pixels, TRUNK // 4 * pixels + STRIP * strip) <= left


def _variables(folder, fidelity, scale):
    if fidelity is None:
        return variables.read(folder)
    faithful, vivid = (variables.read(folder) for folder in zoo.blended(fidelity, scale=scale))
    return variables.blend(faithful, vivid, fidelity)


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


def spans(length, tile, halo, part=None):
    """Cut a side, or a part of it, into tiles of about equal length, at most `tile` each.

    A tile sees `halo` more pixels on both sides, but never beyond the picture: there the network's own padding
    is what the whole picture would get, too.
    """
    start, stop = (0, length) if part is None else (part.start, part.stop)
    count = -(-(stop - start) // tile)
    cuts = [start + round(i * (stop - start) / count) for i in range(count + 1)]
    return [Span(start, stop, max(0, start - halo), min(length, stop + halo))
            for start, stop in zip(cuts, cuts[1:])]


def bleed(colour, alpha):
    """Replace the colours of fully transparent pixels by those of visible ones around them.

    Args:
        colour: uint8 or uint16 [H, W, C].
        alpha: of the same type, [H, W].

    Returns:
        Of the same type, [H, W, C]; the same where alpha is not 0.
    """
    known = alpha > 0
    if known.all() or not known.any():
        return colour
    return np.rint(_fill(colour.astype(np.float32), known)).astype(colour.dtype)


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
