"""TIFF files: reading with tifffile what Pillow cannot read, and writing.

This module has its own writer: Pillow does not support 16-bit colour and loses the EXIF directories of compressed
files, and tifffile does not write EXIF directories.
"""

import itertools
import logging
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

from srgan_tf.errors import UserError
from srgan_tf.images import metadata

SECONDARY = 1 | 4  # page types that are not independent pictures: previews and masks
_MAX_BYTES = 2**32  # addressable by 32-bit offsets
_STRIP_BYTES = 2**20  # uncompressed bytes per strip
_MAX_PAGES = 9  # pages to inspect: the page list of a damaged file may be endless
_MAX_COUNTED = 5000
_TO_RGB = ("JPEG", "OJPEG", "JPEG2000", "APERIO_JP2000_YCBC", "JPEGXL", "JPEGXL_DNG", "WEBP")  # decoded as RGB
_FOLDERS, _INTEROP = (0x8769, 0x8825), 0xA005  # EXIF and GPS tags; within EXIF
_DEFLATE, _DIFFERENCES, _CONTIGUOUS, _UNASSOCIATED = 8, 2, 1, 2
_LONG, _UNDEFINED = 4, 7  # types
_OFFSETS, _STANDS_FOR_OFFSETS = 273, 275


def decode(file, path, max_pixels):
    """Decode the first picture of a TIFF file that Pillow cannot read, for example with 9 to 16 bits per channel.

    Args:
        file: a binary file, open for reading.
        path: its name, for messages.
        max_pixels: the maximum number of pixels.

    Returns:
        uint8 or uint16 [H, W, C], white is 255 or 65535: grey, grey and alpha, RGB or RGBA; and a tuple of notes.

    Raises:
        UserError: if tifffile is missing, or for an unsupported type, colour space or number of channels.
        Exception: of many kinds, for a damaged file.
    """
    missing = UserError(f"{path}: such a TIFF file needs more packages. Run pip install tifffile imagecodecs.")
    try:
        import tifffile
    except ImportError:
        raise missing from None
    tifffile.logger().setLevel(logging.CRITICAL)  # this package reports errors in one line
    file.seek(0)
    with tifffile.TiffFile(file) as content:
        page, *others = itertools.islice(content.pages, _MAX_PAGES)
        if not all(other.subfiletype & SECONDARY for other in others):
            raise UserError(f"{path}: the file holds several pictures. Split it into single ones.")
        if page.dtype not in (np.uint8, np.uint16):
            raise UserError(f"{path}: channels of type {page.dtype} are not supported. Save it with 8 or 16 bits.")
        if not page.size:
            raise ValueError("it has no pixels")
        if page.size > 4 * max_pixels:
            raise UserError(f"{path}: more than {max_pixels // 10**6} megapixels. Cut it into parts.")
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise missing from None
            raise
    order = {"YX": lambda x: x[..., None], "YXS": lambda x: x, "SYX": lambda x: np.moveaxis(x, 0, 2)}.get(page.axes)
    channels = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3, "YCBCR": 3}.get(page.photometric.name)
    if page.photometric.name == "YCBCR" and page.compression.name not in _TO_RGB:
        channels = None
    if not order or not channels:
        raise UserError(
            f"{path}: TIFF of the kind {page.photometric.name} ({page.axes}) is not supported. Save it as RGB."
        )
    array = order(array)
    if array.dtype == np.uint16:
        array = _of_16_bits(array, page.bitspersample)
    if array.shape[2] < channels:
        raise ValueError("some of its channels are missing")
    kinds = [sample.name for sample in page.extrasamples]
    if channels == 1 and array.shape[2] > 2 and not {"ASSOCALPHA", "UNASSALPHA"} & set(kinds):
        raise UserError(f"{path}: {array.shape[2]} bands that are not marked as RGB. Save three of them as RGB.")
    return _channels(array[..., :channels], array[..., channels:], kinds, page.photometric.name)


def tags(file):
    """The tags of an open TIFF file and of its EXIF directories, a `PIL.Image.Exif`; empty for a BigTIFF file."""
    found = Image.Exif()
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*"):
        file.seek(0)
        found.load_from_fp(file)
        load_folders(found)
    return found


def size(file):
    """(width, height) of the first page of an open TIFF or BigTIFF file, not turned upright."""
    directory = _first_directory(file)
    file.seek(directory.next)
    directory.load(file)
    return directory[256], directory[257]


