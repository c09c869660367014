"""Reads AVIF, JPEG 2000 and JPEG XL files with more than 8 bits per channel with imagecodecs; Pillow keeps only 8."""

import re
import struct

import numpy as np

from srgan_tf.errors import UserError

KINDS = ("AVIF", "JPEG2000", "JXL")
_HEAD = 2**22  # bytes that are searched for the codec's configuration, which may follow other metadata


def bits(image, file) -> int:
    """The number of bits per channel.

    Args:
        image: a Pillow image.
        file: its binary file, open for reading.

    Returns:
        8 for other formats, for 8 bits or fewer, and if the depth is unknown. 32 for floating point.
    """
    if image.format not in KINDS:
        return 8
    file.seek(0)
    head = file.read(_HEAD)
    if image.format == "JXL":
        return 8 if image.jpeg else max(8, _jxl_bits(head))
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
    decoders = imagecodecs.avif_decode, imagecodecs.jpeg2k_decode, imagecodecs.jpegxl_decode
    array = decoders[KINDS.index(kind)](data)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] > 4 or array.dtype != np.uint16:
        raise UserError(f"{path}: this kind of {kind} is not supported. Save it as PNG with 16 bits a channel.")
    return spread(array, depth)


def spread(array, depth):
    """Scale uint16 values of a depth so that white is 65535."""
    most = 2**depth - 1
    return ((np.minimum(array, most).astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def _jxl_bits(head):
    """Bits per channel in the header of a JPEG XL codestream (ISO/IEC 18181-1, annex D)."""
    codestream = re.search(rb"(?:\A|jxlc|jxlp.{4})\xff\x0a(.{,64})", head, re.S)  # bare, or in a box, perhaps a part
    if not codestream:
        return 8
    rest = int.from_bytes(codestream[1], "little")

    def take(count):
        nonlocal rest
        value, rest = rest & (2**count - 1), rest >> count
        return value

    def skip_size():
        eighths = take(1)
        take(5 if eighths else (9, 13, 18, 30)[take(2)])  # the height
        if not take(3):  # no ratio: the width
            take(5 if eighths else (9, 13, 18, 30)[take(2)])

    skip_size()
    if take(1):  # all defaults
        return 8
    if take(1):
        take(3)  # orientation
        if take(1):
            skip_size()  # intrinsic
        if take(1) or take(1):  # preview, animation
            return 8
    if take(1):  # floating point
        return 32
    choice = take(2)
    return (8, 10, 12)[choice] if choice < 3 else 1 + take(6)
