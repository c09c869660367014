"""Reads AVIF and JPEG 2000 files with more than 8 bits per channel with imagecodecs; Pillow truncates them to 8."""

import struct

import numpy as np

from srgan_tf.errors import UserError

_HEAD = 2**16  # bytes that are searched for the codec's configuration


def bits(image, file) -> int:
    """The number of bits per channel.

    Args:
        image: a Pillow image.
        file: its binary file, open for reading.

    Returns:
        8 for other formats, for 8 bits or fewer, and if the depth is unknown.
    """
    if image.format not in ("AVIF", "JPEG2000"):
        return 8
    file.seek(0)
    head = file.read(_HEAD)
    if image.format == "AVIF":
        place = head.find(b"av1C")  # AV1CodecConfigurationRecord: high_bitdepth, twelve_bit
        flags = head[place + 6] if 0 <= place < len(head) - 6 else 0
        return 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8
    place = head.find(b"\xff\x4f\xff\x51")  # SOC and SIZ: components and their depths
    if not 0 <= place < len(head) - 42:
        return 8
    (count,) = struct.unpack_from(">H", head, place + 40)
    depths = head[place + 42 : place + 42 + 3 * count : 3]
    return max(8, *((depth & 0x7F) + 1 for depth in depths)) if depths else 8


def decode(kind: str, data: bytes, depth: int, path) -> np.ndarray:
    """Decode a file to uint16 [H, W, C], white is 65535: grey, grey and alpha, RGB or RGBA.

    Raises:
        UserError: if imagecodecs is missing, or for other channels.
        Exception: of several kinds, for a damaged file.
    """
    try:
        import imagecodecs
    except ImportError:
        raise UserError(
            f"{path}: {kind} with {depth} bits a channel needs imagecodecs. Run pip install imagecodecs."
        ) from None
    array = {"AVIF": imagecodecs.avif_decode, "JPEG2000": imagecodecs.jpeg2k_decode}[kind](data)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] > 4 or array.dtype != np.uint16:
        raise UserError(f"{path}: this kind of {kind} is not supported. Save it as PNG with 16 bits a channel.")
    most = 2**depth - 1
    return ((np.minimum(array, most).astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)
