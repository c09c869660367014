"""A run trains, reports, exports, and stops."""

import concurrent.futures
import dataclasses
import json
import math
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.runs import RECIPE, lines, weights
from srgan_tf.errors import Stopped, UserError
from srgan_tf.networks import models
from srgan_tf.saved_models import zoo
from srgan_tf.training import batches, checkpoints, distribution, journal, progress, run_config, step, trainer
from srgan_tf.training.datasets import Folder
from srgan_tf.training.state import State
from srgan_tf.training.store import Store, open_store


def test_a_run_leaves_figures_samples_checkpoints_and_a_saved_model(start):
    run = start(export_minutes=0.0)
    assert [line["step"] for line in lines(run) if "loss" in line] == [2, 4]
    validations = [line for line in lines(run) if "validation_psnr" in line]
    assert [line["step"] for line in validations] == [0, 2, 4]
    assert all(line["validation_psnr"] > 10 and line["validation_consistency"] > 15 for line in validations)
    assert [step for step, _ in checkpoints.found(run / "checkpoints")] == [4, 2]
    assert sorted(p.name for p in (run / "saved_model").iterdir()) == ["2", "4"]
    assert zoo.attributes(run / "saved_model" / "4")["step"] == 4
    with Image.open(run / "samples" / "00000004.png") as sample:
        assert sample.size == (3 * 80, 64)  # LR | SR | HR
    assert json.loads((run / "config.json").read_text())["recipe"]["steps"] == 4


@pytest.mark.parametrize("gpu", [None, "/CPU:0"])
def test_xla_compiles_the_step_by_default_on_one_gpu_only(gpu, start, monkeypatch):
    asked = []

    def make_step(*args, xla, **kwargs):
        asked.append(xla)
        return step.make_step(*args, **kwargs)  # compiling takes long

    monkeypatch.setattr(distribution, "single_gpu", lambda strategy: gpu)
    monkeypatch.setattr(trainer, "make_step", make_step)
    run = start()
    assert asked == [gpu is not None] == [json.loads((run / "config.json").read_text())["xla"]]
    assert [line["step"] for line in lines(run) if "loss" in line] == [2, 4]


def test_losses_are_copied_from_the_device_once_an_interval(monkeypatch):
    copies = []
    numpy = type(tf.constant(0.0)).numpy
    monkeypatch.setattr(type(tf.constant(0.0)), "numpy", lambda tensor: copies.append(tensor) or numpy(tensor))
    shown = progress.Progress(RECIPE, 0, None)
    for i in range(3):
        shown.add({"loss": tf.constant(float(i)), "mse": tf.constant(2.0 * i)})
    assert shown.log(3, 1e-3) == {"loss": 1.0, "mse": 2.0}
    assert len(copies) == 1


def test_tensorboard_shows_the_figures_with_bicubic_as_a_line_and_samples(finished):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    run = finished()

    def events(folder):
        (path,) = folder.glob("events*")
        found = [(v.tag, e.step) for e in tf.compat.v1.train.summary_iterator(str(path)) for v in e.summary.value]
        return {tag: [step for name, step in found if name == tag] for tag, _ in found}

    own, line = events(run / "tensorboard"), events(run / "tensorboard" / "bicubic")
    assert own["loss"] == own["mse"] == own["learning_rate"] == [2, 4]
    assert own["validation_psnr"] == own["LR, SR, HR/clean"] == line["validation_psnr"] == [0, 2, 4]


def test_without_tensorboard_or_validation_pictures_a_line_says_so(start, monkeypatch, capsys):
    monkeypatch.setattr(journal.importlib.util, "find_spec", lambda name: None)
    run = start(dataclasses.replace(RECIPE, steps=1), validation=None)
    said = capsys.readouterr().out
    assert "no charts: TensorBoard is not installed (pip install tensorboard)" in said
    assert "no validation: the best step stays unknown" in said and "--validation_dir" in said
    assert not (run / "tensorboard").exists()


def test_the_exported_model_is_the_last_checkpoint(finished):
    run = finished()
    state = State(RECIPE)
    state.restore(checkpoints.load(run / "checkpoints" / "step-00000004.npz"))
    for name, value in weights(run, 4).items():
        np.testing.assert_array_equal(value, models.named_weights(state.generator)[name])


