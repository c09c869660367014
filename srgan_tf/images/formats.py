"""Picture formats: which can be read and written, and what each can store."""

import dataclasses
import functools
import importlib
import math
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import colours, metadata, png, xmp

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
}  # output formats by suffix
# Readable formats by Pillow's names: one picture or an animation, decoded without starting other programs.
READ = (
    *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "TGA", "PPM", "PSD", "QOI", "DDS"),
    *("PCX", "DCX", "SGI", "SUN", "ICO", "ICNS", "CUR", "IM", "XBM", "XPM", "MSP", "FLI", "BLP", "FTEX", "GBR", "PCD"),
    *("PIXAR", "FITS", "SPIDER", "HEIF", "JXL"),
)
SUPPORTED = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000, TGA and others that Pillow reads"
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JXL", "JPEG2000")  # WebP may be lossless, and the last four, rarely
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "GIF", "AVIF")
# Formats of plug-ins: the package, the module, and how to register it.
_PLUGINS = {
    "pillow-heif": ("pillow_heif", "register_heif_opener", (".heic", ".heif", ".hif", ".heics", ".heifs")),
    "pillow-jxl-plugin": ("pillow_jxl", None, (".jxl",)),
}

_OPTIONS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
}
_WITH_16_BITS = ("PNG", "TIFF")
_WITH_EXIF = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
_HELD_BY = {
    "exif": ("EXIF data", _WITH_EXIF),
    "xmp": ("XMP data", _WITH_EXIF),
    "iptc": ("IPTC data", ("JPEG", "TIFF")),
    "georeference": ("georeference", ("TIFF",)),
    "texts": ("texts", ("PNG",)),
    "comment": ("comment", ("JPEG", "GIF")),
    "dpi": ("resolution", (*_WITH_EXIF, "BMP")),
}  # a field's name and formats
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "AVIF": 32768}
_EMPTY = {"texts": ()}


