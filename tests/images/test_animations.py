"""Animations: every frame as it is seen, for as long as it is seen."""

import dataclasses
import weakref

import numpy as np
import pytest
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import animations, reading, writing
from srgan_tf.images.picture import Picture

DURATIONS = (50, 120, 70, 300)


def picture(i, alpha=False, grey=False):
    """A bar that moves, in few colours."""
    array = np.full((16, 20, 4), (40, 90, 60, 255), np.uint8)
    array[..., 3] = 0 if alpha else 255
    array[4:9, 3 * i : 3 * i + 6] = (200, 40 * i, 30, 255)
    if grey:
        array[..., 1:3] = array[..., :1]
    return Picture.of(array[..., [*([0] if grey else [0, 1, 2]), *([3] if alpha else [])]])


def animation(alpha=False, grey=False, durations=DURATIONS, plays=0):
    return animations.Animation(None, len(durations), tuple(durations), plays, 16, 20, alpha, grey)


def read(path):
    """The animation in a file, and its frames."""
    with reading.opened(path) as file:
        found = animations.read(file)
        return found, list(found.frames())


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_frames_timing_and_plays_come_back_from_every_format(tmp_path, suffix, grey, alpha, plays):
    path = tmp_path / f"x.{suffix}"
    frames = [dataclasses.replace(picture(i, alpha, grey), lossless=True) for i in range(4)]
    assert animations.write(path, animation(alpha, grey, plays=plays), frames) == ()
    found, shown = read(path)
    assert (found.durations, found.plays, found.count) == (DURATIONS, plays, 4)
    assert (found.height, found.width, found.alpha, found.grey) == (16, 20, alpha, grey)
    for before, after in zip(frames, shown):
        seen = np.ones((16, 20), bool) if before.alpha is None else before.alpha > 0
        np.testing.assert_array_equal(before.pixels[seen], after.pixels[seen])
        np.testing.assert_array_equal(before.alpha, after.alpha)
    with pytest.raises(UserError, match="4 pictures"):
        reading.read(path)


@pytest.mark.parametrize("suffix, field", [("gif", "comment"), ("webp", "xmp"), ("png", "xmp"), ("png", "texts")])
def test_metadata_are_copied(tmp_path, suffix, field):
    said = {"comment": b"a bar", "xmp": b"<x><y>a bar</y></x>", "texts": ((b"tEXt", b"Title\0a bar"),)}[field]
    frames = [dataclasses.replace(picture(i), **{field: said}) for i in range(4)]
    animations.write(tmp_path / f"x.{suffix}", animation(), frames)
    for frame in read(tmp_path / f"x.{suffix}")[1]:
        assert getattr(frame, field) == said


def test_an_orientation_is_applied_to_every_frame(tmp_path):
    tags = Image.Exif()
    tags[274] = 6  # a quarter to the right
    first, *others = (writing.as_image(picture(i)) for i in range(4))
    first.save(tmp_path / "x.webp", save_all=True, append_images=others, lossless=True, exif=tags)
    found, frames = read(tmp_path / "x.webp")
    assert (found.height, found.width) == (20, 16)
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, np.rot90(picture(i).pixels, -1))


def test_a_gif_is_timed_in_hundredths_without_drifting(tmp_path):
    durations = (33, 33, 34, 33, 33, 10**6, 4)
    frames = [picture(i % 4) for i in range(7)]
    assert animations.write(tmp_path / "x.gif", animation(durations=durations), frames) == (
        "timed in hundredths of a second",
    )
    assert read(tmp_path / "x.gif")[0].durations == (30, 40, 30, 30, 40, 655_350, 10)


def test_black_edges_of_a_transparent_gif_stay(tmp_path):
    frames = []
    for i in range(4):  # black around colours that change, with a hole in them
        array = np.zeros((16, 20, 4), np.uint8)
        array[3:-3, 3:-3, :3] = np.random.default_rng(i).integers(1, 6, (10, 14, 3)) * 40
        array[..., 3] = 255
        array[6:10, 8:12, 3] = 0
        frames.append(Picture.of(array))
    animations.write(tmp_path / "x.gif", animation(alpha=True), frames)
    for before, after in zip(frames, read(tmp_path / "x.gif")[1], strict=True):
        np.testing.assert_array_equal(after.alpha, before.alpha)
        np.testing.assert_array_equal(after.pixels[after.alpha > 0], before.pixels[before.alpha > 0])


def test_equal_frames_of_a_gif_keep_their_transparency(tmp_path):
    animations.write(tmp_path / "x.gif", animation(alpha=True), [picture(2, alpha=True)] * 4)
    found = reading.read(tmp_path / "x.gif")
    np.testing.assert_array_equal(found.alpha, picture(2, alpha=True).alpha)


