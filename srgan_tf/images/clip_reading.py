"""Reading clips with PyAV: packets and frames of what can be decoded; damaged packets are skipped and counted."""

import collections
import contextlib
import os

import av

from srgan_tf.errors import UserError, one_line
from srgan_tf.images.clip_timing import FrameClock, Timeline

_MOST_FAILURES = 1000  # attempts to read on behind damaged data, one after the other


@contextlib.contextmanager
def opened(source):
    """A clip as an input container of PyAV."""
    # PyAV's callback takes the GIL in decoder threads, which the thread that waits for them holds: they would wait
    # for ever. Without it FFmpeg prints nothing; what is wrong is reported by us.
    av.logging.set_level(None)
    name = os.path.abspath(source)  # FFmpeg takes what stands before a colon for a protocol
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
        raise UserError(f"{source}: not a clip that FFmpeg reads ({reason(error)}). Give a video file.") from None
    with clip:
        yield clip


def reason(error) -> str:
    """What an exception says, in one line."""
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


class Reader:
    """The packets of a clip and the frames of its first video stream.

    Args:
        clip: an input container of PyAV.
        source: its file, for messages.
        deinterlace: whether interlaced frames are deinterlaced, by FFmpeg's bwdif filter.

    Attributes:
        video: the video stream.
        damaged: how many packets could not be used, by the type of their stream.
        deinterlaced: whether any frame was.

    Raises:
        UserError: when there is no video that FFmpeg decodes.
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
        """The packets of some streams in the order of the file, with times that never jump."""
        for packet in self._demuxed(streams):
            if packet.size:
                yield from self._timeline.place(packet)
        yield from self._timeline.release()

    def frames(self, packet=None):
        """The frames that a packet of the video completes; without a packet, those that are left at the end.

        Their `pts`, in units of their `time_base`, strictly increase.
        """
        for frame in self._decoded(packet):
            frame.pts = self._clock.tick(frame)
            frame.time_base = self.video.time_base
            if self._deinterlace and self._filter is None and frame.interlaced_frame:
                self._filter = _Bwdif(frame)
            yield from [frame] if self._filter is None else self._filter(frame)
        if packet is None and self._filter is not None:
            yield from self._filter(None)

    def length(self) -> int:
        """The number of frames that the file names; 0 where it names none."""
        if self.video.frames:
            return self.video.frames
        duration = self.video.duration
        seconds = duration * self.video.time_base if duration else (self._clip.duration or 0) / 1_000_000
        return round(seconds * (self.video.average_rate or 0))

    def _demuxed(self, streams):
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                for packet in self._clip.demux(streams):  # anew after an error: it goes on behind it
                    failures = 0
                    yield packet
                return
            except (av.error.InvalidDataError, av.error.ArgumentError):
                failures += 1
                self.damaged["file"] += failures == 1
            except (OSError, av.error.FFmpegError) as error:
                raise UserError(f"{self._source}: the clip cannot be read ({reason(error)}). Check its disk.") from None

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
    """FFmpeg's deinterlacer, which passes frames that are not marked as interlaced."""

    def __init__(self, frame):
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        graph.link_nodes(
            source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
        ).configure()
        self._graph = graph

    def __call__(self, frame):
        """The frames that another one completes; None is the end."""
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


def _video(clip, source):
    streams = [stream for stream in clip.streams.video if not is_cover(stream)]
    if not streams:
        raise UserError(f"{source}: the file holds no moving pictures. Give a clip.")
    if streams[0].codec_context is None:
        raise UserError(f"{source}: FFmpeg does not know the codec of the video. Convert it, for example to H.264.")
    # Threads for whole frames would report an error some packets late.
    streams[0].thread_type = "SLICE"
    return streams[0]


def is_cover(stream) -> bool:
    """Whether a video stream is a still picture, such as the cover of an album."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
