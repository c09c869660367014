"""A data set that is decoded once: memory-mapped uint8 pixels of HR and LR, with an index."""

import contextlib
import hashlib
import json
import mmap
import secrets
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from srgan_tf.bars import bar
from srgan_tf.errors import UserError

PIXEL = np.dtype("V3")  # one element per pixel: turning a crop moves a third as many elements
STALE = 3600  # seconds without a write after which an unfinished store is removed
FORMAT = 2  # part of the key: a store of another layout is built again


class Store:
    """HR and LR of every picture of a data set, read through the page cache without decoding or copying.

    Attributes:
        names: the pictures' names.
        sizes: int [n, 2], LR height and width.
        skipped: a line for each picture that cannot be used.

    Raises:
        ValueError: if the folder does not contain a complete store.
    """

    def __init__(self, folder):
        index = _read_index(folder)
        self.scale, self.names, self.skipped = index["scale"], index["names"], index["skipped"]
        self.sizes = np.array(index["sizes"], np.int64).reshape(-1, 2)
        starts = np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])
        self._starts = starts.tolist()
        self._maps = [_mapped(Path(folder) / name) for name in ("lr.bin", "hr.bin")]
        self._lr, self._hr = (np.frombuffer(pixels, PIXEL) for pixels in self._maps)

    def __len__(self):
        return len(self.names)

    def pair(self, i):
        """Views of picture i: LR [H, W] and HR [sH, sW]. An element is a pixel, three bytes R, G and B."""
        height, width = self.sizes[i].tolist()
        start, end, area = self._starts[i], self._starts[i + 1], self.scale**2
        return (
            self._lr[start:end].reshape(height, width),
            self._hr[start * area : end * area].reshape(height * self.scale, width * self.scale),
        )

    def release(self):
        """Release the memory of the pictures that were read; the page cache keeps them."""
        for pixels in self._maps:
            if hasattr(pixels, "madvise"):  # not on Windows
                pixels.madvise(mmap.MADV_DONTNEED)


def open_store(source, scale, cache_dir):
    """The store of a source. It is built if it does not exist.

    Args:
        source: a source of `datasets`.
        scale: the factor between LR and HR.
        cache_dir: the parent folder of all stores.

    Raises:
        UserError: if none of the pictures can be used.
    """
    times = [path.stat().st_mtime_ns for path in getattr(source, "files", ())]
    key = json.dumps([FORMAT, scale, source.describe(), times], sort_keys=True)
    folder = Path(cache_dir) / "stores" / hashlib.sha256(key.encode()).hexdigest()[:16]
    try:
        return Store(folder)
    except ValueError:
        _build(source, scale, folder)
        return Store(folder)


def as_rgb(pixels):
    """Pixels of a store -> uint8 [..., 3]; copied if they are not contiguous."""
    pixels = np.ascontiguousarray(pixels)
    return pixels.view(np.uint8).reshape(*pixels.shape, 3)


def _mapped(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _build(source, scale, folder):
    """Build a store and rename it into place, so that it is complete or absent even if several processes build it."""
    for left in folder.parent.glob(f"{folder.name}.*.part"):
        with contextlib.suppress(OSError):  # it has just been renamed to the store
            if max(p.stat().st_mtime for p in (left, *left.iterdir())) < time.time() - STALE:
                shutil.rmtree(left, ignore_errors=True)
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        index = _decode(source, scale, part)
        if not index["names"]:
            raise UserError(f"--data_dir: none of the pictures can be used. The first: {index['skipped'][0]}")
        text = json.dumps(index)
        (part / "index.json").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n")
        if not _is_whole(folder):  # the store of a faster process stays, others may have it open
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        if not _is_whole(folder):
            raise UserError(
                f"--cache_dir: pictures cannot be stored in {folder.parent} ({error.strerror or error}). Free "
                "disk space, or use another --cache_dir."
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_whole(folder):
    try:
        _read_index(folder)
    except ValueError:
        return False
    return True


def _read_index(folder):
    """The index of a store, checked together with the lengths of its files."""
    try:
        checksum, text = (Path(folder) / "index.json").read_text().splitlines()
        sizes = [(Path(folder) / name).stat().st_size for name in ("lr.bin", "hr.bin")]
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} does not contain a store: {error}") from error
    if hashlib.sha256(text.encode()).hexdigest() != checksum:
        raise ValueError(f"the index of {folder} is damaged")
    index = json.loads(text)
    pixels = sum(height * width for height, width in index["sizes"])
    if sizes != [3 * pixels, 3 * pixels * index["scale"] ** 2]:
        raise ValueError(f"{folder} does not contain all pixels")
    return index


def _decode(source, scale, folder):
    """Write the pixels of every usable picture. Returns the index."""
    index = {"scale": scale, "names": [], "sizes": [], "skipped": []}
    if not sys.stderr.isatty():  # a terminal shows the bar
        print(f"decoding {source.count} pictures once, into {folder.parent}", flush=True)
    with open(folder / "lr.bin", "wb") as lr_file, open(folder / "hr.bin", "wb") as hr_file:
        for picture in bar(source.pictures(), "decoding", source.count, unit=" pictures", disable=None):
            if picture.error:
                index["skipped"].append(picture.error)
                continue
            lr_file.write(np.ascontiguousarray(picture.lr))
            hr_file.write(np.ascontiguousarray(picture.hr))
            index["names"].append(picture.name)
            index["sizes"].append(picture.lr.shape[:2])
    return index
