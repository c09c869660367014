"""A data set that is decoded once: memory-mapped uint8 pixels of HR and LR, with an index."""

import functools
import hashlib
import json
import mmap
import shutil
import sys
import threading
import zlib
from pathlib import Path

import numpy as np

from srgan_tf import atomic
from srgan_tf.bars import bar
from srgan_tf.errors import UserError, one_line, reason

PIXEL = np.dtype("V3")  # one element per pixel: turning a crop moves a third as many elements
FORMAT = 2  # part of the key: a store of another layout is built again


class Store:
    """HR and LR of every picture of a data set, read through the page cache without decoding or copying.

    The checksum of a picture is verified when it is first read.

    Args:
        folder: the folder of the store.
        build: a function of the folder that builds the store again, if a checksum is wrong.

    Attributes:
        names: the pictures' names.
        sizes: int [n, 2], LR height and width.
        skipped: a line for each picture that cannot be used.

    Raises:
        ValueError: if the folder does not contain a complete store.
    """

    def __init__(self, folder, build=None):
        self.folder, self._build, self._lock = Path(folder), build, threading.Lock()
        self._open()

    def __len__(self):
        return len(self.names)

    def __reduce__(self):
        return Store, (self.folder,)  # only one process builds a store again

    def pair(self, i):
        """Views of picture i: LR [H, W] and HR [sH, sW]. An element is a pixel, three bytes R, G and B.

        Raises:
            UserError: if the picture is damaged and the store cannot be built again.
        """
        if not self._verified[i]:
            self._verify(i)
        return self._views(i)

    @property
    def fingerprint(self):
        """An integer that depends on the pixels of all pictures."""
        return zlib.crc32(repr(self._checksums).encode())

    def release(self):
        """Release the memory of the pictures that were read; the page cache keeps them."""
        for pixels in self._maps:
            if hasattr(pixels, "madvise"):  # not on Windows
                pixels.madvise(mmap.MADV_DONTNEED)

    def _open(self):
        index = _read_index(self.folder)
        self.scale, self.names, self.skipped = index["scale"], index["names"], index["skipped"]
        self.sizes = np.array(index["sizes"], np.int64).reshape(-1, 2)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))]).tolist()
        self._maps = [_mapped(self.folder / name) for name in ("lr.bin", "hr.bin")]
        self._lr, self._hr = (np.frombuffer(pixels, PIXEL) for pixels in self._maps)
        self._checksums, self._verified = index["checksums"], [False] * len(self.names)

    def _views(self, i):
        height, width = self.sizes[i].tolist()
        start, end, area = self._starts[i], self._starts[i + 1], self.scale**2
        return (
            self._lr[start:end].reshape(height, width),
            self._hr[start * area : end * area].reshape(height * self.scale, width * self.scale),
        )

    def _verify(self, i):
        with self._lock:
            if _checksum(*self._views(i)) != self._checksums[i]:
                self._build_again(i)
                if _checksum(*self._views(i)) != self._checksums[i]:
                    raise UserError(
                        f"{self.folder}: {self.names[i]} is damaged, although it was decoded again. Check the disk, or "
                        "use another --cache_dir."
                    )
            self._verified[i] = True
        self.release()

    def _build_again(self, i):
        problem = f"{self.folder}: the stored pixels of {self.names[i]} are damaged"
        if not self._build:
            raise UserError(f"{problem}. Delete this folder; the next run builds it again.")
        _warn(problem)
        before = self.names, self.sizes.tolist()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._build(self.folder)
        self._open()
        if before != (self.names, self.sizes.tolist()):
            raise UserError(f"{self.folder}: the pictures have changed since the start. Run the same command again.")


class _NothingUsable(UserError):
    def __init__(self, message, skipped):
        super().__init__(message)
        self.skipped = skipped