def test_weights_that_are_not_finite_are_never_a_checkpoint(start, monkeypatch, tmp_path):
    monkeypatch.setattr(trainer, "learning_rate", lambda recipe, step: 1e-3 if step < 2 else math.inf)
    with pytest.raises(UserError, match="not finite at step 3. Start another --run_dir with a lower --learning_rate"):
        start(checkpoint_every=1, log_every=100, keep=1)
    ((step, path),) = checkpoints.found(tmp_path / "run" / "checkpoints")
    assert step == 2 and all(np.isfinite(array).all() for array in checkpoints.load(path).values())


def test_an_export_names_the_model_that_training_started_from_and_not_another_of_that_name(
    start, finished, monkeypatch, capsys
):
    init = str(finished("base") / "saved_model")
    for sha256 in ("one", "two"):
        monkeypatch.setattr(run_config, "origin", lambda init, sha256=sha256: {"start": sha256})
        run = start(dataclasses.replace(RECIPE, steps=4 if sha256 == "one" else 6), init=init, validation=None)
    assert "started from another version of" in capsys.readouterr().err
    assert zoo.attributes(run / "saved_model" / "6")["start"] == "one"


def test_a_start_with_other_features_is_refused(start):
    other = models.named_weights(models.srresnet(4, blocks=1, features=16))
    with pytest.raises(UserError, match="--init: the model has 1 blocks and 16 features. Add --blocks 1 --features 16"):
        start(initial_weights=lambda: other, folder="other")


def test_a_start_with_more_blocks_is_refused(start):
    other = models.named_weights(models.srresnet(4, blocks=2, features=8))
    with pytest.raises(UserError, match="--init: the model has 2 blocks and 8 features"):
        start(initial_weights=lambda: other)


@pytest.mark.parametrize("scale", [2, 8])
def test_of_a_start_with_another_scale_the_layers_that_enlarge_are_not_used(start, capsys, scale):
    other = {k: v + 0.01 for k, v in models.named_weights(models.srresnet(scale, blocks=1, features=8)).items()}
    still = dataclasses.replace(RECIPE, learning_rate=0.0, freeze_norm="start")
    found = weights(start(still, initial_weights=lambda: other, validation=None), 4)
    assert f"the model has scale {scale}, so the upsampling layers start untrained" in capsys.readouterr().out
    fresh = models.named_weights(State(still).generator)
    for name, value in found.items():
        if "_bn" not in name:  # measured again
            new = name.startswith(("up", "tail"))
            np.testing.assert_array_equal(value, (fresh if new else other)[name], err_msg=name)


def test_batches_of_another_size_than_the_crops_that_the_recipe_draws_are_refused(start, data):
    class Grey(batches.Batches):
        def __call__(self, n, rows=slice(None)):
            lr = np.zeros((self.batch, self.side, self.side, 3), np.uint8)[rows]
            return lr, lr.repeat(self.scale, 1).repeat(self.scale, 2)

    recipe = dataclasses.replace(RECIPE, shift=3, steps=1)
    run = trainer.Run(str(data[1].folder.parent / "grey"), recipe, {})
    with pytest.raises(ValueError, match=r"\(4, 36, 2\). Received: \(4, 32, 2\)"):
        trainer.train(run, Grey(4, recipe.crop, 2))
    trainer.train(run, Grey(4, recipe.drawn, 2))


def test_a_run_trains_in_another_thread_than_the_main_one(start):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = pool.submit(start, dataclasses.replace(RECIPE, steps=1), validation=None).result()
    assert (run / "saved_model" / "1").is_dir()


