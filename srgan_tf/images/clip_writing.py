"""Writing clips with PyAV: the enlarged frames as H.264, and the other streams of the clip."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from srgan_tf.images.clip_colours import Colours, is_turned, lost_side_data, upright, x264_hdr
from srgan_tf.images.clip_names import CONTAINERS
from srgan_tf.images.clip_segments import LENGTH, Encoder
from srgan_tf.images.clip_tracks import Tracks
from srgan_tf.resize import imresize

OPTIONS = {"crf": "16", "preset": "medium", "rc-lookahead": "20"}  # hard to distinguish from the source
# Metadata that describes the container, not the clip.
_OF_THE_FILE = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "alpha_mode"),
    *("operational_pattern_ul", "uid", "generation_uid", "product_uid", "material_package_umid"),
    *("file_package_umid", "company_name", "product_name", "product_version", "product_version_num"),
    *("application_platform", "toolkit_version_num"),
}
_SCALED = "frames of another size were scaled to that of the first"
_QUICKTIME = "com.apple.quicktime."


class Writer:
    """Writes the enlarged clip. Writing starts with the first frame, which determines the size.

    Args:
        file: a binary file to write to; target: its name.
        clip, reader: the input container and its `clip_reading.Reader`; source: its name.
        store: a `clip_segments.Store` of finished segments, or None.

    Attributes:
        count: the number of frames written.
        streams: the input streams, except the video, whose packets `copy` accepts.
    """

    def __init__(self, file, target, clip, reader, source, store=None):
        self.count, self._source, self._reader = 0, source, reader
        self._stream, self._store, self._encoder, self._stored = reader.video, store, None, 0
        self._shape, self._colours, self._waiting, self._notes, self._last = None, None, [], [], None
        metadata = _of_the_clip(clip.metadata)
        kind = CONTAINERS[Path(target).suffix.lower()]
        own_tags = kind != "matroska" and any(key.startswith(_QUICKTIME) for key in metadata)
        self._out = av.open(
            file, "w", format=kind, container_options={"movflags": "use_metadata_tags"} if own_tags else {}
        )
        self._out.metadata.update(metadata)
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        self._large = self._out.add_stream("libx264", rate=rate, options=OPTIONS)
        self._tracks = Tracks(self._out, clip, self._stream)
        if chapters := clip.chapters():
            begins = Fraction(clip.start_time or 0, 1_000_000)
            self._out.set_chapters([_since(chapter, begins) for chapter in chapters])

    @property
    def streams(self):
        return self._tracks.streams

    @property
    def notes(self) -> list[str]:
        """Notes for the user about what changed."""
        damaged = self._reader.damaged
        number = sum(damaged.values())
        return [
            *([f"skipped {number} damaged packet{'s' * (number > 1)}"] if number else []),
            *(["deinterlaced"] if self._reader.deinterlaced else []),
            *dict.fromkeys([*self._notes, *self._tracks.notes]),
        ]

    def add(self, frame, function):
        """Enlarge a decoded frame and encode it, unless a stored segment holds it."""
        colours = Colours(frame, self._source)
        if self._store and self.count % LENGTH == 0 and (stored := self._store.load(self.count // LENGTH)):
            shape, packets = stored
            if self._shape is None:
                self._start(frame, shape, colours)
            self._encoder.skip(packets)
            self._stored = self.count + LENGTH
        if self.count >= self._stored:
            large = _even(function(upright(colours.to_rgb(frame), frame)))
            if self._shape is None:
                self._start(frame, large.shape[:2], colours)
            elif large.shape[:2] != self._shape:
                large = imresize(large, size=self._shape)
                if _SCALED not in self._notes:
                    self._notes.append(_SCALED)
            encoded = colours.from_rgb(large, self._large.pix_fmt)
        time_base = self._large.codec_context.time_base
        time = round(frame.pts * frame.time_base / time_base)
        self._last = time if self._last is None else max(time, self._last + 1)
        if self.count >= self._stored:
            encoded.pts, encoded.time_base = self._last, time_base
            self._encoder.encode(encoded, round(frame.duration * frame.time_base / time_base))
        self.count += 1

    def copy(self, packet):
        """Write an audio or subtitle packet; it is held back until the first frame, after the header is written."""
        if self._shape is None:
            self._waiting.append(packet)
        else:
            self._write(packet)

    def close(self):
        self._encoder.finish()
        self._tracks.close()
        self._out.close()

    def _start(self, frame, shape, colours):
        context, self._shape = self._large.codec_context, shape
        context.height, context.width = shape
        context.pix_fmt = "yuv420p10le" if colours.deep else "yuv420p"
        context.time_base = frame.time_base
        colours.tag(context)
        options = {**OPTIONS, "x264-params": hdr} if (hdr := x264_hdr(frame)) else OPTIONS
        context.options = dict(options)
        if ratio := self._stream.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / ratio if is_turned(frame) else ratio
        if frame.interlaced_frame:
            self._notes.append("interlaced: both fields were enlarged as one picture")
        if colours.alpha or _has_alpha_layer(self._stream):
            self._notes.append("without its transparency")
        self._notes += lost_side_data(frame)
        self._large.metadata.update(_of_the_clip(self._stream.metadata))
        self._large.disposition = self._stream.disposition
        self._encoder = Encoder(self._large, options, self._out.mux, self._store)
        waiting, self._waiting = self._waiting, []
        self._tracks.start(waiting, self._write)

    def _write(self, packet):
        kind = packet.stream.type
        try:
            self._tracks.write(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            self._reader.damaged[kind] += 1


def _has_alpha_layer(stream):
    """Whether a WebM stream has transparency, which the decoder discards."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def _of_the_clip(metadata):
    return {key: value for key, value in metadata.items() if key.lower() not in _OF_THE_FILE}


def _since(chapter, begins):
    """Shift the times of a chapter so that they count from the beginning of the clip."""
    times = {side: chapter[side] - round(begins / chapter["time_base"]) for side in ("start", "end")}
    return {**chapter, **times}


def _even(picture):
    """Repeat the last row or column of odd sides: 4:2:0 requires even sides."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
