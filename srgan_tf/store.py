"""A data set decoded once: memory-mapped uint8 pixels of HR and LR with an index."""
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srgan_tf.errors import UserError

PIXEL = np.dtype("V3")  # one element a pixel: turning a crop moves a third as many elements
FORMAT = 1  # part of the key: a store of another layout is built anew


class Store:
    """HR and LR of every picture of a data set, read through the page cache: memory does not grow with it.

    Attributes:
        names: the pictures' names.
        sizes: int [n, 2], LR height and width.
        skipped: what could not be used, a line each.
    """

    def __init__(self, folder):
        index = json.loads((Path(folder) / "index.json").read_text())
        self.scale, self.names, self.skipped = index["scale"], index["names"], index["skipped"]
        self.sizes = np.array(index["sizes"], np.int64).reshape(-1, 2)
        starts = np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])
        self._starts = starts.tolist()
        self._lr, self._hr = (np.asarray(np.memmap(Path(folder) / name, PIXEL, "r")) for name in ("lr.bin", "hr.bin"))

    def __len__(self):
        return len(self.names)

    def pair(self, i):
        """Views of picture i: LR [H, W] and HR [sH, sW], whose elements are pixels, R, G and B in three bytes."""
        height, width = self.sizes[i].tolist()
        start, end, area = self._starts[i], self._starts[i + 1], self.scale**2
        return (self._lr[start:end].reshape(height, width),
                self._hr[start * area:end * area].reshape(height * self.scale, width * self.scale))


def open_store(source, scale, cache_dir):
    """The store of a source, built now if it is not there yet.

    Args:
        source: as in `datasets`.
        scale: the factor between LR and HR.
        cache_dir: the folder of all stores.

    Raises:
        UserError: if none of the pictures can be used.
    """
    key = json.dumps([FORMAT, scale, source.describe()], sort_keys=True)
    folder = Path(cache_dir) / "stores" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not (folder / "index.json").exists():
        _build(source, scale, folder)
    return Store(folder)


def as_rgb(pixels):
    """Pixels as a store gives them -> uint8 [..., 3]; copied if they do not lie side by side."""
    pixels = np.ascontiguousarray(pixels)
    return pixels.view(np.uint8).reshape(*pixels.shape, 3)


def _build(source, scale, folder):
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        index = _decode(source, scale, part)
        if not index["names"]:
            raise UserError(f"none of the pictures can be used, the first: {index['skipped'][0]}")
        (part / "index.json").write_text(json.dumps(index))
        if not folder.exists():  # else another run was faster: its store is as good
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _decode(source, scale, folder):
    """Write the pixels of every usable picture; returns the index."""
    index = {"scale": scale, "names": [], "sizes": [], "skipped": []}
    with open(folder / "lr.bin", "wb") as lr_file, open(folder / "hr.bin", "wb") as hr_file:
        for picture in tqdm(source.pictures(), "decoding", source.count, unit=" pictures", disable=None):
            if picture.error:
                index["skipped"].append(picture.error)
                continue
            lr_file.write(np.ascontiguousarray(picture.lr))
            hr_file.write(np.ascontiguousarray(picture.hr))
            index["names"].append(picture.name)
            index["sizes"].append(picture.lr.shape[:2])
    return index
