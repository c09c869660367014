"""Files that are there as a whole or not at all, whenever the process ends, and each made by one process only."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None

_PREFIX, _SUFFIX, _CLAIM = ".srgan_tf-", ".part", ".lock"


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file to write, which replaces the one at the path when the block ends.

    It is written under a hidden name in the same folder and removed when the block fails. A killed process leaves it;
    `sweep` removes it later.

    Raises:
        OSError: as `open` and `os.replace` do.
    """
    part, file = _new(Path(path))
    try:
        with file:
            yield file
            file.flush()
            _sync(file)  # else a power failure may leave a file of the right name without content
            if fcntl:  # while it is locked, or a sweep could take it
                os.replace(part, path)
        if not fcntl:
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def claimed(path: str | os.PathLike) -> Iterator[bool]:
    """Claim a file that is to be made: the block gets False where another process is making it.

    The claim is the lock of a hidden file in the same folder. It ends with the block or with the process, however that
    ends. Where there is no such folder, or it may not be written, or locks are not supported, nothing is refused.
    """
    file = None
    name = hashlib.sha256(os.fsencode(Path(path).name)).hexdigest()[:16]
    mark = Path(path).with_name(f"{_PREFIX}{name}{_CLAIM}")
    with contextlib.suppress(OSError):
        file = _claim(mark)
    try:
        yield file is not False
    finally:
        if file:
            if fcntl:
                mark.unlink(missing_ok=True)  # while it is locked, or it could be another's
            file.close()


def sweep(folder: str | os.PathLike) -> None:
    """Remove what killed processes left half-written in a folder; the files of running ones stay."""
    folder = Path(folder)
    for part in [*folder.glob(f"{_PREFIX}*{_SUFFIX}"), *folder.glob(f"{_PREFIX}*{_CLAIM}")]:
        with contextlib.suppress(OSError):
            with open(part, "r+b") as file:  # NFS locks only what may be written
                if not lock(file):
                    continue
                if fcntl:
                    part.unlink()  # while it is locked, or `_new` could have taken it
            part.unlink(missing_ok=True)


def lock(file: BinaryIO) -> bool:
    """Lock a file without waiting; false where another holds it. File systems without locks never refuse."""
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
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported there
            raise


def _claim(mark):
    """The open and locked file of a claim; False where another process has it."""
    while True:
        file = open(mark, "ab")
        if not lock(file):
            file.close()
            return False
        if not fcntl or os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # removed between its opening and its lock


def _new(path):
    """A new part and its file, locked as long as it is open, which shows that a process is writing it."""
    while True:
        part = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}{_SUFFIX}")
        file = open(part, "xb")
        if lock(file) and (not fcntl or os.fstat(file.fileno()).st_nlink):
            return part, file
        file.close()  # swept between its creation and its lock
