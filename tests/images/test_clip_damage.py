"""Damaged clips: what can be decoded comes out, the rest is counted, and no run hangs."""

import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT
from helpers.clips import av, larger, make, times_of
from srgan_tf.errors import UserError
from srgan_tf.images import clips


def damage(source, target, number, kind="video"):
    """A copy of a clip in which the payload of packets with a `number` of that kind is noise."""
    numbers = {number} if isinstance(number, int) else set(number)
    noise = np.random.default_rng(1)
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        streams = {one: out.add_stream_from_template(one, opaque=True) for one in clip.streams}
        seen = 0
        for packet in clip.demux():
            if not packet.size:
                continue
            data = bytes(packet)
            if packet.stream.type == kind:
                if seen in numbers:
                    data = noise.bytes(len(data))
                seen += 1
            copy = av.Packet(data)
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.duration, copy.is_keyframe, copy.stream = packet.duration, packet.is_keyframe, streams[packet.stream]
            out.mux(copy)
    return target


def test_a_damaged_packet_never_hangs(tmp_path):
    make(tmp_path / "sound.webm", frames=30, codec="libvpx-vp9", size=(96, 128))
    clip = damage(tmp_path / "sound.webm", tmp_path / "clip.webm", 20)
    program = (
        "import sys\n"
        "from srgan_tf.images import clips\n"
        "for i in range(8):\n"
        "    print(*clips.enlarge(sys.argv[1 + i % 2], sys.argv[3], lambda rgb: rgb))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, clip, tmp_path / "sound.webm", tmp_path / "large.mkv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["29 frames skipped 1 damaged packet", "30 frames"] * 4


@pytest.mark.parametrize(
    "name, codec", [("clip.webm", "libvpx-vp9"), ("clip.avi", "mpeg4"), ("clip.mkv", "mpeg4"), ("clip.mp4", "mpeg4")]
)
@pytest.mark.parametrize("number", [0, 20])
def test_a_damaged_packet_of_the_video_is_skipped_and_counted(tmp_path, name, codec, number):
    if codec == "libvpx-vp9" and not number:
        pytest.skip("without its first frame no other of VP9 can be decoded")
    sound = make(tmp_path / f"sound-{name}", frames=30, codec=codec, size=(96, 128))
    notes = clips.enlarge(damage(sound, tmp_path / name, number), tmp_path / "large.mkv", larger)
    assert notes == ("29 frames", "skipped 1 damaged packet")
    times = np.delete(np.arange(30), number) / 25
    np.testing.assert_allclose(times_of(tmp_path / "large.mkv"), times, atol=0.002)


def test_damaged_sound_is_skipped_and_counted(tmp_path):
    sound = make(tmp_path / "sound.ts", frames=30, sound=True)
    clip = tmp_path / "clip.ts"
    with av.open(str(sound)) as file:
        headers = [bytes(packet)[:7] for packet in file.demux(audio=0) if packet.size]
    data = sound.read_bytes()
    assert data.count(headers[4]) == 1
    clip.write_bytes(data.replace(headers[4], b"damaged"))
    notes = clips.enlarge(clip, tmp_path / "large.mkv", larger)
    assert notes[0] == "30 frames" and "damaged packet" in notes[1]
    with av.open(str(tmp_path / "large.mkv")) as large:
        packets = [packet for packet in large.demux(audio=0) if packet.size]
    assert len(headers) > len(packets) >= len(headers) - 2


def test_a_clip_without_a_frame_that_can_be_decoded_is_the_fault_of_the_source(tmp_path):
    sound = make(tmp_path / "sound.mkv", frames=5, codec="mpeg4")
    clip = damage(sound, tmp_path / "clip.mkv", range(5))
    with pytest.raises(UserError, match=r"clip\.mkv: no frame of the video can be decoded\. Get the file again\."):
        clips.enlarge(clip, tmp_path / "large.mkv", larger)
    assert not (tmp_path / "large.mkv").exists()
