"""Static pages without dependencies or network access: the report and the opinion test."""

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

    Raises:
        UserError: for a folder with other files in it, and for one that cannot be written.
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
        if not index.exists():
            index.write_text(_UNFINISHED.format(mark), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be used ({error.strerror}). Give another folder.") from error
    return folder


def write(folder, flag, page, data):
    """Write `index.html` of a page ("report" or "opinion"), with style, script and data in one file.

    Args:
        folder: from `claim`.
        flag: the flag that named the folder, for error messages.
        page: the kind of page, the name of its files in this package.
        data: JSON values for the script.

    Raises:
        UserError: if it cannot be written; an earlier page stays as it was.
    """
    html = _text(f"{page}.html")
    parts = {"style": _text("style.css"), "script": _text(f"{page}.js"), "data": embed(data)}
    for name, part in parts.items():
        html = html.replace(f"@@{name}@@", part)
    try:
        with atomic.whole_file(Path(folder) / "index.html") as file:
            file.write(html.encode())
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be written ({error.strerror}). Give another folder.") from error


def embed(data):
    """JSON that is safe in a `<script>` element: it cannot end the element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _text(name):
    return (_HERE / name).read_text(encoding="utf-8")
