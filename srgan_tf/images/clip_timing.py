"""Repairs the timestamps of a clip's packets and frames where they jump back, repeat or are missing."""

import dataclasses
import heapq
from fractions import Fraction

_BACK = Fraction(1, 10)  # s; a smaller step back is rounding in the file
_AHEAD = 10  # s; a longer gap in a broadcast is a clock jump
_MOST_HELD = 1000  # packets held back until the video of a joined recording starts
_CONTINUOUS = ("video", "audio")  # streams whose packets follow each other without gaps
_WITH_JUMPS = {"mpegts", "mpeg"}  # formats whose clock may also jump ahead, by FFmpeg's names


@dataclasses.dataclass
class _Track:
    """The reading position of one stream.

    first, last: start times of its first and last packet in the file, in seconds.
    end: the end time of its last packet in the result.
    part: the number of the joined recording that it has reached.
    joining: whether packets that overlap the previous recording can still follow.
    """

    first: Fraction | None = None
    last: Fraction | None = None
    end: Fraction = Fraction(0)
    part: int = 0
    joining: bool = False


class Timeline:
    """Continuous packet timestamps, counted from the beginning of the clip.

    Recordings that were concatenated with their original timestamps are placed one after the other. All streams are
    shifted by the same amount, so they stay synchronised.

    Args:
        clip: an input container of PyAV.
        video: its video stream, which has no gap where recordings were joined.
    """

    def __init__(self, clip, video):
        self._shifts = [Fraction(-(clip.start_time or 0), 1_000_000)]  # s, of each recording
        self._video, self._tracks, self._held = video, {}, []
        self._may_jump = clip.format.name in _WITH_JUMPS
        rate = video.average_rate or video.guessed_rate
        self._frame = Fraction(1) / rate if rate else Fraction(0)

    def place(self, packet) -> list:
        """Correct the timestamps of a packet. The packets of each stream must come in file order.

        Returns:
            The packets that are ready to write. Audio that overlaps the previous recording is dropped. Audio that
            reaches the next recording before the video is held back until the video does.
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
        """Return the packets that are still held back at the end of the file."""
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
        """Whether a packet belongs to another recording than the previous packet of its stream."""
        if packet.stream.type not in _CONTINUOUS or packet.dts is None or track.last is None:
            return False
        begins = packet.dts * packet.time_base
        if begins < track.last - _BACK:
            return True
        # If another stream has already reached this time, this stream merely had a gap.
        others = max(other.end for other in self._tracks.values())
        return self._may_jump and begins + self._shifts[track.part] > max(track.end, others) + _AHEAD

    def _join(self, packet):
        """Add a recording that begins with a packet. Its video follows the video of the previous recording."""
        begins, track = packet.dts * packet.time_base, self._tracks[packet.stream.index]
        video = self._tracks.get(self._video.index, track)
        if None not in (video.first, track.first):
            begins += video.first - track.first
        self._shifts.append(video.end - begins)


class FrameClock:
    """Strictly increasing timestamps of the decoded frames of a video stream.

    AVI files store only decoding times; in display order, frames are shown at the same times. Frames of other files
    have presentation times. Missing times are computed from the frame rate.

    Args:
        stream: a PyAV video stream.
        decode_times: whether the file stores only decoding times.
    """

    def __init__(self, stream, *, decode_times: bool):
        self._stream, self._decode_times = stream, decode_times
        self._waiting, self._last = [], None
        rate = stream.average_rate or stream.guessed_rate or 25
        self._step = max(1, round(1 / (rate * stream.time_base)))

    def send(self, packet):
        """Call before a packet is decoded."""
        if self._decode_times and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)

    def lose(self):
        """Call if a packet could not be decoded."""
        if self._waiting:
            heapq.heappop(self._waiting)

    def received(self):
        """Call after the frames of a packet: a packet that does not wait for later frames produced none."""
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
