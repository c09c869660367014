"""Muon makes the updates of kernels orthogonal; all other variables are trained by Adam."""

import keras
import numpy as np
import pytest

from srgan_tf.networks import models
from srgan_tf.training import optimizers


@pytest.mark.parametrize("shape", [(288, 32), (32, 288), (64, 64)])
def test_all_directions_are_learned_about_equally_fast(shape):
    rng, rank = np.random.default_rng(0), min(shape)
    u, v = (np.linalg.qr(rng.normal(size=(side, rank)))[0] for side in shape)
    gradient = (u * np.logspace(0, -1.3, rank)) @ v.T
    update = u.T @ np.asarray(optimizers.orthogonal(gradient.astype(np.float32))) @ v
    speeds = np.diag(update)
    assert 0.5 < speeds.min() and speeds.max() < 1.3
    assert np.abs(update - np.diag(speeds)).max() < 0.01


def test_without_a_gradient_there_is_no_update():
    assert not np.asarray(optimizers.orthogonal(np.zeros((9, 4), np.float32))).any()


@pytest.fixture(scope="module")
def moved():
    """By the layer's variable: what one step at a rate of 0.01 of each optimizer changed, and the gradient."""
    changes = {}
    for name in ("adam", "muon"):
        keras.utils.set_random_seed(0)
        generator = models.srresnet(4, blocks=1, features=16)
        before = models.named_weights(generator)
        rng = np.random.default_rng(0)
        gradients = {k: rng.normal(size=v.shape).astype(np.float32) for k, v in before.items()}
        optimizer = optimizers.create(name)
        optimizer.learning_rate = 0.01
        optimizer.apply([gradients[v.path] for v in generator.trainable_variables], generator.trainable_variables)
        after = models.named_weights(generator)
        changes[name] = {v.path: after[v.path] - before[v.path] for v in generator.trainable_variables}
    return changes["adam"], changes["muon"], gradients


def test_muon_trains_the_kernels_between_features_and_adam_the_rest(moved):
    adam, muon, _ = moved
    differ = {name for name in adam if not np.array_equal(adam[name], muon[name])}
    assert differ == {
        f"{layer}/kernel" for layer in ("block01_conv1", "block01_conv2", "trunk_conv", "up1_conv", "up2_conv")
    }


def test_one_rate_suits_both(moved):
    """The root mean square of an update of Adam's is at most its rate, of Muon's a fifth of it."""
    adam, muon, gradients = moved
    for name in ("trunk_conv/kernel", "up1_conv/kernel"):
        assert np.sqrt(np.mean(adam[name] ** 2)) == pytest.approx(0.01, rel=0.1)
        assert np.sqrt(np.mean(muon[name] ** 2)) == pytest.approx(0.002, rel=0.2)
        assert np.sum(muon[name] * gradients[name]) < 0


def test_kernels_that_are_updated_together_move_as_each_alone():
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 16, 16), (3, 3, 16, 64), (3, 3, 16, 16), (16,), (3, 3, 16, 16)]
    values, gradients = ([rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(2))
    together, alone = ([keras.Variable(value) for value in values] for _ in range(2))
    groups = [(gradients, together), *[([gradient], [variable]) for gradient, variable in zip(gradients, alone)]]
    for group in groups:
        optimizer = optimizers.create("muon")
        optimizer.learning_rate = 0.01
        for _ in range(2):
            optimizer.apply(*group)
    for value, a, b in zip(values, together, alone):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
        assert np.abs(a.numpy() - value).mean() > 1e-3


def rounded_to_tf32(matrix):
    """float32 values with the 10 bits of mantissa that recent GPUs multiply by default."""
    return ((np.asarray(matrix, np.float32).view(np.int32) + 0x1000) & ~0x1FFF).view(np.float32)


@pytest.mark.parametrize("shape", [(288, 32), (64, 64), (32, 288)])
def test_products_in_tf32_keep_muons_updates_orthogonal(shape, monkeypatch):
    rng, rank, matmul = np.random.default_rng(0), min(shape), keras.ops.matmul
    u, v = (np.linalg.qr(rng.normal(size=(side, rank)))[0] for side in shape)
    gradient = ((u * np.logspace(0, -3, rank)) @ v.T).astype(np.float32)
    exact = np.asarray(optimizers.orthogonal(gradient))
    monkeypatch.setattr(optimizers.ops, "matmul", lambda a, b: matmul(rounded_to_tf32(a), rounded_to_tf32(b)))
    found = np.asarray(optimizers.orthogonal(gradient))
    assert np.linalg.svd(found, compute_uv=False).max() < 1.25
    assert np.abs(found - exact).max() < 0.02
