"""A model's name or path means the folder of a SavedModel."""

import json
import re

import pytest

from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo

FACTS = {
    "network": "srresnet",
    "blocks": 16,
    "features": 64,
    "halo": 40,
    "pixel_limit": 2**21,
    "sha256": 64 * "0",
}


def saved_model(folder, scale=4, **facts):
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / zoo.ATTRIBUTES).write_text(json.dumps({**FACTS, "scale": scale, **facts}))
    return folder


@pytest.fixture
def weights(tmp_path, monkeypatch):
    checkout, wheel = tmp_path / "checkout", tmp_path / "wheel"
    monkeypatch.setattr(zoo, "WEIGHTS", (checkout, wheel))
    saved_model(checkout / "srgan_x4" / "1")
    saved_model(checkout / "srgan_x2" / "1", scale=2)
    return checkout, wheel


def test_a_name_means_its_newest_version_by_number(weights):
    for version in ("9", "10", "0002", "draft", "11.old"):
        saved_model(weights[0] / "srresnet_x4" / version)
    (weights[0] / "srresnet_x4" / "12").mkdir()  # being written
    assert zoo.resolve("srresnet") == weights[0] / "srresnet_x4" / "10"
    assert zoo.resolve("srresnet", 4) == zoo.resolve("srresnet_x4") == zoo.resolve("srresnet")


def test_a_name_with_a_scale_means_that_scale(weights):
    assert zoo.resolve("srgan", 2) == zoo.resolve("srgan_x2") == weights[0] / "srgan_x2" / "1"


def test_weights_of_a_wheel_are_found_and_those_of_a_checkout_go_first(weights):
    saved_model(weights[1] / "srgan_x4" / "5")
    saved_model(weights[1] / "srresnet_x4" / "5")
    assert zoo.resolve("srresnet") == weights[1] / "srresnet_x4" / "5"
    assert zoo.resolve("srgan") == weights[0] / "srgan_x4" / "1"


def test_srgan_is_blended_with_the_srresnet_that_it_was_trained_from(weights):
    for version in ("1", "2", "3"):
        saved_model(weights[0] / "srresnet_x4" / version, sha256=64 * version)
    assert zoo.fidelity_models(0.5)[0].name == "3"  # it is not known
    saved_model(weights[0] / "srgan_x4" / "2", start=64 * "2")
    assert [folder.name for folder in zoo.fidelity_models(0.5)] == ["2", "2"]
    saved_model(weights[0] / "photo_x4" / "4", start=64 * "1")
    assert [folder.name for folder in zoo.fidelity_models(0.5, "photo")] == ["1", "4"]


def test_a_path_means_a_savedmodel_or_the_newest_in_it(weights, tmp_path):
    newest = saved_model(tmp_path / "run" / "saved_model" / "200")
    saved_model(tmp_path / "run" / "saved_model" / "30")
    assert zoo.resolve(newest) == newest
    assert zoo.resolve(str(tmp_path / "run" / "saved_model")) == newest


@pytest.mark.parametrize(
    "model, scale, names",
    [("srgam", None, "srgan, srgan_x2"), ("srgan", 8, "srgan_x2, srgan_x4"), ("checkout", None, "srgan, srgan_x2")],
)
def test_an_unknown_model_is_refused_with_the_list_of_models(weights, tmp_path, monkeypatch, model, scale, names):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f": {names}.$") as refusal:
        zoo.resolve(model, scale)
    assert model in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("model", ["~nobody_of_this_name/m", "n" * 5000, "{loop}/m", "{locked}/m"])
def test_a_path_that_cannot_be_read_is_refused_in_one_line(weights, tmp_path, model):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(UserError, match="Give the path of a SavedModel or one of: srgan, srgan_x2"):
        zoo.resolve(model.format(loop=tmp_path / "loop", locked=tmp_path / "locked"))


def test_a_model_of_another_scale_is_refused(weights):
    with pytest.raises(UserError, match="--scale 4"):
        zoo.resolve(weights[0] / "srgan_x2", 4)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_savedmodel_of_other_origin_is_refused(tmp_path, content):
    folder = saved_model(tmp_path / "1")
    (folder / zoo.ATTRIBUTES).unlink()
    if content is not None:
        (folder / zoo.ATTRIBUTES).write_text(content)
    with pytest.raises(UserError, match=re.escape(f"{folder}: not a model of srgan_tf")):
        zoo.attributes(folder)
