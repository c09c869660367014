"""Static pages that need no network and no framework: the report and the opinion test."""

import json
import os
from pathlib import Path

from srgan_tf.errors import UserError

_MARK = '<meta name="generator" content="srgan_tf {}">'  # in every page of ours, with its name
_UNFINISHED = (
    "<!DOCTYPE html>{}<title>Not finished</title><p>This page is not finished: its command still runs, or ended early."
)
_HERE = Path(__file__).resolve().parent


def claim(folder, flag, page):
    """Make the folder of a page ("report" or "opinion"), or take one that holds an earlier one of its kind.

    Raises:
        UserError: for a folder with other things in it, or a place that cannot be written; it names the flag.
    """
    folder, mark = Path(folder), _MARK.format(page)
    try:
        index = folder / "index.html"
        if (
            folder.exists()
            and any(folder.iterdir())
            and not (index.is_file() and mark in index.read_text(encoding="utf-8", errors="replace"))
        ):
            raise UserError(f"the folder holds other things, {flag} {folder}, give a new one or an empty one")
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        if not index.exists():
            index.write_text(_UNFINISHED.format(mark), encoding="utf-8")
    except OSError as error:
        raise UserError(f"the folder cannot be used ({error.strerror}), {flag} {folder}, give another one") from error
    return folder


def write(folder, flag, page, data):
    """Write `index.html` of a page ("report" or "opinion") with its style, script and data in it, at once.

    Args:
        folder: from `claim`.
        flag: what the folder was named with.
        page: the name of the page's files beside this module.
        data: JSON values that the script shows.

    Raises:
        UserError: when it cannot be written; it names the flag, and what was there stays.
    """
    html = _text(f"{page}.html")
    parts = {"style": _text("style.css"), "script": _text(f"{page}.js"), "data": embed(data)}
    for name, part in parts.items():
        html = html.replace(f"@@{name}@@", part)
    beside = Path(folder) / f".index.{os.getpid()}.part"
    try:
        try:
            beside.write_text(html, encoding="utf-8")
            os.replace(beside, Path(folder) / "index.html")
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"the page cannot be written ({error.strerror}), {flag} {folder}, give another one") from error


def embed(data):
    """JSON that may stand in a `<script>`: nothing in it can end the element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _text(name):
    return (_HERE / name).read_text(encoding="utf-8")
