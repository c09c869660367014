"""tf.data batches of aligned, augmented crops from a store; batch n is a pure function of (seed, n)."""

import numpy as np
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.images.degradation import PRESETS, damaged_crop, patch_side
from srgan_tf.training.store import PIXEL, as_rgb

RELEASE = 2**24  # bytes of pictures to look at before their pages are given back; the system maps more around them


class Batches:
    """Batches of pairs without end: a subclass says what batch n holds, a pure function of its seed and n.

    Args:
        scale: the factor between LR and HR.
        crop: HR side of a crop, a multiple of the scale.
        batch: crops a batch.

    Raises:
        ValueError: if the crop is no multiple of the scale.
    """

    def __init__(self, scale, crop, batch):
        if crop % scale:
            raise ValueError(f"crop must be a multiple of the scale {scale}. Received: {crop}")
        self.scale, self.side, self.batch = scale, crop // scale, batch

    def __call__(self, n, rows=slice(None)):
        """Batch n: LR uint8 [B, crop / s, crop / s, 3] and HR uint8 [B, crop, crop, 3]; or some rows of it."""
        raise NotImplementedError

    def dataset(self, start=0, *, replicas=1, here=range(1)):
        """Batches start, start + 1, ... without end, made ahead of time.

        Args:
            start: the first batch's number.
            replicas: how many equal parts a batch is cut into.
            here: the parts that are wanted, one after the other.
        """
        scale, side, size = self.scale, self.side, self.batch // replicas

        def rows(k):
            part = here[k % len(here)]
            return self(k // len(here), slice(part * size, (part + 1) * size))

        def draw(k):
            lr, hr = tf.numpy_function(rows, [k], (tf.uint8, tf.uint8))
            return (
                tf.ensure_shape(lr, (size, side, side, 3)),
                tf.ensure_shape(hr, (size, scale * side, scale * side, 3)),
            )

        numbers = tf.data.Dataset.range(start * len(here), 2**62)
        return numbers.map(draw, num_parallel_calls=2, deterministic=True).prefetch(8)


class Crops(Batches):
    """Random aligned crops of LR and HR from distinct pictures, flipped and turned.

    Args:
        store: a `store.Store`.
        crop: HR side of a crop, a multiple of the scale.
        batch: crops a batch.
        seed: with the batch's number, all that the crops depend on.
        degradation: an `images.degradation.Degradation`: how LR is made.

    Raises:
        UserError: if no picture is as large as a crop.
        ValueError: if the crop is no multiple of the scale.
    """

    def __init__(self, store, *, crop, batch, seed=0, degradation=PRESETS["bicubic"]):
        super().__init__(store.scale, crop, batch)
        self.store, self.seed, self.degradation = store, seed, degradation
        self.seen = 0  # bytes of pages, at most, since they were given back
        self.usable = np.flatnonzero(store.sizes.min(axis=1) >= self.side)
        if not len(self.usable):
            raise UserError(
                f"none of the {len(store)} pictures is as large as a crop of {crop} x {crop} pixels: "
                "use larger pictures or a smaller --crop"
            )

    def __call__(self, n, rows=slice(None)):
        rng = np.random.default_rng([self.seed, int(n)])
        few = len(self.usable) < self.batch
        which = rng.choice(self.usable, self.batch, replace=few)
        corners = rng.random((self.batch, 2))
        turns = rng.integers(0, 2, (self.batch, 3)).tolist()
        chosen = range(self.batch)[rows]
        scale, side = self.scale, self.side
        lr = np.empty((len(chosen), side, side, 3), np.uint8)
        hr = np.empty((len(chosen), scale * side, scale * side, 3), np.uint8)
        for row, k in enumerate(chosen):
            own = np.random.default_rng([self.seed, int(n), k])
            damage = self.degradation.draw(own) if self.degradation.clean < 1 else None
            if damage:
                _, patch = self._cut(which[k], corners[k], turns[k], patch_side(side))
                lr[row], hr[row] = damaged_crop(as_rgb(patch), damage, scale, side, own)
            else:
                small, large = self._cut(which[k], corners[k], turns[k], side)
                lr[row].view(PIXEL)[..., 0], hr[row].view(PIXEL)[..., 0] = small, large
        if self.seen > RELEASE:
            self.seen = 0
            self.store.release()
        return lr, hr

    def _cut(self, i, corner, turn, side):
        """A part of picture i, flipped and turned: LR [side, side], less if the picture is smaller, and its HR."""
        small, large = self.store.pair(i)
        scale = self.scale
        height, width = (min(side, n) for n in small.shape)
        y, x = (int(share * (n - size + 1)) for share, n, size in zip(corner, small.shape, (height, width)))
        self.seen += PIXEL.itemsize * scale * height * large.shape[1]
        return (
            _turned(small[y : y + height, x : x + width], *turn),
            _turned(large[scale * y : scale * (y + height), scale * x : scale * (x + width)], *turn),
        )


def _turned(x, vertically, horizontally, transposed):
    """One of the eight ways to lay a square: flips and quarter turns."""
    if horizontally or transposed:
        x = x.copy()  # whole rows first: pixel by pixel, a column of a mapped picture is a page a pixel
    x = x[::-1] if vertically else x
    x = x[:, ::-1] if horizontally else x
    return x.swapaxes(0, 1) if transposed else x
