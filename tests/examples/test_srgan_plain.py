"""The plain training loop for students does what the product does, and runs as its help says."""

import importlib.util
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import srgan_tf
from helpers import ROOT
from srgan_tf import losses, models
from srgan_tf.networks.pixels import to_hr, to_lr
from srgan_tf.training.recipes import Recipe
from srgan_tf.training.state import State
from srgan_tf.training.step import make_step

EXAMPLE = ROOT / "examples" / "srgan_plain.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("srgan_plain", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_update_of_the_plain_loop_equals_that_of_the_product(example):
    recipe = Recipe(phase="srgan", blocks=2, features=8, crop=32, batch=2, content="mse", learning_rate=1e-3)
    state = State(recipe)
    generator = srgan_tf.srresnet(4, blocks=2, features=8)
    discriminator = srgan_tf.discriminator(32)
    pairs = (generator, state.generator), (discriminator, state.networks["discriminator"])
    before = [models.named_weights(own) for _, own in pairs]
    for (network, _), weights in zip(pairs, before):
        models.load_named_weights(network, weights)
    optimizers = example.new_optimizer(1e-3), example.new_optimizer(1e-3)
    step = make_step(recipe, state)
    rng = np.random.default_rng(0)
    for _ in range(3):
        lr, hr = (rng.integers(0, 256, (2, n, n, 3)).astype(np.uint8) for n in (8, 32))
        theirs = step(lr, hr, tf.constant(1e-3))
        ours = example.train_step(generator, discriminator, *optimizers, losses.mse, to_lr(lr), to_hr(hr))
        assert float(ours["generator"]) == pytest.approx(float(theirs["loss"]), rel=1e-4)
        assert float(ours["discriminator"]) == pytest.approx(float(theirs["d_loss"]), rel=1e-4)
    for (network, own), start in zip(pairs, before):
        expected = models.named_weights(own)
        for name, value in models.named_weights(network).items():
            moved = np.abs(expected[name] - start[name]).mean()  # Adam amplifies rounding where a gradient is near 0
            assert moved > 0 and np.abs(value - expected[name]).mean() < 0.02 * moved, name


def test_the_plain_loop_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_plain_loop_runs_from_a_folder_of_images_and_saves_a_keras_model(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 130, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    Image.fromarray(pixels).save(tmp_path / "in" / "b.tif")
    (tmp_path / "in" / "broken.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:1000])
    out = tmp_path / "new" / "out.keras"
    arguments = [tmp_path / "in", "--steps", "2", "--batch", "1", "--content", "mse", "--out", out]
    done = subprocess.run([sys.executable, EXAMPLE, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "step 2: content" in done.stdout
    assert f"wrote the generator to {out}" in done.stdout
    assert f"skipped {tmp_path / 'in' / 'broken.png'}: " in done.stderr and "b.tif" not in done.stderr
    assert Image.open(out.with_suffix(".png")).size == (96, 96)
    assert keras.models.load_model(out).count_params() == 1_552_771


@pytest.mark.parametrize("name", ["missing", "file.png", "empty"])
def test_a_folder_without_images_is_one_line(example, tmp_path, monkeypatch, name):
    (tmp_path / "file.png").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "argv", ["srgan_plain.py", str(tmp_path / name), "--out", str(tmp_path / "out.keras")])
    with pytest.raises(SystemExit, match=f"error: {tmp_path / name}: not a folder with images of at least 96 pixels"):
        example.main()


def test_missing_weights_of_vgg_are_one_line(tmp_path, monkeypatch):
    Image.new("RGB", (96, 96)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), ".", "--vgg_weights", "nope.h5"])
    with pytest.raises(SystemExit, match="error: --vgg_weights: the weights of VGG19 are not in nope.h5"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_crops_show_the_same_part_of_both_pictures(example):
    hr = np.random.default_rng(0).integers(0, 256, (120, 140, 3)).astype(np.uint8)
    lr, hr = example.random_batch([(hr[::4, ::4], hr)], 8, np.random.default_rng(0))
    either = [(hr[:, ::4, first::4] + 1) / 2 for first in (0, 3)]  # as it is, or flipped
    same = [[np.allclose(one, other, atol=1e-6) for one, other in zip(lr, sampled)] for sampled in either]
    assert all(map(any, zip(*same))) and all(map(any, same))
