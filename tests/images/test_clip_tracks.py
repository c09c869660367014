"""What a clip holds beside its video: copied, encoded or left out with a note."""

from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import av, frames_of, larger, make, patches
from srgan_tf.images import clips


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_is_copied_packet_by_packet(tmp_path, suffix):
    clip = make(tmp_path / f"clip.{suffix}", frames=30, sound=True)
    clips.enlarge(clip, tmp_path / f"large.{suffix}", larger)

    def packets(path):
        with av.open(str(path)) as file:
            return [(float(p.pts * p.time_base), bytes(p)) for p in file.demux(audio=0) if p.dts is not None]

    before, after = packets(clip), packets(tmp_path / f"large.{suffix}")
    assert len(before) > 9 and [data for _, data in after] == [data for _, data in before]
    np.testing.assert_allclose([t for t, _ in after], [t for t, _ in before], atol=0.002)


def make_with(path, codec, **settings):
    """A clip and packets of a codec that FFmpeg can decode but cannot encode; nobody looks into them."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        other = out.add_mux_stream(codec, **settings)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(patches(), "rgb24")))
        out.mux(stream.encode(None))
        for i in range(3):
            packet = av.Packet(bytes([0x7F, 0xFE, 0x80, 1, i]) + bytes(99))
            packet.pts = packet.dts = 40 * i
            packet.time_base, packet.duration, packet.stream = Fraction(1, 1000), 40, other
            out.mux(packet)
    return path


@pytest.mark.parametrize("codec, settings", [("dts", {"rate": 48000}), ("dvd_subtitle", {}), ("dvb_subtitle", {})])
def test_sound_and_subtitles_are_copied_whose_decoder_has_another_name(tmp_path, codec, settings):
    clip = make_with(tmp_path / "clip.mkv", codec, **settings)

    def packets(path):
        with av.open(str(path)) as file:
            other = file.streams[1]
            assert other.codec_context.codec.canonical_name == codec
            return [bytes(packet) for packet in file.demux(other) if packet.dts is not None]

    assert clips.enlarge(clip, tmp_path / "large.mkv", larger) == ("1 frame",)
    assert len(packets(clip)) == 3 and packets(tmp_path / "large.mkv") == packets(clip)


def test_the_default_sound_track_stays_the_default(tmp_path):
    for use in (av.stream.Disposition.default, 0):
        clip = make(tmp_path / "clip.mkv", sound=True, use=use)
        clips.enlarge(clip, tmp_path / "large.mkv", larger)
        with av.open(str(tmp_path / "large.mkv")) as large:
            assert [stream.disposition for stream in large.streams] == [use, use]


def tone(path, codec, *, rate=8000, layout="mono", seconds=1.0, silent=()):
    """A clip with a tone of 200 Hz; packets that begin in one of the `silent` spans (from, to) are missing."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4" if str(path).endswith(("avi", "asf")) else "libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 64000
        for i in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(patches(), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for i in range(0, round(rate * seconds) - 999, 1000):
            wave = np.sin(2 * np.pi * 200 * (i + np.arange(1000)) / rate)
            frame = av.AudioFrame.from_ndarray(np.int16(10000 * wave)[None], "s16", layout)
            frame.rate, frame.pts = rate, i
            packets = sound.encode(frame)
            if not any(start <= i / rate < stop for start, stop in silent):
                out.mux(packets)
        out.mux(sound.encode(None))
    return path


def sound_of(path):
    """Its codec and its samples, float [N], each at its time from the beginning of the clip."""
    with av.open(str(path)) as clip:
        stream = clip.streams.audio[0]
        samples, end = np.zeros(4 * stream.rate), 0
        for frame in clip.decode(stream):
            array = frame.to_ndarray().astype(float)
            array = array[0] / (1 if np.abs(array).max() <= 2 else 2**15)
            start = end if frame.pts is None else round(float(frame.pts * frame.time_base) * stream.rate)
            start = end if end and abs(start - end) < 100 else start  # times of ASF are whole milliseconds
            end = start + len(array)
            keep = array[max(0, -start) :]
            samples[max(0, start) : max(0, start) + len(keep)] = keep
        return stream.codec_context.codec.canonical_name, samples


@pytest.mark.parametrize(
    "source, codec, target, encoded",
    [
        ("clip.avi", "adpcm_ms", "large.mkv", "flac"),
        ("clip.avi", "pcm_mulaw", "large.mkv", "flac"),
        ("clip.mov", "pcm_alaw", "large.mp4", "aac"),
        ("clip.asf", "wmav2", "large.mkv", "flac"),
    ],
)
def test_sound_that_the_container_does_not_hold_is_encoded_and_noted(tmp_path, source, codec, target, encoded):
    clip = tone(tmp_path / source, codec, rate=22050 if codec == "wmav2" else 8000)
    notes = clips.enlarge(clip, tmp_path / target, larger)
    assert f"sound encoded as {encoded.upper()}, as {codec} does not fit" in notes
    (_, before), (name, after) = sound_of(clip), sound_of(tmp_path / target)
    assert name == encoded
    middle = slice(3000, 6500)
    tolerance = 0.1 if encoded == "aac" else 0.03 if codec == "wmav2" else 0.002
    assert np.abs(after[middle] - before[middle]).max() < tolerance
    assert np.abs(before[middle]).max() > 0.2


def test_gaps_in_sound_that_is_encoded_become_silence(tmp_path):
    clip = tone(tmp_path / "clip.mkv", "pcm_s16le", seconds=2, silent=[(0.6, 1.2)])
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    clip = tone(tmp_path / "clip.mov", "pcm_mulaw", seconds=2)
    clips.enlarge(clip, tmp_path / "same.mp4", larger)
    _, samples = sound_of(tmp_path / "same.mp4")
    assert np.abs(samples[14000:15800]).max() > 0.2 and np.abs(samples[16500:]).max() < 0.05


def test_a_sound_track_of_an_unknown_codec_is_left_out_and_noted(tmp_path):
    clip = tone(tmp_path / "clip.mov", "aac")
    with av.open(str(clip)) as first, av.open(str(tmp_path / "two.mov"), "w") as out:
        streams = {stream: [out.add_stream_from_template(stream)] for stream in first.streams}
        streams[first.streams.audio[0]].append(out.add_stream_from_template(first.streams.audio[0]))
        for packet in first.demux():
            if packet.dts is None:
                continue
            for stream in streams[packet.stream]:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.duration, copy.is_keyframe, copy.stream = packet.duration, packet.is_keyframe, stream
                out.mux(copy)
    data = (tmp_path / "two.mov").read_bytes()
    track = data.rindex(b"trak")
    unknown = data[track:].replace(b"mp4a", b"apac").replace(b"esds", b"dapa")
    (tmp_path / "two.mov").write_bytes(data[:track] + unknown)
    with av.open(str(tmp_path / "two.mov")) as file:
        assert [stream.codec_context is None for stream in file.streams] == [False, False, True]
    notes = clips.enlarge(tmp_path / "two.mov", tmp_path / "large.mov", larger)
    assert notes == ("25 frames", "without a sound track whose codec FFmpeg does not know")
    with av.open(str(tmp_path / "large.mov")) as large:
        assert [stream.codec_context.name for stream in large.streams] == ["h264", "aac"]


def with_cover(path):
    picture = av.VideoFrame.from_ndarray(patches(), "rgb24").reformat(format="yuvj420p")
    coder = av.CodecContext.create("mjpeg", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 48, 32, "yuvj420p", Fraction(1, 25)
    [cover] = coder.encode(picture)
    if path.suffix == ".mkv":
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
            out.add_attachment("cover.jpg", "image/jpeg", bytes(cover))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(patches(), "rgb24")))
            out.mux(stream.encode(None))
        return bytes(cover)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        still = out.add_mux_stream("mjpeg", width=48, height=32)
        still.disposition = av.stream.Disposition.attached_pic
        cover.stream, cover.pts, cover.dts = still, 0, 0
        out.mux(stream.encode(av.VideoFrame.from_ndarray(patches(), "rgb24")))
        out.mux(stream.encode(None))
        out.mux(cover)
    return bytes(cover)


