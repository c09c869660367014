"""What picture files say beside their pixels, EXIF and resolution, and what of it is still true of a larger picture."""

import os

from PIL import Image

LONGEST_IN_JPEG = {"exif": 65533, "xmp": 65533 - 29, "comment": 65500}  # bytes: a name before XMP, and Pillow before 13
SIDEWAYS = range(5, 9)  # orientations in which rows and columns change places
_MOST_DPI = 0.0254 * 2**31  # that a PNG file holds
XMP = 0x02BC  # a tag of TIFF files, which some put among EXIF, too

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_SUBJECT = (0x9214, 0xA214)  # its area, its location
_WIDTH, _HEIGHT = 0x0100, 0x0101
_EXIF, _GPS, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x8769, 0x8825, 0xA002, 0xA003
# A TIFF file's directory holds its layout too; these are the tags that tell of the picture, as EXIF does: document,
# description, make, model, page, software, date, artist, computer, rating, copyright, Windows' own.
_DESCRIPTIVE = {
    0x010D,
    0x010E,
    0x010F,
    0x0110,
    0x011D,
    0x0131,
    0x0132,
    0x013B,
    0x013C,
    0x4746,
    0x4749,
    0x8298,
    *range(0x9C9B, 0x9CA0),
    _EXIF,
    _GPS,
}


def exif(tags, *, from_tiff=False):
    """EXIF data that holds of the upright pixels.

    The orientation, the thumbnail, XMP, and the size beside the tags are left out.

    Args:
        tags: a `PIL.Image.Exif`, which is changed.
        from_tiff: whether the tags are a TIFF file's own.

    Returns:
        bytes, None where nothing is left.
    """
    if orientation(tags) in SIDEWAYS and _X_RESOLUTION in tags and _Y_RESOLUTION in tags:
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = tags[_Y_RESOLUTION], tags[_X_RESOLUTION]
    for tag in list(tags):
        if tag in (_ORIENTATION, _WIDTH, _HEIGHT, XMP) or from_tiff and tag not in _DESCRIPTIVE:
            del tags[tag]
    _keep_letters(tags)
    tags.bigtiff = False  # EXIF data has the layout of ordinary TIFF files
    return tags.tobytes() if len(tags) else None


def orientation(tags):
    """How the pixels lie in the file: 1, upright, to 8."""
    found = tags.get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def dpi(tags):
    """Dots an inch, (x, y), as EXIF or a TIFF file's directory tells; None where it does not."""
    inches = {2: 1, 3: 2.54}.get(tags.get(_UNIT))
    x, y = tags.get(_X_RESOLUTION), tags.get(_Y_RESOLUTION)
    return (float(x) * inches, float(y) * inches) if inches and x and y else None


def sound(dpi, orientation=1):
    """Dots an inch of the upright pixels, (x, y), as two floats.

    None for None, and for what is none: 1 stands in a TIFF without a unit.
    """
    dpi = dpi[::-1] if dpi and orientation in SIDEWAYS else dpi
    return tuple(map(float, dpi)) if dpi and all(1 < x < _MOST_DPI for x in dpi) else None


def tags_for(kind, picture):
    """A `PIL.Image.Exif` of what is still true of a `picture.Picture`, to be written in Pillow's format `kind`."""
    tags = Image.Exif()
    if picture.exif:
        tags.load(picture.exif)
    size = tags.get_ifd(_EXIF) if _EXIF in tags else {}  # it would be made
    if _PIXEL_WIDTH in size or _PIXEL_HEIGHT in size:
        size[_PIXEL_HEIGHT], size[_PIXEL_WIDTH] = picture.pixels.shape[:2]
    for tag in _SUBJECT:  # where it is, in pixels of what the camera saw
        size.pop(tag, None)
    if kind == "TIFF":
        for tag in set(tags) - _DESCRIPTIVE:
            del tags[tag]
    elif kind == "WEBP" and picture.dpi:  # its only place there
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_UNIT] = *picture.dpi, 2
    _keep_letters(tags)
    return tags


def exif_for(kind, picture):
    """The same as bytes; None where there is nothing."""
    tags = tags_for(kind, picture)
    return tags.tobytes() if len(tags) else None


def is_lossless(file):
    """Whether a WebP file, open and binary, holds its first picture without loss."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        file.seek(16 if kind == b"ANMF" else length + length % 2, os.SEEK_CUR)  # a frame holds its picture's chunks
    return False


def _keep_letters(tags):
    """Pillow reads text as Latin-1, whatever it is, and would write question marks: its bytes go along as they are."""
    for folder in (tags, *(tags.get_ifd(tag) for tag in (_EXIF, _GPS) if tag in tags)):
        for tag, value in list(folder.items()):
            if isinstance(value, str) and not value.isascii():
                folder[tag] = value.encode("latin-1", "replace")
