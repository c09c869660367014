"""Clips: every frame at its time, sound packet by packet, upright, in their own colours, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from helpers import ROOT
from helpers.clips import PATCHES, centres, clip_colours, frames_of, larger, make, patches, rgb_of, times_of
from srgan_tf.commands import start, upscale
from srgan_tf.errors import UserError
from srgan_tf.images import clip_names, clips

av = pytest.importorskip("av")


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


@pytest.mark.parametrize("limits", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9], ids=["bt709", "bt470bg", "smpte170m", "bt2020"])
def test_colours_and_their_tags_stay(tmp_path, matrix, limits):
    clip = make(tmp_path / "clip.mp4", frames=1, matrix=matrix, limits=limits, primaries=9, transfer=14)
    if matrix == 9 and not hasattr(av.video.reformatter.Colorspace, "BT2020"):  # PyAV for Python 3.10
        with pytest.raises(UserError, match="does not convert the colours of BT.2020"):
            clips.enlarge(clip, tmp_path / "large.mp4", larger)
        return
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    [frame] = frames_of(tmp_path / "large.mp4")
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (matrix, limits, 9, 14)
    np.testing.assert_allclose(centres(rgb_of(frame)).reshape(-1, 3).astype(int), PATCHES, atol=3)


def test_a_clip_without_a_matrix_is_read_as_players_do_and_tagged(tmp_path):
    clip = make(tmp_path / "clip.mp4", frames=1, matrix=2, limits=1)
    [small] = frames_of(clip)
    assert small.colorspace == clip_colours.UNSPECIFIED
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    [large] = frames_of(tmp_path / "large.mp4")
    assert large.colorspace == clip_colours.SMPTE170M
    for before, after in zip(small.to_ndarray()[:32:16, ::16], large.to_ndarray()[:128:64, ::64]):  # luma
        np.testing.assert_allclose(after.astype(int), before, atol=3)


def test_ten_bits_stay_ten_bits(tmp_path):
    clip = make(tmp_path / "clip.mp4", frames=1, pix_fmt="yuv420p10le")
    kinds = []
    clips.enlarge(clip, tmp_path / "large.mp4", lambda rgb: kinds.append(rgb.dtype) or larger(rgb))
    [frame] = frames_of(tmp_path / "large.mp4")
    assert kinds == [np.uint16] and frame.format.name == "yuv420p10le"
    np.testing.assert_allclose(centres(rgb_of(frame)).reshape(-1, 3).astype(int), PATCHES, atol=3)


def test_frames_of_another_size_are_scaled_to_that_of_the_first(tmp_path):
    parts = [make(tmp_path / f"{i}.ts", frames=3, size=size) for i, size in enumerate([(32, 48), (64, 96)])]
    clip = tmp_path / "clip.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes = clips.enlarge(clip, tmp_path / "large.mp4", larger)
    assert "frames of another size were scaled to that of the first" in notes
    frames = frames_of(tmp_path / "large.mp4")
    assert len(frames) >= 5 and {(f.height, f.width) for f in frames} == {(128, 192)}
    np.testing.assert_allclose(centres(rgb_of(frames[-1])).reshape(-1, 3).astype(int), PATCHES, atol=12)


def test_the_result_may_have_the_longest_name(tmp_path):
    clip, target = make(tmp_path / "clip.mp4", frames=2), tmp_path / f"{251 * 'n'}.mp4"
    clips.enlarge(clip, target, larger, key="key")
    assert len(frames_of(target)) == 2


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


def test_a_title_is_copied(tmp_path):
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


def test_a_name_with_a_colon_is_not_a_protocol(run):
    os.rename(make("clip.mkv", frames=1), "Dune: Part Two.mkv")
    assert run("Dune: Part Two.mkv")[0] == 0 and Path("Dune: Part Two_x4.mkv").is_file()


def test_transparency_is_left_out_and_noted(tmp_path):
    frame = av.VideoFrame.from_ndarray(np.full((32, 48, 4), 99, np.uint8), "rgba")
    with av.open(str(tmp_path / "clear.mov"), "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "rgba"
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert "without its transparency" in clips.enlarge(tmp_path / "clear.mov", tmp_path / "large.mov", larger)


def test_transparency_of_webm_is_noted_and_its_tag_left_out(tmp_path):
    clip = make(tmp_path / "clip.webm", frames=2, codec="libvpx-vp9")
    with av.open(str(clip)) as source, av.open(str(tmp_path / "clear.webm"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.metadata["alpha_mode"] = "1"
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    notes = clips.enlarge(tmp_path / "clear.webm", tmp_path / "large.mkv", larger)
    assert notes == ("2 frames", "without its transparency")
    with av.open(str(tmp_path / "large.mkv")) as large:
        assert not {"alpha_mode", "ALPHA_MODE"} & set(large.streams.video[0].metadata)


# Display matrices, (a, b, c, d) of x' = a x + c y, y' = b x + d y; and what a player makes of them.
@pytest.mark.parametrize(
    "matrix, shown",
    [
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
        ((0, -1, -1, 0), lambda x: np.rot90(x.swapaxes(0, 1), 2)),
    ],
)
def test_mirrored_and_turned_clips_come_out_as_players_show_them(tmp_path, matrix, shown):
    a, b, c, d = (65536 * x for x in matrix)
    data = np.array([a, b, 0, c, d, 0, 0, 0, 2**30], "=i4").tobytes()
    frame = types.SimpleNamespace(side_data=[Data("DISPLAYMATRIX", data)])
    np.testing.assert_array_equal(clip_colours.upright(patches(), frame), shown(patches()))
    assert clip_colours.is_turned(frame) == (a == 0)


class Data(bytes):
    """Side data of a frame."""

    def __new__(cls, name, data):
        self = super().__new__(cls, data)
        self.type = types.SimpleNamespace(name=name)
        return self


def test_a_mirrored_clip_is_mirrored(tmp_path):
    plain, clip = make(tmp_path / "plain.mp4", frames=2), tmp_path / "clip.mp4"
    with av.open(str(plain)) as source, av.open(str(clip), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(0, hflip=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    clips.enlarge(clip, tmp_path / "large.mp4", larger)
    large = rgb_of(frames_of(tmp_path / "large.mp4")[0])
    np.testing.assert_allclose(centres(large[:, ::-1]).reshape(-1, 3).astype(int), PATCHES, atol=4)


def test_what_hdr10_says_about_its_display_stays(tmp_path):
    x265 = (
        "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,1):max-cll=1000,400"
    )
    clip = make(
        tmp_path / "clip.mkv",
        frames=2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        size=(64, 96),
        options={"x265-params": x265},
    )
    clips.enlarge(clip, tmp_path / "large.mkv", larger)

    def said(path):
        data = {one.type.name: bytes(one) for one in frames_of(path)[0].side_data}
        numbers = np.frombuffer(data["MASTERING_DISPLAY_METADATA"][:80], "=i4").reshape(-1, 2)
        return numbers[:, 0] / numbers[:, 1], data["CONTENT_LIGHT_LEVEL"][:8]

    np.testing.assert_allclose(said(tmp_path / "large.mkv")[0], said(clip)[0], rtol=1e-6)
    assert said(tmp_path / "large.mkv")[1] == said(clip)[1] == bytes((0xE8, 3, 0, 0, 0x90, 1, 0, 0))


def test_quicktime_tags_stay(tmp_path):
    tags = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.location.ISO6709": "+52.5+013.4/", "title": "T"}
    clip = make(tmp_path / "clip.mov", metadata=tags, container_options={"movflags": "use_metadata_tags"})
    clips.enlarge(clip, tmp_path / "large.mov", larger)
    with av.open(str(tmp_path / "large.mov")) as large:
        assert tags.items() <= large.metadata.items()


def interlaced(path):
    """A bar that moves 6 pixels from field to field, upper field first."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "4", "x264-params": "tff=1"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        fields = np.full((20, 64, 96, 3), 30, np.uint8)
        for i, field in enumerate(fields):
            field[:, 6 + 4 * i : 26 + 4 * i] = 220
        for i in range(10):
            rgb = np.where((np.arange(64) % 2)[:, None, None], fields[2 * i + 1], fields[2 * i])
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert all(frame.interlaced_frame for frame in frames_of(path))
    return path


