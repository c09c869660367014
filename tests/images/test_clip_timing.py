"""Times of frames and sound: joined recordings, dropped frames, times that repeat."""

import types
from fractions import Fraction

import numpy as np
import pytest

from helpers.clips import av, larger, make, times_of
from srgan_tf.images import clips

clip_timing = pytest.importorskip("srgan_tf.images.clip_timing")


def packets_of(path, kind="audio"):
    """The beginning and the end of each packet, s."""
    with av.open(str(path)) as clip:
        stream = clip.streams.best(kind)
        found = [packet for packet in clip.demux(stream) if packet.size]
        return [(float(p.pts * p.time_base), float((p.pts + (p.duration or 0)) * p.time_base)) for p in found]


def test_joined_recordings_whose_times_start_anew_go_on_without_a_jump(tmp_path):
    one = make(tmp_path / "one.ts", frames=20, sound=True)
    (tmp_path / "joined.ts").write_bytes(2 * one.read_bytes())
    clips.enlarge(one, tmp_path / "one.mkv", larger)
    clips.enlarge(tmp_path / "joined.ts", tmp_path / "large.mkv", larger)
    times = np.array(times_of(tmp_path / "large.mkv"))
    assert len(times) == 40
    np.testing.assert_allclose(times, times_of(tmp_path / "one.mkv")[0] + 0.04 * np.arange(40), atol=0.002)
    single, joined = packets_of(tmp_path / "one.mkv"), packets_of(tmp_path / "large.mkv")
    assert len(joined) >= 2 * len(single) - 5  # what overlaps is dropped
    begins = [begin for begin, _ in joined]
    assert begins == sorted(set(begins))
    # The second recording's sound is as late behind its video as that of the first.
    np.testing.assert_allclose([begin for begin, _ in joined[-3:]], np.array(single)[-3:, 0] + 0.8, atol=0.002)


def packet(stream, time, length=0.04):
    """What `Timeline` looks at."""
    base = Fraction(1, 1000)
    ticks = round(time * 1000)
    return types.SimpleNamespace(stream=stream, pts=ticks, dts=ticks, time_base=base, duration=round(length * 1000))


@pytest.fixture
def timeline():
    stream = types.SimpleNamespace
    video = stream(index=0, type="video", average_rate=Fraction(25), guessed_rate=None)
    sound, titles = stream(index=1, type="audio"), stream(index=2, type="subtitle")
    clip = stream(start_time=0, format=stream(name="mpegts"))
    return clip_timing.Timeline(clip, video), video, sound, titles


def placed(line, packets):
    """(index of the stream, time) of the packets in the order in which they are ready."""
    return [(one.stream.index, one.dts / 1000) for given in packets for one in line.place(given)]


def test_sound_that_reaches_the_second_recording_first_waits_for_its_video(timeline):
    line, video, sound, titles = timeline
    for i in range(26):
        assert placed(line, [packet(video, 0.04 * i)]) == [(0, round(0.04 * i, 3))]
        assert placed(line, [packet(sound, 0.02 + 0.04 * i)]) == [(1, round(0.02 + 0.04 * i, 3))]
    early = [packet(sound, 0.02), packet(titles, 0.01), packet(sound, 0.06)]
    assert placed(line, early) == []
    assert placed(line, [packet(video, 1.04)]) == [(0, 1.04)]
    assert placed(line, [packet(video, 0)]) == [(0, 1.08), (1, 1.1), (2, 1.09), (1, 1.14)]


def test_sound_that_reaches_a_second_recording_without_video_comes_in_the_end(timeline):
    line, video, sound, _ = timeline
    placed(line, [packet(video, 0), packet(sound, 0), packet(video, 1), packet(sound, 1)])
    assert placed(line, [packet(sound, 0), packet(sound, 0.04)]) == []
    assert [one.dts for one in line.release()] == [1040, 1080] and line.release() == []


def test_a_clock_that_jumps_ahead_goes_on_and_a_pause_of_one_stream_stays(timeline):
    line, video, sound, _ = timeline
    start = [packet(video, 0), packet(sound, 0), packet(video, 0.04), packet(video, 5000), packet(sound, 5000)]
    assert placed(line, start) == [(0, 0), (1, 0), (0, 0.04), (0, 0.08), (1, 0.08)]
    for i in range(1, 500):
        line.place(packet(video, 5000 + 0.04 * i))
    assert placed(line, [packet(sound, 5019)]) == [(1, 19.08)]


def test_dropped_frames_of_an_avi_file_leave_their_gaps(tmp_path):
    pts = [0, 2, 3, 4, 5, 6, 17, 18, 19]
    clip = make(tmp_path / "clip.avi", frames=9, pts=pts, codec="mpeg4")
    clips.enlarge(clip, tmp_path / "large.mkv", larger)
    np.testing.assert_allclose(times_of(tmp_path / "large.mkv"), np.array(pts) / 25, atol=0.002)


def test_frames_of_an_avi_file_with_reordered_frames_are_evenly_spaced(tmp_path):
    clip = make(tmp_path / "clip.avi", frames=12, codec="mpeg4", b_frames=2)
    clips.enlarge(clip, tmp_path / "large.mkv", larger)
    times = times_of(tmp_path / "large.mkv")
    assert len(times) == 12
    np.testing.assert_allclose(np.diff(times), 0.04, atol=0.002)


def test_times_that_repeat_or_jump_back_increase_and_all_frames_stay(tmp_path):
    clip = make(tmp_path / "clip.mkv", frames=6, codec="ffv1", pix_fmt="yuv420p")
    with av.open(str(clip)) as source, av.open(str(tmp_path / "again.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for i, (one, time) in enumerate(zip(source.demux(video=0), [0, 40, 40, 80, 60, 120])):
            if one.size:
                one.pts, one.dts, one.stream = time, i, stream
                out.mux(one)
    assert len(times_of(tmp_path / "again.mkv")) == 6
    clips.enlarge(tmp_path / "again.mkv", tmp_path / "large.mkv", larger)
    times = times_of(tmp_path / "large.mkv")
    assert len(times) == 6 and times == sorted(set(times)) and abs(times[-1] - 0.12) < 0.003


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("pts", [[0], [0, 40, 80, 1000, 1040, 3000]], ids=["one frame", "several"])
def test_the_last_frame_is_shown_as_long_as_before(tmp_path, suffix, pts):
    clip = make(tmp_path / "clip.mkv", len(pts), pts=pts, time_base=Fraction(1, 1000), options={"bf": "0"})
    with av.open(str(clip)) as source, av.open(str(tmp_path / "long.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for one in source.demux(video=0):
            if one.size:
                one.duration = 5000 if one.pts == pts[-1] else 40
                one.stream = stream
                out.mux(one)
    clips.enlarge(tmp_path / "long.mkv", tmp_path / f"large{suffix}", larger)
    assert max(packets_of(tmp_path / f"large{suffix}", "video")) == (pts[-1] / 1000, pts[-1] / 1000 + 5)
