"""The shipped models are complete, load everywhere, and reach the figures of their cards."""

import re

import numpy as np
import pytest

from helpers.capi import Session
from srgan_tf import Upscaler
from srgan_tf.errors import UserError
from srgan_tf.evaluation import evaluate
from srgan_tf.evaluation.benchmark_sets import load_pairs
from srgan_tf.saved_models import export, zoo

MODELS = sorted(zoo.shipped().items())
each_model = pytest.mark.parametrize("name, folder", MODELS, ids=[name for name, _ in MODELS])


def card(folder):
    return (folder.parent / "README.md").read_text(encoding="utf-8")


def test_the_models_that_readme_names_are_shipped():
    assert {"photo_x4", "srresnet_x4", "srgan_x4", "qr_x4"} <= zoo.shipped().keys()


@each_model
def test_a_model_is_what_its_card_describes(name, folder):
    facts = zoo.attributes(folder)
    assert facts["sha256"] in card(folder)
    assert facts["scale"] == int(name.rsplit("_x")[1]) and facts["halo"] == 40
    assert export.restore(folder).count_params() == 1_552_771  # checks the checksum too
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 8e6


@pytest.mark.parametrize("name", ["srgan", "photo"])
def test_fidelity_blends_a_model_with_the_srresnet_that_it_was_trained_from(name):
    faithful, vivid = map(zoo.attributes, zoo.fidelity_models(0.5, name))
    assert faithful["network"] == vivid["network"] and faithful["sha256"] == vivid["start"]


def test_fidelity_blends_photo_too_and_no_other_model():
    faithful, vivid = zoo.fidelity_models(0.5, "photo")
    assert vivid == zoo.resolve("photo")
    small = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    pictures = [Upscaler("photo", fidelity=share, precision="float32")(small).astype(int) for share in (0, 0.5, 1)]
    np.testing.assert_array_equal(pictures[0], Upscaler("photo", precision="float32")(small))
    np.testing.assert_array_equal(pictures[2], Upscaler(faithful, precision="float32")(small))
    apart = np.abs(pictures[0] - pictures[2]).mean()
    assert all(0 < np.abs(pictures[1] - end).mean() < apart for end in (pictures[0], pictures[2]))
    with pytest.raises(UserError, match=r"--fidelity 0.5: blends the shipped srresnet with srgan or photo, not with "):
        zoo.fidelity_models(0.5, "qr")


@each_model
def test_tensorflows_c_api_gives_the_upscalers_pixels_but_for_rounding(name, folder):
    small = np.random.default_rng(0).integers(0, 256, (1, 21, 34, 3)).astype(np.uint8)
    large = Session(folder).run({"image": small})["image"]
    expected = Upscaler(folder, precision="float32")(small)
    np.testing.assert_allclose(large.astype(int), expected, atol=1)
    assert (large == expected).mean() > 0.999


@each_model
def test_set5_scores_what_the_card_says(benchmarks, name, folder):
    said = re.search(r"\| Set5 \|[^|]*\| ([\d.]+) / ([\d.]+) \|", card(folder))  # the bt601 column
    pairs = {"set5": load_pairs("set5", benchmarks)}
    results = evaluate.evaluate({name: Upscaler(folder, precision="float32")}, pairs, ["bt601"])
    found = results["sets"]["set5"]["mean"][name]["bt601"]
    assert found["psnr"] == pytest.approx(float(said[1]), abs=0.01)
    assert found["ssim"] == pytest.approx(float(said[2]), abs=2e-4)
