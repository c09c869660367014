"""Encodes the video of a result in segments and stores each, so that an interrupted run can be resumed."""

import hashlib
import json
import os
import shutil

import av

from srgan_tf.atomic import whole_file
from srgan_tf.images import clip_names

LENGTH = 100  # frames: a few minutes of work, and no more keyframes than seeking needs


class Store:
    """Finished segments in a hidden folder beside the result, which `remove` deletes.

    Args:
        target: the path of the result.
        key: identifies everything that the segments depend on. Segments with another key are deleted.
    """

    def __init__(self, target, key: str):
        self._folder = clip_names.segments_of(target)
        self._key = hashlib.sha256(key.encode()).hexdigest()
        if self._read("key") != self._key.encode():
            self.remove()

    def load(self, number: int):
        """Load a segment: ((height, width), packets) with packets (data, pts, dts, duration, keyframe), or None."""
        content = self._read(f"{number}.segment")
        if content is None:
            return None
        head, _, data = content.partition(b"\n")
        packets, place = [], 0
        try:
            shape, entries = json.loads(head)
            for size, *fields in entries:
                packets.append((data[place : place + size], *fields))
                place += size
        except (ValueError, TypeError):
            return None
        return (tuple(shape), packets) if place == len(data) else None

    def save(self, number: int, shape, packets):
        """Store a finished segment in the form that `load` returns."""
        self._folder.mkdir(exist_ok=True)
        if number == 0 or not (self._folder / "key").exists():
            with whole_file(self._folder / "key") as file:
                file.write(self._key.encode())
        with whole_file(self._folder / f"{number}.segment") as file:
            file.write(json.dumps([shape, [[len(data), *fields] for data, *fields in packets]]).encode() + b"\n")
            for data, *_ in packets:
                file.write(data)

    def remove(self):
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, name):
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None


def key_of(source, *parts) -> str:
    """A `Store` key from the current state of the source file and everything else that the frames depend on."""
    status = os.stat(source)
    return json.dumps([os.path.abspath(source), status.st_size, status.st_mtime_ns, LENGTH, *parts])


class Encoder:
    """Encodes frames with copies of a stream's encoder, one copy per segment.

    Args:
        stream: a fully configured PyAV output stream. It is opened, but does not encode.
        options: the options of its encoder.
        mux: a function that is called with each packet.
        store: a `Store`, or None.
    """

    def __init__(self, stream, options, mux, store):
        self._stream, self._options, self._mux, self._store = stream, options, mux, store
        self._context, self._packets, self._count, self._durations = None, [], 0, {}

    def encode(self, frame, duration):
        """Encode a frame, and finish the segment if it is the segment's last frame.

        `duration` is in units of the stream's time base. Only the packet keeps it: the encoder ignores that of frames,
        and the last frame of a clip would be shown for no time.
        """
        if self._context is None:
            self._context = self._copy()
        self._durations[frame.pts] = duration
        self._take(self._context.encode(frame))
        self._count += 1
        if self._count % LENGTH == 0:
            self.finish()

    def finish(self):
        """Finish the segment, and store it if it is complete."""
        if self._context is None:
            return
        self._take(self._context.encode(None))
        if self._store and self._count % LENGTH == 0:
            shape = self._context.height, self._context.width
            self._store.save(self._count // LENGTH - 1, shape, self._packets)
        self._context, self._packets = None, []

    def skip(self, packets):
        """Write a stored segment instead of encoding its frames."""
        for data, *fields in packets:
            self._write(data, *fields)
        self._count += LENGTH

    def _take(self, packets):
        for packet in packets:
            duration = self._durations.pop(packet.pts)
            entry = bytes(packet), packet.pts, packet.dts, duration, packet.is_keyframe
            if self._store:
                self._packets.append(entry)
            self._write(*entry)

    def _write(self, data, pts, dts, duration, keyframe):
        packet = av.Packet(data)
        packet.pts, packet.dts, packet.duration, packet.is_keyframe = pts, dts, duration, keyframe
        packet.time_base, packet.stream = self._stream.codec_context.time_base, self._stream
        self._mux(packet)

    def _copy(self):
        template, context = self._stream.codec_context, av.CodecContext.create("libx264", "w")
        for name in ("width", "height", "pix_fmt", "time_base", "framerate", "flags", "sample_aspect_ratio"):
            if (value := getattr(template, name)) is not None:
                setattr(context, name, value)
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(context, name, getattr(template, name))
        context.bit_rate, context.options = 0, dict(self._options)
        return context
