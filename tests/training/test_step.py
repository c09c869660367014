"""One training step updates the right variables and no others."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.networks import losses, models
from srgan_tf.networks.pixels import to_hr, to_lr
from srgan_tf.training.recipes import OPTIMIZERS, RECIPES, Recipe
from srgan_tf.training.state import DISCRIMINATORS, State
from srgan_tf.training.step import make_step

SMALL = {"blocks": 2, "features": 8, "crop": 32, "batch": 2}
RATE = tf.constant(1e-3)

pytestmark = pytest.mark.usefixtures("narrow_discriminator")


def batch(seed=0, scale=4, side=8):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (2, side, side, 3)).astype(np.uint8),
        rng.integers(0, 256, (2, scale * side, scale * side, 3)).astype(np.uint8),
    )


def changed(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_srresnet_step_updates_every_variable_and_lowers_the_loss(optimizer):
    state = State(Recipe(**SMALL, optimizer=optimizer))
    step = make_step(state.recipe, state)
    before = models.named_weights(state.generator)
    first = float(step(*batch(), RATE)["loss"])
    assert changed(before, models.named_weights(state.generator)) == before.keys()
    for _ in range(20):
        last = float(step(*batch(), RATE)["loss"])
    assert last < first


@pytest.mark.parametrize("term", ["mse", "log-mse", "vgg22", "vgg54", "adversarial", "tv", "consistency", "grid"])
def test_every_loss_term_reaches_the_generator_and_none_reaches_vgg(vgg_weights, term):
    state = State(Recipe(phase="srgan", **SMALL))
    vgg = losses.vgg_model(term, vgg_weights) if term.startswith("vgg") else None
    lr, hr = batch()
    hr = to_hr(hr)
    with tf.GradientTape() as tape:
        sr = state.generator(to_lr(lr), training=True)
        if vgg:
            loss = losses.mse(losses.vgg_features(vgg, hr), losses.vgg_features(vgg, sr))
        elif term == "adversarial":
            loss = losses.adversarial(state.networks["discriminator"](sr, training=True))
        else:
            loss = {
                "mse": lambda: losses.mse(hr, sr),
                "log-mse": lambda: losses.log_mse(hr, sr),
                "tv": lambda: losses.total_variation(sr),
                "consistency": lambda: losses.consistency(hr, sr, 4),
                "grid": lambda: losses.grid(hr, sr, 4),
            }[term]()
    assert not vgg or vgg.trainable_variables == []
    gradients = tape.gradient(loss, [v.value for v in state.generator.trainable_variables])
    for gradient, v in zip(gradients, state.generator.trainable_variables):
        shifts_colours_only = term in ("tv", "grid") and v.path == "tail_conv/bias"
        assert np.abs(gradient).max() > 0 or shifts_colours_only, v.path


def test_the_loss_is_the_sum_of_its_terms_by_their_weights(vgg_weights):
    weights = {"pixel": 3.0, "tv": 0.1, "consistency": 5.0, "grid": 7.0, "adversarial": 0.2}
    state = State(Recipe(phase="srgan", content="vgg22", steps=1, **weights, **SMALL))
    logs = make_step(state.recipe, state, losses.vgg_loss("vgg22", vgg_weights))(*batch(), RATE)
    terms = {name: weight * float(logs["mse" if name == "pixel" else name]) for name, weight in weights.items()}
    assert min(terms.values()) > 1e-4 * float(logs["loss"])
    assert float(logs["loss"]) == pytest.approx(float(logs["content"]) + sum(terms.values()), rel=1e-5)


def test_a_step_against_the_unet_updates_both_networks(vgg_weights):
    recipe = dataclasses.replace(RECIPES["photo"]["srgan"], precision="float32", shift=0, **SMALL)
    state = State(recipe)
    before = {name: models.named_weights(network) for name, network in state.networks.items()}
    logs = make_step(recipe, state, losses.vgg_loss(recipe.content, vgg_weights))(*batch(), RATE, True)
    for name, network in state.networks.items():
        after = models.named_weights(network)
        still = {v for v in after if v not in changed(before[name], after)}
        assert still == {v for v in after if v.split("/")[1].startswith("moving_")}, name
    assert all(np.isfinite(float(value)) for value in logs.values())
    state.restore(state.arrays())


def test_pixels_outside_of_a_smaller_crop_have_no_influence(vgg_weights):
    recipe = dataclasses.replace(RECIPES["fast"]["srgan"], precision="float32", **SMALL)
    (lr, hr), content = batch(side=9), losses.vgg_loss(recipe.content, vgg_weights)
    other_lr, other_hr = lr.copy(), hr.copy()
    other_lr[:, 5:] //= 2
    other_hr[:, :, 20:] //= 2

    def loss(lr, hr, crop):
        state = State(recipe)
        return float(make_step(recipe, state, content)(lr, hr, RATE, True, crop)["loss"])

    assert loss(lr, hr, 16) == loss(other_lr, other_hr, 16)
    assert loss(lr, hr, 32) != loss(other_lr, other_hr, 32)


@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_each_network_learns_from_its_own_loss_alone(vgg_weights, still):
    """With one network's rate at nothing, the other one moves and this one does not."""
    recipe = dataclasses.replace(RECIPES["paper"]["srgan"], precision="float32", **SMALL)
    if still == "discriminator":
        recipe = dataclasses.replace(recipe, discriminator_rate=0.0)
    state = State(recipe)
    if still == "generator":
        state.optimizers["generator"].apply = lambda *_: None
    vgg = losses.vgg_model("vgg54", vgg_weights)
    step = make_step(
        recipe, state, lambda hr, sr: losses.mse(losses.vgg_features(vgg, hr), losses.vgg_features(vgg, sr))
    )
    learnt = models.named_weights(vgg)
    before = {name: models.named_weights(network) for name, network in state.networks.items()}
    logs = step(*batch(), RATE)
    averages = {"moving_mean", "moving_variance"}
    for name, network in state.networks.items():
        moved = {v for v in changed(before[name], models.named_weights(network)) if v.split("/")[1] not in averages}
        trained = {v for v in before[name] if v.split("/")[1] not in averages}
        assert moved == (set() if name == still else trained), name
    assert changed(learnt, models.named_weights(vgg)) == set()
    assert {"content", "mse", "adversarial", "d_loss", "d_real", "d_fake"} <= logs.keys()