def test_interlaced_frames_of_another_size_are_scaled_too(tmp_path):
    parts = [interlaced(tmp_path / "a.ts"), make(tmp_path / "b.ts", frames=3)]
    clip = tmp_path / "clip.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes = clips.enlarge(clip, tmp_path / "large.mp4", larger)
    assert {"deinterlaced", "frames of another size were scaled to that of the first"} <= set(notes)
    frames = frames_of(tmp_path / "large.mp4")
    assert len(frames) >= 12 and {(f.height, f.width) for f in frames} == {(256, 384)}


def combing(frame):
    luma = frame.to_ndarray()[: frame.height].astype(float)
    return np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean()


def test_interlaced_clips_are_deinterlaced_unless_they_are_to_stay_so(tmp_path):
    clip = interlaced(tmp_path / "clip.mkv")
    assert clips.enlarge(clip, tmp_path / "large.mkv", lambda rgb: rgb) == ("10 frames", "deinterlaced")
    notes = clips.enlarge(clip, tmp_path / "kept.mkv", lambda rgb: rgb, keep_interlaced=True)
    assert notes == ("10 frames", "interlaced: both fields were enlarged as one picture")
    before, smooth, kept = (frames_of(path) for path in (clip, tmp_path / "large.mkv", tmp_path / "kept.mkv"))
    np.testing.assert_allclose(times_of(tmp_path / "large.mkv"), times_of(clip), atol=0.002)
    assert combing(kept[5]) > 0.9 * combing(before[5]) > 5 * combing(smooth[5])
    assert abs(smooth[5].to_ndarray()[: smooth[5].height].mean() - before[5].to_ndarray()[:64].mean()) < 3


def test_a_result_that_is_too_large_for_a_clip_is_refused_before_it_is_computed(run):
    make("clip.mp4", frames=1)
    status, _, err = run("clip.mp4", "--width", "16400")
    assert status == 2 and err.count("\n") == 1
    assert "clip.mp4: the result would have 16400 x 10933 pixels" in err
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
        ("text.mp4", "not a video"),
        ("empty.mp4", "not a video"),
        ("missing.mp4", "no such file"),
        ("sound.mp4", "no video stream"),
        ("cut.mp4", "not a video"),
        ("folder.mp4", "no pictures"),
    ],
)
def test_a_file_that_is_not_a_clip_is_one_line(run, name, problem):
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


def test_without_pyav_the_error_says_what_to_install(tmp_path, monkeypatch):
    clip = make(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="pip install av"):
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