def open_store(source, scale, cache_dir, *, optional=False):
    """The store of a source. It is built if it does not exist. What cannot be used is printed.

    Args:
        source: a source of `datasets`.
        scale: the factor between LR and HR.
        cache_dir: the parent folder of all stores.
        optional: return None if none of the pictures can be used.

    Raises:
        UserError: if none of the pictures can be used.
    """
    times = [path.stat().st_mtime_ns for path in getattr(source, "inputs", ())]
    key = json.dumps([FORMAT, scale, source.describe(), times], sort_keys=True)
    folder = Path(cache_dir) / "stores" / hashlib.sha256(key.encode()).hexdigest()[:16]
    build = functools.partial(_build, source, scale)
    _sweep(folder.parent)
    try:
        store = Store(folder, build)
    except ValueError as error:
        if folder.exists():
            _warn(error)
        try:
            build(folder)
        except _NothingUsable as error:
            if not optional:
                raise
            print(*(f"skipped: {line}" for line in error.skipped), sep="\n")
            return None
        store = Store(folder, build)
    for line in store.skipped:
        print(f"skipped: {line}")
    return store


def as_rgb(pixels):
    """Pixels of a store -> uint8 [..., 3]; copied if they are not contiguous."""
    pixels = np.ascontiguousarray(pixels)
    return pixels.view(np.uint8).reshape(*pixels.shape, 3)


def _mapped(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _checksum(lr, hr):
    return zlib.crc32(hr, zlib.crc32(lr))


def _warn(problem):
    print(f"warning: {one_line(problem)}. The store is built again.", file=sys.stderr)


def _sweep(stores):
    """Remove unfinished stores of killed processes."""
    atomic.sweep(stores)
    for left in stores.glob("[!.]*.part"):  # of version 0.1, which did not lock them
        shutil.rmtree(left, ignore_errors=True)


def _build(source, scale, folder):
    """Build a store and rename it into place, so that it is complete or absent even if several processes build it."""
    try:
        with atomic.whole_folder(folder) as part:
            index = _decode(source, scale, part)
            if not index["names"]:
                place = getattr(source, "folder", "--data_dir")
                skipped = index["skipped"]
                raise _NothingUsable(f"{place}: none of the images can be used. The first: {skipped[0]}", skipped)
            text = json.dumps(index)
            (part / "index.json").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n")
            if not _is_whole(folder):  # the store of a faster process stays, others may have it open
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"--cache_dir: pictures cannot be stored in {folder.parent} ({error.strerror or error}). Free disk space, "
            "or use another --cache_dir."
        ) from error


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
        raise ValueError(f"{folder}: not a complete store ({reason(error)})") from error
    if hashlib.sha256(text.encode()).hexdigest() != checksum:
        raise ValueError(f"{folder}: its index is damaged")
    index = json.loads(text)
    if "checksums" not in index:
        raise ValueError(f"{folder}: a store of an earlier version, without checksums")
    pixels = sum(height * width for height, width in index["sizes"])
    if sizes != [3 * pixels, 3 * pixels * index["scale"] ** 2]:
        raise ValueError(f"{folder}: pixels are missing")
    return index


def _decode(source, scale, folder):
    """Write the pixels of every usable picture. Returns the index."""
    index = {"scale": scale, "names": [], "sizes": [], "checksums": [], "skipped": []}
    if not sys.stderr.isatty():  # a terminal shows the bar
        print(f"decoding {source.count} pictures once, into {folder.parent}", flush=True)
    with open(folder / "lr.bin", "wb") as lr_file, open(folder / "hr.bin", "wb") as hr_file:
        for picture in bar(source.pictures(), "decoding", source.count, unit=" pictures", disable=None):
            if picture.error:
                index["skipped"].append(picture.error)
                continue
            lr, hr = np.ascontiguousarray(picture.lr), np.ascontiguousarray(picture.hr)
            lr_file.write(lr)
            hr_file.write(hr)
            index["names"].append(picture.name)
            index["sizes"].append(lr.shape[:2])
            index["checksums"].append(_checksum(lr, hr))
    return index
