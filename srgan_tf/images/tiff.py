"""TIFF files: those of 9 to 16 bits a channel read by tifffile, where it is installed; all written here.

Pillow holds no colours of 16 bits, and loses the folders of EXIF where it compresses.
"""

import itertools
import logging
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

from srgan_tf.errors import UserError

_END = 2**32  # of what such a file can address
_STRIP = 2**20  # bytes of pixels that are compressed together
_PAGES = 9  # that are looked at: a damaged file may have them without end
_FOLDERS, _INTEROP = (0x8769, 0x8825), 0xA005  # EXIF and GPS tags; within EXIF
_DEFLATE, _DIFFERENCES, _CONTIGUOUS, _UNASSOCIATED = 8, 2, 1, 2
_LONG, _OFFSETS, _STANDS_FOR_OFFSETS = 4, 273, 275


def decode(file, path, max_pixels):
    """The first picture in a TIFF file of 9 to 16 bits a channel.

    Args:
        file: binary, open for reading.
        path: its name, for messages.
        max_pixels: how many it may have.

    Returns:
        uint16 [H, W, C], white is 65535: grey, grey and alpha, RGB or RGBA.

    Raises:
        UserError: when tifffile is missing, and for another depth, colours or channels.
        Exception: of many kinds, for a damaged file.
    """
    missing = UserError(f"such a TIFF file needs tifffile and imagecodecs, {path}, pip install 'srgan_tf[tiff]'")
    try:
        import tifffile
    except ImportError:
        raise missing from None
    tifffile.logger().setLevel(logging.CRITICAL)  # what is wrong with a file becomes one line, ours
    file.seek(0)
    with tifffile.TiffFile(file) as content:
        page, *others = itertools.islice(content.pages, _PAGES)
        if not all(other.is_reduced for other in others):
            raise UserError(f"the file holds several pictures, {path}, split it into single ones")
        if page.dtype != np.uint16:
            raise UserError(f"the picture is of type {page.dtype}, {path}, save it with 8 or 16 bits a channel")
        if not page.size:
            raise ValueError("it has no pixels")
        if page.size > 4 * max_pixels:
            raise UserError(f"the picture has more than {max_pixels // 10**6} megapixels, {path}, cut it into parts")
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise missing from None
            raise
    order = {"YX": lambda x: x[..., None], "YXS": lambda x: x, "SYX": lambda x: np.moveaxis(x, 0, 2)}.get(page.axes)
    colours = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(page.photometric.name)
    if not order or not colours:
        raise UserError(f"16-bit {page.photometric.name} ({page.axes}) cannot be read, {path}, save it as RGB")
    array = _of_16_bits(order(array), page.bitspersample)
    if array.shape[2] < colours:
        raise ValueError("some of its channels are missing")
    kinds = [sample.name for sample in page.extrasamples]
    return _channels(array[..., :colours], array[..., colours:], kinds, page.photometric.name)


def tags(file):
    """The tags of an open TIFF file, those in the folders of EXIF, too: a `PIL.Image.Exif`; none of a BigTIFF file."""
    found = Image.Exif()
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*"):
        file.seek(0)
        found.load_from_fp(file)
        load_folders(found)
    return found


def load_folders(tags):
    """Read the folders of EXIF into a `PIL.Image.Exif` while its file is open."""
    for folder in set(_FOLDERS) & set(tags):
        if _INTEROP in tags.get_ifd(folder):
            tags.get_ifd(_INTEROP)


def write(file, array, *, tags, icc=None, dpi=None, xmp=None):
    """Write a TIFF file, compressed without loss (Deflate).

    Args:
        file: binary, to write and to seek in, empty.
        array: uint8 or uint16 [H, W, C]: grey, grey and alpha, RGB or RGBA.
        tags: a `PIL.Image.Exif`, descriptive ones only.
        icc, dpi, xmp: as in `picture.Picture`.

    Raises:
        ValueError: above 4 GB, which such a file cannot address.
    """
    header = b"II*\0"
    file.write(header + bytes(4))
    rows = max(1, _STRIP // array[:1].nbytes)
    offsets, lengths = [], []
    for start in range(0, len(array), rows):
        data = zlib.compress(_differences(array[start : start + rows]))
        offsets.append(file.tell())
        lengths.append(len(data))
        file.write(data)
    file.write(bytes(file.tell() % 2))
    place = file.tell()
    if place >= _END:
        raise ValueError("a TIFF file ends at 4 GB")

    height, width, channels = array.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2(header + bytes(4))
    for tag in tags:
        directory[tag] = _folder(tags, tag) if tag in _FOLDERS else tags[tag]
    directory[256], directory[257], directory[258] = width, height, (8 * array.itemsize,) * channels
    directory[259], directory[262], directory[317] = _DEFLATE, 2 if channels > 2 else 1, _DIFFERENCES
    directory[277], directory[278], directory[284] = channels, rows, _CONTIGUOUS
    if channels in (2, 4):
        directory[338] = _UNASSOCIATED
    if icc:
        directory[34675] = icc
    if xmp:
        directory[700] = xmp
    if dpi:
        directory[282], directory[283], directory[296] = *dpi, 2
    # Pillow moves StripOffsets, as it expects the pixels behind the directory: they get their name only afterwards.
    for tag, values in ((_STANDS_FOR_OFFSETS, offsets), (279, lengths)):
        directory.tagtype[tag] = _LONG
        directory[tag] = tuple(values)
    data = bytearray(directory.tobytes(place))
    struct.pack_into("<H", data, 2 + 12 * sorted(directory).index(_STANDS_FOR_OFFSETS), _OFFSETS)
    file.write(data)
    file.seek(4)
    file.write(struct.pack("<I", place))


def _folder(tags, tag):
    """A folder with the one that it may hold, of which it knows a place in another file."""
    folder = tags.get_ifd(tag)
    return {**folder, _INTEROP: tags.get_ifd(_INTEROP)} if _INTEROP in folder else folder


def _of_16_bits(array, bits):
    """The same grey levels of 65535; there are no halves to round."""
    most = 2**bits - 1
    return array if bits == 16 else ((array.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def _channels(colour, extra, kinds, photometric):
    """Colours, black as 0, and the first channel that is alpha; colours multiplied with it are divided by it."""
    if photometric == "MINISWHITE":
        colour = 65535 - colour
    for i, kind in enumerate(kinds):
        alpha = extra[..., i : i + 1]
        if kind == "ASSOCALPHA":
            colour = np.minimum(np.rint(colour * (65535 / np.maximum(alpha, 1))), 65535).astype(np.uint16)
        if kind in ("ASSOCALPHA", "UNASSALPHA"):
            return np.dstack([colour, alpha])
    return np.ascontiguousarray(colour)


def _differences(strip):
    """The bytes of a strip, each pixel as the difference to the one on its left, which compresses better."""
    strip = strip.astype(strip.dtype.newbyteorder("<"))
    strip[:, 1:] -= strip[:, :-1].copy()
    return strip.tobytes()
