"""The settings of a run are read as data: damage is one line that names the file."""

import contextlib
import json

import pytest

from srgan_tf.errors import UserError
from srgan_tf.training import run_config
from srgan_tf.training.recipes import Recipe
from srgan_tf.training.run_config import Run

CONFIG = run_config.as_config(Run("run", Recipe(), {"source": "waves", "pitch": [1, 2.5]}))


def test_settings_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    assert run_config.read(path) == CONFIG


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"recipe": {"steps": "x"}}, "'steps' is not of the type int"),
        ({"recipe": {"steps": True}}, "'steps' is not of the type int"),
        ({"recipe": {"hold": [0.5]}}, "'hold' is not of the type float"),
        ({"recipe": {"new": [[1]]}}, "'new' is nested"),
        ({"recipe": None}, "'recipe' is missing"),
        ({"train": ...}, "'train' is missing"),
        ({"train": {"source": {}}}, "'source' is nested"),
        ({"vgg": None}, "'vgg' is missing"),
        ({"init": 3}, "'init' is not of the type str"),
        ({"start": "x"}, "'start' is not of the type dict"),
        ({"start": {"start": 3}}, "'start' is not of the type str"),
        ({"start": {"sha256": "x"}}, "'start' is missing"),
    ],
)
def test_a_value_of_another_type_is_named_in_one_line(tmp_path, changes, problem):
    path = tmp_path / "config.json"
    config = {name: value for name, value in {**CONFIG, **changes}.items() if value is not ...}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError) as error:
        run_config.read(path)
    assert str(error.value) == f"{path}: damaged ({problem}). Restore it, or choose another --run_dir."


@pytest.mark.parametrize(
    "wrong", [{"log_every": 0}, {"validate_every": 0}, {"checkpoint_every": 1.5}, {"keep": 0}, {"export_minutes": -1}]
)
def test_a_wrong_interval_is_named(wrong):
    [name] = wrong
    with pytest.raises(UserError, match=f"^{name} "):
        Run("run", Recipe(), {}, **wrong)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe\xfd", b"[]", b"null"])
def test_a_file_that_is_not_json_of_a_run_is_named_in_one_line(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=f"{path}: damaged .no (valid JSON|JSON object).. Restore it"):
        run_config.read(path)


@pytest.mark.parametrize(
    "phase, changes, problem",
    [
        ("srresnet", {"batch": 8, "seed": 3}, "this run has another batch"),
        ("srresnet", {"adversarial": 8.0, "final_steps": 9}, None),
        ("srgan", {"adversarial": 8.0}, "this run has another adversarial"),
        ("srgan", {"steps": 2_000_000}, None),
    ],
)
def test_a_run_resumes_unless_a_setting_that_matters_differs(phase, changes, problem):
    old, new = (Run("run", Recipe(phase=phase, **more), {}) for more in ({}, changes))
    with pytest.raises(UserError, match=problem) if problem else contextlib.nullcontext():
        run_config.check_same(new, run_config.as_config(old), run_config.as_config(new))


def test_downloaded_weights_of_vgg_are_those_of_a_file():
    old, new = Run("run", Recipe(), {}), Run("run", Recipe(), {}, vgg=f"folder/{run_config.VGG19}")
    run_config.check_same(new, run_config.as_config(old), run_config.as_config(new))
    with pytest.raises(UserError, match="another vgg_weights .*, now other.h5"):
        other = Run("run", Recipe(), {}, vgg="folder/other.h5")
        run_config.check_same(other, run_config.as_config(new), run_config.as_config(other))
