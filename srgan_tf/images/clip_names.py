"""Which files are clips, by their names; without PyAV."""

from pathlib import Path

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # what is written, by suffix
SUFFIXES = {*CONTAINERS, ".avi", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"}


def is_clip(path):
    """Whether a path's suffix is one of `SUFFIXES`."""
    return Path(path).suffix.lower() in SUFFIXES


def suffix_for(source):
    """The suffix of a clip's result: its own, or .mkv where H.264 and copied sound would not be at home."""
    suffix = Path(source).suffix
    return suffix if suffix.lower() in CONTAINERS else ".mkv"
