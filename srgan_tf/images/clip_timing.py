"""The times of packets and frames of a clip, made to increase where the file's own jump back, repeat or are missing."""

import dataclasses
import heapq
from fractions import Fraction

_BACK = Fraction(1, 10)  # s; a smaller step back is an inaccuracy of the file
_AHEAD = 10  # s; a longer gap in a broadcast is a jump of its clock
_MOST_HELD = 1000  # packets that wait for the video of a joined recording
_CONTINUOUS = ("video", "audio")  # streams whose packets follow each other
_WITH_JUMPS = {"mpegts", "mpeg"}  # formats whose clock may jump ahead, too, as FFmpeg sees them


@dataclasses.dataclass
class _Track:
    """What was read of one stream.

    first, last: when its first and its last packet begin in the file, in seconds.
    end: when its last packet ends in the result.
    part: which of the joined recordings it has reached.
    joining: whether the packets that overlap the previous recording are still to come.
    """

    first: Fraction | None = None
    last: Fraction | None = None
    end: Fraction = Fraction(0)
    part: int = 0
    joining: bool = False


class Timeline:
    """Times of packets, counted from the beginning of the clip and without jumps.

    Recordings that were joined without changing their times are put one behind the other. All streams are shifted
    alike, so that they stay in step.

    Args:
        clip: an input container of PyAV.
        video: its video stream, whose frames come without a gap where recordings were joined.
    """

    def __init__(self, clip, video):
        self._shifts = [Fraction(-(clip.start_time or 0), 1_000_000)]  # s, of each recording
        self._video, self._tracks, self._held = video, {}, []
        self._may_jump = clip.format.name in _WITH_JUMPS
        rate = video.average_rate or video.guessed_rate
        self._frame = Fraction(1) / rate if rate else Fraction(0)

    def place(self, packet) -> list:
        """Change the times of a packet; packets of each stream in the order of the file.

        Returns:
            The packets that are ready: none where sound overlaps what was there before a join, or has reached the next
            recording before the video, which it then waits for.
        """
        if self._held and packet.stream is not self._video:
            self._held.append(packet)
            return self.release() if len(self._held) > _MOST_HELD else []
        track = self._tracks.setdefault(packet.stream.index, _Track(part=len(self._shifts) - 1))
        jumps = self._jumps(track, packet)
        if jumps and track.part == len(self._shifts) - 1:
            if packet.stream is not self._video and self._video.index in self._tracks:
                self._held.append(packet)
                return []
            self._join(packet)
            ready = self._placed(packet, jumps)
            return ready + self.release()
        return self._placed(packet, jumps)

    def release(self) -> list:
        """The packets that are held back, at the end of the file."""
        held, self._held = self._held, []
        ready = []
        for packet in held:
            track = self._tracks[packet.stream.index] if packet.stream.index in self._tracks else None
            if track and self._jumps(track, packet) and track.part == len(self._shifts) - 1:
                self._join(packet)
            ready += self.place(packet)
        return ready

    def _placed(self, packet, jumps):
        track = self._tracks[packet.stream.index]
        if jumps:
            track.part, track.joining = len(self._shifts) - 1, packet.stream.type == "audio"
        elif packet.stream.type not in _CONTINUOUS:
            track.part = len(self._shifts) - 1
        if packet.dts is not None:
            track.last = packet.dts * packet.time_base
            if track.first is None:
                track.first = track.last
            begins = track.last + self._shifts[track.part]
            if track.joining and begins < track.end:
                return []
            track.joining = False
            length = (packet.duration or 0) * packet.time_base
            track.end = begins + (length or (self._frame if packet.stream is self._video else 0))
        ticks = round(self._shifts[track.part] / packet.time_base)
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks
        return [packet]

    def _jumps(self, track, packet):
        """Whether a packet belongs to another recording than the previous one of its stream."""
        if packet.stream.type not in _CONTINUOUS or packet.dts is None or track.last is None:
            return False
        begins = packet.dts * packet.time_base
        if begins < track.last - _BACK:
            return True
        # Another stream that is there already shows that this one was silent for a while.
        others = max(other.end for other in self._tracks.values())
        return self._may_jump and begins + self._shifts[track.part] > max(track.end, others) + _AHEAD

    def _join(self, packet):
        """Add a recording that begins with a packet: its video follows that of the previous one."""
        begins, track = packet.dts * packet.time_base, self._tracks[packet.stream.index]
        video = self._tracks.get(self._video.index, track)
        if None not in (video.first, track.first):
            begins += video.first - track.first
        self._shifts.append(video.end - begins)


class FrameClock:
    """The times of the decoded frames of a video stream, which strictly increase.

    AVI files tell when each packet is decoded, which for the frames in the order in which they are shown are the same
    times. Frames of other files have times; where they have none, the frame rate tells them.

    Args:
        stream: a video stream of PyAV.
        decode_times: whether the file tells only when packets are decoded.
    """

    def __init__(self, stream, *, decode_times: bool):
        self._stream, self._decode_times = stream, decode_times
        self._waiting, self._last = [], None
        rate = stream.average_rate or stream.guessed_rate or 25
        self._step = max(1, round(1 / (rate * stream.time_base)))

    def send(self, packet):
        """To be called before a packet is decoded."""
        if self._decode_times and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)

    def lose(self):
        """To be called when a packet could not be decoded."""
        if self._waiting:
            heapq.heappop(self._waiting)

    def received(self):
        """To be called after the frames of a packet: what does not wait for later frames gave none."""
        if not self._stream.codec_context.has_b_frames:
            self._waiting.clear()

    def tick(self, frame) -> int:
        """The time of the next decoded frame, in units of the stream's time base."""
        following = 0 if self._last is None else self._last + self._step
        if self._decode_times:
            tick = heapq.heappop(self._waiting) if self._waiting else following
        else:
            tick = following if frame.pts is None else frame.pts
        self._last = tick if self._last is None else max(tick, self._last + 1)
        return self._last
