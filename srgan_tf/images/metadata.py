"""EXIF, IPTC and resolution of picture files, adapted to an upright, enlarged picture."""

import os
import struct

from PIL import Image

# Maximum bytes in a JPEG file, excluding the name before XMP, the header before IPTC, and a reserve for Pillow < 13.
LONGEST_IN_JPEG = {"exif": 65533, "xmp": 65533 - 29, "iptc": 65533 - 27, "comment": 65500}
IPTC = 0x83BB  # a tag of TIFF files
_IPTC_IN_JPEG = 0x0404  # a resource of Photoshop
SIDEWAYS = range(5, 9)  # orientations that swap rows and columns
_MOST_DPI = 0.0254 * 2**31  # the maximum in PNG
MOST_DPI_IN_JPEG = 65535  # Pillow writes higher ones modulo 65536
XMP = 0x02BC  # a tag of TIFF files, and sometimes of EXIF

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_SUBJECT = (0x9214, 0xA214)  # SubjectArea, SubjectLocation
_WIDTH, _HEIGHT = 0x0100, 0x0101
_EXIF, _GPS, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x8769, 0x8825, 0xA002, 0xA003
# A TIFF directory also describes the file's layout. These tags describe the picture, as in EXIF: document,
# description, make, model, page, software, date, artist, computer, rating, copyright, and those of Windows.
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
    """EXIF data for the upright pixels, without the orientation, the thumbnail, XMP and the size.

    Args:
        tags: a `PIL.Image.Exif`, modified in place.
        from_tiff: whether the tags come from the directory of a TIFF file.

    Returns:
        bytes, or None if no tags remain.
    """
    if orientation(tags) in SIDEWAYS and _X_RESOLUTION in tags and _Y_RESOLUTION in tags:
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = tags[_Y_RESOLUTION], tags[_X_RESOLUTION]
    for tag in list(tags):
        if tag in (_ORIENTATION, _WIDTH, _HEIGHT, XMP) or from_tiff and tag not in _DESCRIPTIVE:
            del tags[tag]
    _keep_letters(tags)
    tags.bigtiff = False  # EXIF uses the classic TIFF layout
    return tags.tobytes() if len(tags) else None


def orientation(tags):
    """The EXIF orientation, 1 (upright) to 8."""
    found = tags.get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def dpi(tags):
    """Dots per inch, (x, y), from EXIF or a TIFF directory; None if not specified."""
    inches = {2: 1, 3: 2.54}.get(tags.get(_UNIT))
    x, y = tags.get(_X_RESOLUTION), tags.get(_Y_RESOLUTION)
    return (float(x) * inches, float(y) * inches) if inches and x and y else None


def plausible_dpi(dpi, orientation=1):
    """Dots per inch of the upright pixels, (x, y), as floats.

    None for None and for implausible values, such as 1 in a TIFF file without a unit.
    """
    dpi = dpi[::-1] if dpi and orientation in SIDEWAYS else dpi
    return tuple(map(float, dpi)) if dpi and all(1 < x < _MOST_DPI for x in dpi) else None


def tags_for(kind, picture):
    """The tags of a `picture.Picture` as a `PIL.Image.Exif`, for a file in Pillow's format `kind`."""
    tags = Image.Exif()
    if picture.exif:
        tags.load(picture.exif)
    size = tags.get_ifd(_EXIF) if _EXIF in tags else {}  # get_ifd would add the directory
    if _PIXEL_WIDTH in size or _PIXEL_HEIGHT in size:
        size[_PIXEL_HEIGHT], size[_PIXEL_WIDTH] = picture.pixels.shape[:2]
    for tag in _SUBJECT:  # in pixels of the original photograph
        size.pop(tag, None)
    if kind == "TIFF":
        for tag in set(tags) - _DESCRIPTIVE:
            del tags[tag]
    elif kind in ("WEBP", "AVIF") and picture.dpi:  # these can store the resolution only in EXIF
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_UNIT] = *picture.dpi, 2
    _keep_letters(tags)
    return tags


def exif_for(kind, picture):
    """`tags_for` as bytes; None if there are no tags."""
    tags = tags_for(kind, picture)
    return tags.tobytes() if len(tags) else None


def iptc(image, tags):
    """The IPTC data of a file, bytes; None if there is none.

    Args:
        image: a Pillow image, or None.
        tags: the tags of a TIFF file, a `PIL.Image.Exif`.
    """
    resources = image.info.get("photoshop") if image is not None else None
    found = resources.get(_IPTC_IN_JPEG) if isinstance(resources, dict) else tags.get(IPTC)
    if isinstance(found, tuple) and found and all(isinstance(value, int) for value in found):  # of type LONG
        found = struct.pack(f"{tags.endian or '<'}{len(found)}L", *found)
    return found if isinstance(found, bytes) and found else None


def jpeg_segment(iptc):
    """The APP13 segment of a JPEG file with IPTC data: a resource of Photoshop."""
    resource = b"8BIM" + struct.pack(">HxxI", _IPTC_IN_JPEG, len(iptc)) + iptc + bytes(len(iptc) % 2)
    content = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content


def gif_xmp(file):
    """The XMP packet of an open, binary GIF file, which Pillow does not read; None if absent."""
    file.seek(0)
    _, _, rest = file.read().partition(b"!\xff\x0bXMP DataXMP")
    packet, end, _ = rest.partition(b"\x01\xff\xfe")  # behind the packet, for readers that expect blocks
    return packet if end else None


def is_lossless(file):
    """Whether the first picture of an open, binary WebP file is stored losslessly."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        file.seek(16 if kind == b"ANMF" else length + length % 2, os.SEEK_CUR)  # a frame contains the picture's chunks
    return False


def _keep_letters(tags):
    """Preserve the bytes of text tags: Pillow reads any encoding as Latin-1 and would write question marks."""
    for folder in (tags, *(tags.get_ifd(tag) for tag in (_EXIF, _GPS) if tag in tags)):
        for tag, value in list(folder.items()):
            if isinstance(value, str) and not value.isascii():
                folder[tag] = value.encode("latin-1", "replace")
