"""Hold back what C libraries write to standard error."""

import contextlib
import os
import sys
import tempfile
import threading

from srgan_tf.errors import UserError


class _Held:
    """The process' standard error while at least one thread holds it back: there is one file descriptor for all."""

    lock, holders, stderr, file = threading.Lock(), 0, None, None


@contextlib.contextmanager
def held_back():
    """Hold back standard error, of all threads, while the block runs; show it only if the block fails with a bug."""
    with _Held.lock:
        _Held.holders += 1
        if _Held.holders == 1:
            sys.stderr.flush()
            _Held.stderr, _Held.file = os.dup(2), tempfile.TemporaryFile()
            os.dup2(_Held.file.fileno(), 2)
    bug = False
    try:
        yield
    except Exception as error:
        bug = not isinstance(error, UserError)
        raise
    finally:
        with _Held.lock:
            if bug:
                _Held.file.seek(0)
                os.write(_Held.stderr, _Held.file.read())
            _Held.holders -= 1
            if not _Held.holders:
                os.dup2(_Held.stderr, 2)
                os.close(_Held.stderr)
                _Held.file.close()
