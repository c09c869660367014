"""Streams other than the video: audio, subtitles, covers and attachments are copied, encoded or dropped."""

import contextlib
from pathlib import Path

import av

from srgan_tf.images.clip_reading import is_cover

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)  # Hz
_AAC_BITS = 96_000  # bits per second and channel: hard to distinguish from the original
# Default layouts of files that specify only the number of channels.
_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}
_PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


class Tracks:
    """All streams of a result except the enlarged video.

    Args:
        out: a PyAV output container with its video stream, before its header is written.
        clip: the input container.
        video: the input stream that is enlarged.

    Attributes:
        streams: the input streams whose packets `write` accepts.
        notes: notes about streams that were encoded or dropped.
    """

    def __init__(self, out, clip, video):
        self._out, self._matroska = out, out.format.name == "matroska"
        self._supported = out.supported_codecs  # by decoder name: dca, not dts
        self._writers, self.notes = {}, []
        others = [stream for stream in clip.streams if stream is not video]
        for stream in others:
            add = {"audio": self._sound, "subtitle": self._subtitles, "attachment": self._attachment}.get(stream.type)
            if add:
                add(stream)
            elif stream.type == "video" and is_cover(stream):
                self._cover(stream)
        if left := sum(stream.type == "video" and not is_cover(stream) for stream in others):
            self.notes.append(f"without {_count(left, 'other video track')}")
        if left := sum(stream.type in ("data", "unknown") for stream in others):
            self.notes.append(f"without {_count(left, 'data track')}")

    @property
    def streams(self):
        return list(self._writers)

    def start(self, waiting, write):
        """Process the packets that precede the first frame. In Matroska, covers become attachments.

        Args:
            waiting: packets of `streams`.
            write: a function that is called with each of the other packets.
        """
        for packet in waiting:
            if is_cover(packet.stream) and self._matroska:
                suffix, kind = _PICTURES[packet.stream.codec_context.name]
                self._out.add_attachment(f"cover.{suffix}", kind, bytes(packet))
                del self._writers[packet.stream]
        for packet in waiting:
            if packet.stream in self._writers:
                write(packet)

    def write(self, packet):
        """Write a packet of one of `streams`.

        Raises:
            av.error.InvalidDataError, av.error.ArgumentError: for a packet that the container does not accept.
        """
        self._writers[packet.stream].write(packet)

    def close(self):
        """Flush the encoders."""
        for writer in self._writers.values():
            writer.close()

    def _sound(self, stream):
        codec = stream.codec_context and stream.codec_context.codec
        if codec and not stream.codec_context.sample_rate:
            self.notes.append("without a sound track that has no sound")
            return
        if codec and codec.name in self._supported:
            self._copy(stream)
            return
        if codec:
            encoder = "flac" if self._matroska and stream.codec_context.layout.nb_channels <= 8 else "aac"
            with contextlib.suppress(av.error.FFmpegError, ValueError):
                self._writers[stream] = _Encoded(self._out, stream, encoder)
                _label(self._writers[stream].stream, stream)
                self.notes.append(f"sound encoded as {encoder.upper()}, as {codec.canonical_name} does not fit")
                return
        self.notes.append("without a sound track whose codec FFmpeg does not know")

    def _subtitles(self, stream):
        if stream.codec_context and stream.codec_context.codec.name in self._supported:
            self._copy(stream)
        else:
            self.notes.append("without its subtitles, which the format cannot store")

    def _attachment(self, stream):
        name = stream.metadata.get("filename", "attachment")
        if self._matroska:
            self._out.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        else:
            self.notes.append(f"without its attachment {Path(name).name}")

    def _cover(self, stream):
        codec = stream.codec_context and stream.codec_context.codec.name
        if self._matroska and codec in _PICTURES:
            self._writers[stream] = None  # of `start`
        elif self._out.format.name == "mp4" and codec in self._supported:
            out = self._out.add_stream_from_template(stream, opaque=True)
            _label(out, stream)
            self._writers[stream] = _Copied(self._out, out)
        else:
            self.notes.append("without its cover picture")

    def _copy(self, stream):
        out = self._out.add_stream_from_template(stream)
        _label(out, stream)
        self._writers[stream] = _Copied(self._out, out)


class _Copied:
    """A stream whose packets are written as they are."""

    def __init__(self, out, stream):
        self._out, self._stream, self._last = out, stream, None

    def write(self, packet):
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:  # a cover
            packet.pts = packet.dts = 0
        if self._last is not None and packet.dts <= self._last:
            late = self._last + 1 - packet.dts
            packet.dts += late
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._last = packet.dts
        packet.stream = self._stream
        self._out.mux(packet)

    def close(self):
        pass


class _Encoded:
    """Audio that is re-encoded; gaps in its timestamps become silence."""

    def __init__(self, out, source, encoder):
        context = source.codec_context
        rate, layout = context.sample_rate, _LAYOUTS.get(context.layout.name, context.layout.name)
        if encoder == "aac" and rate not in _AAC_RATES:
            rate = min((known for known in _AAC_RATES if known > rate), default=_AAC_RATES[0])
        self.stream = out.add_stream(encoder, rate=rate, layout=layout)
        if encoder == "aac":
            self.stream.bit_rate = _AAC_BITS * context.layout.nb_channels
        self._out, self._source, self._graph, self._layout = out, source, None, layout
        self._next = -(2**31)  # start of the next packet, in samples; AAC starts before 0

    def write(self, packet):
        time_base = packet.time_base
        for frame in self._source.decode(packet):
            if frame.time_base is None:
                frame.time_base = time_base
            self._encode(frame)

    def close(self):
        with contextlib.suppress(av.error.FFmpegError):
            for frame in self._source.decode(None):
                frame.time_base = self._source.time_base
                self._encode(frame)
        if self._graph:
            self._encode(None)
            self._mux(self.stream.encode(None))

    def _encode(self, frame):
        if self._graph is None:
            self._graph = av.filter.Graph()
            source = self._graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            )
            self._graph.link_nodes(
                source,
                self._graph.add("aresample", "async=1"),
                self._graph.add("aformat", f"channel_layouts={self._layout}"),
                self._graph.add("abuffersink"),
            ).configure()
        self._graph.push(frame)
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                self._mux(self.stream.encode(self._graph.pull()))

    def _mux(self, packets):
        for packet in packets:
            if packet.pts is None or packet.pts < self._next:  # the last packets have no timestamp
                packet.pts = packet.dts = self._next
            self._next = packet.pts + (packet.duration or 0)
            self._out.mux(packet)


def _label(out, source):
    """Copy the metadata of a stream, such as its language, and whether it plays by default."""
    out.metadata.update({key: value for key, value in source.metadata.items() if key.upper() != "DURATION"})
    out.disposition = source.disposition


def _count(number, noun):
    return f"{number} {noun}{'s' * (number > 1)}"