def check_suffix(path):
    """Return the output format, one of `FORMATS`, for the suffix of a path; UserError for another suffix."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"{path}: unknown format of the result. Choose one of {' '.join(FORMATS)}.")
    return FORMATS[Path(path).suffix.lower()]


def check_same(format, path):
    """UserError if a format, one of the suffixes in `FORMATS` without its dot, is not that of a path; None fits all."""
    if format and check_suffix(path) != FORMATS["." + format]:
        raise UserError(f"--format {format}: --output {path} has another format. Omit one of them.")


def is_picture(path) -> bool:
    """Whether the suffix of a path belongs to a readable picture format, including installed Pillow plug-ins."""
    suffix = Path(path).suffix.lower()
    if suffix in FORMATS:
        return True
    return missing_plugin(path) is None and Image.registered_extensions().get(suffix) in READ


def missing_plugin(path) -> str | None:
    """The package to install for reading files with the suffix of a path; None if no package is missing."""
    suffix = Path(path).suffix.lower()
    for package, (module, register, suffixes) in _PLUGINS.items():
        if suffix in suffixes and not _loaded(module, register):
            return package
    return None


def missing_plugins() -> list[str]:
    """The Pillow plug-ins that are not installed."""
    return [package for package, (module, register, _) in _PLUGINS.items() if not _loaded(module, register)]


def load_plugins():
    """Register the installed Pillow plug-ins."""
    for module, register, _ in _PLUGINS.values():
        _loaded(module, register)


def suffix_for(source) -> str:
    """The suffix of a picture's result: its own if that format preserves its pixels, else .png.

    AVIF is written only on request: Pillow writes 8 bits per channel, but AVIF files often have 10.
    """
    suffix = Path(source).suffix
    return suffix if FORMATS.get(suffix.lower(), "AVIF") != "AVIF" else ".png"


def check_fits(path, height, width, like=None):
    """Return the format of a path; UserError if it cannot store the picture.

    Args:
        height, width: the size of the picture.
        like: a `picture.Picture` with the same depth, channels and transparency.
    """
    kind = check_suffix(path)
    if kind not in WITH_ALPHA and like and like.alpha is not None and not _opaque(like.alpha):
        raise UserError(f"{path}: {kind} cannot store transparency. Choose .png or .webp.")
    if max(height, width) > _LONGEST_SIDE.get(kind, math.inf) or (
        kind == "BMP" and like and _bmp_size(height, width, like) >= 2**32
    ):
        raise UserError(f"{path}: {width} x {height} pixels are too many for {kind}. Choose .png or .tif.")
    if (
        kind == "PNG"
        and like
        and like.pixels.dtype == np.uint16
        and (height * width * channels(like) > png.MAX_VALUES or max(height, width) > png.LONGEST_SIDE)
    ):
        raise UserError(
            f"{path}: {width} x {height} pixels are too many for PNG with 16 bits a channel. Make it smaller or "
            "cut it into parts."
        )
    return kind


def fitted(picture, kind):
    """Convert a picture to what a format can store. Returns it and notes about what changed or was dropped.

    Colours are converted to sRGB if the format cannot store a profile.
    """
    changes, notes = {}, ()
    if kind not in WITH_ALPHA:
        changes["alpha"] = None
    if kind not in _WITH_16_BITS and picture.pixels.dtype == np.uint16:
        changes["pixels"] = rounded(picture.pixels)
        changes.setdefault("alpha", None if picture.alpha is None else rounded(picture.alpha))
        notes += ("rounded to 8 bits a channel",)
    for field, (name, kinds) in _HELD_BY.items():
        if kind not in kinds and getattr(picture, field):
            changes[field] = _EMPTY.get(field)
            notes += (f"without its {name}",)
    if kind == "JPEG" and picture.dpi and max(picture.dpi) > metadata.MOST_DPI_IN_JPEG:
        changes["dpi"] = None
        notes += ("without its resolution",)
    if kind != "PNG" and picture.colours:
        changes["colours"] = ()
        notes += () if png.are_srgb(picture.colours) else ("without its colour chunks",)
    elif picture.pixels.dtype == np.uint8 and (kept := png.without_hdr(picture.colours)) != picture.colours:
        changes["colours"] = kept
        notes += ("without its HDR metadata",)
    picture = dataclasses.replace(picture, **changes)
    # WebP and AVIF store RGB pixels, which a grey profile does not describe.
    if picture.icc and (kind not in _WITH_EXIF or kind in ("WEBP", "AVIF") and picture.icc[16:20] == b"GRAY"):
        picture, others = _without_profile(picture)
        notes += others
    kept = {
        "exif": metadata.exif_for(kind, picture) if kind in _WITH_EXIF else None,
        "xmp": picture.xmp and xmp.sized(picture.xmp, *picture.pixels.shape[:2]),
        "iptc": picture.iptc,
        "comment": picture.comment,
    }
    for field, longest in metadata.LONGEST_IN_JPEG.items() if kind == "JPEG" else ():
        if kept[field] and len(kept[field]) > longest:
            kept[field] = None
            notes += (f"without its {_HELD_BY[field][0]}, too long for JPEG",)
    return dataclasses.replace(picture, **kept), notes


def _without_profile(picture):
    converted = colours.to_srgb(picture.pixels, picture.icc)
    if converted is None:
        return dataclasses.replace(picture, icc=None), ("without its colour profile",)
    notes = () if converted is picture.pixels else ("converted to sRGB",)
    return dataclasses.replace(picture, pixels=converted, icc=None), notes


def channels(picture):
    """The number of channels of a picture in a file, 1 to 4."""
    return (1 if picture.grey else 3) + (picture.alpha is not None)


def rounded(array):
    """uint8 or uint16 -> uint8."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def save_options(kind, picture, quality=None):
    """Pillow's save options for a picture that was `fitted` to a format.

    Args:
        quality: 1 to 100, for JPEG, WebP and AVIF; None selects the default.
    """
    options = dict(_OPTIONS.get(kind, {}))
    if kind == "WEBP" and picture.lossless and quality is None:
        options = {"lossless": True}
    elif options and quality is not None:
        options["quality"] = quality
    kept = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi, "comment": picture.comment}
    if kind == "PNG":
        kept["pnginfo"] = png.chunks_to_write(picture.xmp, picture.texts, picture.colours)
    else:
        kept["xmp"] = picture.xmp
    if kind == "JPEG" and picture.iptc:
        kept["extra"] = metadata.jpeg_segment(picture.iptc)
    return {**options, **{name: value for name, value in kept.items() if value}}


@functools.cache
def _loaded(module, register):
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return False
    if register:
        getattr(loaded, register)()
    return True


def _bmp_size(height, width, picture):
    """The size of a BMP file in bytes: a header, a palette if grey, and rows padded to whole words, without alpha."""
    return 54 + 1024 * picture.grey + height * (-(-width * (1 if picture.grey else 3) // 4) * 4)


def _opaque(alpha):
    return bool((alpha == np.iinfo(alpha.dtype).max).all())
