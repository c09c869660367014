"""PNG files of 16 bits a channel, which Pillow holds where they are grey only: by TensorFlow, loaded when needed."""
import struct
import zlib

import numpy as np


def decode(data, transparent=None):
    """The pixels of a PNG file of 16 bits a channel.

    Args:
        data: bytes.
        transparent: the colour that means transparency, a number or three; None where there is none.

    Returns:
        uint16 [H, W, C]: grey, grey and alpha, RGB or RGBA.

    Raises:
        ValueError: for a damaged file.
    """
    import tensorflow as tf
    try:
        array = tf.io.decode_png(data, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(error.message.split("}} ")[-1].split(" [Op")[0]) from None
    if transparent is None:
        return array
    return np.dstack([array, np.where((array == transparent).all(axis=2), 0, 65535).astype(np.uint16)])


def encode(array, *, exif=None, icc=None, dpi=None):
    """uint16 [H, W, C] -> the bytes of a PNG file; EXIF, profile and resolution as in `images.Picture`."""
    import tensorflow as tf
    data = tf.io.encode_png(array).numpy()
    header = 8 + 25  # the signature and IHDR, which come first
    chunks = [data[:header]]
    if icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if dpi:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(x / 0.0254) for x in dpi), 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return b"".join([*chunks, data[header:]])


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
