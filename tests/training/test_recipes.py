"""Learning rates follow the recipe, and the recipe "paper" follows the paper."""

import dataclasses

import numpy as np
import pytest

from srgan_tf.errors import UserError
from srgan_tf.training.recipes import (
    RECIPES,
    Recipe,
    crop_side,
    discriminator_learning_rate,
    discriminator_restarts,
    extension_start,
    final_start,
    learning_rate,
    recipe_for,
)


def test_the_papers_recipe_is_section_3_2():
    srresnet, srgan = RECIPES["paper"]["srresnet"], RECIPES["paper"]["srgan"]
    assert (srresnet.steps, srresnet.batch, srresnet.crop, srresnet.content) == (10**6, 16, 96, "mse")
    assert {learning_rate(srresnet, step) for step in (0, 5 * 10**5, 10**6 - 1)} == {1e-4}
    assert (srgan.steps, srgan.content, srgan.adversarial, srgan.pixel) == (2 * 10**5, "vgg54", 1e-3, 0)
    assert [learning_rate(srgan, step) for step in (0, 99_999, 100_000, 199_999)] == pytest.approx(
        [1e-4, 1e-4, 1e-5, 1e-5]
    )


def test_the_rate_rises_holds_and_falls_to_0_at_the_end():
    recipe = Recipe(steps=1000, learning_rate=1e-3, schedule="cosine", warmup=100, hold=0.6)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5) and rates[99:601] == pytest.approx([1e-3] * 502)
    assert all(a > b for a, b in zip(rates[600:], rates[601:])) and rates[800] == pytest.approx(5e-4)
    assert rates[999] < 1e-7


def test_until_the_decay_a_longer_run_has_the_same_rates():
    short = Recipe(steps=1000, schedule="cosine", warmup=50, hold=0.7)
    long = dataclasses.replace(short, steps=4000)
    assert all(learning_rate(short, s) == learning_rate(long, s) for s in range(extension_start(short)))


def test_with_a_new_discriminator_the_rate_rises_again():
    recipe = Recipe(phase="srgan", steps=40, learning_rate=1e-3, warmup=4, discriminator_restart=10)
    assert [step for step in range(40) if discriminator_restarts(recipe, step)] == [10, 20, 30]
    rates = [learning_rate(recipe, step) for step in range(40)]
    assert rates[:10] == rates[10:20] == pytest.approx([2.5e-4, 5e-4, 7.5e-4] + [1e-3] * 7)
    falling = dataclasses.replace(recipe, steps=35, schedule="cosine", hold=0.6)
    rates = [learning_rate(falling, step) for step in range(35)]
    assert rates[:10] == rates[10:20] == rates[20:30] and rates[4:7] == [1e-3] * 3 and 0 < rates[9] < rates[8] < 1e-3
    assert extension_start(falling) == 30
    short = dataclasses.replace(falling, steps=8)  # the discriminator does not restart: the rate falls to 0
    assert extension_start(short) == 4 and learning_rate(short, 7) < 2e-4
    halved = dataclasses.replace(falling, discriminator_rate=0.5)
    rates = [discriminator_learning_rate(halved, step) for step in range(35)]
    assert rates[:7] == rates[10:17] == [5e-4] * 7 and 0 < rates[9] < rates[8] < 5e-4
    without = dataclasses.replace(recipe, phase="srresnet")  # it has no discriminator
    assert not any(discriminator_restarts(without, step) for step in range(40)) and learning_rate(without, 10) == 1e-3


def test_the_final_steps_have_large_crops_a_new_discriminator_and_a_rate_that_rises_again():
    recipe = Recipe(phase="srgan", steps=36, crop=96, small_crop=48, warmup=2, discriminator_restart=10, final_steps=4)
    assert [crop_side(recipe, step) for step in (0, 30, 31, 32, 35)] == [48, 48, 48, 96, 96]
    assert [step for step in range(36) if discriminator_restarts(recipe, step)] == [10, 20, 30, 32]
    assert learning_rate(recipe, 31) == learning_rate(recipe, 33) == 2 * learning_rate(recipe, 32) == 1e-4
    assert final_start(recipe) == extension_start(recipe) == 32
    one = dataclasses.replace(recipe, discriminator_restart=0, schedule="cosine", hold=0.5)
    assert extension_start(one) == 18 and extension_start(dataclasses.replace(one, hold=1.0)) == 32
    long = dataclasses.replace(recipe, steps=40, schedule="cosine", hold=0.5, final_steps=20)  # before: 10 each
    rates = [learning_rate(long, step) for step in range(20, 40)]
    assert rates[1:10] == [1e-4] * 9 and rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 1e-5
    assert crop_side(dataclasses.replace(recipe, small_crop=0), 0) == 96
    assert crop_side(dataclasses.replace(recipe, crop=32), 0) == 32  # never larger than --crop
    for without in ({"final_steps": 0}, {"final_steps": 36}, {"phase": "srresnet"}):
        short = dataclasses.replace(recipe, **without)
        assert final_start(short) == 0 and crop_side(short, 0) == 96
    assert extension_start(dataclasses.replace(recipe, steps=4)) == 0  # a longer run begins with small crops


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_shift_of_fast_reaches_every_position_of_a_block_and_a_flag_or_a_variant_changes_it(scale):
    assert recipe_for("fast", "srgan", scale).shift == scale - 1
    assert recipe_for("fast", "srgan", scale, shift=2).shift == 2
    variant, paper = recipe_for("fast", "srgan", scale, "srgan-vgg54"), recipe_for("paper", "srgan", scale)
    assert variant.shift == paper.shift == 0 and variant.crop == paper.crop == 96


@pytest.mark.parametrize("scale, shift, drawn", [(4, 0, 96), (4, 3, 100), (4, 4, 100), (2, 3, 100), (8, 3, 104)])
def test_crops_are_drawn_large_enough_for_all_shifts(scale, shift, drawn):
    assert Recipe(scale=scale, shift=shift).drawn == drawn


@pytest.mark.parametrize(
    "wrong",
    [
        *({"phase": "SRGAN"}, {"schedule": "cosin"}, {"start": "interpolate"}, {"optimizer": "sgd"}),
        *({"freeze_norm": "Never"}, {"augment": "flip"}, {"precision": "fp16"}, {"content": "vgg5"}),
        *({"scale": 3}, {"scale": 4.0}, {"steps": 0}, {"batch": 0}, {"batch": True}, {"features": 2}, {"seed": -1}),
        *({"crop": 50}, {"small_crop": 17}, {"hold": 2.0}, {"ema": 1.0}, {"degradation": None}),
        *({"learning_rate": -1e-3}, {"learning_rate": float("nan")}, {"learning_rate": float("inf")}),
        {"learning_rate": np.float32(1e-4)},  # cannot be written as JSON
    ],
    ids=str,
)
def test_a_wrong_value_is_named_when_the_recipe_is_made(wrong):
    [name] = wrong
    with pytest.raises(UserError, match=f"^{name} "):
        dataclasses.replace(RECIPES["fast"]["srgan"], **wrong)
    assert Recipe(learning_rate=1).learning_rate == 1
