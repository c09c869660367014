"""How LR is damaged."""

import numpy as np
import pytest

from srgan_tf.errors import UserError
from srgan_tf.images import degradation
from srgan_tf.images.degradation import PRESETS, Damage, Degradation
from srgan_tf.resize import imresize


@pytest.fixture(scope="module")
def hr():
    """A smooth picture with some texture, uint8 [192, 224, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:192, :224]
    waves = sum(np.sin(x * f + y * g + p) for f, g, p in rng.uniform(-0.3, 0.3, (6, 3)))
    return np.clip(128 + 25 * waves[..., None] + rng.normal(0, 4, (192, 224, 3)), 0, 255).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_shrinking_alone_is_matlabs_bicubic_but_for_rounding(hr):
    lr = Damage().apply(hr, 4, rng()).astype(int)
    assert np.abs(lr - imresize(hr, 1 / 4))[3:-3, 3:-3].max() <= 1


@pytest.mark.parametrize("kernel", degradation.KERNELS)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_every_kernel_keeps_size_and_brightness(hr, kernel, scale):
    lr = Damage(kernel=kernel).apply(hr, scale, rng())
    assert lr.shape == (192 // scale, 224 // scale, 3) and lr.dtype == np.uint8
    assert abs(lr.mean() - hr.mean()) < 1


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_blur_spreads_a_point_by_its_sigma_in_lr_pixels(scale):
    point = np.zeros((32 * scale, 32 * scale, 3), np.uint8)
    point[16 * scale : 17 * scale, 16 * scale : 17 * scale] = 255
    lr = Damage(blur=1.5, kernel="area").apply(point, scale, rng())[..., 0].astype(float)
    at = np.arange(32)
    share = lr.sum(0) / lr.sum()
    sigma = np.sqrt((share * (at - 16) ** 2).sum())
    assert sigma == pytest.approx(np.sqrt(1.5**2 + 1 / 12), rel=0.1)


def test_motion_blurs_along_its_line_and_not_across():
    point = np.zeros((32, 32, 3), np.uint8)
    point[16, 16] = 255
    along = Damage(motion=1.0, angle=0.0).apply_to_lr(point, rng())[..., 0].astype(float)
    assert along[16, 15] > 30 and along[16, 17] > 30
    assert along[15, 16] < 5 and along[17, 16] < 5
    down = Damage(motion=1.0, angle=np.pi / 2).apply_to_lr(point, rng())[..., 0].astype(float)
    np.testing.assert_allclose(down, along.T, atol=1)


def test_noise_has_its_standard_deviation_and_is_grey_or_coloured():
    flat = np.full((96, 96, 3), 128, np.uint8)
    coloured = Damage(noise=8.0).apply_to_lr(flat, rng()).astype(float)
    assert coloured.std() == pytest.approx(8, rel=0.05)
    grey = Damage(noise=8.0, grey=True).apply_to_lr(flat, rng())
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    assert np.ptp(coloured, axis=-1).max() > 0


def test_poisson_noise_is_weaker_in_the_dark():
    shades = np.zeros((64, 128, 3), np.uint8)
    shades[:, :64], shades[:, 64:] = 25, 225
    noisy = Damage(noise=10.0, poisson=True).apply_to_lr(shades, rng()).astype(float)
    ratio = noisy[:, 64:].std() / noisy[:, :64].std()
    assert ratio == pytest.approx(3, rel=0.15)  # sqrt(225 / 25)


def test_jpeg_damages_more_at_a_lower_quality_and_when_saved_twice(hr):
    lr = degradation.shrink(hr, 4)

    def error(*qualities):
        return np.square(Damage(jpeg=qualities).apply_to_lr(lr, rng()).astype(float) - lr).mean()

    assert 0 < error(90) < error(50) < error(30)
    assert error(50, 40) > error(40) * 0.9


def test_full_chroma_keeps_fine_colour_that_half_loses():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)

    def error(subsampled):
        damaged = Damage(jpeg=(90,), subsampled=subsampled).apply_to_lr(stripes, rng())
        return np.abs(damaged.astype(int) - stripes).mean()

    assert error(True) > 3 * error(False)


def test_where_a_crop_ends_says_nothing_about_where_jpeg_blocks_begin(hr):
    """The step between columns is largest at block borders, and these are at every place of a crop alike."""
    flat = np.tile(np.linspace(60, 190, 192, dtype=np.uint8)[:, None, None], (1, 192, 3))
    flat = np.maximum(flat, flat.swapaxes(0, 1))
    offsets = []
    for seed in range(60):
        lr, _ = degradation.damaged_crop(flat, Damage(jpeg=(5,)), 4, 24, rng(seed))
        steps = np.abs(np.diff(lr[..., 0].astype(int), axis=1)).sum(0)
        offsets.append(int(steps.argmax()) % 8)
    assert len(set(offsets)) == 8


def test_a_damaged_crop_and_its_hr_show_the_same_place(hr):
    for seed in range(5):
        lr, large = degradation.damaged_crop(hr, Damage(), 4, 24, rng(seed))
        assert lr.shape == (24, 24, 3) and large.shape == (96, 96, 3)
        assert np.abs(imresize(large, 1 / 4).astype(int) - lr)[2:-2, 2:-2].max() <= 2


def test_a_patch_no_larger_than_the_crop_is_used_whole(hr):
    lr, large = degradation.damaged_crop(hr[:96, :96], Damage(jpeg=(50,)), 4, 24, rng())
    np.testing.assert_array_equal(large, hr[:96, :96])


def test_a_third_of_photo_is_clean_and_the_rest_has_every_kind_of_damage():
    drawn = [PRESETS["photo"].draw(rng(seed)) for seed in range(2000)]
    damages = [damage for damage in drawn if damage]
    assert 0.25 < 1 - len(damages) / len(drawn) < 0.35
    assert {damage.kernel for damage in damages} == set(degradation.KERNELS)
    for name in ("blur", "motion", "noise", "jpeg", "grey", "poisson", "subsampled"):
        share = np.mean([bool(getattr(damage, name)) for damage in damages])
        assert 0.1 < share < 0.95, name
    qualities = [quality for damage in damages for quality in damage.jpeg]
    assert min(qualities) >= 30 and max(qualities) <= 95
    assert any(len(damage.jpeg) == 2 for damage in damages)


def test_the_same_seed_draws_the_same_damage():
    assert PRESETS["photo"].draw(rng(3)) == PRESETS["photo"].draw(rng(3))


def test_bicubic_is_always_clean():
    assert not any(PRESETS["bicubic"].draw(rng(seed)) for seed in range(50))
    assert PRESETS["bicubic"].examples() == {"clean": None}


def test_a_preset_can_be_changed_and_a_range_alone_damages_every_crop():
    assert degradation.parse("photo") == PRESETS["photo"]
    assert degradation.parse("photo,jpeg=50:95").jpeg == (50, 95)
    alone = degradation.parse("jpeg=40:60")
    assert (alone.clean, alone.jpeg_share, alone.noise_share) == (0, 1, 0)
    assert all(40 <= alone.draw(rng(seed)).jpeg[0] <= 60 for seed in range(20))
    assert alone.examples().keys() == {"jpeg_low", "jpeg_middle"}
    assert degradation.parse("bicubic,jpeg=60:80") == degradation.parse("jpeg=60:80")


@pytest.mark.parametrize("text", ["motion=0.2:1", "clean=0", "bicubic,noise=5:5", "photo", "photo,blur_share=0"])
def test_every_degradation_has_an_example_for_validation(text):
    assert degradation.parse(text).examples()


@pytest.mark.parametrize(
    "text", ["", "foto", "photo,jpg=30:95", "jpeg=95:30", "jpeg=0:95", "jpeg=30:101", "jpeg=30", "noise=x:2", "clean=2"]
)
def test_a_mistake_in_the_flag_is_one_line(text):
    with pytest.raises(UserError, match="^--degradation: .*[.]$"):
        degradation.parse(text)


def test_defaults_do_no_damage():
    assert Degradation().draw(rng()) is None
