"""Every variant and recipe trains in each scale and precision, and with XLA as without it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.networks import losses
from srgan_tf.training.recipes import PRECISIONS, VARIANTS, recipe_for
from srgan_tf.training.state import State
from srgan_tf.training.step import make_step

SMALL = {"blocks": 1, "features": 4, "crop": 32, "batch": 2}
RECIPE_NAMES, SCALES, SINGLE_AND_HALF = ("paper", "fast"), (2, 4, 8), PRECISIONS[1:]
CASES = [*itertools.product(VARIANTS, RECIPE_NAMES, SCALES, SINGLE_AND_HALF)]
QUICK = CASES[8:40:20]  # of SRResNet; SRGAN takes longer to trace
COMPILED = [  # each variant in each precision, with changing recipes and scales: XLA takes a minute for SRGAN
    (variant, RECIPE_NAMES[i % 2], SCALES[(i + i // 3) % 3], precision)
    for i, (variant, precision) in enumerate(itertools.product(VARIANTS, SINGLE_AND_HALF))
]
COMPILED += [(None, recipe, 4, "bfloat16") for recipe in ("fast", "photo")]  # with their own losses, as on a GPU
TOLERANCE = {"float32": 2e-3, "bfloat16": 5e-2, "float16": 2e-2}  # of the losses, relative


@pytest.fixture(scope="module")
def content_loss(vgg_weights):
    """The content loss of a recipe, in its precision."""
    made = {}

    def content_loss(recipe):
        key = recipe.content, "float32" if recipe.precision == "float32" else f"mixed_{recipe.precision}"
        if recipe.content != "mse" and key not in made:
            made[key] = losses.vgg_loss(key[0], vgg_weights, key[1])
        return made.get(key)

    return content_loss


def two_steps(recipe, content_loss, xla=False):
    """The losses of the first two steps by name."""
    rng, side = np.random.default_rng(1), recipe.drawn // recipe.scale
    step = make_step(recipe, State(recipe), content_loss, xla=xla)
    found = []
    for _ in range(2):
        lr = rng.integers(0, 256, (recipe.batch, side, side, 3)).astype(np.uint8)
        logs = step(lr, lr.repeat(recipe.scale, 1).repeat(recipe.scale, 2), tf.constant(recipe.learning_rate))
        found.append({name: float(value) for name, value in logs.items()})
    return found


def recipe_of(variant, recipe, scale, precision):
    phase = VARIANTS[variant][0] if variant else "srgan"
    return recipe_for(recipe, phase, scale, variant, precision=precision, **SMALL)


@pytest.mark.parametrize(
    "variant, recipe, scale, precision",
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.long) for case in CASES],
)
def test_two_steps_have_finite_losses(variant, recipe, scale, precision, content_loss):
    recipe = recipe_of(variant, recipe, scale, precision)
    for logs in two_steps(recipe, content_loss(recipe)):
        assert all(np.isfinite(value) for value in logs.values()), logs


@pytest.mark.long
@pytest.mark.parametrize("variant, recipe, scale, precision", COMPILED)
def test_two_steps_have_the_same_finite_losses_with_xla(variant, recipe, scale, precision, content_loss):
    recipe = recipe_of(variant, recipe, scale, precision)
    plain, compiled = (two_steps(recipe, content_loss(recipe), xla) for xla in (False, True))
    for expected, found in zip(plain, compiled):
        assert expected.keys() == found.keys() and all(np.isfinite(value) for value in expected.values())
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=TOLERANCE[precision], abs=1e-4), name