def test_pictures_that_are_too_small_for_a_crop_are_counted(data, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, size in enumerate([(64, 64), (64, 28), (20, 64)]):
        Image.new("RGB", size).save(folder / f"{i}.png")
    store = open_store(Folder(folder, 4), 4, tmp_path / "cache")
    trainer.train(trainer.Run(str(tmp_path / "run"), dataclasses.replace(RECIPE, steps=1), {}), store)
    assert "skipped: 2 of 3 pictures with a side below 32 pixels" in capsys.readouterr().out


def test_damaged_pixels_end_the_run_in_one_line_if_they_cannot_be_decoded_again(data, tmp_path):
    folder = shutil.copytree(data[1].folder, tmp_path / "store")
    (folder / "hr.bin").write_bytes(bytes((folder / "hr.bin").stat().st_size))
    with pytest.raises(UserError, match="the stored pixels of .*png are damaged. Delete this folder"):
        trainer.train(trainer.Run(str(tmp_path / "run"), RECIPE, {}), Store(folder))


def test_a_signal_after_the_last_step_stops_before_the_next_phase(start, monkeypatch):
    save = trainer._Loop._save

    def stopped(loop, export):
        os.kill(os.getpid(), signal.SIGTERM)
        save(loop, export)

    monkeypatch.setattr(trainer._Loop, "_save", stopped)
    with pytest.raises(Stopped, match="stopped after the last step of srresnet, checkpoint written"):
        start(validate_every=100, checkpoint_every=100)
    assert (start() / "saved_model" / "4").is_dir()


def test_a_checkpoint_is_written_when_the_last_one_is_old_enough(start):
    run = start(checkpoint_every=1000, checkpoint_minutes=1e-6, validation=None)
    assert [step for step, _ in checkpoints.found(run / "checkpoints")] == [4, 3, 2]


def test_freeze_norm_decay_freezes_the_averages_from_where_the_rate_begins_to_fall(start):
    run = start(
        dataclasses.replace(RECIPE, steps=5, schedule="cosine", hold=0.4, freeze_norm="decay", start="random"),
        checkpoint_every=1,
        export_minutes=0.0,
        keep=5,
        validation=None,
    )
    at = {step: weights(run, step) for step in (1, 2, 3, 4)}
    for name in at[4]:
        same = [np.array_equal(at[step + 1][name], at[step][name]) for step in (1, 2, 3)]
        assert same == [False, *[name.split("/")[1].startswith("moving")] * 2], name


def test_the_discriminator_restarts_from_its_initial_weights_also_in_a_run_that_resumes(start, monkeypatch):
    recipe = dataclasses.replace(RECIPE, phase="srgan", steps=6, discriminator_restart=3)
    seen, restart = [], State.restart_discriminator

    def restart_discriminator(state):
        before = state.arrays()
        restart(state)
        seen.append((before, state.arrays()))

    monkeypatch.setattr(State, "restart_discriminator", restart_discriminator)
    whole = start(recipe)
    ((before, after),) = seen  # before step 3
    fresh = State(recipe).arrays()
    expected = {name: (fresh if name.startswith("discriminator") else before)[name] for name in before}
    assert all(np.array_equal(after[name], expected[name]) for name in before)
    assert not all(np.array_equal(before[name], expected[name]) for name in before)
    start(dataclasses.replace(recipe, steps=4), "resumed")
    resumed = start(recipe, "resumed")  # from the last restart, step 3
    assert len(seen) == 3
    one, other = weights(whole, 6), weights(resumed, 6)
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("restart", [0, 2])
def test_the_final_steps_begin_with_the_average_which_then_begins_anew(start, monkeypatch, restart):
    recipe = dataclasses.replace(
        RECIPE, phase="srgan", steps=5, final_steps=2, discriminator_restart=restart, ema=0.5, learning_rate=1e-2
    )
    seen, take = [], State.take_average

    def take_average(state):
        before = state.arrays()
        take(state)
        seen.append((before, state.arrays()))

    monkeypatch.setattr(State, "take_average", take_average)
    folder = start(recipe)
    ((before, after),) = seen  # before step 3
    names = [f"generator/{name}" for name in models.named_weights(State(recipe).generator)]
    averages = [before[f"ema/{i}"] for i in range(len(names))]
    assert all(np.array_equal(after[name], average) for name, average in zip(names, averages))
    assert any(not np.array_equal(before[name], average) for name, average in zip(names, averages))
    fresh = State(recipe).arrays()
    assert all(np.array_equal(after[name], fresh[name]) for name in fresh if name.startswith("discriminator"))
    start(dataclasses.replace(recipe, steps=4), "resumed")
    resumed = start(recipe, "resumed")  # from step 2, where the final steps of the shorter run began
    one, other = weights(folder, 5), weights(resumed, 5)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_losses_that_are_not_finite_stop_the_run(start):
    with pytest.raises(UserError, match="not finite at step 2. .*--learning_rate"):
        start(dataclasses.replace(RECIPE, learning_rate=1e30))
