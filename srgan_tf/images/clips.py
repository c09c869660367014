"""Clips in and out, frame by frame, with PyAV: timing, sound, rotation and colours; knows nothing of networks."""

import contextlib
import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from srgan_tf.atomic import whole_file
from srgan_tf.errors import UserError, one_line
from srgan_tf.images.clip_names import CONTAINERS

OPTIONS = {"crf": "16", "preset": "medium", "rc-lookahead": "20"}  # hard to tell from what was encoded
LONGEST = 16384  # pixels a side that the encoder takes
UNSPECIFIED = 2  # of primaries, transfer and matrix
BT709, BT470BG, SMPTE170M, SMPTE240M = 1, 5, 6, 7  # matrices
# How colours are converted, as swscale.h has it: bicubic, with FULL_CHR_H_INT, FULL_CHR_H_INP and ACCURATE_RND, without
# which they are some levels off; PyAV for Python 3.10 has no names for these.
EXACT = 4 | 0x2000 | 0x4000 | 0x40000
MPEG, JPEG = 1, 2  # ranges: luma 16 to 235, 0 to 255


def enlarge(source, target, function, *, frame=lambda done, count: None):
    """Enlarge a clip, at once or not at all; the memory it takes does not depend on its length.

    Every frame keeps its time, counted from when the clip begins, which in broadcasts is not at 0. The first video
    stream is encoded as H.264 (crf 16, 4:2:0; 10 bits where it has more than 8) with the tags of its colours; frames
    are turned upright; odd sides get a row or column more. Sound is copied packet by packet, subtitles where the
    container of the target holds them, and chapters.

    Args:
        source: a file that FFmpeg reads.
        target: where to; its suffix is one of `CONTAINERS`.
        function: RGB of a frame, uint8 or uint16 [H, W, 3], -> the larger one.
        frame: called before each frame with the number done and the number there are, as far as the file says.

    Returns:
        Notes worth telling: a tuple of strings.

    Raises:
        UserError: when PyAV is missing, the source is no clip or damaged, its sound does not fit into the target, or
            the target cannot be written.
    """
    av = _pyav()
    if Path(target).suffix.lower() not in CONTAINERS:
        raise UserError(f"a clip cannot be written so, {target}, choose one of {' '.join(CONTAINERS)}")
    with _opened(av, source) as clip:
        stream = _video_stream(av, clip, source)
        try:
            with whole_file(target) as file:
                result = _Result(av, file, target, clip, stream, source)
                for packet in _packets(av, clip, [stream, *result.copied], source):
                    if packet.stream is not stream:
                        result.copy(packet)
                        continue
                    for picture in _frames(av, packet, source):
                        frame(result.count, max(result.count + 1, _length(stream)))
                        result.add(picture, function)
                if not result.count:
                    raise UserError(f"the clip holds no frames, {source}, get it again")
                result.close()
        except (OSError, av.error.FFmpegError) as error:
            raise UserError(f"the clip cannot be written ({_reason(error)}), {target}, choose another place") from None
    return (f"{result.count} frames", *result.notes)


