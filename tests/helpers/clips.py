"""Small clips that tests make, and what their frames show."""

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")
clip_colours = pytest.importorskip("srgan_tf.images.clip_colours")
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
    b_frames=0,
    options=None,
    container_options=None,
):
    """A clip whose frames get a little darker one after the other."""
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=rate, options=options or ({"crf": "4"} if codec == "libx264" else {}))
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        if b_frames:
            context.max_b_frames = b_frames
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
                dst_colorspace=clip_colours.swscale_matrix(matrix),
                src_color_range=2,
                dst_color_range=limits,
                interpolation=clip_colours.EXACT,
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
        src_colorspace=clip_colours.swscale_matrix(int(frame.colorspace)),
        src_color_range=int(frame.color_range),
        dst_color_range=2,
        interpolation=clip_colours.EXACT,
    )


def centres(rgb):
    height, width = rgb.shape[:2]
    return np.array([[rgb[height * (2 * i + 1) // 4, width * (2 * j + 1) // 6] for j in range(3)] for i in range(2)])
