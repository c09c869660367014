"""Data sets that are made in memory."""

import numpy as np

from srgan_tf.training.datasets import Picture

SIZES = [(30, 40), (24, 24), (50, 33), (60, 25)]


class Source:
    """Pictures whose pixels tell where they are from: red the picture, green the row, blue the column."""

    def __init__(self, sizes, scale=4, name="made"):
        self.sizes, self.scale, self.name, self.read = sizes, scale, name, 0
        self.count = len(sizes)

    def describe(self):
        return {"source": self.name, "sizes": self.sizes}

    def pictures(self):
        for i, size in enumerate(self.sizes):
            self.read += 1
            if size is None:
                yield Picture(f"{i}", error=f"{i}.png is broken")
                continue
            y, x = np.mgrid[: size[0], : size[1]]
            lr = np.stack([np.full_like(y, i), y, x], -1).astype(np.uint8)
            yield Picture(f"{i}", lr.repeat(self.scale, 0).repeat(self.scale, 1), lr)
