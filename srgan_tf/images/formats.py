"""What each format of picture files holds: sizes, depth, alpha, and what is said beside the pixels."""

import dataclasses
import math
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import metadata, png, xmp

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}  # what is written, by suffix; more can be read
OF_SETS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # taken from folders to train on and to score
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "GIF")

_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
_WITH_16_BITS = ("PNG", "TIFF")
_WITH_EXIF = ("PNG", "JPEG", "WEBP", "TIFF")
_HELD_BY = {
    "exif": ("EXIF data", _WITH_EXIF),
    "icc": ("colour profile", _WITH_EXIF),
    "xmp": ("XMP data", _WITH_EXIF),
    "texts": ("texts", ("PNG",)),
    "comment": ("comment", ("JPEG", "GIF")),
}  # a field's name and formats
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535}


def check_suffix(path):
    """The format that the suffix of a path means, one of `FORMATS`, or UserError."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"the format of the result is unknown, {path}, choose one of {' '.join(FORMATS)}")
    return FORMATS[Path(path).suffix.lower()]


def is_picture(path):
    """Whether a path's suffix is that of any format of pictures that Pillow knows."""
    return Path(path).suffix.lower() in Image.registered_extensions()


def check_fits(path, height, width, like=None):
    """The format of a path, or UserError when it cannot hold a picture.

    Args:
        height, width: of the picture.
        like: a `picture.Picture` of the same depth and channels, and transparent if the other is.
    """
    kind = check_suffix(path)
    if kind not in WITH_ALPHA and like and like.alpha is not None and not _opaque(like.alpha):
        raise UserError(f"{kind} holds no transparency, {path}, choose .png or .webp")
    if max(height, width) > _LONGEST_SIDE.get(kind, math.inf) or (
        kind == "BMP" and like and _bmp_size(height, width, like) >= 2**32
    ):
        raise UserError(f"{width} x {height} pixels are too many for {kind}, {path}, choose .png or .tif")
    if (
        kind == "PNG"
        and like
        and like.pixels.dtype == np.uint16
        and (height * width * channels(like) > png.MOST or max(height, width) > png.LONGEST_SIDE)
    ):
        raise UserError(
            f"{width} x {height} pixels are too many for PNG with 16 bits a channel, {path}, make it "
            "smaller or cut it into parts"
        )
    return kind


def fitted(picture, kind):
    """What a format can hold of a picture and of what its file said; and a tuple of what is worth telling about it."""
    pixels, alpha, notes, said = picture.pixels, picture.alpha, (), {}
    if kind not in WITH_ALPHA:
        alpha = None
    if kind not in _WITH_16_BITS and pixels.dtype == np.uint16:
        pixels, alpha = rounded(pixels), None if alpha is None else rounded(alpha)
        notes += ("rounded to 8 bits a channel",)
    for field, (name, kinds) in _HELD_BY.items():
        if kind not in kinds and getattr(picture, field):
            said[field] = () if field == "texts" else None
            notes += (f"without its {name}",)
    if kind == "WEBP" and (picture.icc or b"")[16:20] == b"GRAY":  # WebP's pixels are RGB
        said["icc"] = None
        notes += ("without its colour profile",)
    if kind != "PNG" and picture.colours:
        said["colours"] = ()
        notes += () if png.are_srgb(picture.colours) else ("without its colour chunks",)
    picture = dataclasses.replace(picture, pixels=pixels, alpha=alpha, **said)
    said = {
        "exif": metadata.exif_for(kind, picture) if kind in _WITH_EXIF else None,
        "xmp": picture.xmp and xmp.sized(picture.xmp, *pixels.shape[:2]),
        "comment": picture.comment,
    }
    for field, longest in metadata.LONGEST_IN_JPEG.items() if kind == "JPEG" else ():
        if said[field] and len(said[field]) > longest:
            said[field] = None
            notes += (f"without its {_HELD_BY[field][0]}, too long for JPEG",)
    return dataclasses.replace(picture, **said), notes


def channels(picture):
    """How many channels a picture has in a file, 1 to 4."""
    return (1 if picture.grey else 3) + (picture.alpha is not None)


def rounded(array):
    """uint8 or uint16 -> uint8."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def save_options(kind, picture):
    """Pillow's options for a format, with what is said about a picture that was `fitted` to it."""
    quality = {"lossless": True} if kind == "WEBP" and picture.lossless else _OPTIONS.get(kind, {})
    said = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi, "comment": picture.comment}
    if kind == "PNG":
        said["pnginfo"] = png.chunks_to_write(picture.xmp, picture.texts, picture.colours)
    else:
        said["xmp"] = picture.xmp
    return {**quality, **{name: value for name, value in said.items() if value}}


def _bmp_size(height, width, picture):
    """Bytes of a BMP file: rows of whole words, without alpha, behind a header and, for grey, a palette."""
    return 54 + 1024 * picture.grey + height * (-(-width * (1 if picture.grey else 3) // 4) * 4)


def _opaque(alpha):
    return bool((alpha == np.iinfo(alpha.dtype).max).all())
