"""Fixtures that more than one test file needs."""

import os
import pathlib
import sys

import pytest

from srgan_tf.networks import onednn

onednn.enable()  # as commands do, before `helpers` import TensorFlow

from helpers import serving  # noqa: E402


@pytest.fixture(autouse=True)
def environment_of_a_person(monkeypatch):
    """Commands that a test starts as processes must not inherit what commands in this process have set."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)


@pytest.fixture
def run_command(monkeypatch, capsys):
    """A function that runs a module of `srgan_tf.commands` in this process: its exit status, stdout and stderr."""
    from srgan_tf.commands import start

    def run(command, *arguments):
        program = command.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [f"{program}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            start(command.main)
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def benchmarks():
    """The folder that holds Set5, Set14 and BSD100, each with `image_SRF_4/img_001_SRF_4_HR.png` and so on."""
    folder = os.environ.get("SRGAN_TF_BENCHMARKS")
    if not folder:
        pytest.skip("needs the benchmark sets: set SRGAN_TF_BENCHMARKS to the folder of Set5, Set14 and BSD100")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def vgg_weights(tmp_path_factory):
    """A file as `--vgg_weights` takes it, with random weights: what is tested is not what VGG19 has learnt."""
    import keras

    path = tmp_path_factory.mktemp("vgg") / "vgg19.weights.h5"
    keras.applications.VGG19(include_top=False, weights=None).save_weights(path)
    return path


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A folder with version 1 of a small SavedModel, scale 4, that interpolates and adds a little of its own."""
    import keras
    import numpy as np

    from srgan_tf.networks import models
    from srgan_tf.saved_models import export

    keras.utils.set_random_seed(1)
    generator = models.srresnet(4, blocks=2, features=16)
    models.start_as_interpolation(generator)
    own = {
        name: np.full(value.shape, 0.05, "float32")
        for name, value in models.named_weights(generator).items()
        if name.endswith("gamma")
    }
    models.load_named_weights(generator, own, partial=True)
    folder = tmp_path_factory.mktemp("models") / "small"
    export.export(generator, folder / "1", attributes={"step": 1})
    return folder


@pytest.fixture(scope="session", params=serving.kinds())
def server(request, small_model):
    """A server of `small_model`, each kind that is found here; tests leave it running and its model as it is."""
    started = serving.Server(small_model, kind=request.param).wait()
    yield started
    started.kill()