@pytest.mark.parametrize(
    "suffix, plays, kept", [("gif", 65_536, 65_536), ("gif", 65_537, 0), ("webp", 65_536, 0), ("png", 65_537, 65_537)]
)
def test_more_plays_than_a_format_can_count_become_endless(tmp_path, suffix, plays, kept):
    animations.write(tmp_path / f"x.{suffix}", animation(plays=plays), [picture(i) for i in range(4)])
    assert read(tmp_path / f"x.{suffix}")[0].plays == kept


@pytest.mark.parametrize("suffix, durations", [("gif", (600_000, 600_000, 70, 300)), ("webp", (2**24, 1, 70, 300))])
def test_a_time_that_a_format_cannot_hold_is_one_line(tmp_path, suffix, durations):
    frames = [picture(max(i, 1)) for i in range(4)]  # the first two are equal, and joined
    with pytest.raises(UserError, match=rf"x.{suffix}: the picture cannot be written \(.+\)\. Choose .png"):
        animations.write(tmp_path / f"x.{suffix}", animation(durations=durations), frames)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_large_frames_are_not_all_in_memory(tmp_path, suffix):
    alive, most = [], 0

    def frames():
        nonlocal most
        for i in range(12):
            frame = picture(i % 4)
            alive.append(weakref.ref(frame.pixels))
            most = max(most, sum(ref() is not None for ref in alive))
            yield frame

    animations.write(tmp_path / f"x.{suffix}", animation(durations=[40] * 12), frames())
    assert read(tmp_path / f"x.{suffix}")[0].count == 12
    assert most <= 3


def test_colours_beyond_a_palette_are_reduced_and_noted_once(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Picture.of(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(4)]
    assert animations.write(tmp_path / "x.gif", animation(), frames) == ("reduced to 255 colours",)


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    def frames():
        yield picture(0)
        raise UserError("no")

    for suffix in ("gif", "webp", "png"):
        with pytest.raises(UserError):
            animations.write(tmp_path / f"x.{suffix}", animation(), frames())
    assert not list(tmp_path.iterdir())


def test_the_default_image_of_a_png_animation_is_not_a_frame(tmp_path):
    still, *frames = (writing.as_image(picture(i)) for i in range(3))
    still.save(tmp_path / "x.png", save_all=True, append_images=frames, default_image=True, duration=[40, 60])
    found, frames = read(tmp_path / "x.png")
    assert found.durations == (40, 60)
    np.testing.assert_array_equal(frames[0].pixels, picture(1).pixels)
    assert frames[0].notes == ("without the still picture for viewers that show no animations",)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif"])
def test_formats_without_animation_are_refused_before_anything_is_computed(suffix):
    with pytest.raises(UserError, match=f"x{suffix}: .* cannot store an animation"):
        animations.check_fits(f"x{suffix}", animation(), 64, 80)


def test_a_png_animation_of_one_frame_is_the_picture_that_viewers_show(tmp_path):
    still, frame = (writing.as_image(picture(i)) for i in range(2))
    still.save(tmp_path / "x.png", save_all=True, append_images=[frame], default_image=True, duration=[40])
    with reading.opened(tmp_path / "x.png") as file:
        assert animations.read(file) is None
        shown = file.picture()
    np.testing.assert_array_equal(shown.pixels, picture(1).pixels)
    assert shown.notes == ("without the still picture for viewers that show no animations",)


def test_a_frame_that_follows_an_opaque_one_keeps_its_transparency_in_gif(tmp_path):
    opaque, clear = np.zeros((24, 24, 4), np.uint8), np.zeros((24, 24, 4), np.uint8)
    opaque[...] = (200, 30, 30, 255)
    clear[8:16, 8:16] = (30, 30, 200, 255)
    frames = [Image.fromarray(array) for array in (clear, opaque, clear)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:], duration=100, disposal=1)
    with reading.opened(tmp_path / "x.png") as file:
        found = animations.read(file)
        animations.write(tmp_path / "x.gif", found, found.frames())
    with Image.open(tmp_path / "x.gif") as image:
        alphas = []
        for i in range(image.n_frames):
            image.seek(i)
            alphas.append(np.asarray(image.convert("RGBA"))[..., 3])
    np.testing.assert_array_equal(alphas, [clear[..., 3], opaque[..., 3], clear[..., 3]])


@pytest.mark.parametrize("lossless", [False, True])
def test_an_opaque_part_that_moves_on_a_transparent_ground_stays_so_in_webp(tmp_path, lossless):
    clear = np.zeros((4, 64, 80, 4), np.uint8)
    for i, frame in enumerate(clear):
        frame[16:48, 16 + 8 * i : 48 + 8 * i] = (200, 60, 30, 255)
    frames = [dataclasses.replace(Picture.of(frame), lossless=lossless) for frame in clear]
    animations.write(tmp_path / "x.webp", animation(alpha=True), frames)
    np.testing.assert_array_equal([frame.alpha for frame in read(tmp_path / "x.webp")[1]], clear[..., 3])
