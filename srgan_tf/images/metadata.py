"""EXIF, IPTC and resolution of picture files, kept true of an upright and larger picture."""

import os
import struct

from PIL import Image

# Bytes in a JPEG file: less the name before XMP, the header before IPTC, and what Pillow before 13 needs.
LONGEST_IN_JPEG = {"exif": 65533, "xmp": 65533 - 29, "iptc": 65533 - 27, "comment": 65500}
IPTC = 0x83BB  # a tag of TIFF files
_IPTC_IN_JPEG = 0x0404  # a resource of Photoshop
SIDEWAYS = range(5, 9)  # orientations in which rows and columns change places
_MOST_DPI = 0.0254 * 2**31  # that a PNG file holds
XMP = 0x02BC  # a tag of TIFF files, and sometimes of EXIF

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_SUBJECT = (0x9214, 0xA214)  # its area, its location
_WIDTH, _HEIGHT = 0x0100, 0x0101
_EXIF, _GPS, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x8769, 0x8825, 0xA002, 0xA003
# A TIFF file's directory also holds its layout. These tags describe the picture, as EXIF does: document, description,
# make, model, page, software, date, artist, computer, rating, copyright, and Windows' own.
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
    """EXIF data that is true of the upright pixels: without the orientation, the thumbnail, XMP and the size.

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
    """The EXIF orientation, 1 (upright) to 8."""
    found = tags.get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def dpi(tags):
    """Dots per inch, (x, y), of EXIF or a TIFF file's directory; None where it names none."""
    inches = {2: 1, 3: 2.54}.get(tags.get(_UNIT))
    x, y = tags.get(_X_RESOLUTION), tags.get(_Y_RESOLUTION)
    return (float(x) * inches, float(y) * inches) if inches and x and y else None


def sound(dpi, orientation=1):
    """Dots per inch of the upright pixels, (x, y), as floats.

    None for None, and for impossible values: 1 stands in a TIFF file without a unit.
    """
    dpi = dpi[::-1] if dpi and orientation in SIDEWAYS else dpi
    return tuple(map(float, dpi)) if dpi and all(1 < x < _MOST_DPI for x in dpi) else None


def tags_for(kind, picture):
    """A `PIL.Image.Exif` of what is true of a `picture.Picture`, for a file of Pillow's format `kind`."""
    tags = Image.Exif()
    if picture.exif:
        tags.load(picture.exif)
    size = tags.get_ifd(_EXIF) if _EXIF in tags else {}  # get_ifd would add it
    if _PIXEL_WIDTH in size or _PIXEL_HEIGHT in size:
        size[_PIXEL_HEIGHT], size[_PIXEL_WIDTH] = picture.pixels.shape[:2]
    for tag in _SUBJECT:  # in pixels of the photograph
        size.pop(tag, None)
    if kind == "TIFF":
        for tag in set(tags) - _DESCRIPTIVE:
            del tags[tag]
    elif kind == "WEBP" and picture.dpi:  # its only place there
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_UNIT] = *picture.dpi, 2
    _keep_letters(tags)
    return tags


def exif_for(kind, picture):
    """`tags_for` as bytes; None where there are no tags."""
    tags = tags_for(kind, picture)
    return tags.tobytes() if len(tags) else None


def iptc(image, tags):
    """The IPTC data of a file, bytes; None where there are none.

    Args:
        image: Pillow's image, or None.
        tags: the tags of a TIFF file, a `PIL.Image.Exif`.
    """
    resources = image.info.get("photoshop") if image is not None else None
    found = resources.get(_IPTC_IN_JPEG) if isinstance(resources, dict) else tags.get(IPTC)
    if isinstance(found, tuple) and found and all(isinstance(value, int) for value in found):  # as LONG
        found = struct.pack(f"{tags.endian or '<'}{len(found)}L", *found)
    return found if isinstance(found, bytes) and found else None


def jpeg_segment(iptc):
    """The APP13 segment of a JPEG file with IPTC data: a resource of Photoshop."""
    resource = b"8BIM" + struct.pack(">HxxI", _IPTC_IN_JPEG, len(iptc)) + iptc + bytes(len(iptc) % 2)
    content = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content


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
    """Keep the bytes of text, which Pillow reads as Latin-1 whatever it is, and would write as question marks."""
    for folder in (tags, *(tags.get_ifd(tag) for tag in (_EXIF, _GPS) if tag in tags)):
        for tag, value in list(folder.items()):
            if isinstance(value, str) and not value.isascii():
                folder[tag] = value.encode("latin-1", "replace")
