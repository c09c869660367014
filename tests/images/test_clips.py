"""Clips: every frame at its time, sound packet by packet, upright, in their own colours, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from helpers import ROOT
from srgan_tf.commands import start, upscale
from srgan_tf.errors import UserError
from srgan_tf.images import clip_names, clips

av = pytest.importorskip("av")
PATCHES = np.array([[200, 40, 40], [40, 180, 60], [30, 60, 200], [235, 235, 235], [20, 20, 20], [128, 128, 128]])


def patches(height=32, width=48):
    """Six flat patches, each 16 x 16 or larger, as RGB."""
    rows = PATCHES.reshape(2, 3, 3)
    return np.uint8(rows.repeat(height // 2, axis=0).repeat(width // 3, axis=1))


def make(
    path,
    frames=6,
    *,
    size=(32, 48),
    pts=None,
    rate=25,
    time_base=None,
    sound=False,
    use=0,
    subtitles=False,
    matrix=1,
    limits=1,
    primaries=1,
    transfer=1,
    codec="libx264",
    pix_fmt="yuv420p",
    picture=None,
    metadata=None,
):
    """A clip whose frames get a little darker one after the other."""
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=rate, options={"crf": "4"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, limits
        context.color_primaries, context.color_trc = primaries, transfer
        if time_base:
            context.time_base = time_base
        tone = out.add_stream("aac", rate=8000) if sound else None
        for one in filter(None, (stream, tone)):
            one.disposition = use
        base = patches(*size) if picture is None else picture
        for i in range(frames):
            rgb = np.uint8(base * (1 - 0.02 * i))
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format=pix_fmt,
                dst_colorspace=clips._swscale(matrix),
                src_color_range=2,
                dst_color_range=limits,
                interpolation=clips.EXACT,
            )
            frame.colorspace, frame.color_range = matrix, limits
            frame.color_primaries, frame.color_trc = primaries, transfer
            frame.pts = pts[i] if pts else i
            frame.time_base = time_base or Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if tone:
            for i in range(10):
                wave = np.float32(0.1 * np.sin(np.arange(1024) * 0.05 * (i + 1)))[None]
                samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                samples.rate, samples.pts = 8000, 1024 * i
                out.mux(tone.encode(samples))
            out.mux(tone.encode(None))
    return path


def larger(rgb):
    return rgb.repeat(4, axis=0).repeat(4, axis=1)


def frames_of(path):
    with av.open(str(path)) as clip:
        return list(clip.decode(video=0))


def times_of(path):
    return [float(frame.time) for frame in frames_of(path)]


def rgb_of(frame):
    """As a player shows it: by the tags of the frame."""
    return frame.to_ndarray(
        format="rgb24",
        src_colorspace=clips._swscale(int(frame.colorspace)),
        src_color_range=int(frame.color_range),
        dst_color_range=2,
        interpolation=clips.EXACT,
    )


def centres(rgb):
    height, width = rgb.shape[:2]
    return np.array([[rgb[height * (2 * i + 1) // 4, width * (2 * j + 1) // 6] for j in range(3)] for i in range(2)])


@pytest.fixture
def run(small_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            start(upscale.main, ["upscale.py", "--model", str(small_model), *arguments])
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
def test_every_frame_keeps_its_place(tmp_path, suffix):
    clip = make(tmp_path / f"clip.{suffix}", frames=7, rate=30)
    target = (tmp_path / "large").with_suffix(clip_names.suffix_for(clip))
    notes = clips.enlarge(clip, target, larger)
    assert notes == ("7 frames",)
    before, after = frames_of(clip), frames_of(target)
    assert [(f.height, f.width) for f in after] == [(128, 192)] * 7
    np.testing.assert_allclose(times_of(target), times_of(target)[0] + np.arange(7) / 30, atol=0.0011)
    assert suffix == "avi" or abs(times_of(target)[0] - times_of(clip)[0]) < 0.0011  # AVI knows no times
    for small, large in zip(before, after):
        np.testing.assert_allclose(centres(rgb_of(large)).astype(int), centres(rgb_of(small)), atol=3)


def test_a_variable_frame_rate_stays_so(tmp_path):
    pts = [0, 900, 1000, 4000, 4100, 9000]
    clip = make(tmp_path / "clip.mp4", pts=pts, time_base=Fraction(1, 1000))
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    np.testing.assert_allclose(times_of(tmp_path / "large.mp4"), np.array(pts) / 1000, atol=1e-4)


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
def test_sound_and_subtitles_stay_whose_decoder_has_another_name(tmp_path, codec, settings):
    clip = make_with(tmp_path / "clip.mkv", codec, **settings)

    def packets(path):
        with av.open(str(path)) as file:
            other = file.streams[1]
            assert other.codec_context.codec.canonical_name == codec
            return [bytes(packet) for packet in file.demux(other) if packet.dts is not None]

    assert clips.enlarge(clip, tmp_path / "large.mkv", larger) == ("1 frames",)
    assert len(packets(clip)) == 3 and packets(tmp_path / "large.mkv") == packets(clip)


@pytest.mark.parametrize(
    "codec, source, target, advice",
    [
        ("pcm_mulaw", "wav.avi", "large.mkv", "choose .mov"),
        ("pcm_u8", "wav.avi", "large.mp4", "choose .mkv"),
        ("wmav2", "wma.wmv", "large.mkv", "convert"),
    ],
)
def test_sound_that_does_not_fit_is_told_with_what_takes_it(tmp_path, codec, source, target, advice):
    clip = make_with(tmp_path / source, codec, rate=8000)
    with pytest.raises(UserError, match=f"{codec} sound does not fit into it, .*{target}, {advice}"):
        clips.enlarge(clip, tmp_path / target, larger)


@pytest.mark.parametrize("limits", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9], ids=["bt709", "bt470bg", "smpte170m", "bt2020"])
def test_colours_and_their_tags_stay(tmp_path, matrix, limits):
    clip = make(tmp_path / "clip.mp4", frames=1, matrix=matrix, limits=limits, primaries=9, transfer=14)
    if matrix == 9 and not hasattr(av.video.reformatter.Colorspace, "BT2020"):  # PyAV for Python 3.10
        with pytest.raises(UserError, match="does not convert BT.2020's colours"):
            clips.enlarge(clip, tmp_path / "large.mp4", larger)
        return
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    [frame] = frames_of(tmp_path / "large.mp4")
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (matrix, limits, 9, 14)
    np.testing.assert_allclose(centres(rgb_of(frame)).reshape(-1, 3).astype(int), PATCHES, atol=3)


def test_a_clip_that_names_no_matrix_is_read_as_players_read_it_and_then_names_it(tmp_path):
    clip = make(tmp_path / "clip.mp4", frames=1, matrix=2, limits=1)
    [small] = frames_of(clip)
    assert small.colorspace == clips.UNSPECIFIED
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    [large] = frames_of(tmp_path / "large.mp4")
    assert large.colorspace == clips.SMPTE170M
    for before, after in zip(small.to_ndarray()[:32:16, ::16], large.to_ndarray()[:128:64, ::64]):  # luma
        np.testing.assert_allclose(after.astype(int), before, atol=3)


def test_ten_bits_stay_ten_bits(tmp_path):
    clip = make(tmp_path / "clip.mp4", frames=1, pix_fmt="yuv420p10le")
    kinds = []
    clips.enlarge(clip, tmp_path / "large.mp4", lambda rgb: kinds.append(rgb.dtype) or larger(rgb))
    [frame] = frames_of(tmp_path / "large.mp4")
    assert kinds == [np.uint16] and frame.format.name == "yuv420p10le"
    np.testing.assert_allclose(centres(rgb_of(frame)).reshape(-1, 3).astype(int), PATCHES, atol=3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path, degrees):
    clip = tmp_path / "clip.mp4"
    with av.open(str(make(tmp_path / "plain.mp4"))) as plain, av.open(str(clip), "w") as out:
        stream = out.add_stream_from_template(plain.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    small = frames_of(clip)[0]
    assert small.rotation % 360 == degrees % 360 or small.rotation % 360 == -degrees % 360
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    large = frames_of(tmp_path / "large.mp4")[0]
    assert large.rotation == 0
    assert (large.height, large.width) == ((128, 192) if degrees == 180 else (192, 128))
    upright = np.rot90(rgb_of(small), small.rotation // 90)
    assert np.abs(rgb_of(large)[::4, ::4].astype(int) - upright).mean() < 2


@pytest.mark.parametrize("frames, shape", [(1, (13, 7)), (3, (1, 1)), (2, (5, 100))])
def test_odd_sizes_and_single_frames(tmp_path, frames, shape):
    clip = make(
        tmp_path / "clip.avi",
        frames,
        size=shape,
        codec="ffv1",
        pix_fmt="bgr0",
        matrix=2,
        limits=0,
        picture=np.full((*shape, 3), 90, np.uint8),
    )
    clips.enlarge(clip, tmp_path / "large.mp4", lambda rgb: rgb.repeat(3, axis=0).repeat(3, axis=1))
    after = frames_of(tmp_path / "large.mp4")
    assert len(after) == frames
    assert (after[0].height, after[0].width) == tuple(3 * n + 3 * n % 2 for n in shape)
    np.testing.assert_allclose(rgb_of(after[0]).astype(int), 90, atol=3)


def test_a_title_goes_along(tmp_path):
    clip = make(tmp_path / "clip.mkv", metadata={"title": "Sommer"})
    clips.enlarge(clip, tmp_path / "large.mkv", larger)
    with av.open(str(tmp_path / "large.mkv")) as large:
        assert large.metadata["title"] == "Sommer"


def test_a_title_in_another_encoding_does_no_harm(tmp_path):
    clip = make(tmp_path / "clip.avi", metadata={"title": "Sommer"})
    clip.write_bytes(clip.read_bytes().replace(b"Sommer", "Sömmer".encode("cp1252")))
    assert clips.enlarge(clip, tmp_path / "large.mkv", larger) == ("6 frames",)


def test_a_clip_that_begins_late_begins_at_once_with_its_sound(tmp_path):
    clip = make(tmp_path / "clip.ts", pts=range(500, 506), sound=True)
    late = times_of(clip)
    assert late[0] > 10
    clips.enlarge(clip, tmp_path / "large.mkv", larger)
    with av.open(str(clip)) as before, av.open(str(tmp_path / "large.mkv")) as after:
        assert 0 <= after.start_time < 100_000
        sound = [
            [float(packet.pts * packet.time_base) for packet in file.demux(audio=0) if packet.pts is not None]
            for file in (before, after)
        ]
        begins = before.start_time / 1e6
    np.testing.assert_allclose(times_of(tmp_path / "large.mkv"), np.array(late) - begins, atol=0.002)
    np.testing.assert_allclose(sound[1], np.array(sound[0]) - begins, atol=0.002)


def test_a_name_with_a_colon_is_no_protocol(run):
    os.rename(make("clip.mkv", frames=1), "Dune: Part Two.mkv")
    assert run("Dune: Part Two.mkv")[0] == 0 and Path("Dune: Part Two_x4.mkv").is_file()


def test_which_sound_plays_by_itself_stays(tmp_path):
    for use in (av.stream.Disposition.default, 0):
        clip = make(tmp_path / "clip.mkv", sound=True, use=use)
        clips.enlarge(clip, tmp_path / "large.mkv", larger)
        with av.open(str(tmp_path / "large.mkv")) as large:
            assert [stream.disposition for stream in large.streams] == [use, use]


def test_what_a_clip_loses_is_said(tmp_path):
    frame = av.VideoFrame.from_ndarray(np.full((32, 48, 4), 99, np.uint8), "rgba")
    with av.open(str(tmp_path / "clear.mov"), "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "rgba"
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert "transparency left out" in clips.enlarge(tmp_path / "clear.mov", tmp_path / "large.mov", larger)


def test_a_result_that_is_too_large_for_a_clip_is_refused_before_it_is_computed(run):
    make("clip.mp4", frames=1)
    status, _, err = run("clip.mp4", "--width", "16400")
    assert status == 2 and err.count("\n") == 1
    assert "clip.mp4 would have 16400 x 10933, give --outscale or --width" in err
    assert os.listdir() == ["clip.mp4"]


def test_the_command_enlarges_a_clip_and_keeps_what_is_done(run):
    make("clip.mp4", frames=3, sound=True)
    status, out, err = run("clip.mp4")
    assert (status, err) == (0, "") and "clip_x4.mp4" in out and "3 frames" in out
    assert frames_of("clip_x4.mp4")[0].width == 192
    assert "kept" in run("clip.mp4")[1]
    assert run("clip.mp4", "--outscale", "1.5", "-o", "half.mkv")[0] == 0
    assert [(f.height, f.width) for f in frames_of("half.mkv")] == [(48, 72)] * 3


@pytest.mark.parametrize(
    "name, problem",
    [
        ("text.mp4", "no clip"),
        ("empty.mp4", "no clip"),
        ("missing.mp4", "no such file"),
        ("sound.mp4", "no moving pictures"),
        ("cut.mp4", "no clip"),
        ("folder.mp4", "no pictures"),
    ],
)
def test_a_file_that_is_no_clip_is_one_line(run, name, problem):
    Path("text.mp4").write_text("no clip")
    Path("empty.mp4").touch()
    Path("folder.mp4").mkdir()
    make("good.mp4", frames=20)
    Path("cut.mp4").write_bytes(Path("good.mp4").read_bytes()[:1000])
    with av.open("sound.mp4", "w") as out:
        tone = out.add_stream("aac", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.rate = 8000
        out.mux(tone.encode(samples))
        out.mux(tone.encode(None))
    before = sorted(os.listdir())
    status, out, err = run(name)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and problem in err and err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_without_pyav_it_says_what_to_install(tmp_path, monkeypatch):
    clip = make(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'srgan_tf\[video\]'"):
        clips.enlarge(clip, tmp_path / "large.mp4", larger)


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    clip = make(tmp_path / "clip.mp4")
    (tmp_path / "large.mp4").write_bytes(b"from before")

    def fail(done, count):
        if done == 3:
            raise UserError("enough")

    with pytest.raises(UserError, match="enough"):
        clips.enlarge(clip, tmp_path / "large.mp4", larger, frame=fail)
    assert (tmp_path / "large.mp4").read_bytes() == b"from before"
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "large.mp4"]


def test_a_killed_run_leaves_no_clip_and_the_next_one_makes_it(run, small_model):
    make("clip.mp4", frames=400)
    process = subprocess.Popen(
        [sys.executable, ROOT / "upscale.py", "clip.mp4", "--model", small_model], stderr=subprocess.DEVNULL
    )
    while not (parts := list(Path().glob(".*.part"))) or parts[0].stat().st_size == 0:  # it writes its clip
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("clip_x4.mp4").exists()
    make("clip.mp4", frames=2)
    assert run("clip.mp4")[0] == 0
    assert len(frames_of("clip_x4.mp4")) == 2
    assert sorted(os.listdir()) == ["clip.mp4", "clip_x4.mp4"]