def cover_of(path):
    with av.open(str(path)) as clip:
        for stream in clip.streams.video:
            if stream.disposition & av.stream.Disposition.attached_pic:
                return bytes(next(packet for packet in clip.demux(stream) if packet.size))
    return None


@pytest.mark.parametrize("source, target", [("clip.mp4", "l.mp4"), ("clip.mp4", "l.mkv"), ("clip.mkv", "l.mp4")])
def test_a_cover_is_copied(tmp_path, source, target):
    cover = with_cover(tmp_path / source)
    assert cover_of(tmp_path / source) == cover
    assert clips.enlarge(tmp_path / source, tmp_path / target, larger) == ("1 frame",)
    assert cover_of(tmp_path / target) == cover and len(frames_of(tmp_path / target)) == 1


def test_a_cover_that_the_container_does_not_hold_is_noted(tmp_path):
    with_cover(tmp_path / "clip.mp4")
    notes = clips.enlarge(tmp_path / "clip.mp4", tmp_path / "large.mov", larger)
    assert notes == ("1 frame", "without its cover picture")


@pytest.mark.parametrize("target, kept", [("large.mkv", True), ("large.mp4", False)])
def test_attached_fonts_are_kept_or_noted(tmp_path, target, kept):
    with av.open(str(tmp_path / "clip.mkv"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        out.add_attachment("Own.ttf", "font/ttf", b"not looked into")
        out.mux(stream.encode(av.VideoFrame.from_ndarray(patches(), "rgb24")))
        out.mux(stream.encode(None))
    notes = clips.enlarge(tmp_path / "clip.mkv", tmp_path / target, larger)
    assert notes == (("1 frame",) if kept else ("1 frame", "without its attachment Own.ttf"))
    with av.open(str(tmp_path / target)) as large:
        attached = [stream for stream in large.streams if stream.type == "attachment"]
        assert [(one.metadata["filename"], one.mimetype, one.data) for one in attached] == (
            [("Own.ttf", "font/ttf", b"not looked into")] if kept else []
        )


def test_a_second_video_is_left_out_and_noted(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as out:
        streams = [out.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for stream in streams:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(patches(), "rgb24")))
            out.mux(stream.encode(None))
    notes = clips.enlarge(tmp_path / "clip.mkv", tmp_path / "large.mkv", larger)
    assert notes == ("1 frame", "without 1 other video track")


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_a_sound_track_without_sound_is_left_out_and_noted(tmp_path, suffix):
    with av.open(str(tmp_path / "clip.ts"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        out.add_stream("aac", rate=8000, layout="mono")
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(patches(), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    notes = clips.enlarge(tmp_path / "clip.ts", tmp_path / f"large{suffix}", larger)
    assert notes == ("30 frames", "without a sound track that has no sound")
    assert len(frames_of(tmp_path / f"large{suffix}")) == 30
