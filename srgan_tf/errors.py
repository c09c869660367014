"""What the user sees when something goes wrong: errors, text from outside made safe, and no noise of C libraries."""

import contextlib
import os
import re
import sys
import tempfile
import threading
import unicodedata

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, separators of lines and paragraphs
_REORDERING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # would reverse what follows
_CREDENTIALS = re.compile(r"(\b[\w+.-]+://)(?:[^\s/@]+|[^\s/@:]+:(?!\d+/)[^\s@]+)@")  # scheme://KEY:SECRET@


class UserError(Exception):
    """A wrong flag, file or environment: one line, `FILE or --flag: what is wrong. What to do.`

    Commands print it as `error: ...` without a traceback. Every other exception is a bug and shows one.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class Stopped(Exception):
    """The user ended the work with a signal, and it can be resumed. Commands print the text and exit with `status`."""

    def __init__(self, text: str, signal_number: int):
        super().__init__(one_line(text))
        self.status = 128 + signal_number  # as a shell reports it: 130 after Ctrl-C


class ModelError(UserError):
    """A model that cannot be used: no picture can be enlarged, so it ends a run instead of failing one picture."""


def one_line(text) -> str:
    r"""Make text from outside safe to print: file names, servers' messages and model files may hold anything.

    Characters that would end the line or steer a terminal are spelt out (`\n`), and credentials in URLs are masked.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if character in _REORDERING or unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in masked(str(text))
    )


def masked(text: str) -> str:
    """Replace the user name and password of URLs: `s3://KEY:SECRET@bucket` becomes `s3://***@bucket`."""
    return _CREDENTIALS.sub(r"\1***@", text) if "@" in text else text


def reason(error: BaseException, longest: int = 300) -> str:
    """What an exception of another library says, in one line: the system's message where there is one."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return one_line(text if len(text) <= longest else text[:longest] + "...")


class _Held:
    """The process' standard error while at least one thread holds it back: there is one file descriptor for all."""

    lock, holders, stderr, file = threading.Lock(), 0, None, None


@contextlib.contextmanager
def stderr_held_back():
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
