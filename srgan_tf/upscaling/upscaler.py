"""Upscaler: arrays in, larger arrays out; tiles with a halo, greyscale, alpha, 16 bits, any size."""

import math

import numpy as np
import tensorflow as tf

from srgan_tf.errors import ModelError, UserError
from srgan_tf.networks import inference
from srgan_tf.networks.precision import computes_bfloat16
from srgan_tf.saved_models import variables, zoo
from srgan_tf.upscaling import memory
from srgan_tf.upscaling.enlarger import Enlarger
from srgan_tf.upscaling.sizes import Size
from srgan_tf.upscaling.tiles import Span, spans

TILE = 768  # LR pixels per side: larger tiles hardly reduce the overhead of the halo
SMALL = 2**12  # LR pixels that are computed without a check of the memory: below 100 MB
LEAST = 16  # LR pixels per side: tiles that do not fit into memory are halved down to this
TRUNK_BYTES, STRIP_BYTES = 1000, 10_000  # per LR pixel in the trunk, and in a strip: float32, 64 features
MAX_TILE_PIXELS = 2**21  # including the halo
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


class Upscaler(Enlarger):
    """A model that enlarges pictures on this machine.

        upscale = Upscaler("srresnet", scale=4)
        large = upscale(small)  # uint8 [H, W, 3] -> uint8 [4H, 4W, 3]; uint16 gives uint16

    Attributes:
        scale: the factor of each side in the network.
        size: the size of results, a `sizes.Size`.
        halo: the radius of the receptive field, in LR pixels.
        folder: the folder of the SavedModel.
        attributes: the exported attributes of the model, see `attributes.read`.
        precision: the precision of convolutions for 8-bit pictures: "float32", "bfloat16" or "float16".
    """

    def __init__(
        self, model=None, scale=None, *, fidelity=None, outscale=None, width=None, height=None, tile=0, precision="auto"
    ):
        """Load a model.

        Args:
            model: the name of a shipped model or a path, see `zoo.resolve`; None is `zoo.DEFAULT_MODEL`.
            scale: 2, 4 or 8; None uses the scale of the model.
            fidelity: a blend of the variables of two models: 0 is `srgan`, or `photo` if that is the model; 1 is the
                `srresnet` from which it was trained.
            outscale, width, height: the size of results, see `sizes.Size`; None uses the scale of the model. The
                network's output is resized by `imresize`.
            tile: side of a tile in LR pixels without its halo; 0 selects it automatically, and small pictures are
                computed in one piece.
            precision: "float32"; "bfloat16", which costs less than 0.02 dB; "float16", for GPUs without bfloat16; or
                "auto", which is bfloat16 if the machine supports it, else float32. Pictures with 16 bits per channel
                are computed in float32.

        Raises:
            ModelError: if the model does not exist, has another scale, or is invalid.
            ValueError: for a negative tile, another precision, or a fidelity outside of [0, 1].
        """
        if tile < 0:
            raise ValueError(f"tile must be 0 or positive. Received: {tile}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}. Received: {precision!r}")
        try:
            self.folder, loaded = _load(model, scale, fidelity)
        except UserError as error:
            raise ModelError(*error.args) from None
        self.attributes = zoo.attributes(self.folder)
        self.scale, self.halo = self.attributes["scale"], self.attributes["halo"]
        self.size = Size(self.scale if outscale is None else outscale, width, height)
        self.precision = ("bfloat16" if computes_bfloat16() else "float32") if precision == "auto" else precision
        self._generator = inference.Generator(loaded)
        self._networks = {}  # by pixel type, compiled on first use
        self._largest_tile = max(1, math.isqrt(MAX_TILE_PIXELS) - 2 * self.halo)  # reduced when memory runs out
        self.tile = min(tile, self._largest_tile)

    def _enlarge_batch(self, batch, step):
        """uint8 or uint16 [B, H, W, 3] -> the same type [B, scale H, scale W, 3], tile by tile."""
        count, height, width, _ = batch.shape
        large = memory.empty((count, self.scale * height, self.scale * width, 3), batch.dtype)
        tile = min(self.tile, self._largest_tile) or self._automatic(height, width)
        boxes = [
            (rows, columns) for rows in spans(height, tile, self.halo) for columns in spans(width, tile, self.halo)
        ]
        while boxes:
            rows, columns = boxes.pop(0)
            side = max(rows.stop - rows.start, columns.stop - columns.start)
            try:
                if side >= 2 * LEAST and not self._fits((rows.last - rows.first) * (columns.last - columns.first)):
                    raise MemoryError  # avoid running out of memory in TensorFlow: some of its operations crash
                self._enlarge(batch, rows, columns, large)
            except (tf.errors.ResourceExhaustedError, MemoryError) as error:
                if side < 2 * LEAST:
                    raise UserError(f"not enough memory for a tile of {side} pixels. Close other programs.") from None
                if isinstance(error, tf.errors.ResourceExhaustedError):  # otherwise it may fit the next time
                    self._largest_tile = side // 2
                boxes = [
                    (r, c)
                    for down, across in [(rows, columns), *boxes]
                    for r in spans(height, side // 2, self.halo, down)
                    for c in spans(width, side // 2, self.halo, across)
                ]
            else:
                step((rows.stop - rows.start) * (columns.stop - columns.start) / (height * width))
        return large

    def _enlarge(self, batch, rows, columns, large):
        """Compute one tile for all pictures of a batch: small tiles together, large ones in strips."""
        trunk, enlarge = self._network(batch.dtype)
        levels = batch.dtype.type(257) if batch.dtype == np.uint16 else None
        height, width = rows.last - rows.first, columns.last - columns.first
        together = max(1, min(inference.TOGETHER // (height * width), inference.STRIP // (inference.ROWS * width)))
        strip = max(inference.ROWS, inference.STRIP // (min(together, len(batch)) * width))
        for first in range(0, len(batch), together):
            lr = batch[first : first + together, rows.with_halo, columns.with_halo]
            features = trunk(tf.constant(lr if levels is None else lr / np.float32(levels)))
            within = Span(rows.start - rows.first, rows.stop - rows.first, 0, height)
            for part in spans(height, strip, inference.REACH, within):
                whole = (part.first, part.last) == (0, height)
                sr = enlarge(features if whole else features[:, part.with_halo]).numpy()
                sr = sr[:, part.within(self.scale), columns.within(self.scale)]
                place = slice(self.scale * (rows.first + part.start), self.scale * (rows.first + part.stop))
                large[first : first + together, place, columns.larger(self.scale)] = (
                    sr if levels is None else np.rint(sr * np.float32(levels))
                )

    def _network(self, pixel):
        """The two functions of `inference.Generator.compile` for uint8 or uint16."""
        if pixel not in self._networks:
            deep = pixel == np.uint16
            dtype = tf.float32 if deep else tf.as_dtype(self.precision)
            self._networks[pixel] = self._generator.compile(tf.float32 if deep else tf.uint8, dtype)
        return self._networks[pixel]

    def _automatic(self, height, width):
        """The side of tiles that fit into the free memory; small pictures are one tile.

        A picture so wide that its lowest strip has too many pixels does not count as small.
        """
        tile = min(TILE, self._largest_tile)
        if height * width <= SMALL and max(height, width) <= tile:
            return max(height, width)
        while tile >= 2 * LEAST and not self._fits((tile + 2 * self.halo) ** 2):
            tile //= 2
        small = height * width <= (tile + 2 * self.halo) ** 2 and width * inference.ROWS <= inference.STRIP
        return max(height, width) if small else tile

    def _fits(self, pixels):
        """Whether twice the memory for this number of LR pixels is free: allocators grow in large steps.

        GPU memory is not checked: a tile that does not fit there fails cleanly and is halved.
        """
        if pixels <= SMALL:
            return True
        left = None if tf.config.list_physical_devices("GPU") else memory.available()
        share = self.attributes["features"] / 64
        strip = min(pixels, inference.STRIP)
        return (
            left is None
            or 2 * share * max(TRUNK_BYTES * pixels, TRUNK_BYTES // 4 * pixels + STRIP_BYTES * strip) <= left
        )


def _load(model, scale, fidelity):
    """The folder of a model, or of the first of two blended models, and the variables."""
    if fidelity is None:
        folder = zoo.resolve(zoo.DEFAULT_MODEL if model is None else model, scale)
        return folder, variables.read(folder)
    folders = zoo.fidelity_models(fidelity, model, scale)
    return folders[0], variables.blend(*map(variables.read, folders), fidelity)
