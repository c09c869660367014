"""imresize equals MATLAB's, bit by bit."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from srgan_tf import resize
from srgan_tf.resize import imresize


@pytest.mark.parametrize("name", ["Set5", "Set14", "BSD100"])
def test_downscaled_hr_equals_the_lr_files_of_the_benchmark_sets(benchmarks, name):
    originals = sorted((benchmarks / name / "image_SRF_4").glob("*_HR.png"))
    assert len(originals) == {"Set5": 5, "Set14": 14, "BSD100": 100}[name]
    for path in originals:
        lr = read(path.with_name(path.name.replace("_HR", "_LR")))
        np.testing.assert_array_equal(imresize(read(path), 1 / 4, edge="repeat"), lr, err_msg=path.name)


def test_the_border_rule_of_a_benchmark_picture_changes_only_its_two_outer_rows_and_columns(benchmarks):
    hr = read(benchmarks / "Set5" / "image_SRF_4" / "img_001_SRF_4_HR.png")
    mirrored, repeated = (imresize(hr, 1 / 4, edge=edge).astype(int) for edge in ("mirror", "repeat"))
    assert np.array_equal(mirrored[2:-2, 2:-2], repeated[2:-2, 2:-2])
    assert not np.array_equal(mirrored, repeated)
    assert np.abs(mirrored - repeated).max() <= 10


@pytest.mark.parametrize("edge, padding", [("mirror", "symmetric"), ("repeat", "edge")])
@pytest.mark.parametrize("scale", [1 / 4, 1 / 2, 2, 4])
def test_edge_determines_the_values_outside_the_picture(edge, padding, scale):
    image = picture(24, 32)
    padded = np.pad(image, ((16, 16), (16, 16), (0, 0)), mode=padding)
    border = int(16 * scale)
    expected = imresize(padded, scale, edge=edge)[border:-border, border:-border]
    np.testing.assert_array_equal(imresize(image, scale, edge=edge), expected)


def test_mirroring_is_the_default():
    image = picture(24, 32)
    np.testing.assert_array_equal(imresize(image, 1 / 4), imresize(image, 1 / 4, edge="mirror"))


def test_a_picture_smaller_than_the_kernel_is_mirrored_repeatedly():
    row = np.array([[10, 200]], np.uint8)
    many = np.concatenate([row, row[:, ::-1]] * 9, axis=1)
    np.testing.assert_array_equal(imresize(row, size=(1, 1)), imresize(many, size=(1, 18))[:, 8:9])


def test_the_protocol_picture_has_its_known_sums():
    y, x = np.mgrid[:64, :48]
    image = np.stack([(x * x + 3 * y) % 256, (7 * x + y * y // 4) % 256, (x * y // 2 + 40) % 256], -1).astype(np.uint8)
    small = imresize(image, 1 / 4, edge="repeat")
    assert small.sum() == 71282
    assert imresize(small, 4, edge="repeat").sum() == 1141056


@pytest.mark.parametrize(
    "shape, scale, expected",
    [((5, 7), 1 / 4, (2, 2)), ((5, 7), 4, (20, 28)), ((10, 9), 1 / 3, (4, 3)), ((3, 100), 0.29, (1, 29))],
)
def test_sides_are_rounded_up(shape, scale, expected):
    assert imresize(np.zeros(shape, np.uint8), scale).shape == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1 / 4, 4])
def test_a_flat_picture_stays_flat_and_keeps_its_type(dtype, scale):
    result = imresize(np.full((12, 8, 3), 201, dtype), scale)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, 201, rtol=1e-6)


def test_eight_bit_pictures_are_clamped_and_floats_are_not():
    step = np.zeros((1, 16), np.uint8)
    step[:, 8:] = 255
    assert imresize(step.astype(np.float64), 4).min() < -1
    assert imresize(step.astype(np.float64), 4).max() > 256
    assert set(imresize(step, 4)[0, [0, -1]]) == {0, 255}
    assert np.all(np.diff(imresize(step, 4)[0, 24:40].astype(int)) >= 0)  # no overshoot wraps around


def test_grey_and_colour_pictures_are_resized_alike():
    image = picture(20, 16)
    np.testing.assert_array_equal(imresize(image, 1 / 4)[..., 1], imresize(image[..., 1], 1 / 4))


@pytest.mark.parametrize("band", [1, 100, 3000])
@pytest.mark.parametrize("size", [(127, 166), (30, 17), (127, 17), (7, 166), (1, 1), (61, 84)])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_result_does_not_depend_on_the_size_of_the_bands(monkeypatch, dtype, channels, size, band):
    image = np.random.default_rng(4).integers(0, np.iinfo(dtype).max, (61, 83, *channels), dtype, endpoint=True)
    for edge in resize.EDGES:
        whole = imresize(image, size=size, edge=edge)
        with monkeypatch.context() as patch:
            patch.setattr(resize, "BAND", band)
            banded = imresize(image, size=size, edge=edge)
        assert banded.dtype == whole.dtype and np.array_equal(banded, whole)


def test_a_large_picture_needs_little_memory_besides_input_and_result():
    image = np.zeros((1200, 1600, 3), np.uint8)
    for size in ((3000, 4000), (600, 800), (601, 4000)):
        tracemalloc.start()
        try:
            result = imresize(image, size=size)
            assert tracemalloc.get_traced_memory()[1] - result.nbytes < 40 * resize.BAND
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(image=np.zeros((0, 4)), scale=2), "non-empty"),
        (dict(image=np.zeros((4, 4)), scale=2, edge="wrap"), "wrap"),
        (dict(image=np.zeros((4, 4)), scale=-1), "at least one pixel"),
        (dict(image=np.zeros((4, 4))), "scale or a size"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        imresize(**arguments)


def picture(height, width):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path):
    return np.asarray(Image.open(path))
