"""PNG features that Pillow lacks: 16 bits per channel, with TensorFlow, and access to the raw chunks."""

import dataclasses
import io
import struct
import zlib

import numpy as np
from PIL import PngImagePlugin

# Limits of TensorFlow's 16-bit encoder: pixels times channels, and the side.
MAX_VALUES, LONGEST_SIDE = 2**31 - 2, 10**6
# Maximum bytes of one text and of all texts in a file; Pillow's limits are not lower.
MAX_TEXT, MAX_TEXTS = 2**20, 2**24

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# The chunks that define colours, with their lengths in bytes. Pillow does not write those of HDR displays.
_HDR = {b"mDCV": 24, b"cLLI": 8}
_COLOURS = {b"cICP": 4, b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, **_HDR}
_CREDENTIALS = b"caBX"  # signed by C2PA for the pixels of the file, which change
_SRGB = {
    b"cICP": bytes((1, 13, 0, 1)),
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
_XMP = b"XML:com.adobe.xmp"
_RAW_XMP = b"Raw profile type xmp"  # by ImageMagick: hexadecimal lines after a name and a length
# Texts by ImageMagick that duplicate other metadata (EXIF, ICC, XMP) or describe the picture before rotation (sizes).
_DUPLICATES = {_XMP, *(b"Raw profile type " + name for name in (b"exif", b"APP1", b"app1", b"icc", b"icm", b"xmp"))}
_OUTDATED = tuple(
    b":" + name
    for name in (
        b"orientation",
        b"imagewidth",
        b"imagelength",
        b"exifimagewidth",
        b"exifimagelength",
        b"pixelxdimension",
        b"pixelydimension",
    )
)


def decode(data, transparent=None):
    """Decode a PNG file with 16 bits per channel.

    Args:
        data: the content of the file, bytes.
        transparent: the transparent colour, one number or three; None if there is none.

    Returns:
        uint16 [H, W, C]: grey, grey and alpha, RGB or RGBA.

    Raises:
        ValueError: for a damaged file.
    """
    import tensorflow as tf

    try:
        array = tf.io.decode_png(data, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(_reason(error)) from None
    if transparent is None:
        return array
    return np.dstack([array, np.where((array == transparent).all(axis=2), 0, 65535).astype(np.uint16)])


def encode(array, *, exif=None, icc=None, dpi=None, xmp=None, texts=(), colours=()):
    """Encode uint16 [H, W, C] as a PNG file, bytes; the metadata are as in `picture.Picture`.

    Raises:
        ValueError: for more pixels than TensorFlow can encode.
    """
    import tensorflow as tf

    try:
        data = tf.io.encode_png(array).numpy()
    except tf.errors.OpError as error:
        raise ValueError(_reason(error)) from None
    header = 8 + 25  # the signature and IHDR, which come first
    chunks = [data[:header]]
    if icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if dpi:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(x / 0.0254) for x in dpi), 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [_chunk(kind, content) for kind, content, *_ in chunks_to_write(xmp, texts, colours).chunks]
    return b"".join([*chunks, data[header:]])


def scan(file):
    """Read the `Chunks` of a binary file in one pass; empty if it is not a PNG file."""
    file.seek(0)
    texts, long, together, colours, profile, pixels, raw_xmp = [], [], 0, {}, False, False, None
    credentials = False
    for kind, start, length in _chunks(file):
        credentials = credentials or kind == _CREDENTIALS
        pixels = pixels or kind == b"IDAT"
        profile = profile or kind == b"iCCP" and not pixels
        if length == _COLOURS.get(kind) and not pixels:
            colours.setdefault(kind, file.read(length))
        elif kind in _TEXTS:
            data, size = b"", MAX_TEXT + 1
            if length <= MAX_TEXT and together <= MAX_TEXTS:
                data = file.read(length)
                size = _inflated(kind, data)
            together += size
            if size > MAX_TEXT or together > MAX_TEXTS:
                long.append((start, start + 12 + length))
            elif data.startswith(_RAW_XMP + b"\0"):
                raw_xmp = _raw_profile(kind, data)
            elif _is_kept(data.partition(b"\0")[0]):
                texts.append((kind, data))
    kept = ((kind, data) for kind, data in colours.items() if kind in (b"cICP", *_HDR) or not profile)
    return Chunks(tuple(texts), tuple(kept), tuple(long), raw_xmp, credentials)


@dataclasses.dataclass(frozen=True)
class Chunks:
    """The metadata in the chunks of a PNG file.

    texts: (kind, data) of the text chunks, without XMP, duplicates of other metadata, and outdated entries.
    colours: (kind, data) of the chunks that define the colours, without those that a profile overrides.
    long: (start, stop) in the file of texts that are too long.
    raw_xmp: XMP as ImageMagick writes it; None if absent, b"" if damaged.
    credentials: whether there are content credentials (C2PA).
    """

    texts: tuple[tuple[bytes, bytes], ...] = ()
    colours: tuple[tuple[bytes, bytes], ...] = ()
    long: tuple[tuple[int, int], ...] = ()
    raw_xmp: bytes | None = None
    credentials: bool = False

    def without_long_texts(self, file):
        """The file, rewound, or a copy in memory without texts that are too long.

        With them, Pillow would reject the picture or exhaust the memory first.
        """
        file.seek(0)
        if not self.long:
            return file
        parts, place = [], 0
        for start, stop in self.long:
            parts.append(file.read(start - place))
            file.seek(stop)
            place = stop
        parts.append(file.read())
        return io.BytesIO(b"".join(parts))


def are_srgb(colours):
    """Whether colour chunks define sRGB, which also holds without any."""
    colours = dict(colours)
    if b"cICP" in colours:  # cICP takes precedence over all others
        return colours[b"cICP"] == _SRGB[b"cICP"]
    return b"sRGB" in colours or all(data == _SRGB.get(kind) for kind, data in colours.items())


def without_hdr(colours):
    """Colour chunks without those of HDR displays."""
    return tuple((kind, data) for kind, data in colours if kind not in _HDR)


def chunks_to_write(xmp, texts, colours):
    """The chunks as a `PngInfo` of Pillow."""
    info = PngImagePlugin.PngInfo()
    for kind, data in colours:
        info.add(kind, data)
    if xmp:
        info.add_itxt(_XMP, xmp)
    for kind, data in texts:
        info.add(kind, data)
    return info


def _chunks(file):
    """Yield kind, data offset and data length of each chunk of a PNG file, positioned at the data."""
    if file.read(8) != _SIGNATURE:
        return
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length, kind = struct.unpack(">I4s", head)
        start = file.tell() - 8
        yield kind, start, length
        file.seek(start + 12 + length)


def _inflated(kind, data):
    """The uncompressed size of a text in bytes; sizes above `MAX_TEXT` are not exact."""
    _, _, rest = data.partition(b"\0")
    if kind == b"tEXt" or kind == b"iTXt" and rest[:1] == b"\0":
        return len(data)
    packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    inflater = zlib.decompressobj()
    try:
        size = len(inflater.decompress(packed, MAX_TEXT))
    except zlib.error:
        return len(data)
    return size + (not inflater.eof and bool(inflater.unconsumed_tail))


def _raw_profile(kind, data):
    _, _, rest = data.partition(b"\0")
    try:
        if kind == b"zTXt":
            rest = zlib.decompress(rest[1:])
        elif kind == b"iTXt":
            packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
            rest = zlib.decompress(rest) if packed else rest
        name, length, *digits = rest.split()
        content = bytes.fromhex(b"".join(digits).decode("ascii"))
        return content if len(content) == int(length) else b""
    except (zlib.error, ValueError):
        return b""


def _is_kept(key):
    return key not in _DUPLICATES and not key.lower().endswith(_OUTDATED)


def _reason(error):
    """TensorFlow's message without the name of the operation."""
    return error.message.split("}} ")[-1].split(" [Op")[0]


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