class _Result:
    """The clip that is written: made when the first frame tells how large it is."""

    def __init__(self, av, file, target, clip, stream, source):
        self.count, self.notes, self.copied = 0, [], {}
        self._av, self._stream, self._source = av, stream, source
        self._begins = Fraction(clip.start_time or 0, 1_000_000)  # s
        self._timed = clip.format.name != "avi"  # which tells the order of packets only
        self._shape, self._waiting = None, []
        self._out = av.open(file, "w", format=CONTAINERS[Path(target).suffix.lower()])
        self._out.metadata.update(clip.metadata)
        self._large = self._out.add_stream(
            "libx264", rate=stream.average_rate or stream.guessed_rate or 25, options=OPTIONS
        )
        for other in [*clip.streams.audio, *clip.streams.subtitles]:
            codec = other.codec_context.codec if other.codec_context else None
            if codec and codec.name in self._out.supported_codecs:  # names of decoders there: dca, not dts
                self.copied[other] = self._out.add_stream_from_template(other)
                self.copied[other].metadata.update(other.metadata)
                self.copied[other].disposition = other.disposition  # such as forced subtitles
            elif other.type == "audio":
                raise UserError(
                    f"{codec.canonical_name if codec else 'this'} sound does not fit into it, {target}, "
                    f"{_home(av, codec)}"
                )
            else:
                self.notes.append("subtitles left out")
        if chapters := clip.chapters():
            self._out.set_chapters(
                [
                    {**chapter, **{side: self._since(chapter[side], chapter["time_base"]) for side in ("start", "end")}}
                    for chapter in chapters
                ]
            )

    def add(self, picture, function):
        """Enlarge a decoded frame and encode it."""
        matrix, limits = _matrix(picture), picture.color_range if picture.color_range in (MPEG, JPEG) else MPEG
        if matrix > SMPTE240M and not hasattr(self._av.video.reformatter.Colorspace, "BT2020"):
            raise UserError(
                f"PyAV {self._av.__version__} does not convert BT.2020's colours, {self._source}, take "
                "Python 3.11 or newer and PyAV 18"
            )
        limits = JPEG if picture.format.name.startswith("yuvj") else limits
        deep = max(component.bits for component in picture.format.components) > 8
        rgb = picture.to_ndarray(
            format="rgb48le" if deep else "rgb24",
            src_colorspace=_swscale(matrix),
            dst_colorspace=_swscale(matrix),
            src_color_range=limits,
            dst_color_range=JPEG,
            interpolation=EXACT,
        )
        turns = round(picture.rotation / 90) % 4
        large = _even(function(np.ascontiguousarray(np.rot90(rgb, turns))))
        if self._shape is None:
            self._start(picture, large, matrix, limits, deep, turns)
        elif large.shape != self._shape:
            raise UserError(f"the size of its frames changes, {self._source}, cut it there")
        encoded = self._av.VideoFrame.from_ndarray(large, "rgb48le" if deep else "rgb24").reformat(
            format=self._large.pix_fmt,
            src_colorspace=_swscale(matrix),
            dst_colorspace=_swscale(matrix),
            src_color_range=JPEG,
            dst_color_range=limits,
            interpolation=EXACT,
        )
        _tag(encoded, picture, matrix, limits)
        encoded.pts, encoded.time_base = self._moment(picture), picture.time_base
        self._out.mux(self._large.encode(encoded))
        self.count += 1

    def copy(self, packet):
        """Sound and subtitles; kept until the first frame, because the file's head comes first."""
        if packet.dts is None:  # the end of a stream
            return
        packet.pts, packet.dts = (
            None if time is None else self._since(time, packet.time_base) for time in (packet.pts, packet.dts)
        )
        packet.stream = self.copied[packet.stream]
        self._waiting.append(packet)
        if self._shape:
            self._flush()

    def close(self):
        self._out.mux(self._large.encode(None))
        self._out.close()

    def _start(self, picture, large, matrix, limits, deep, turns):
        context, self._shape = self._large.codec_context, large.shape
        context.height, context.width = large.shape[:2]
        context.pix_fmt = "yuv420p10le" if deep else "yuv420p"
        context.time_base = picture.time_base
        _tag(context, picture, matrix, limits)
        if ratio := self._stream.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / ratio if turns % 2 else ratio
        if picture.interlaced_frame:
            self.notes.append("interlaced: both fields were enlarged as one picture; deinterlace it first")
        if any(component.is_alpha for component in picture.format.components):
            self.notes.append("transparency left out")
        self._large.metadata.update(self._stream.metadata)
        self._large.disposition = self._stream.disposition
        self._flush()

    def _moment(self, picture):
        """The frame's time; where the file tells none, as AVI does, by the frame rate."""
        if self._timed and picture.pts is not None:
            return self._since(picture.pts, picture.time_base)
        return round(self.count / (self._large.codec_context.framerate * picture.time_base))

    def _since(self, time, time_base):
        """A time, in units of `time_base`, from when the clip begins."""
        return time - round(self._begins / time_base)

    def _flush(self):
        for packet in self._waiting:
            self._out.mux(packet)
        self._waiting.clear()


def _home(av, codec):
    """What to do about sound that does not fit: the last of `CONTAINERS` that it fits into holds most."""
    homes = [
        suffix
        for suffix, container in CONTAINERS.items()
        if codec and codec.name in av.open(io.BytesIO(), "w", format=container).supported_codecs
    ]
    return f"choose {homes[-1]} with --output" if homes else "convert its sound, to AAC for instance"


def _matrix(picture):
    """The frame's matrix; what players take where the file is silent: BT.601 up to standard definition, else BT.709."""
    if picture.colorspace != UNSPECIFIED and picture.colorspace:
        return int(picture.colorspace)
    return SMPTE170M if picture.height <= 576 else BT709


def _swscale(matrix):
    """FFmpeg's number of a matrix as the one of its converter, which knows both BT.601 as one."""
    return BT470BG if matrix == SMPTE170M else matrix


def _tag(of, picture, matrix, limits):
    """Write the tags of a frame's colours to an encoder or a frame."""
    of.colorspace, of.color_range = matrix, limits
    of.color_primaries, of.color_trc = picture.color_primaries, picture.color_trc


def _even(picture):
    """4:2:0 takes even sides only: repeats the last row or column."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _length(stream):
    """Frames of a stream, from its head; 0 where that is silent."""
    if stream.frames:
        return stream.frames
    seconds = stream.duration * stream.time_base if stream.duration else (stream.container.duration or 0) / 1_000_000
    return round(seconds * (stream.average_rate or 0))


@contextlib.contextmanager
def _opened(av, source):
    name = os.path.abspath(source)  # FFmpeg takes what stands before a colon for a protocol
    try:
        try:
            clip = av.open(name)
        except UnicodeDecodeError:  # a title in another encoding
            clip = av.open(name, metadata_errors="replace")
    except FileNotFoundError:
        raise UserError(f"no such file, {source}, check its name") from None
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"the file is no clip that FFmpeg reads ({_reason(error)}), {source}, get it again") from None
    with clip:
        yield clip


def _video_stream(av, clip, source):
    streams = [
        stream for stream in clip.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]  # the cover of a song
    if not streams:
        raise UserError(f"the file holds no moving pictures, {source}, give a clip")
    streams[0].thread_type = "AUTO"
    return streams[0]


def _packets(av, clip, streams, source):
    """The packets of the streams in the order of the file; a damaged file is the source's fault, not the target's."""
    packets = clip.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except (OSError, av.error.FFmpegError) as error:
            raise UserError(f"the clip is damaged ({_reason(error)}), {source}, get it again") from None
        if packet is None:
            return
        yield packet


def _frames(av, packet, source):
    try:
        return packet.decode()
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"the clip is damaged ({_reason(error)}), {source}, get it again") from None


def _reason(error):
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _pyav():
    try:
        import av
    except ImportError:
        raise UserError("clips need PyAV, which is not installed, pip install 'srgan_tf[video]'") from None
    av.logging.set_level(av.logging.PANIC)  # what is wrong is told once, by us
    return av
