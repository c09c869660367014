"""Static pages without dependencies or network access: the report and the opinion test."""

import contextlib
import json
from pathlib import Path

from srgan_tf import atomic
from srgan_tf.errors import UserError

_MARK = '<meta name="generator" content="srgan_tf {}">'  # in every page, with its kind
_UNFINISHED = (
    "<!DOCTYPE html>{}<title>Not finished</title><p>This page is not finished: its command is running or has failed."
)
_HERE = Path(__file__).resolve().parent


def claim(folder, flag, page):
    """Create the folder of a page ("report" or "opinion"), or accept one with an earlier page of the same kind.

    Returns:
        The folder, and an `ExitStack` to close when the page is finished. Until then no other run may use the folder:
        two runs would remove each other's pictures.

    Raises:
        UserError: for a folder with other files in it, for one that cannot be written, and for one that another run
            is writing.
    """
    folder, mark = Path(folder), _MARK.format(page)
    try:
        index = folder / "index.html"
        if (
            folder.exists()
            and any(folder.iterdir())
            and not (index.is_file() and mark in index.read_text(encoding="utf-8", errors="replace"))
        ):
            raise UserError(f"{flag} {folder}: holds other files. Give a new or an empty folder.")
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be used ({error.strerror}). Give another folder.") from error
    held = contextlib.ExitStack()
    if not held.enter_context(atomic.claimed(index)):
        raise UserError(f"{flag} {folder}: another run is writing it. Wait for it, or give another folder.")
    if not index.exists():
        begin(folder, flag, page)
    return folder, held


def begin(folder, flag, page):
    """Replace an earlier page, whose pictures are about to change, by one that says that it is not finished.

    Args and errors are those of `write`.
    """
    _write(folder, flag, _UNFINISHED.format(_MARK.format(page)))


def write(folder, flag, page, data):
    """Write `index.html` of a page ("report" or "opinion"), with style, script and data in one file.

    Args:
        folder: from `claim`.
        flag: the flag that named the folder, for error messages.
        page: the kind of page, the name of its files in this package.
        data: JSON values for the script.

    Raises:
        UserError: if it cannot be written.
    """
    html = _text(f"{page}.html")
    parts = {"style": _text("style.css"), "script": _text(f"{page}.js"), "data": embed(data)}
    for name, part in parts.items():
        html = html.replace(f"@@{name}@@", part)
    _write(folder, flag, html)


def embed(data):
    """JSON that is safe in a `<script>` element: it cannot end the element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _write(folder, flag, html):
    try:
        with atomic.whole_file(Path(folder) / "index.html") as file:
            file.write(html.encode())
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be written ({error.strerror}). Give another folder.") from error


def _text(name):
    return (_HERE / name).read_text(encoding="utf-8")
