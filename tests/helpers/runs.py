"""A small run, and what it leaves."""

import json

from srgan_tf.networks import models
from srgan_tf.saved_models import export
from srgan_tf.training.recipes import Recipe

RECIPE = Recipe(steps=4, blocks=1, features=8, crop=32, batch=2, learning_rate=1e-3, start="interpolation")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder, step):
    return models.named_weights(export.restore(folder / "saved_model" / str(step)))
