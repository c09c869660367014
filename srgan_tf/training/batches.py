"""tf.data batches of aligned, augmented crops. Batch n is a pure function of (seed, n)."""

import os

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.images.degradation import PRESETS, damaged_crop, patch_side
from srgan_tf.training.store import PIXEL, as_rgb
from srgan_tf.training.workers import Workers

TURNS = {"all": (1, 1, 1), "flips": (1, 1, 0), "none": (0, 0, 0)}  # vertically, horizontally, transposed
MAPPED_LIMIT = 2**24  # bytes of pictures that are read before their memory is released; the system maps more


class Batches:
    """An endless sequence of batches of LR and HR crops. A subclass defines batch n by its seed and n alone.

    Args:
        scale: the factor between LR and HR.
        crop: HR side of a crop, a multiple of the scale.
        batch: crops per batch.

    Attributes:
        slow: whether a `dataset` draws its batches in several processes. A subclass that sets it must be importable,
            not part of the main script.
        failure: the `UserError` that ended a `dataset`, which TensorFlow reports as its own error; None otherwise.

    Raises:
        ValueError: if the crop is not a multiple of the scale.
    """

    slow = False

    def __init__(self, scale, crop, batch):
        if crop % scale:
            raise ValueError(f"crop must be a multiple of the scale {scale}. Received: {crop}")
        self.scale, self.side, self.batch, self.failure = scale, crop // scale, batch, None
        self._workers = []

    def __call__(self, n, rows=slice(None)):
        """Batch n, or some of its rows: LR uint8 [B, crop / s, crop / s, 3] and HR uint8 [B, crop, crop, 3]."""
        raise NotImplementedError

    def dataset(self, start=0, *, replicas=1, here=range(1)):
        """A `tf.data.Dataset` of the batches start, start + 1, ... without end, prepared ahead.

        Args:
            start: the number of the first batch.
            replicas: how many equal shares each batch is divided into.
            here: the shares that this program reads, in this order.
        """
        import tensorflow as tf  # here, as the processes that draw batches do not need it

        count = max(2, (os.cpu_count() or 1) // 2)  # the others are left to TensorFlow
        batches = self
        if self.slow:
            batches = Workers(self, count)
            self._workers.append(batches)
        scale, side, size = self.scale, self.side, self.batch // replicas

        def rows(k):
            part = here[k % len(here)]
            try:
                return batches(k // len(here), slice(part * size, (part + 1) * size))
            except UserError as error:
                self.failure = error
                raise

        def draw(k):
            lr, hr = tf.numpy_function(rows, [k], (tf.uint8, tf.uint8))
            return (
                tf.ensure_shape(lr, (size, side, side, 3)),
                tf.ensure_shape(hr, (size, scale * side, scale * side, 3)),
            )

        numbers = tf.data.Dataset.range(start * len(here), 2**62)
        return numbers.map(draw, num_parallel_calls=count, deterministic=True).prefetch(8)

    def close(self):
        """End the processes of all datasets. A dataset that is still read draws its batches in this process."""
        while self._workers:
            self._workers.pop().close()

    def __getstate__(self):
        return {**self.__dict__, "_workers": []}


class Crops(Batches):
    """Random aligned crops of LR and HR from different pictures, in random orientations.

    Args:
        store: a `store.Store`.
        crop: HR side of a crop, a multiple of the scale.
        batch: crops a batch.
        seed: determines the crops, together with the number of the batch.
        degradation: how LR is made, an `images.degradation.Degradation`.
        augment: the orientations of a crop, one of `recipes.AUGMENTS`.

    Raises:
        UserError: if every picture is smaller than a crop.
        ValueError: if the crop is not a multiple of the scale.
    """

    def __init__(self, store, *, crop, batch, seed=0, degradation=PRESETS["bicubic"], augment="all"):
        super().__init__(store.scale, crop, batch)
        self.store, self.seed, self.degradation, self.turns = store, seed, degradation, TURNS[augment]
        self.slow = degradation.clean < 1
        self.mapped = 0  # bytes of pictures, at most, that were read since their memory was released
        self.usable = np.flatnonzero(store.sizes.min(axis=1) >= self.side)
        if not len(self.usable):
            raise UserError(
                f"--crop: all {len(store)} images have a side below {crop} pixels, --crop and --shift together. Use "
                "larger images, a smaller --crop or --shift 0."
            )

    def __call__(self, n, rows=slice(None)):
        rng = np.random.default_rng([self.seed, int(n)])
        few = len(self.usable) < self.batch
        which = rng.choice(self.usable, self.batch, replace=few)
        corners = rng.random((self.batch, 2))
        turns = (rng.integers(0, 2, (self.batch, 3)) * self.turns).tolist()
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
        if self.mapped > MAPPED_LIMIT:
            self.mapped = 0
            self.store.release()
        return lr, hr

    def _cut(self, i, corner, turn, side):
        """A crop of picture i, flipped and turned: LR [side, side], smaller if the picture is, and its HR."""
        small, large = self.store.pair(i)
        scale = self.scale
        height, width = (min(side, n) for n in small.shape)
        y, x = (int(share * (n - size + 1)) for share, n, size in zip(corner, small.shape, (height, width)))
        self.mapped += PIXEL.itemsize * scale * height * large.shape[1]
        return (
            _turned(small[y : y + height, x : x + width], *turn),
            _turned(large[scale * y : scale * (y + height), scale * x : scale * (x + width)], *turn),
        )


def _turned(x, vertically, horizontally, transposed):
    """A square in one of its eight orientations: flips and quarter turns."""
    if horizontally or transposed:
        x = x.copy()  # by whole rows: reading a column of a mapped picture touches one page per pixel
    x = x[::-1] if vertically else x
    x = x[:, ::-1] if horizontally else x
    return x.swapaxes(0, 1) if transposed else x
