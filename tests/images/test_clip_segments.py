"""Clips that were stopped: the next run continues after the last finished segment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import ROOT
from helpers.clips import av, frames_of, larger, make
from srgan_tf.images import clips

clip_segments = pytest.importorskip("srgan_tf.images.clip_segments")


def packets(path):
    with av.open(str(path)) as clip:
        found = [packet for packet in clip.demux() if packet.size]
        found.sort(key=lambda packet: packet.stream.index)  # the order within each stream stays
        return [(packet.stream.index, packet.dts, packet.pts, packet.duration, bytes(packet)) for packet in found]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(clip_segments, "LENGTH", 10)
    monkeypatch.setattr("srgan_tf.images.clip_writing.LENGTH", 10)


def stopped(clip, target, at, key="key"):
    def stop(done, count):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clips.enlarge(clip, target, larger, frame=stop, key=key)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_stopped_clip_continues_and_equals_one_that_was_not_stopped(tmp_path, short, suffix):
    clip, target = make(tmp_path / "clip.mp4", frames=45, sound=True, b_frames=2), tmp_path / f"large{suffix}"
    clips.enlarge(clip, tmp_path / f"whole{suffix}", larger)
    stopped(clip, target, at=37)
    assert not target.exists()
    computed = []
    notes = clips.enlarge(clip, target, lambda rgb: computed.append(1) or larger(rgb), key="key")
    assert notes == ("45 frames",) and len(computed) == 45 - 30
    assert packets(target) == packets(tmp_path / f"whole{suffix}") and len(frames_of(target)) == 45
    assert sorted(os.listdir(tmp_path)) == sorted(["clip.mp4", target.name, f"whole{suffix}"])


def test_segments_of_another_source_or_model_are_not_used(tmp_path, short):
    clip, target = make(tmp_path / "clip.mp4", frames=25), tmp_path / "large.mp4"
    for change in ("key", "source"):
        stopped(clip, target, at=22)
        if change == "source":
            clip = make(tmp_path / "clip.mp4", frames=24)
        computed = []
        clips.enlarge(
            clip, target, lambda rgb: computed.append(1) or larger(rgb), key="other" if change == "key" else "key"
        )
        assert len(computed) == len(frames_of(target)) == len(frames_of(clip))
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "large.mp4"]


def test_a_damaged_segment_is_computed_again(tmp_path, short):
    clip, target = make(tmp_path / "clip.mp4", frames=25), tmp_path / "large.mp4"
    stopped(clip, target, at=22)
    [segment] = tmp_path.glob(".*.segments/1.segment")
    segment.write_bytes(segment.read_bytes()[:-5])
    computed = []
    clips.enlarge(clip, target, lambda rgb: computed.append(1) or larger(rgb), key="key")
    assert len(computed) == 15 and len(frames_of(target)) == 25


def test_a_killed_command_continues_its_clip(tmp_path, small_model):
    clip = make(tmp_path / "clip.mp4", frames=400, sound=True)
    command = [sys.executable, ROOT / "upscale.py", clip, "--model", small_model]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (second := list(tmp_path.glob(".*.segments/1.segment"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    segments = second[0].parent
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = (segments / "0.segment").stat().st_mtime_ns
    finished = len(list(segments.glob("*.segment")))
    assert not (tmp_path / "clip_x4.mp4").exists() and 2 <= finished <= 4
    continued = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while continued.poll() is None:
        assert _modified(segments / "0.segment") in (first, None)  # not computed again, and removed in the end
        time.sleep(0.02)
    assert continued.returncode == 0 and len(frames_of(tmp_path / "clip_x4.mp4")) == 400
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "clip_x4.mp4"]


def _modified(path: Path):
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
