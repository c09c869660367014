"""A run resumes from its folder, and no other run changes it."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from helpers.runs import RECIPE, lines, weights
from srgan_tf.errors import Stopped, UserError
from srgan_tf.networks import models
from srgan_tf.saved_models import export
from srgan_tf.training import checkpoints, trainer, validation
from srgan_tf.training.run_folder import RunFolder
from srgan_tf.training.state import State


def test_a_run_that_is_extended_equals_one_that_was_as_long_from_the_start(start, finished):
    longer = dataclasses.replace(RECIPE, steps=6)
    whole = start(longer, "whole")
    finished("parts")
    parts = start(longer, "parts")
    for name, value in weights(whole, 6).items():
        np.testing.assert_allclose(weights(parts, 6)[name], value, atol=1e-6, err_msg=name)
    assert [line["step"] for line in lines(parts)] == [line["step"] for line in lines(whole)]


def test_an_extended_run_resumes_from_before_the_decay_and_keeps_its_old_end_even_if_stopped(start, monkeypatch):
    recipe = dataclasses.replace(RECIPE, steps=8, schedule="cosine", hold=0.5)
    longer, seldom = dataclasses.replace(recipe, steps=12), {"checkpoint_every": 8, "validate_every": 100}
    seldom["export_minutes"] = 0.0  # also step 8 of 12
    whole = start(longer, "whole", **seldom)
    run = start(recipe, "parts", keep=1, **seldom)
    end = weights(run, 8)
    with monkeypatch.context() as patch:
        patch.setattr(trainer._Loop, "_stops", lambda loop, interruption: loop.step == 5)
        with pytest.raises(Stopped, match="stopped at step 5"):
            start(longer, "parts", **seldom)
    assert [step for step, _ in checkpoints.found(run / "checkpoints")][:2] == [5, 4]
    for name, value in models.named_weights(export.restore(run / "ended" / "8")).items():
        np.testing.assert_array_equal(value, end[name])
    start(longer, "parts", **seldom)
    for step in (8, 12):  # the new run's own step 8, not the old end
        for name, value in weights(whole, step).items():
            np.testing.assert_allclose(weights(run, step)[name], value, atol=1e-6, err_msg=name)


def test_an_extended_run_keeps_its_old_best_model_and_finds_its_own_best_step(start, monkeypatch):
    values = iter([0, 3, 2, 9, 1, 2.5, 2.7, 2.6, 2.4])  # steps 0 to 8, then again from step 4 on
    scored = validation.Validator.__call__

    def validated(self):
        figures, samples = scored(self)
        return {**figures, "validation_psnr": next(values)}, samples

    monkeypatch.setattr(validation.Validator, "__call__", validated)
    recipe = dataclasses.replace(RECIPE, steps=8, schedule="cosine", hold=0.5)
    run = start(recipe)
    assert RunFolder(run).best_step == 6
    start(dataclasses.replace(recipe, steps=12))
    assert RunFolder(run).best_step == 8 and RunFolder(run).saved_model(8).is_dir()
    assert sorted(path.name for path in (run / "ended").iterdir()) == ["6", "8"]


def test_a_run_without_a_checkpoint_from_before_its_decay_is_not_extended_and_not_changed(start):
    recipe = dataclasses.replace(RECIPE, schedule="cosine")
    run = start(recipe, validation=None)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="--init .*saved_model and another --run_dir"):
        start(dataclasses.replace(recipe, steps=6))
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_run_whose_checkpoint_from_before_its_decay_is_damaged_is_not_extended_and_not_changed(start):
    recipe = dataclasses.replace(RECIPE, steps=6, schedule="cosine", hold=0.5)
    run = start(recipe, checkpoint_every=3, validate_every=100)
    (run / "checkpoints" / "step-00000003.npz").write_bytes(b"damaged")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="no checkpoint .* can be read.*--init .*saved_model and another --run_dir"):
        start(dataclasses.replace(recipe, steps=8), checkpoint_every=3, validate_every=100)
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_run_that_failed_before_its_first_checkpoint_can_start_with_other_settings(start, monkeypatch):
    def fail(*_, **__):
        raise UserError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_step", fail)
        with pytest.raises(UserError, match="out of memory"):
            start(dataclasses.replace(RECIPE, learning_rate=1.0))
    assert (start(validation=None) / "saved_model" / "4").is_dir()


def test_a_run_resumes_after_its_starting_model_was_moved_but_not_with_another_model(start, finished):
    base = finished("base")
    still = dataclasses.replace(RECIPE, learning_rate=0.0, precision="auto")
    begun = start(still, init=str(base / "saved_model"), validation=None)
    for name, value in weights(base, 4).items():  # batch normalisation is measured again, see test_batch_norm.py
        assert "_bn" in name or np.array_equal(weights(begun, 4)[name], value), name
    assert json.loads((begun / "config.json").read_text())["recipe"]["precision"] in ("float32", "bfloat16")
    moved, longer = base.with_name("moved"), dataclasses.replace(still, steps=6)
    base.rename(moved)
    run = start(longer, init=str(moved / "saved_model"), validation=None)
    assert (run / "saved_model" / "6").is_dir()
    with pytest.raises(UserError, match="another init"):
        start(longer, init=str(run / "saved_model"))


def test_a_run_that_is_older_than_degradations_resumes(start, finished):
    run = finished()
    config = json.loads((run / "config.json").read_text())
    del config["recipe"]["degradation"]
    config["recipe"]["jpeg"] = 0
    (run / "config.json").write_text(json.dumps(config))
    start()


def test_checkpoints_without_their_configuration_are_refused(start, finished):
    run = finished()
    (run / "config.json").unlink()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="checkpoints but no config.json"):
        start()
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_no_two_processes_train_in_one_folder(start, finished):
    with RunFolder(finished()).locked(), pytest.raises(UserError, match="run: another process is training"):
        start()
    start()


def test_damaged_metrics_are_removed_and_the_others_kept(tmp_path):
    kept = '{"step": 2, "validation_psnr": 20.5}\n{"step": 4, "loss": 0.1}\n'
    foreign = ['{"st', '{"step": 2, "validation_psnr": "x"}', '{"step": 2, "loss": NaN}', '{"loss": 1}', "[" * 100_000]
    (tmp_path / "metrics.jsonl").write_text("\n".join(foreign) + "\n" + kept + '{"step": 4, "lo')
    assert RunFolder(tmp_path).journal(4).best("validation_psnr", lower=False) == 20.5
    assert (tmp_path / "metrics.jsonl").read_text() == kept


@pytest.fixture(scope="module")
def state():
    return State(RECIPE)


def arrays(state, change):
    return {name: change(value) for name, value in state.arrays().items()}


@pytest.mark.parametrize(
    "name, damage, problem",
    [
        (4, lambda state: arrays(state, lambda v: v * np.nan if v.dtype.kind == "f" else v), "not finite numbers"),
        (4, lambda state: arrays(state, lambda v: v.astype(str)), "not finite numbers"),
        (4, lambda state: arrays(state, np.atleast_3d), "is of another run: .*float32.*instead of"),
        (
            4,
            lambda state: arrays(state, lambda v: v.astype(float) + 0.5),
            "is of another run: .*float64.*instead of int",
        ),
        (4, lambda state: {}, "is of another run: generator/head_conv/kernel is missing"),
        (4, lambda state: b"garbage", "is damaged"),
        (4, lambda state: {"pickled": np.array([{}], object)}, "is damaged"),
        (99999999, lambda state: state.arrays(), "is of a step after the last one, 4"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_named_and_the_one_before_it_used(
    tmp_path, capsys, state, name, damage, problem
):
    checkpoints.save(tmp_path / "checkpoints", 3, state.arrays())
    path, damaged = checkpoints.path(tmp_path / "checkpoints", name), damage(state)
    if isinstance(damaged, bytes):
        path.write_bytes(damaged)
    else:
        np.savez(path, **damaged)
    before = state.arrays()
    assert RunFolder(tmp_path).restore(state) == 3
    assert all(np.array_equal(value, before[key]) for key, value in state.arrays().items())
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"warning: {path} .*{problem}.*. Trying the checkpoint before it.", line)
    assert "allow_pickle" not in line


def test_a_marked_checkpoint_of_another_run_is_not_exported_and_named(tmp_path, capsys, state):
    with RunFolder(tmp_path).locked():
        checkpoints.save(tmp_path / "checkpoints", 3, {"generator/head_conv/kernel": np.zeros(3)}, marks=["best"])
        RunFolder(tmp_path).save(state, 4, keep=3)
    assert [path.name for path in (tmp_path / "saved_model").iterdir()] == ["4"]
    assert re.search("warning: generator/head_conv/kernel is .* Step 3 cannot be exported.", capsys.readouterr().err)


def test_what_a_killed_process_left_beside_the_checkpoints_is_removed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("step-00000003.part", ".srgan_tf-01234567.part"):
        (tmp_path / "checkpoints" / name).touch()
    with RunFolder(tmp_path).locked():
        assert not list((tmp_path / "checkpoints").iterdir())


def test_an_export_that_was_killed_is_repeated_when_the_run_resumes(start, finished):
    run = finished()
    shutil.rmtree(run / "saved_model" / "4")
    (run / "saved_model" / ".4.0123.part").mkdir()
    start()
    assert sorted(p.name for p in (run / "saved_model").iterdir()) == ["2", "4"]


def test_a_folder_that_cannot_be_created_gives_one_line(start, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Not a directory.*--run_dir"):
        start(folder="file/run")


def test_a_run_that_is_older_than_a_field_of_recipes_resumes(start, finished):
    run = finished()
    config = json.loads((run / "config.json").read_text())
    del config["recipe"]["freeze_norm"]
    (run / "config.json").write_text(json.dumps(config))
    start(dataclasses.replace(RECIPE, steps=6), checkpoint_every=100, validate_every=100)
    assert (run / "saved_model" / "6").is_dir()


def test_a_finished_run_is_not_changed(start, finished):
    run = finished()
    before = weights(run, 4)
    assert start() == run
    for name, value in weights(run, 4).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "change, named",
    [
        ({"recipe": dataclasses.replace(RECIPE, learning_rate=1e-4)}, "learning_rate"),
        ({"recipe": dataclasses.replace(RECIPE, steps=2)}, "--steps 4"),
        ({"train": {"source": "elsewhere"}}, "other pictures .*source folder, now elsewhere"),
    ],
)
def test_a_folder_with_another_run_is_not_changed(start, finished, change, named):
    run = finished()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=f"{named}.*--run_dir") as error:
        start(**change)
    assert "\n" not in str(error.value)
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_folder_is_cleared_unless_another_process_trains_in_it_and_parts_of_killed_processes_are_removed(tmp_path):
    folder = RunFolder(tmp_path)
    for name in ("config.json", ".srgan_tf-1.part", "checkpoints/.srgan_tf-2.part", "samples/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with folder.locked():
        assert {path.name for path in tmp_path.rglob("*.*")} == {".lock", "config.json", "a.png"}
        with pytest.raises(UserError, match="another process is training in this folder"):
            folder.clear()
    assert (tmp_path / "config.json").exists()
    folder.clear()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
