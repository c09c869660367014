"""Short training on the photographs of scikit-image. It takes minutes, so it is marked long."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import skimage

from srgan_tf.training import trainer
from srgan_tf.training.datasets import Folder
from srgan_tf.training.recipes import RECIPES
from srgan_tf.training.store import open_store

pytestmark = pytest.mark.long
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
TRAIN = ("astronaut.png", "motorcycle_left.png", "ihc.png", "grass.png", "gravel.png", "brick.png", "retina.jpg")
VALIDATION = ("chelsea.png", "coffee.png")
BUDGET = dataclasses.replace(RECIPES["fast"]["srresnet"], steps=300, warmup=50)


@pytest.fixture(scope="module")
def psnr(tmp_path_factory):
    """A function of a recipe: PSNR on the two validation pictures at the end of a run of it."""
    folder = tmp_path_factory.mktemp("data")
    stores = []
    for part, names in (("train", TRAIN), ("validation", VALIDATION)):
        (folder / part).mkdir()
        for name in names:
            shutil.copy(PHOTOGRAPHS / name, folder / part)
        stores.append(open_store(Folder(folder / part, 4), 4, folder))

    def train(recipe):
        run = trainer.Run(str(folder / recipe.precision), recipe, {}, validate_every=recipe.steps)
        trainer.train(run, *stores)
        lines = (folder / recipe.precision / "metrics.jsonl").read_text().splitlines()
        return [figures["validation_psnr"] for figures in map(json.loads, lines) if "validation_psnr" in figures][-1]

    return train


def test_bfloat16_costs_no_quality(psnr):
    single, half = (psnr(dataclasses.replace(BUDGET, precision=precision)) for precision in ("float32", "bfloat16"))
    print(f"validation PSNR after {BUDGET.steps} steps: float32 {single:.3f}, bfloat16 {half:.3f} dB")
    assert half > single - 0.1
