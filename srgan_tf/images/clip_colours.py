"""Colours of clips: conversion of frames to RGB and back with their own matrix and range, and colour tags."""

import av
import numpy as np

from srgan_tf.errors import UserError

UNSPECIFIED = 2  # of primaries, transfer and matrix
BT709, BT470BG, SMPTE170M, SMPTE240M = 1, 5, 6, 7  # matrices
# Flags of FFmpeg's swscale: bicubic, FULL_CHR_H_INT, FULL_CHR_H_INP and ACCURATE_RND. Without them colours are off
# by several levels. PyAV for Python 3.10 has no names for them.
EXACT = 4 | 0x2000 | 0x4000 | 0x40000
MPEG, JPEG = 1, 2  # ranges: luma 16 to 235, 0 to 255


class Colours:
    """The colour encoding of a frame.

    Args:
        frame: a decoded `av.VideoFrame`.
        source: its file, for an error message.

    Attributes:
        deep: whether the frame has more than 8 bits per channel.
        alpha: whether the frame has an alpha channel.
    """

    def __init__(self, frame, source):
        self._matrix = _matrix(frame)
        self._range = frame.color_range if frame.color_range in (MPEG, JPEG) else MPEG
        if frame.format.name.startswith("yuvj"):
            self._range = JPEG
        self._primaries, self._transfer = frame.color_primaries, frame.color_trc
        self.deep = max(component.bits for component in frame.format.components) > 8
        self.alpha = any(component.is_alpha for component in frame.format.components)
        if self._matrix > SMPTE240M and not hasattr(av.video.reformatter.Colorspace, "BT2020"):
            raise UserError(
                f"{source}: PyAV {av.__version__} does not convert the colours of BT.2020. Use Python 3.11 or newer "
                "with PyAV 18."
            )

    def to_rgb(self, frame) -> np.ndarray:
        """Convert a decoded frame to RGB: uint8 or, if `deep`, uint16 [H, W, 3]."""
        return frame.to_ndarray(format=self._rgb, **self._conversion(self._range, JPEG))

    def from_rgb(self, rgb: np.ndarray, pix_fmt: str):
        """Convert RGB, uint8 or uint16 [H, W, 3], to a frame for the encoder."""
        frame = av.VideoFrame.from_ndarray(rgb, self._rgb)
        frame = frame.reformat(format=pix_fmt, **self._conversion(JPEG, self._range))
        self.tag(frame)
        return frame

    def tag(self, target):
        """Set the colour tags of an encoder or a frame."""
        target.colorspace, target.color_range = self._matrix, self._range
        target.color_primaries, target.color_trc = self._primaries, self._transfer

    @property
    def _rgb(self):
        return "rgb48le" if self.deep else "rgb24"

    def _conversion(self, source, target):
        matrix = swscale_matrix(self._matrix)
        return {
            "src_colorspace": matrix,
            "dst_colorspace": matrix,
            "src_color_range": source,
            "dst_color_range": target,
            "interpolation": EXACT,
        }


def swscale_matrix(matrix: int) -> int:
    """The number of a matrix in swscale, which has one number for both BT.601 matrices."""
    return BT470BG if matrix == SMPTE170M else matrix


def upright(rgb: np.ndarray, frame) -> np.ndarray:
    """Rotate and mirror a frame, [H, W, 3], according to the display matrix of its `av.VideoFrame`."""
    a, b, c, d = _display_matrix(frame)
    if is_turned(frame):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    if a < 0:
        rgb = rgb[:, ::-1]
    if d < 0:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def is_turned(frame) -> bool:
    """Whether the display matrix of an `av.VideoFrame` swaps rows and columns."""
    a, b, _, _ = _display_matrix(frame)
    return abs(b) > abs(a)


def _display_matrix(frame):
    """a, b, c, d: pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift; multiples of 90 degrees only."""
    data = _side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(data, "=i4").tolist()
    return a, b, c, d


def x264_hdr(frame) -> str:
    """The HDR10 mastering display metadata of a frame as x264 parameters; "" if it has none."""
    parameters = []
    if (display := _side_data(frame, "MASTERING_DISPLAY_METADATA")) is not None:
        numbers = np.frombuffer(display[:88], "=i4").tolist()  # AVMasteringDisplayMetadata of FFmpeg
        *ratios, has_primaries, has_luminance = numbers
        red, green, blue, white, luminance = (
            [n / d if d else 0 for n, d in zip(ratios[i : i + 4 : 2], ratios[i + 1 : i + 4 : 2])]
            for i in range(0, 20, 4)
        )
        if has_primaries and has_luminance:
            places = (
                f"{name}({round(x * 50000)},{round(y * 50000)})" for name, (x, y) in _named(red, green, blue, white)
            )
            least, most = luminance
            parameters.append(f"mastering-display={''.join(places)}L({round(most * 10000)},{round(least * 10000)})")
    if (light := _side_data(frame, "CONTENT_LIGHT_LEVEL")) is not None:
        parameters.append("cll={},{}".format(*np.frombuffer(light[:8], "=u4").tolist()))
    return ":".join(parameters)


def lost_side_data(frame) -> list[str]:
    """Notes about side data of a frame that the result does not contain."""
    found = {data.type.name for data in frame.side_data}
    return [note for note, names in _LOST.items() if found & names]


_LOST = {
    "without its dynamic HDR data": {"DYNAMIC_HDR_PLUS", "DYNAMIC_HDR_VIVID", "DOVI_RPU_BUFFER", "DOVI_METADATA"},
    "without its closed captions": {"A53_CC"},
    "without its 3D or 360-degree layout": {"STEREO3D", "SPHERICAL"},
}


def _named(red, green, blue, white):
    return (("G", green), ("B", blue), ("R", red), ("WP", white))


def _matrix(frame):
    """The frame's matrix. If unspecified, the players' default: BT.601 up to standard definition, else BT.709."""
    if frame.colorspace != UNSPECIFIED and frame.colorspace:
        return int(frame.colorspace)
    return SMPTE170M if frame.height <= 576 else BT709


def _side_data(frame, name):
    return next((bytes(data) for data in frame.side_data if data.type.name == name), None)