def page_types(file):
    """The type (NewSubfileType) of each page of an open TIFF file, up to `_MAX_COUNTED`.

    Pillow's own count decodes every page and does not recognise masks.
    """
    directory, places, types = _first_directory(file), set(), []
    while (place := directory.next) and place not in places and len(places) < _MAX_COUNTED:
        places.add(place)
        file.seek(place)
        directory.load(file)
        types.append(directory.get(254, 0))
    return types


def load_folders(tags):
    """Read the EXIF directories into a `PIL.Image.Exif` while its file is open."""
    for folder in set(_FOLDERS) & set(tags):
        if _INTEROP in tags.get_ifd(folder):
            tags.get_ifd(_INTEROP)


def write(file, array, *, tags, icc=None, dpi=None, xmp=None, iptc=None, georeference=None):
    """Write a TIFF file with lossless compression (Deflate).

    Args:
        file: an empty, binary, writable and seekable file.
        array: uint8 or uint16 [H, W, C]: grey, grey and alpha, RGB or RGBA.
        tags: a `PIL.Image.Exif` with descriptive tags only.
        icc, dpi, xmp, iptc, georeference: as in `picture.Picture`.

    Raises:
        ValueError: if the file would exceed 4 GB, the limit of 32-bit offsets.
    """
    header = b"II*\0"
    file.write(header + bytes(4))
    rows = max(1, _STRIP_BYTES // array[:1].nbytes)
    offsets, lengths = [], []
    for start in range(0, len(array), rows):
        data = zlib.compress(_differences(array[start : start + rows]))
        offsets.append(file.tell())
        lengths.append(len(data))
        file.write(data)
    file.write(bytes(file.tell() % 2))
    place = file.tell()
    if place >= _MAX_BYTES:
        raise ValueError("a TIFF file has at most 4 GB")

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
    if iptc:
        directory.tagtype[metadata.IPTC] = _UNDEFINED
        directory[metadata.IPTC] = iptc
    if georeference:
        for tag, (kind, value) in georeference.tags_for(height, width).items():
            directory.tagtype[tag] = kind
            directory[tag] = value
    if dpi:
        directory[282], directory[283], directory[296] = *dpi, 2
    # Pillow would change StripOffsets, because it expects the pixels after the directory: the tag is set afterwards.
    for tag, values in ((_STANDS_FOR_OFFSETS, offsets), (279, lengths)):
        directory.tagtype[tag] = _LONG
        directory[tag] = tuple(values)
    data = bytearray(directory.tobytes(place))
    struct.pack_into("<H", data, 2 + 12 * sorted(directory).index(_STANDS_FOR_OFFSETS), _OFFSETS)
    file.write(data)
    file.seek(4)
    file.write(struct.pack("<I", place))


def _folder(tags, tag):
    """An EXIF directory with its nested directory in place of the nested one's offset in the source file."""
    folder = tags.get_ifd(tag)
    return {**folder, _INTEROP: tags.get_ifd(_INTEROP)} if _INTEROP in folder else folder


def _of_16_bits(array, bits):
    """Scale to [0, 65535]; rounding never meets an exact half."""
    most = 2**bits - 1
    return array if bits == 16 else ((array.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def _channels(colour, extra, kinds, photometric):
    """Extract colours, black as 0 and not premultiplied, and the first alpha channel. Returns them and notes."""
    most, kind_of = np.iinfo(colour.dtype).max, colour.dtype
    if photometric == "MINISWHITE":
        colour = most - colour
    for i, kind in enumerate(kinds):
        alpha = extra[..., i : i + 1]
        if kind == "ASSOCALPHA":
            colour = np.minimum(np.rint(colour * (most / np.maximum(alpha, 1))), most).astype(kind_of)
        if kind in ("ASSOCALPHA", "UNASSALPHA"):
            return np.dstack([colour, alpha]), further_bands(extra.shape[2] - 1)
    return np.ascontiguousarray(colour), further_bands(extra.shape[2])


def further_bands(count: int) -> tuple[str, ...]:
    """A note about bands other than colours and alpha, such as infrared; empty for 0."""
    return (f"{count} further band{'s' * (count > 1)} left out",) if count > 0 else ()


def _differences(strip):
    """The bytes of a strip after horizontal differencing, which compresses better."""
    strip = strip.astype(strip.dtype.newbyteorder("<"))
    strip[:, 1:] -= strip[:, :-1].copy()
    return strip.tobytes()


def _first_directory(file):
    """A Pillow directory that is not loaded; its `next` is the place of the first one."""
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2:4] in (b"+\0", b"\0+") else b""
    return TiffImagePlugin.ImageFileDirectory_v2(header)
