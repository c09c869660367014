"""Atomic writes of files and folders, and claims that let only one process make a file."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which does not remove open files anyway
    fcntl = None

_PREFIX, _SUFFIX, _CLAIM = ".srgan_tf-", ".part", ".lock"  # an unfinished folder has a file ".lock" in it


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary file for writing that replaces the file at the path when the block ends.

    It is written under a hidden name in the same folder and removed if the block fails. A killed process leaves it
    behind; `sweep` removes it later.

    Raises:
        OSError: see `open` and `os.replace`.
    """
    part, file = _new(Path(path))
    try:
        with file:
            yield file
            file.flush()
            _sync(file)  # otherwise a power failure may leave an empty file under the final name
            if fcntl:  # while it is locked, otherwise a sweep could remove it
                os.replace(part, path)
        if not fcntl:
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Create a folder for writing that gets its name when the block ends.

    It is written under a hidden name in the same parent folder, and removed if the block fails or if the path exists
    when it ends. A killed process leaves it behind; `sweep` removes it later.

    Raises:
        OSError: see `os.mkdir` and `os.rename`.
    """
    part, mark = _new_folder(Path(path))
    try:
        with mark:
            yield part
            for name in part.iterdir():
                with open(name, "r+b") as file:
                    _sync(file)
            if fcntl:  # while it is locked, otherwise a sweep could remove it
                _rename(part, path)
        if not fcntl:
            _rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def claimed(path: str | os.PathLike) -> Iterator[bool | None]:
    """Claim a file before making it. Yields True, or False if another process is making it.

    The claim is a lock on a hidden file in the same folder. It is released when the block or the process ends, for
    any reason. Yields None if the folder does not exist or is not writable, so that nothing can be claimed. If it does
    not support locks, every claim succeeds.
    """
    file = None
    name = hashlib.sha256(os.fsencode(Path(path).name)).hexdigest()[:16]
    mark = Path(path).with_name(f"{_PREFIX}{name}{_CLAIM}")
    with contextlib.suppress(OSError):
        file = _claim(mark)
    try:
        yield file if file is None else bool(file)
    finally:
        if file:
            if fcntl:
                mark.unlink(missing_ok=True)  # while it is locked, otherwise it could belong to another process
            file.close()


def sweep(folder: str | os.PathLike) -> None:
    """Remove unfinished files and folders of killed processes from a folder; those of running processes stay."""
    parts, folder = [], Path(folder)
    with contextlib.suppress(OSError):  # a folder that cannot be read is reported when it is written to
        parts = [*folder.glob(f"{_PREFIX}*{_SUFFIX}"), *folder.glob(f"{_PREFIX}*{_CLAIM}")]
    for part in parts:
        with contextlib.suppress(OSError):
            inside = part.is_dir()
            with open(part / _CLAIM, "ab") if inside else open(part, "r+b") as file:  # NFS locks only writable files
                if not lock(file):
                    continue
                if fcntl:
                    _remove(part)  # while it is locked, otherwise `_new` could use it
            if inside and not fcntl:
                (part / _CLAIM).unlink()  # fails if another process has it open
            _remove(part)


def _remove(part):
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def lock(file: BinaryIO) -> bool:
    """Lock a file without waiting; False if another process holds it. On file systems without locks always True."""
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def _sync(file):
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # locks are not supported
            raise


def _claim(mark):
    """The open, locked file of a claim; False if another process holds it."""
    while True:
        file = open(mark, "ab")
        if not lock(file):
            file.close()
            return False
        if not fcntl or os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # removed between opening and locking


def _new_folder(path):
    """Create an unfinished folder. Returns its path and a file in it, locked while open to show that it is in use."""
    while True:
        part = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}{_SUFFIX}")
        part.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):  # swept since it was created
            if mark := _claim(part / _CLAIM):
                return part, mark


def _rename(part, path):
    try:
        os.rename(part, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    else:
        Path(path, _CLAIM).unlink(missing_ok=True)


def _new(path):
    """Create an unfinished file. Returns its path and the file, locked while open to show that it is in use."""
    while True:
        part = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}{_SUFFIX}")
        file = open(part, "xb")
        if lock(file) and (not fcntl or os.fstat(file.fileno()).st_nlink):
            return part, file
        file.close()  # swept between creation and locking
