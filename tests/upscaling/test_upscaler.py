"""Upscaler: every kind of array, tiles that cannot be seen, alpha without halos, precisions."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.images.picture import Picture
from srgan_tf.networks import inference
from srgan_tf.resize import imresize
from srgan_tf.upscaling import upscaler
from srgan_tf.upscaling.alpha import bleed
from srgan_tf.upscaling.enlarger import Enlarger
from srgan_tf.upscaling.sizes import Size
from srgan_tf.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscale(small_model):
    return Upscaler(small_model, precision="float32")


def picture(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def assert_equal_but_for_rounding(a, b):
    np.testing.assert_allclose(a.astype(int), b, atol=1)
    assert (a == b).mean() > 0.999


def test_knows_its_model(upscale, small_model):
    assert (upscale.scale, upscale.halo, upscale.folder) == (4, 12, small_model / "1")
    assert upscale.attributes["step"] == 1


def test_gives_what_the_savedmodel_gives(upscale, small_model):
    image = picture(19, 23, 3)
    loaded = tf.saved_model.load(str(small_model / "1"))
    expected = loaded.signatures["serving_default"](image=image[None])["image"][0]
    np.testing.assert_array_equal(upscale(image), expected)


@pytest.mark.parametrize("kind", [(), (2,), (3,), (4,)])
def test_gives_back_the_kind_of_array_that_went_in(upscale, kind):
    large = upscale(picture(5, 6, *kind))
    assert (large.shape, large.dtype) == ((20, 24, *kind), np.uint8)


def test_a_batch_is_its_pictures(upscale):
    batch = picture(3, 7, 11, 3)
    assert_equal_but_for_rounding(upscale(batch), np.stack([upscale(image) for image in batch]))


@pytest.mark.parametrize("tile", [1000, 40, 17, 16])
@pytest.mark.parametrize("size", [(61, 83), (16, 70), (33, 1)])
def test_tiles_give_the_whole_picture(small_model, upscale, size, tile):
    image = picture(*size, 3)
    assert_equal_but_for_rounding(Upscaler(small_model, tile=tile, precision="float32")(image), upscale(image))


def test_a_large_picture_is_cut_into_tiles_automatically(small_model, upscale, monkeypatch):
    image = picture(61, 83, 3)
    monkeypatch.setattr(upscaler, "TILE", 16)
    cut, shares = Upscaler(small_model, precision="float32"), []
    assert_equal_but_for_rounding(cut(image, shares.append), upscale(image))
    assert len(shares) == 24 and sum(shares) == pytest.approx(1)


def noted(upscale):
    """The numbers of LR pixels that an Upscaler will have enlarged at once, a list that grows."""
    trunk, enlarge = upscale._network(np.dtype(np.uint8))
    found = []

    def note(features):
        found.append(int(np.prod(features.shape[:3])))
        return enlarge(features)

    upscale._networks[np.dtype(np.uint8)] = trunk, note
    return found


def test_a_wide_low_picture_is_enlarged_in_tiles_and_as_the_savedmodel_does(small_model):
    cut, image = Upscaler(small_model, precision="float32"), picture(16, 5000, 3)
    found = noted(cut)
    large = cut(image)
    assert max(found) <= inference.STRIP < image.size // 3
    loaded = tf.saved_model.load(str(small_model / "1"))
    assert_equal_but_for_rounding(loaded.signatures["serving_default"](image=image[None])["image"][0].numpy(), large)


def test_no_more_pictures_of_a_batch_are_enlarged_together_than_fit_in_a_strip(small_model, monkeypatch):
    monkeypatch.setattr(inference, "STRIP", 1024)
    cut, batch = Upscaler(small_model, precision="float32"), picture(20, 16, 8, 3)
    found = noted(cut)
    large = cut(batch)
    assert max(found) <= 1024 < batch.size // 3
    assert_equal_but_for_rounding(large[19], cut(batch[19]))


def test_the_size_of_tiles_follows_the_free_memory(upscale, monkeypatch):
    monkeypatch.setattr(upscaler.tf.config, "list_physical_devices", lambda kind: [])

    def tile(megabytes):
        monkeypatch.setattr(upscaler.memory, "available", lambda swap=False: megabytes and megabytes * 10**6)
        return upscale._automatic(3000, 4000)

    assert tile(1) < tile(100) < tile(400) < tile(20000) == tile(None) == upscaler.TILE


def test_tiles_are_large_again_after_a_shortage_of_memory(small_model, monkeypatch):
    upscale, sizes = Upscaler(small_model, precision="float32", tile=100), []
    monkeypatch.setattr(upscale, "_fits", lambda size: size <= 100**2)
    enlarge = upscale._enlarge
    monkeypatch.setattr(
        upscale,
        "_enlarge",
        lambda batch, rows, columns, large: (
            sizes.append(rows.stop - rows.start),
            enlarge(batch, rows, columns, large),
        ),
    )
    upscale(picture(200, 200, 3))
    assert max(sizes) == 50
    monkeypatch.setattr(upscale, "_fits", lambda size: True)
    upscale(picture(200, 200, 3))
    assert sizes[-1] == 100


def test_a_result_too_large_for_the_memory_is_not_started(upscale, monkeypatch):
    monkeypatch.setattr(upscaler.memory, "available", lambda swap=False: 16 * 3 * 99)
    with pytest.raises(MemoryError, match="not enough memory"):
        upscale(picture(10, 10, 3))


@pytest.mark.parametrize(
    "limit, field", [("RLIMIT_AS", "VmSize"), pytest.param("RLIMIT_DATA", "VmData", marks=pytest.mark.long)]
)
def test_a_tile_that_exhausts_the_memory_is_halved(small_model, upscale, tmp_path, limit, field):
    """In a process with a real limit: 600 x 600 pixels at once take more."""
    code = """if True:
        import resource, sys
        import numpy as np
        from srgan_tf import Upscaler
        from srgan_tf.upscaling import memory
        upscale, shares = Upscaler(sys.argv[1], tile=600, precision="float32"), []
        image, limit = np.load(sys.argv[2]), getattr(resource, sys.argv[3])
        upscale(image[:64, :64])
        now = memory._fields(memory.PROC / "self" / "status")[sys.argv[4]]
        resource.setrlimit(limit, (now + 200 * 2 ** 20, -1))
        large = upscale(image, shares.append)
        resource.setrlimit(limit, (-1, -1))
        np.save(sys.argv[2], large)
        assert len(shares) > 3 and abs(sum(shares) - 1) < 1e-6, shares
    """
    image = picture(600, 600, 3)
    np.save(tmp_path / "image.npy", image)
    subprocess.run(
        [sys.executable, "-c", code, small_model, tmp_path / "image.npy", limit, field],
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert_equal_but_for_rounding(np.load(tmp_path / "image.npy"), upscale(image))


def test_a_tile_that_is_too_large_for_tensorflow_is_halved(small_model, upscale, monkeypatch):
    image = picture(90, 70, 3)
    whole, tiled, shares = upscale(image), Upscaler(small_model, precision="float32"), []
    enlarge = tiled._enlarge

    def least(batch, rows, columns, large):
        if rows.stop - rows.start > 30:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        enlarge(batch, rows, columns, large)

    monkeypatch.setattr(tiled, "_enlarge", least)
    assert_equal_but_for_rounding(tiled(image, shares.append), whole)
    assert max(shares) < 0.15 and sum(shares) == pytest.approx(1)


def test_without_a_halo_tiles_would_be_visible(small_model, upscale):
    image = picture(61, 83, 3)
    tiled = Upscaler(small_model, tile=16, precision="float32")
    tiled.halo = 0
    assert np.abs(tiled(image).astype(int) - upscale(image)).max() > 10


@pytest.mark.parametrize("halo", [1, 12, 40])
def test_spans_cover_a_side_once_and_never_extend_beyond_it(halo):
    for length in range(1, 60):
        for tile in (1, 2, 16, 64):
            spans = upscaler.spans(length, tile, halo)
            assert [i for span in spans for i in range(span.start, span.stop)] == list(range(length))
            for span in spans:
                assert 0 < span.stop - span.start <= tile
                assert (span.first, span.last) == (max(0, span.start - halo), min(length, span.stop + halo))


def test_a_tile_stays_within_a_limit(small_model):
    upscale = Upscaler(small_model, tile=10**6)
    assert 1000 < upscale.tile + 2 * upscale.halo <= upscaler.MAX_TILE_PIXELS**0.5


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_to_float32(small_model, upscale, precision):
    rough = Upscaler(small_model, precision=precision)
    image = picture(32, 24, 3)
    assert (rough.precision, upscale.precision) == (precision, "float32")
    error = rough(image).astype(float) - upscale(image)
    assert 0 < np.sqrt(np.mean(error**2)) < 0.8


def test_tiles_give_the_whole_picture_in_bfloat16(small_model):
    image = picture(61, 83, 3)
    tiled, whole = (Upscaler(small_model, tile=tile, precision="bfloat16")(image) for tile in (17, 0))
    assert_equal_but_for_rounding(tiled, whole)


@pytest.mark.parametrize(
    "flags, onednn, precision",
    [
        ("flags : fpu avx512f avx512_bf16 gfni", None, "bfloat16"),
        ("flags : fpu amx_bf16", "1", "bfloat16"),
        ("flags : fpu avx512_bf16", "0", "float32"),
        ("flags : fpu avx512_bf16", "false", "float32"),
        ("flags : fpu avx512_bf16", "", "bfloat16"),
        ("flags : fpu avx512f", None, "float32"),
        (None, None, "float32"),
    ],
)
def test_auto_selects_bfloat16_where_the_processor_has_it(small_model, tmp_path, monkeypatch, flags, onednn, precision):
    monkeypatch.setattr(upscaler.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr("srgan_tf.networks.precision.CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if onednn is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert Upscaler(small_model).precision == precision


def test_another_precision_is_refused(small_model):
    with pytest.raises(ValueError, match="float8"):
        Upscaler(small_model, precision="float8")


def test_grey_is_the_rounded_mean_of_three_equal_channels(upscale):
    grey = picture(12, 9)
    large = upscale(np.dstack([grey] * 3)).astype(int)
    np.testing.assert_array_equal(upscale(grey), np.floor(large.mean(axis=2) + 0.5))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_alpha_stays_as_it_is(upscale, value):
    image = np.dstack([picture(8, 8, 3), np.full((8, 8), value, np.uint8)])
    large = upscale(image)
    assert (large[..., 3] == value).all()
    np.testing.assert_array_equal(large[..., :3], upscale(image[..., :3]))


def test_alpha_is_enlarged_as_a_grey_picture(upscale):
    image = picture(8, 8, 4)
    np.testing.assert_array_equal(upscale(image)[..., 3], upscale(image[..., 3]))


def test_alpha_is_unchanged_where_it_is_fully_transparent_or_opaque():
    class Inventive(Enlarger):
        size = Size(4)

        def _enlarge_batch(self, batch, step):
            return np.clip(batch.repeat(4, 1).repeat(4, 2) + np.int16(8), 4, 251).astype(np.uint8)

    alpha = np.zeros((20, 24), np.uint8)
    alpha[6:, 9:] = 255
    large = Inventive()(np.dstack([picture(20, 24, 3), alpha]))[..., 3]
    assert not large[:16].any() and not large[:, :28].any() and (large[32:, 44:] == 255).all()
    assert (large[16:24, 28:] == 8).all() and (large[24:32, 36:] == 251).all()  # where it may draw an edge


def test_colours_of_transparent_pixels_do_not_show(upscale):
    y, x = np.mgrid[:24, :24]
    alpha = np.uint8(255) * ((x - 12) ** 2 + (y - 12) ** 2 < 60)
    red = np.zeros((24, 24, 3), np.uint8) + np.array([200, 30, 10], np.uint8)
    hidden = red.copy()
    hidden[alpha == 0] = (0, 255, 255)
    np.testing.assert_array_equal(upscale(np.dstack([hidden, alpha])), upscale(np.dstack([red, alpha])))
    grey = np.where(alpha, np.uint8(90), np.uint8(255))
    flat = np.full_like(grey, 90)
    np.testing.assert_array_equal(upscale(np.dstack([grey, alpha])), upscale(np.dstack([flat, alpha])))


def test_bleed_leaves_visible_pixels_alone_and_takes_the_nearest_colours():
    colour, alpha = picture(13, 10, 3), np.zeros((13, 10), np.uint8)
    alpha[0, 0] = alpha[9, 8] = 1
    filled = bleed(colour, alpha)
    np.testing.assert_array_equal(filled[alpha > 0], colour[alpha > 0])
    np.testing.assert_array_equal(filled[0, 1], colour[0, 0])
    np.testing.assert_array_equal(filled[8, 9], colour[9, 8])
    nothing = np.zeros_like(alpha)
    np.testing.assert_array_equal(bleed(colour, nothing), colour)


@pytest.mark.parametrize("kind", [(), (2,), (3,), (4,)])
def test_16_bits_give_the_result_of_8_bits_with_finer_levels(upscale, kind):
    image = picture(14, 11, *kind)
    deep = upscale(image.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    whole = np.rint(deep / 257)
    np.testing.assert_allclose(whole, upscale(image), atol=1)
    assert (whole == upscale(image)).mean() > (0.999 if kind == (3,) else 0.8)  # 8-bit grey is a mean of rounded ones


def test_the_byte_order_of_16_bits_does_not_matter(upscale):
    image = picture(7, 6, 3).astype(np.uint16) * 257
    np.testing.assert_array_equal(upscale(image.astype(">u2")), upscale(image.astype("<u2")))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_16_bits_keep_more_than_256_levels(small_model, precision):
    ramp = np.linspace(20000, 21000, 64 * 64).astype(np.uint16).reshape(64, 64)  # four levels of 8 bits
    upscale = Upscaler(small_model, precision=precision)
    for large in (
        upscale(ramp),
        upscale(np.dstack([ramp] * 3))[..., 1],
        upscale(np.dstack([ramp, ramp]))[..., 1],
        upscale(np.dstack([ramp] * 4))[..., 2],
    ):
        inner = large[32:-32, 32:-32]
        assert len(np.unique(inner)) > 500
        rows = inner.mean(axis=1).reshape(-1, 4).mean(axis=1)
        np.testing.assert_allclose(np.diff(rows), 1000 / 64, atol=2)


def test_16_bit_colours_of_transparent_pixels_do_not_show(upscale):
    y, x = np.mgrid[:24, :24]
    alpha = np.uint16(65535) * ((x - 12) ** 2 + (y - 12) ** 2 < 60)
    red = np.zeros((24, 24, 3), np.uint16) + np.array([50001, 7777, 10], np.uint16)
    hidden = red.copy()
    hidden[alpha == 0] = (0, 65535, 65535)
    np.testing.assert_array_equal(upscale(np.dstack([hidden, alpha])), upscale(np.dstack([red, alpha])))


@pytest.mark.parametrize(
    "arguments, size",
    [
        ({"outscale": 2.5}, (32, 18)),
        ({"outscale": 0.1}, (1, 1)),
        ({"outscale": 5}, (65, 35)),
        ({"width": 21}, (39, 21)),
        ({"height": 26}, (26, 14)),
        ({"width": 30, "height": 9}, (9, 30)),
        ({"outscale": 4}, (52, 28)),
    ],
)
@pytest.mark.parametrize("kind", [(), (2,), (3,), (4,)])
def test_other_sizes_are_the_networks_resized_as_matlab_does(small_model, upscale, arguments, size, kind):
    image = picture(13, 7, *kind)
    large = Upscaler(small_model, precision="float32", **arguments)(image)
    assert (large.shape, large.dtype) == ((*size, *kind), np.uint8)
    np.testing.assert_array_equal(large, imresize(upscale(image), size=size))


def test_a_batch_of_16_bits_at_another_size(small_model):
    large = Upscaler(small_model, outscale=1.5)(picture(2, 6, 8, 3).astype(np.uint16))
    assert (large.shape, large.dtype) == ((2, 9, 12, 3), np.uint16)


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ({"outscale": 0}, "--outscale"),
        ({"outscale": -1}, "--outscale"),
        ({"outscale": float("inf")}, "--outscale"),
        ({"outscale": float("nan")}, "--outscale"),
        ({"width": 0}, "--width"),
        ({"height": -3}, "--height"),
    ],
)
def test_invalid_sizes_are_refused(small_model, arguments, problem):
    with pytest.raises(UserError, match=problem):
        Upscaler(small_model, **arguments)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_picture_keeps_its_metadata(upscale, grey, alpha):
    pixels = np.repeat(picture(6, 5, 1), 3, axis=2) if grey else picture(6, 5, 3)
    small = Picture(
        pixels, picture(6, 5) if alpha else None, grey, exif=b"exif", icc=b"icc", dpi=(300.0, 300.0), notes=("note",)
    )
    large = upscale.picture(small)
    assert large.pixels.shape == (24, 20, 3)
    assert (large.alpha is not None) == alpha
    assert (large.grey, large.exif, large.icc, large.dpi, large.notes) == (grey, b"exif", b"icc", (300, 300), ("note",))
    if grey:
        np.testing.assert_array_equal(large.pixels[..., 0], large.pixels[..., 2])
    if not alpha:
        np.testing.assert_array_equal(
            large.pixels[..., 0] if grey else large.pixels, upscale(pixels[..., 0] if grey else pixels)
        )


@pytest.mark.parametrize(
    "image, problem",
    [
        (np.zeros((4, 4, 3), np.float32), "uint8 or uint16"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((1, 4, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "pixel"),
    ],
)
def test_other_arrays_are_refused(upscale, image, problem):
    with pytest.raises(ValueError, match=problem):
        upscale(image)


def test_a_scale_other_than_the_models_is_refused(small_model):
    with pytest.raises(UserError, match="--scale 2"):
        Upscaler(small_model, scale=2)
