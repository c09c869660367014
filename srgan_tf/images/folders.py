"""Finds the pictures in folders and counts other files, for upscaling, training and scoring."""

import collections
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from srgan_tf.errors import UserError
from srgan_tf.images import clip_names, formats

# Endings that programs append to the name of their input, such as _x4, -4x, _SR and _out; DIV2K's x4m is "mild".
_ENDING = re.compile(r"[ _.-]*(x[248][mdw]?|[248]x|sr|hr|lr|out|output|result|upscaled|enlarged)$", re.IGNORECASE)


def is_folder(path: str | os.PathLike) -> bool:
    """Whether a path is a folder or a link to one; `UserError` for a path that cannot be examined, see `is_file`."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: str | os.PathLike) -> bool:
    """Whether a path is a file or a link to one.

    Raises:
        UserError: for a path that cannot be examined: its name is too long, or a folder above it is not accessible.
    """
    return stat.S_ISREG(_mode(path))


def kind(name: str) -> str:
    """ "picture", "clip", "hidden", or, for other files, the suffix such as ".txt" or "no suffix"."""
    if os.path.basename(name).startswith("."):
        return "hidden"
    if formats.is_picture(name):
        return "picture"
    return "clip" if clip_names.is_clip(name) else os.path.splitext(name)[1].lower() or "no suffix"


def summary(others: collections.Counter) -> str:
    """Summarise other files by kind in one line, such as "2 .txt, 1 .heic (pip install pillow-heif)"."""
    counts = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(
        f"{count} {'without a suffix' if kind == 'no suffix' else kind}"
        + (f" (pip install {plugin})" if (plugin := formats.missing_plugin(f"a{kind}")) else "")
        for kind, count in counts
    )


def stems(stem: str) -> Iterator[str]:
    """A file's name without extension, then without one ending such as _x4 or _HR, without two, and so on."""
    yield stem
    while (shorter := _ENDING.sub("", stem)) != stem and shorter:
        stem = shorter
        yield stem


def _mode(path):
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise UserError(f"{path}: cannot be examined ({error.strerror}). Check its name and permissions.") from None


def pictures_below(folder, onerror=None) -> tuple[list[Path], collections.Counter]:
    """Find the pictures in a folder and its sub-folders, sorted, and count other files by kind.

    Hidden files and folders are skipped. Links to folders are followed, but not to parent folders, and each folder
    is visited once.

    Args:
        folder: a path.
        onerror: called with the `OSError` of a folder that cannot be read.
    """
    found, others, top = [], collections.Counter(), Path(os.path.realpath(folder))
    seen = {str(place) for place in (top, *top.parents)}
    for below, folders, names in os.walk(folder, onerror=onerror, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and _first_time(below, name, seen)]
        for name in names:
            of_kind = kind(name)
            if of_kind == "picture" and os.path.isfile(os.path.join(below, name)):
                found.append(Path(below, name))
            elif of_kind not in ("picture", "hidden"):
                others[of_kind] += 1
    return sorted(found), others


def _first_time(below, name, seen):
    place = os.path.realpath(os.path.join(below, name))
    new = place not in seen
    seen.add(place)
    return new
