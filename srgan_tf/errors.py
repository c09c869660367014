"""Error messages for users: exceptions, sanitising of untrusted text, and suppression of output of C libraries."""

import contextlib
import os
import re
import sys
import tempfile
import threading
import unicodedata

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, separators of lines and paragraphs
_REORDERING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # would reorder the following text
_CREDENTIALS = re.compile(r"(\b[\w+.-]+://)(?:[^\s/@]+|[^\s/@:]+:(?!\d+/)[^\s@]+)@")  # scheme://KEY:SECRET@


class UserError(Exception):
    """A wrong flag, file or environment: one line, `FILE or --flag: what is wrong. What to do.`

    Commands print it as `error: ...` without a traceback. Any other exception is a bug and shows a traceback.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class Stopped(Exception):
    """The user ended the work with a signal, and it can be resumed. Commands print the text and exit with `status`."""

    def __init__(self, text: str, signal_number: int):
        super().__init__(one_line(text))
        self.status = 128 + signal_number  # as a shell reports it: 130 after Ctrl-C


class ModelError(UserError):
    """A model that cannot be used. It ends the run instead of failing one picture, since no picture can be enlarged."""


def one_line(text) -> str:
    r"""Make untrusted text safe to print: file names, messages of servers and model files may contain anything.

    Line breaks and control characters are escaped (`\n`), and credentials in URLs are masked.
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
    """The message of a library's exception in one line; the message of the operating system if there is one."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return one_line(text if len(text) <= longest else text[:longest] + "...")


class _Held:
    """Standard error of the process while at least one thread holds it back: all threads share the descriptor."""

    lock, holders, stderr, file = threading.Lock(), 0, None, None


@contextlib.contextmanager
def stderr_held_back():
    """Buffer standard error of all threads while the block runs; print it only if the block fails with a bug."""
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
