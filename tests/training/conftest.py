"""Fixtures of training runs."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from helpers.runs import RECIPE
from srgan_tf.training import trainer
from srgan_tf.training.datasets import Folder
from srgan_tf.training.store import open_store


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:64, :80]
    for i in range(3):
        waves = [127 + 120 * np.sin(x * 0.1 * (i + 1) + y * 0.07 * c) for c in (1, 2, 3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(folder / f"{i}.png")
    source = Folder(folder, 4)
    return source, open_store(source, 4, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def start(data, tmp_path):
    source, store = data

    def train(recipe=RECIPE, folder="run", initial_weights=None, validation=store, **changes):
        run = trainer.Run(
            str(tmp_path / folder), recipe, source.describe(), log_every=2, validate_every=2, checkpoint_every=2
        )
        run = dataclasses.replace(run, **changes)
        trainer.train(run, store, validation, initial_weights=initial_weights)
        return tmp_path / folder

    return train
