"""The three protocols give the known figures."""

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation import daala, metrics
from srgan_tf.resize import imresize

# PSNR and SSIM of nearest and bicubic at scale 4 from the benchmark sets' LR files.
MEASURED = {
    ("Set5", "nearest"): {"paper": (26.2601, 0.7552), "bt601": (26.2497, 0.7372), "rgb": (24.5564, 0.6998)},
    ("Set5", "bicubic"): {"paper": (28.4261, 0.8211), "bt601": (28.4177, 0.8101), "rgb": (26.6934, 0.7731)},
    ("Set14", "nearest"): {"paper": (24.6387, 0.7100), "bt601": (24.6429, 0.6528), "rgb": (23.1591, 0.6147)},
    ("Set14", "bicubic"): {"paper": (25.9921, 0.7486), "bt601": (25.9933, 0.7023), "rgb": (24.4645, 0.6637)},
    ("BSD100", "nearest"): {"paper": (25.0179, 0.6606), "bt601": (25.0332, 0.6293), "rgb": (23.7003, 0.6010)},
    ("BSD100", "bicubic"): {"paper": (25.9367, 0.6935), "bt601": (25.9565, 0.6672), "rgb": (24.6354, 0.6397)},
}
# Ledig et al. 2017, Table 2, as printed.
TABLE2 = {
    ("Set5", "nearest"): ("26.26", "0.7552"),
    ("Set5", "bicubic"): ("28.43", "0.8211"),
    ("Set14", "nearest"): ("24.64", "0.7100"),
    ("Set14", "bicubic"): ("25.99", "0.7486"),
    ("BSD100", "nearest"): ("25.02", "0.6606"),
    ("BSD100", "bicubic"): ("25.94", "0.6935"),
}


@pytest.fixture(scope="module", params=["Set5", "Set14", "BSD100"])
def rows(request, benchmarks):
    """One set's mean (PSNR, SSIM) by method and protocol."""
    figures = {}
    for path in sorted((benchmarks / request.param / "image_SRF_4").glob("*_HR.png")):
        hr = np.asarray(Image.open(path))
        lr = np.asarray(Image.open(path.with_name(path.name.replace("_HR", "_LR"))))
        for method, sr in (("nearest", nearest(lr)), ("bicubic", imresize(lr, 4, edge="repeat"))):
            for protocol in metrics.PROTOCOLS:
                figures.setdefault((method, protocol), []).append(metrics.score(hr, sr, protocol))
    return request.param, {key: np.mean(pairs, axis=0) for key, pairs in figures.items()}


def test_table_2_of_the_paper_is_reproduced_to_the_printed_digit(rows):
    name, means = rows
    for method in ("nearest", "bicubic"):
        psnr, ssim = means[method, "paper"]
        assert (f"{psnr:.2f}", f"{ssim:.4f}") == TABLE2[name, method]


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_the_sets_have_the_known_figures(rows, protocol):
    name, means = rows
    for method in ("nearest", "bicubic"):
        psnr, ssim = means[method, protocol]
        assert psnr == pytest.approx(MEASURED[name, method][protocol][0], abs=1e-3)
        assert ssim == pytest.approx(MEASURED[name, method][protocol][1], abs=1e-4)