def test_the_crop_that_the_discriminator_sees_changes_with_the_step_and_the_seed_alone(monkeypatch):
    """Grey crops with one white corner: D, of one layer here, sees more or less of the corner."""
    lr, hr = np.full((2, 9, 9, 3), 90, np.uint8), np.full((2, 36, 36, 3), 90, np.uint8)
    hr[:, :3, :3] = 255

    def discriminator(crop):
        layers = [
            keras.Input((crop, crop, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, name="logit"),
        ]
        return keras.Sequential(layers)

    monkeypatch.setitem(DISCRIMINATORS, "paper", discriminator)

    def seen(seed):
        recipe = Recipe(phase="srgan", shift=3, learning_rate=0.0, seed=seed, **SMALL)
        state = State(recipe)
        models.load_named_weights(state.networks["discriminator"], weights)
        step = make_step(recipe, state)
        return [float(step(lr, hr, tf.constant(0.0))["d_real"]) for _ in range(12)]

    weights = models.named_weights(State(Recipe(phase="srgan", **SMALL)).networks["discriminator"])
    first = seen(1)
    assert len(set(first)) > 3
    assert seen(1) == first != seen(2**32 - 1)


def test_the_discriminators_gradient_is_that_of_its_loss_alone(vgg_weights):
    """D(SR) is computed once for both networks; a plain pass of the discriminator gives the same update."""
    recipe = Recipe(phase="srgan", **SMALL)
    state, other = State(recipe), State(recipe)
    lr, hr = batch()
    make_step(recipe, state)(lr, hr, RATE)
    critic = other.networks["discriminator"]
    sr = other.generator(to_lr(lr), training=True)
    with tf.GradientTape() as tape:
        loss = losses.discrimination(critic(to_hr(hr), training=True), critic(sr, training=True))
    variables = [v.value for v in critic.trainable_variables]
    optimizer = other.optimizers["discriminator"]
    optimizer.learning_rate.assign(RATE)
    optimizer.apply(tape.gradient(loss, variables), critic.trainable_variables)
    expected, found = (models.named_weights(s.networks["discriminator"]) for s in (other, state))
    for name in expected:  # Adam's first step is as long as the rate whatever the gradient
        difference = np.abs(expected[name] - found[name])
        assert np.mean(difference > 1e-4) < 0.02, name


@pytest.mark.parametrize("logits", [(None, 1), (None, 14, 14, 1)])
def test_any_keras_model_of_logits_can_be_the_discriminator(logits, monkeypatch):
    def discriminator(crop):
        head = [keras.layers.GlobalAveragePooling2D()] if len(logits) == 2 else []
        return keras.Sequential(
            [
                keras.Input((crop, crop, 3)),
                keras.layers.Conv2D(4, 4, 2, activation="leaky_relu"),
                keras.layers.Conv2D(1, 2),
                *head,
            ]
        )

    monkeypatch.setitem(DISCRIMINATORS, "unet", discriminator)
    state = State(Recipe(phase="srgan", precision="bfloat16", discriminator="unet", **SMALL))
    assert state.networks["discriminator"].output_shape == logits
    before = state.arrays()
    logs = make_step(state.recipe, state)(*batch(), RATE)
    assert all(np.isfinite(float(value)) for value in logs.values())
    moved = changed(before, state.arrays())
    assert {name for name in before if name.split("/")[0] in ("discriminator", "generator")} <= moved


def test_the_content_loss_can_be_any_function_of_the_crops_that_the_discriminator_sees():
    shapes = []

    def content(hr, sr):
        shapes.append((hr.shape, sr.shape))
        return losses.mse(hr, sr) + 2.0

    recipe = Recipe(phase="srgan", shift=3, adversarial=0.0, **SMALL)
    logs = make_step(recipe, State(recipe), content)(*batch(side=9), RATE)
    assert shapes == [((2, 32, 32, 3), (2, 32, 32, 3))]
    assert float(logs["loss"]) == float(logs["content"]) > 2


@pytest.mark.parametrize("phase", ["srresnet", "srgan"])
def test_frozen_normalisation_keeps_the_averages_and_trains_the_rest(phase):
    state = State(Recipe(phase=phase, **SMALL))
    step = make_step(state.recipe, state)
    for i in range(3):
        step(*batch(i), RATE)
    lr, hr = batch()
    expected = float(losses.mse(to_hr(hr), state.generator(to_lr(lr), training=False)))
    before = models.named_weights(state.generator)
    first = float(step(lr, hr, RATE, True)["mse"])
    assert first == pytest.approx(expected, rel=1e-4)
    averages = {name for name in before if name.split("/")[1] in ("moving_mean", "moving_variance")}
    assert averages and changed(before, models.named_weights(state.generator)) == before.keys() - averages


def test_the_weight_of_the_grid_grows_linearly_to_its_value_at_the_last_step():
    state = State(Recipe(**SMALL, steps=2, grid=3.0))
    step = make_step(state.recipe, state)
    for weight in (1.5, 3.0):
        logs = step(*batch(), RATE)
        assert float(logs["loss"]) == pytest.approx(float(logs["mse"] + weight * logs["grid"]), rel=1e-5)


def test_averaged_weights_follow_the_weights_and_are_exported():
    state = State(Recipe(ema=0.9, **SMALL))
    step = make_step(state.recipe, state)
    for i in range(3):
        step(*batch(i), RATE)
    now, averaged = models.named_weights(state.generator), state.export_weights()
    assert changed(now, averaged) == now.keys()
    assert changed(averaged, models.named_weights(state.exported())) == set()


@pytest.mark.parametrize("final_steps, decay", [(0, 4 / 13), (2, 2 / 11)])
def test_in_the_final_steps_the_average_has_a_short_memory_again(final_steps, decay):
    state = State(Recipe(phase="srgan", steps=4, final_steps=final_steps, ema=0.9, **SMALL))
    step = make_step(state.recipe, state)
    for i in range(2):
        step(*batch(i), RATE)
    before = state.export_weights()
    step(*batch(2), RATE)
    for name, now in models.named_weights(state.generator).items():
        expected = decay * before[name] + (1 - decay) * now
        np.testing.assert_allclose(state.export_weights()[name], expected, rtol=1e-5, atol=1e-6)


def test_a_state_is_restored_from_its_arrays_and_incomplete_arrays_are_refused():
    recipe = Recipe(phase="srgan", ema=0.9, **SMALL)
    state = State(recipe)
    make_step(recipe, state)(*batch(), RATE)
    arrays = state.arrays()
    other = State(dataclasses.replace(recipe, seed=5))
    other.restore(arrays)
    assert changed(arrays, other.arrays()) == set()
    with pytest.raises(ValueError, match="missing"):
        other.restore({k: v for k, v in arrays.items() if k != "ema/0"})


def test_the_seed_determines_the_new_weights():
    first, same, other = (State(Recipe(**SMALL, seed=s)).arrays() for s in (1, 1, 2))
    assert changed(first, same) == set() and "generator/head_conv/kernel" in changed(first, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_step_launches_few_operations(optimizer):
    """Their number, not their arithmetic, limits a fast GPU. XLA compiles for the CPU here; for a GPU it fuses more."""
    state = State(dataclasses.replace(RECIPES["fast"]["srresnet"], optimizer=optimizer, precision="float32"))
    compiled = make_step(state.recipe, state, xla=True).experimental_get_compiler_ir(
        *batch(), RATE, False, state.recipe.crop, RATE
    )
    entry = compiled(stage="optimized_hlo").partition("\nENTRY")[2]
    launched = re.findall(r" (?:fusion|call|convolution|dot|copy|concatenate|custom-call)\(", entry)
    assert 500 < len(launched) < 1400
