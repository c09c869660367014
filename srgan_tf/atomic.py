"""Files that are there as a whole or not at all, whenever the process ends."""

import contextlib
import os
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None

_PREFIX, _SUFFIX = ".srgan_tf-", ".part"


@contextlib.contextmanager
def whole_file(path):
    """A binary file to write, which takes its place when the block ends; what was there before stays until then.

    It is written under a hidden name in the same folder and removed when the block fails. A killed process leaves it:
    `sweep` removes it later.

    Raises:
        OSError: as `open` and `os.replace` do.
    """
    part, file = _new(Path(path))
    try:
        with file:
            yield file
            if fcntl:  # while it is locked, or a sweep could take it
                file.flush()
                os.replace(part, path)
        if not fcntl:
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep(folder):
    """Remove what killed processes left half-written in a folder; what others are writing at the moment stays."""
    for part in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            with open(part, "r+b") as file:  # NFS locks only what may be written
                if not lock(file):
                    continue
                if fcntl:
                    part.unlink()  # while it is locked, or `_new` could have taken it
            part.unlink(missing_ok=True)


def lock(file):
    """Lock a file without waiting; false where another holds it. File systems without locks never refuse."""
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def _new(path):
    """A new part and its file, locked as long as it is open, which marks it as somebody's."""
    while True:
        part = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}{_SUFFIX}")
        file = open(part, "xb")
        if lock(file) and (not fcntl or os.fstat(file.fileno()).st_nlink):
            return part, file
        file.close()  # swept between its creation and its lock