@pytest.mark.parametrize(
    "method, protocol, psnr, ssim",
    [
        ("nearest", "paper", 17.803972, 0.703074),
        ("bicubic", "paper", 18.652378, 0.757993),
        ("nearest", "bt601", 18.427198, 0.423969),
        ("bicubic", "bt601", 19.108807, 0.468936),
        ("nearest", "rgb", 13.212281, 0.400847),
        ("bicubic", "rgb", 13.766742, 0.478984),
    ],
)
def test_the_protocol_picture_has_its_known_scores(method, protocol, psnr, ssim):
    y, x = np.mgrid[:64, :48]
    hr = np.stack([(x * x + 3 * y) % 256, (7 * x + y * y // 4) % 256, (x * y // 2 + 40) % 256], -1).astype(np.uint8)
    lr = imresize(hr, 1 / 4, edge="repeat")
    sr = nearest(lr) if method == "nearest" else imresize(lr, 4, edge="repeat")
    assert metrics.score(hr, sr, protocol) == pytest.approx((psnr, ssim), abs=6e-7)


def test_the_generator_yields_the_known_numbers_and_those_of_a_sequential_one():
    stream = daala.kiss99(chunk=100)  # several chunks, not a power of two
    draws = np.concatenate([next(stream) for _ in range(30)])
    assert draws[:8].tolist() == [
        769445856,
        742012328,
        2121196314,
        2805620942,
        3214428071,
        3762104941,
        2038049824,
        2598763430,
    ]
    assert draws.tolist() == list(itertools.islice(slow_kiss99(), 3000))


def test_the_deviates_are_the_known_ones_and_those_drawn_one_by_one():
    deviates = daala.deviates(2000)
    assert deviates[0].tolist() == [
        [27433528, -684424628, -547676870],
        [662606395, 597007450, -273016341],
        [441129234, -673583834, -2617554],
        [-101089519, 871440460, -541119501],
    ]
    assert deviates[1, 0].tolist() == [-657917610, -1037532331, 228038112]
    stream = slow_kiss99()
    ranges = (1223320000, 1479548743, 1255654969)
    assert deviates.ravel().tolist() == [slow_deviate(stream, ranges[i % 3]) for i in range(24000)]


@pytest.mark.parametrize(
    "height, kernel",
    [
        (220, "1 5 24 59 78 59 24 5 1"),
        (312, "1 5 15 31 48 56 48 31 15 5 1"),
        (472, "1 2 4 7 13 21 28 35 34 35 28 21 13 7 4 2 1"),
        (504, "1 2 4 8 14 21 27 33 36 33 27 21 14 8 4 2 1"),
    ],
)
def test_the_paper_window_follows_the_height(height, kernel):
    assert daala.paper_kernel(height, 400).tolist() == [int(k) for k in kernel.split()]


def test_the_paper_luma_of_a_small_picture_is_the_known_one():
    y, x = np.mgrid[:6, :8]
    image = np.stack([(37 * x + 11 * y) % 256, (5 * x * y + 60) % 256, (255 - 29 * x - 3 * y) % 256], -1)
    luma = daala.paper_luma(image.astype(np.uint8))
    assert luma[0].tolist() == [69, 73, 78, 84, 89, 93, 99, 56]
    assert luma[5].tolist() == [78, 97, 118, 137, 159, 178, 152, 173]
    plain = daala.paper_luma(image.astype(np.uint8), dither=False)
    assert plain[0].tolist() == [69, 73, 79, 84, 89, 94, 99, 56]


@pytest.mark.parametrize("height, width", [(5, 8), (6, 7), (5, 7), (1, 1)])
def test_odd_sides_repeat_their_last_row_and_column(height, width):
    image = picture(height, width)
    whole = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    expected = daala.paper_luma(whole, dither=False)[:height, :width]
    np.testing.assert_array_equal(daala.paper_luma(image, dither=False), expected)
    assert daala.paper_luma(image).shape == (height, width)


def test_the_dither_depends_on_the_size_alone():
    assert np.array_equal(daala.dither_offsets(5, 7), daala.dither_offsets(6, 8)[:5, :7])
    first = daala.dither_offsets(40, 60).copy()
    daala.dither_offsets(300, 200)  # a larger table contains the smaller one
    daala.dither_offsets.cache_clear()
    assert np.array_equal(daala.dither_offsets(40, 60), first)


def test_black_and_white_are_the_ends_of_studio_range():
    black, white = (np.full((8, 8), level, np.uint8) for level in (0, 255))
    assert np.all(daala.paper_luma(black, dither=False) == 16)
    assert np.all(daala.paper_luma(white, dither=False) == 235)


@pytest.mark.parametrize(
    "rgb, luma", [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)]
)
def test_the_bt601_luma_is_that_of_rgb2ycbcr(rgb, luma):
    assert metrics.bt601_luma(np.array([[rgb]], np.uint8)).tolist() == [[luma]]


@pytest.mark.parametrize("shape", [(40, 33), (29, 52)])
def test_ssim_agrees_with_scikit_image(shape):
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    hr, sr = noisy_pair(*shape)
    settings = dict(data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
    maps = [skimage.structural_similarity(hr[..., c], sr[..., c], **settings)[1] for c in range(3)]
    inner = np.mean([m[5:-5, 5:-5].mean() for m in maps])
    assert metrics.ssim(hr, sr) == pytest.approx(inner, abs=1e-10)
    assert metrics.score(hr, sr, "rgb", border=0)[1] == pytest.approx(inner, abs=1e-10)
    y = metrics.bt601_luma(hr), metrics.bt601_luma(sr)
    luma = skimage.structural_similarity(*y, **settings)[1][5:-5, 5:-5].mean()
    assert metrics.score(hr, sr, "bt601", border=0)[1] == pytest.approx(luma, abs=1e-10)


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_equal_pictures_score_infinity_and_one(protocol):
    hr = picture(40, 36)
    assert metrics.score(hr, hr, protocol) == (math.inf, pytest.approx(1))


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
@pytest.mark.parametrize("border", [2, 4, 8])
def test_the_border_does_not_count(protocol, border):
    hr, sr = noisy_pair(48, 40)
    spoilt = sr.copy()
    spoilt[:border], spoilt[:, -border:] = 0, 255
    assert metrics.score(hr, spoilt, protocol, border) == metrics.score(hr, sr, protocol, border)
    assert metrics.score(hr, spoilt, protocol, border - 1) != metrics.score(hr, sr, protocol, border - 1)


@pytest.mark.parametrize("protocol", ["paper", "rgb"])
def test_a_grey_picture_scores_like_its_three_equal_channels(protocol):
    hr, sr = (p[..., 0] for p in noisy_pair(40, 40))
    assert metrics.score(hr, sr, protocol) == metrics.score(np.dstack([hr] * 3), sr, protocol)


def test_bt601_takes_two_grey_pictures_as_they_are_and_converts_a_mixed_pair():
    hr, sr = (p[..., 0] for p in noisy_pair(40, 40))
    grey = metrics.score(hr, sr, "bt601")
    mixed = metrics.score(hr, np.dstack([sr] * 3), "bt601")
    assert grey[0] == pytest.approx(metrics.psnr(hr[4:-4, 4:-4], sr[4:-4, 4:-4]))
    assert mixed == metrics.score(np.dstack([hr] * 3), np.dstack([sr] * 3), "bt601")
    assert mixed[0] - grey[0] == pytest.approx(20 * math.log10(255 / 219), abs=0.05)  # the smaller range


def test_psnr_of_a_constant_error_is_its_formula():
    hr = np.full((20, 20, 3), 100, np.uint8)
    assert metrics.score(hr, hr + np.uint8(10), "rgb")[0] == pytest.approx(20 * math.log10(255 / 10))


def test_lr_consistency_is_infinite_for_hr_and_detects_a_colour_shift():
    hr = picture(48, 64)
    lr = imresize(hr, 1 / 4, edge="repeat")
    assert metrics.lr_consistency(lr, hr) == math.inf
    assert metrics.lr_consistency(lr[..., 0], hr[..., 0]) == math.inf
    flat = np.full((8, 8, 3), 100, np.uint8)
    assert metrics.lr_consistency(flat, nearest(flat + np.uint8(5))) == pytest.approx(20 * math.log10(255 / 5))


def test_lr_consistency_of_a_crop_can_ignore_pixels_that_depend_on_its_surroundings():
    hr = picture(48, 64)
    lr = imresize(hr, 1 / 4, edge="repeat")
    part = lr[3:11, 3:13], hr[12:44, 12:52]
    assert metrics.lr_consistency(*part, border=2) == math.inf > metrics.lr_consistency(*part, border=1)


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_pictures_of_different_sizes_are_refused_with_both_shapes(protocol):
    with pytest.raises(ValueError, match=r"\(40, 40, 3\) and \(40, 36, 3\)"):
        metrics.score(picture(40, 40), picture(40, 36), protocol)


@pytest.mark.parametrize(
    "hr, protocol, message",
    [
        (np.zeros((40, 40, 3), np.float32), "rgb", "float32"),
        (np.zeros((40, 40, 4), np.uint8), "rgb", r"\(40, 40, 4\)"),
        (np.zeros((40, 40, 3), np.uint8), "ycbcr", "ycbcr"),
        (np.zeros((18, 40, 3), np.uint8), "bt601", "11 x 11"),
        (np.zeros((8, 40, 3), np.uint8), "paper", "no pixels remain"),
    ],
)
def test_wrong_arguments_are_named(hr, protocol, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(hr, hr, protocol)


def nearest(lr):
    return lr.repeat(4, axis=0).repeat(4, axis=1)


def picture(height, width):
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noisy_pair(height, width):
    rng = np.random.default_rng(11)
    hr = rng.integers(0, 256, (height, width, 3))
    return hr.astype(np.uint8), np.clip(hr + rng.normal(0, 12, hr.shape), 0, 255).astype(np.uint8)


def slow_kiss99():
    z, w, jsr, jcong, mask = 362436069, 521288629, 123456789, 380116160, 0xFFFFFFFF
    while True:
        z = 36969 * (z & 0xFFFF) + (z >> 16)
        w = 18000 * (w & 0xFFFF) + (w >> 16)
        jsr ^= jsr << 17 & mask
        jsr ^= jsr >> 13
        jsr ^= jsr << 5 & mask
        jcong = (69069 * jcong + 1234567) & mask
        yield (((((z << 16) + w) & mask) ^ jcong) + jsr) & mask


def slow_deviate(stream, span):
    limit = 0xFFFFFFFF // (span + 1) * (span + 1)
    first = next(r for r in stream if r < limit)
    second = next(r for r in stream if r < limit)
    return first % (span + 1) - second % (span + 1)
