"""Fixtures of training runs."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.runs import RECIPE
from srgan_tf.networks import models
from srgan_tf.saved_models import export
from srgan_tf.training import trainer
from srgan_tf.training.datasets import Folder
from srgan_tf.training.store import open_store


@pytest.fixture(autouse=True)
def quick_exports(monkeypatch):
    """SavedModels of variables and attributes only: tracing the signatures takes most of a short run.

    The tests of `commands/` and `saved_models/` have the real ones.
    """

    def archive(generator, facts):
        variables = [v.value for layer in generator.layers for v in layer.weights]
        archive = keras.export.ExportArchive()
        archive.add_endpoint("total", lambda: {"total": tf.add_n([tf.reduce_sum(v) for v in variables])}, [])
        return archive

    monkeypatch.setattr(export, "_archive", archive)


@pytest.fixture
def narrow_discriminator(monkeypatch):
    """Few channels and layers: the discriminator of the paper has 23 million parameters."""
    monkeypatch.setattr(models, "DISCRIMINATOR_CONVS", ((8, 2), (8, 2), (8, 2), (8, 2)))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:64, :80]
    for i in range(3):
        waves = [127 + 120 * np.sin(x * 0.1 * (i + 1) + y * 0.07 * c) for c in (1, 2, 3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(folder / f"{i}.png")
    source = Folder(folder, 4)
    return source, open_store(source, 4, tmp_path_factory.mktemp("cache"))


def settings(folder, source, recipe=RECIPE):
    return trainer.Run(str(folder), recipe, source.describe(), log_every=2, validate_every=2, checkpoint_every=2)


@pytest.fixture
def start(data, tmp_path, narrow_discriminator):
    """A function that trains a run, or resumes it."""
    source, store = data

    def train(recipe=RECIPE, folder="run", initial_weights=None, validation=store, **changes):
        run = dataclasses.replace(settings(tmp_path / folder, source, recipe), **changes)
        trainer.train(run, store, validation, initial_weights=initial_weights)
        return tmp_path / folder

    return train


@pytest.fixture(scope="session")
def _trained(data, tmp_path_factory):
    source, store = data
    folder = tmp_path_factory.mktemp("trained") / "run"
    trainer.train(settings(folder, source), store, store)
    return folder


@pytest.fixture
def finished(_trained, tmp_path):
    """A function that copies what `start()` leaves, a run that was trained once for all tests."""

    def copy(folder="run"):
        return shutil.copytree(_trained, tmp_path / folder)

    return copy
