"""Recognise clips by their file names, without PyAV."""

import hashlib
import os
from pathlib import Path

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # output formats by suffix
SUFFIXES = {
    *CONTAINERS,
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".mpe", ".mpeg"),
    *(".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv"),
}


def is_clip(path) -> bool:
    """Whether the suffix of a path is one of `SUFFIXES`."""
    return Path(path).suffix.lower() in SUFFIXES


def suffix_for(source) -> str:
    """The suffix of a clip's result: its own if it is in `CONTAINERS`, else .mkv, which supports most audio codecs."""
    suffix = Path(source).suffix
    return suffix if suffix.lower() in CONTAINERS else ".mkv"


def segments_of(target) -> Path:
    """The hidden folder beside a result in which its finished segments are kept until it is complete."""
    digest = hashlib.sha256(os.fsencode(Path(target).name)).hexdigest()[:16]  # the name itself may be too long
    return Path(target).with_name(f".{digest}.segments")
