"""A model from elsewhere: its attributes are validated, and its variables compared with them, before it is used."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from srgan_tf.commands import start, upscale
from srgan_tf.errors import ModelError, UserError
from srgan_tf.networks import models
from srgan_tf.saved_models import attributes, export, variables
from srgan_tf.upscaling.upscaler import Upscaler


@pytest.fixture
def model(small_model, tmp_path):
    """A copy of a model, and a function that changes its attributes; None removes one."""
    folder = tmp_path / "model"
    shutil.copytree(small_model / "1", folder)

    def change(**facts):
        path = folder / attributes.FILE
        found = {**json.loads(path.read_text()), **facts}
        path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))

    return folder, change


NESTED = "[" * 100_000


@pytest.mark.parametrize(
    "facts",
    [
        {"scale": 8},
        {"scale": "4"},
        {"scale": [4]},
        {"scale": 4.0},
        {"scale": True},
        {"scale": 2},
        {"scale": None},
        {"halo": "x"},
        {"halo": -3},
        {"halo": 10**30},
        {"halo": 11},
        {"halo": None},
        {"blocks": 99},
        {"blocks": -50},
        {"features": "x"},
        {"features": 64},
        {"pixel_limit": 0},
        {"pixel_limit": "many"},
        {"network": "edsr"},
        {"sha256": "0" * 64},
        {"sha256": 7},
        {"sha256": None},
    ],
    ids=str,
)
def test_attributes_that_are_not_those_of_the_model_are_refused_by_name(model, facts):
    folder, change = model
    change(**facts)
    with pytest.raises(UserError, match="model") as refusal:
        variables.read(folder)
    assert str(refusal.value).startswith(f"{folder}: ") and "\n" not in str(refusal.value)
    with pytest.raises(UserError, match=str(folder)):
        export.restore(folder)
    with pytest.raises(ModelError, match=str(folder)):
        Upscaler(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", NESTED, '{"a":' * 100_000, "9" * 10_000, "x" * 2**21])
def test_attributes_that_are_no_json_object_are_refused(model, text):
    folder, _ = model
    (folder / attributes.FILE).write_text(text)
    with pytest.raises(UserError, match=f"{folder}: not a model of srgan_tf"):
        attributes.read(folder)


@pytest.mark.parametrize("kind", ["missing", "a folder", "a pipe"])
def test_attributes_that_are_no_file_are_refused(model, kind):
    folder, _ = model
    (folder / attributes.FILE).unlink()
    if kind == "a folder":
        (folder / attributes.FILE).mkdir()
    elif kind == "a pipe":
        os.mkfifo(folder / attributes.FILE)
    with pytest.raises(UserError, match=f"{folder}: not a model of srgan_tf"):
        attributes.read(folder)


def test_variables_of_another_model_of_the_same_network_are_refused(model, small_model, tmp_path):
    folder, _ = model
    other = export.restore(small_model / "1")
    models.start_as_interpolation(other)
    export.export(other, tmp_path / "other")
    shutil.rmtree(folder / "variables")
    shutil.copytree(tmp_path / "other" / "variables", folder / "variables")
    with pytest.raises(UserError, match=f"{folder}: .*do not match their checksum"):
        variables.read(folder)


def test_a_model_with_values_that_are_no_numbers_is_refused(model, small_model):
    weights = dict(variables.read(small_model / "1"))
    weights["tail_conv/bias"] = np.float32([1, np.nan, 1])
    with pytest.raises(ValueError, match="tail_conv/bias holds values that are not valid numbers"):
        variables.architecture(weights)


@pytest.mark.parametrize("scale, blocks, features", [(2, 1, 4), (4, 3, 8), (8, 0, 2)])
def test_the_network_is_derived_from_its_variables(scale, blocks, features):
    weights = models.named_weights(models.srresnet(scale, blocks=blocks, features=features))
    found = variables.architecture(weights)
    assert (found["scale"], found["blocks"], found["features"]) == (scale, blocks, features)
    for change in ({"tail_conv/kernel": weights["tail_conv/bias"]}, {"more/kernel": weights["tail_conv/bias"]}):
        with pytest.raises(ValueError, match="not as in an srresnet"):
            variables.architecture({**weights, **change})
    with pytest.raises(ValueError, match="not those of an srresnet"):
        variables.architecture({"dense/kernel": np.zeros((3, 3), "float32")})


def test_a_model_that_cannot_be_used_ends_the_run_with_one_line(model, tmp_path, monkeypatch, capsys):
    folder, change = model
    change(sha256="0" * 64)
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(name)
    with pytest.raises(SystemExit) as end:
        start(upscale.main, ["upscale.py", "a.png", "b.png", "-n", str(folder)])
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {folder}: ") and "checksum" in err
    assert sorted(os.listdir()) == ["a.png", "b.png", "model"]


@pytest.mark.parametrize("name", ["[v2]", "back\\slash", "a*b?", "[[]"])
def test_a_model_is_read_from_a_folder_of_any_name(model, tmp_path, name):
    folder, _ = model
    expected = variables.read(folder)
    found = variables.read(folder.rename(tmp_path / name))
    assert found.keys() == expected.keys() and all((found[key] == expected[key]).all() for key in found)


def test_a_model_is_exported_to_a_folder_of_any_name(small_model, tmp_path):
    folder = tmp_path / "[v2]\\x" / "1"
    export.export(export.restore(small_model / "1"), folder)
    assert variables.read(folder).keys() == variables.read(small_model / "1").keys()
