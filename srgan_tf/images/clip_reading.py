"""Reading packets and frames of clips with PyAV; damaged packets are skipped and counted."""

import collections
import contextlib
import os

import av

from srgan_tf.errors import UserError, reason
from srgan_tf.images.clip_timing import FrameClock, Timeline

_MOST_FAILURES = 1000  # consecutive attempts to continue after damaged data


@contextlib.contextmanager
def opened(source):
    """Open a clip as a PyAV input container."""
    # PyAV's log callback acquires the GIL in decoder threads while the thread that waits for them holds it: a
    # deadlock. Without the callback FFmpeg prints nothing; errors are reported by this package.
    av.logging.set_level(None)
    name = os.path.abspath(source)  # FFmpeg interprets the text before a colon as a protocol
    try:
        try:
            clip = av.open(name)
        except UnicodeDecodeError:  # a title in another encoding
            clip = av.open(name, metadata_errors="replace")
    except FileNotFoundError:
        raise UserError(f"{source}: no such file. Check its name.") from None
    except PermissionError:
        raise UserError(f"{source}: no permission to read the file. Check its permissions.") from None
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{source}: not a video that FFmpeg reads ({reason(error)}). Give a video file.") from None
    with clip:
        yield clip


class Reader:
    """The packets of a clip and the frames of its first video stream.

    Args:
        clip: an input container of PyAV.
        source: the path of the clip, for messages.
        deinterlace: whether interlaced frames are deinterlaced, by FFmpeg's bwdif filter.

    Attributes:
        video: the video stream.
        damaged: the number of unusable packets, by stream type.
        deinterlaced: whether any frame was deinterlaced.

    Raises:
        UserError: if the clip has no video stream that FFmpeg can decode.
    """

    def __init__(self, clip, source, *, deinterlace: bool = True):
        self._clip, self._source = clip, source
        self.video = _video(clip, source)
        self.damaged = collections.Counter()
        self._timeline = Timeline(clip, self.video)
        self._clock = FrameClock(self.video, decode_times=clip.format.name == "avi")
        self._deinterlace, self._filter = deinterlace, None

    @property
    def deinterlaced(self) -> bool:
        return self._filter is not None

    def packets(self, streams):
        """Yield the packets of the given streams in file order, with continuous timestamps."""
        for packet in self._demuxed(streams):
            if packet.size:
                yield from self._timeline.place(packet)
        yield from self._timeline.release()

    def frames(self, packet=None):
        """Yield the frames that a video packet completes; without a packet, the remaining frames at the end.

        Their `pts`, in units of their `time_base`, strictly increase.
        """
        for frame in self._decoded(packet):
            frame.pts = self._clock.tick(frame)
            frame.time_base = self.video.time_base
            if self._filter is not None and self._filter.shape != _shape(frame):
                yield from self._filter(None)
                self._filter = _Bwdif(frame)
            if self._deinterlace and self._filter is None and frame.interlaced_frame:
                self._filter = _Bwdif(frame)
            yield from [frame] if self._filter is None else self._filter(frame)
        if packet is None and self._filter is not None:
            yield from self._filter(None)

    def length(self) -> int:
        """The number of frames according to the file; 0 if unknown."""
        if self.video.frames:
            return self.video.frames
        duration = self.video.duration
        seconds = duration * self.video.time_base if duration else (self._clip.duration or 0) / 1_000_000
        return round(seconds * (self.video.average_rate or 0))

    def _demuxed(self, streams):
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                for packet in self._clip.demux(streams):  # a new iterator after an error resumes after it
                    failures = 0
                    yield packet
                return
            except (av.error.InvalidDataError, av.error.ArgumentError):
                failures += 1
                self.damaged["file"] += failures == 1
            except (OSError, av.error.FFmpegError) as error:
                raise UserError(
                    f"{self._source}: the video cannot be read ({reason(error)}). Check its disk."
                ) from None

    def _decoded(self, packet):
        if packet is not None:
            self._clock.send(packet)
        try:
            frames = self.video.decode(packet)
        except av.error.FFmpegError:
            self.damaged["video"] += 1
            self._clock.lose()
            return
        yield from frames
        self._clock.received()


class _Bwdif:
    """FFmpeg's deinterlacer, which passes progressive frames through unchanged.

    shape: width, height and pixel format of its frames.
    """

    def __init__(self, frame):
        self.shape = _shape(frame)
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        graph.link_nodes(
            source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
        ).configure()
        self._graph = graph

    def __call__(self, frame):
        """Push a frame, or None at the end, and return the frames that are ready."""
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


def _shape(frame):
    return frame.width, frame.height, frame.format.name


def _video(clip, source):
    streams = [stream for stream in clip.streams.video if not is_cover(stream)]
    if not streams:
        raise UserError(f"{source}: the file has no video stream. Give a video.")
    if streams[0].codec_context is None:
        raise UserError(f"{source}: FFmpeg does not know the codec of the video. Convert it, for example to H.264.")
    # Frame threading would report an error several packets late.
    streams[0].thread_type = "SLICE"
    return streams[0]


def is_cover(stream) -> bool:
    """Whether a video stream is a still picture, such as album art."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
