"""A run trains, reports, exports, and resumes where it stopped."""

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

from srgan_tf.errors import Stopped, UserError
from srgan_tf.images.degradation import PRESETS
from srgan_tf.networks import models
from srgan_tf.saved_models import export, zoo
from srgan_tf.training import checkpoints, run_config, trainer, validation
from srgan_tf.training.datasets import Folder
from srgan_tf.training.recipes import Recipe
from srgan_tf.training.run_folder import RunFolder
from srgan_tf.training.state import State
from srgan_tf.training.store import open_store

RECIPE = Recipe(steps=4, blocks=1, features=8, crop=32, batch=2, learning_rate=1e-3, start="interpolation")


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

    def train(recipe=RECIPE, folder="run", initial_weights=None, **changes):
        run = trainer.Run(
            str(tmp_path / folder), recipe, source.describe(), log_every=2, validate_every=2, checkpoint_every=2
        )
        run = dataclasses.replace(run, **changes)
        trainer.train(run, store, store, initial_weights=initial_weights)
        return tmp_path / folder

    return train


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder, step):
    return models.named_weights(export.restore(folder / "saved_model" / str(step)))


def test_a_run_leaves_figures_samples_checkpoints_and_a_saved_model(start):
    run = start()
    assert [line["step"] for line in lines(run) if "loss" in line] == [2, 4]
    validations = [line for line in lines(run) if "validation_psnr" in line]
    assert [line["step"] for line in validations] == [2, 4]
    assert all(line["validation_psnr"] > 10 and line["validation_consistency"] > 15 for line in validations)
    assert [step for step, _ in checkpoints.found(run / "checkpoints")] == [4, 2]
    assert sorted(p.name for p in (run / "saved_model").iterdir()) == ["2", "4"]
    assert zoo.attributes(run / "saved_model" / "4")["step"] == 4
    with Image.open(run / "samples" / "00000004.png") as sample:
        assert sample.size == (3 * 80, 64)  # LR | SR | HR
    assert json.loads((run / "config.json").read_text())["recipe"]["steps"] == 4


def test_tensorboard_reads_the_same_figures(start):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    run = start()
    (events,) = (run / "tensorboard").iterdir()
    tags = {v.tag for e in tf.compat.v1.train.summary_iterator(str(events)) for v in e.summary.value}
    assert {"loss", "mse", "validation_psnr"} <= tags


def test_the_exported_model_is_the_last_checkpoint(start):
    run = start()
    state = State(RECIPE)
    state.restore(checkpoints.load(run / "checkpoints" / "step-00000004.npz"))
    for name, value in weights(run, 4).items():
        np.testing.assert_array_equal(value, models.named_weights(state.generator)[name])


def test_a_run_that_is_extended_equals_one_that_was_as_long_from_the_start(start):
    longer = dataclasses.replace(RECIPE, steps=6)
    whole = start(longer, "whole")
    start(RECIPE, "parts")
    parts = start(longer, "parts")
    for name, value in weights(whole, 6).items():
        np.testing.assert_allclose(weights(parts, 6)[name], value, atol=1e-6, err_msg=name)
    assert [line["step"] for line in lines(parts)] == [line["step"] for line in lines(whole)]


def test_an_extended_run_resumes_from_before_the_decay_and_keeps_its_old_end_even_if_stopped(start, monkeypatch):
    recipe = dataclasses.replace(RECIPE, steps=8, schedule="cosine", hold=0.5)
    longer, seldom = dataclasses.replace(recipe, steps=12), {"checkpoint_every": 8, "validate_every": 100}
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


def test_a_run_without_a_checkpoint_from_before_its_decay_is_not_extended_and_not_changed(start):
    recipe = dataclasses.replace(RECIPE, schedule="cosine")
    run = start(recipe)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="--init .*saved_model and another --run_dir"):
        start(dataclasses.replace(recipe, steps=6))
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_run_whose_checkpoint_from_before_its_decay_is_damaged_is_not_extended_and_not_changed(start):
    recipe = dataclasses.replace(RECIPE, steps=6, schedule="cosine", hold=0.5)
    run = start(recipe, checkpoint_every=3, validate_every=100)
    (run / "checkpoints" / "step-00000003.npz").write_bytes(b"damaged")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="no checkpoint that can be read .*--init .*saved_model and another --run_dir"):
        start(dataclasses.replace(recipe, steps=8), checkpoint_every=3, validate_every=100)
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_run_that_failed_before_its_first_checkpoint_can_start_with_other_settings(start, monkeypatch):
    def fail(*_, **__):
        raise UserError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_step", fail)
        with pytest.raises(UserError, match="out of memory"):
            start(dataclasses.replace(RECIPE, learning_rate=1.0))
    assert (start() / "saved_model" / "4").is_dir()


def test_weights_that_are_not_finite_are_never_a_checkpoint(start, monkeypatch, tmp_path):
    monkeypatch.setattr(trainer, "learning_rate", lambda recipe, step: 1e-3 if step < 2 else math.inf)
    with pytest.raises(UserError, match="not finite at step 3. .*checkpoints; use a lower --learning_rate"):
        start(checkpoint_every=1, log_every=100, keep=1)
    ((step, path),) = checkpoints.found(tmp_path / "run" / "checkpoints")
    assert step == 2 and all(np.isfinite(array).all() for array in checkpoints.load(path).values())


def test_an_export_names_the_model_that_training_started_from_and_not_another_of_that_name(start, monkeypatch, capsys):
    init = str(start(folder="base") / "saved_model")
    for sha256 in ("one", "two"):
        monkeypatch.setattr(run_config, "origin", lambda init, sha256=sha256: {"start": sha256})
        run = start(dataclasses.replace(RECIPE, steps=4 if sha256 == "one" else 6), init=init)
    assert "started from another version of" in capsys.readouterr().err
    assert zoo.attributes(run / "saved_model" / "6")["start"] == "one"


def test_validation_skips_tiny_pictures_and_limits_the_psnr_of_a_flat_one(data, tmp_path, capsys):
    folder = tmp_path / "validation"
    folder.mkdir()
    Image.new("RGB", (64, 64), (255, 255, 255)).save(folder / "flat.png")
    Image.new("RGB", (64, 16)).save(folder / "tiny.png")
    store = open_store(Folder(folder, 4), 4, tmp_path / "cache")
    recipe = dataclasses.replace(RECIPE, steps=2, learning_rate=0.0)
    trainer.train(trainer.Run(str(tmp_path / "run"), recipe, {}, validate_every=1), data[1], store)
    figures = [line for line in lines(tmp_path / "run") if "validation_psnr" in line]
    assert len(figures) == 2 and all(np.isfinite(list(line.values())).all() for line in figures)
    assert "tiny.png has less than 20 pixels a side" in capsys.readouterr().err


def test_the_best_on_validation_is_kept_and_exported_even_if_no_checkpoint_is_due(start):
    run = start(
        dataclasses.replace(RECIPE, steps=8, learning_rate=0.05), keep=1, validate_every=1, checkpoint_every=100
    )
    psnr = {line["step"]: line["validation_psnr"] for line in lines(run) if "validation_psnr" in line}
    best = max(psnr, key=psnr.get)
    assert {step for step, _ in checkpoints.found(run / "checkpoints")} == {best, 8}
    assert checkpoints.marked(run / "checkpoints", "best") == best
    assert checkpoints.marked(run / "checkpoints", "worst") is None
    assert {int(p.name) for p in (run / "saved_model").iterdir()} == {best, 8}


def test_a_start_with_other_features_is_refused_and_one_of_another_scale_names_the_new_weights(start, capsys):
    other = models.named_weights(models.srresnet(4, blocks=1, features=16))
    with pytest.raises(UserError, match="other blocks or features, head_conv/kernel .*--features"):
        start(initial_weights=lambda: other, folder="other")
    other = models.named_weights(models.srresnet(2, blocks=1, features=8))
    start(initial_weights=lambda: other)
    assert "up2_conv/kernel" in capsys.readouterr().out


def test_a_run_resumes_after_its_starting_model_was_moved_but_not_with_another_model(start):
    base = start(folder="base")
    still = dataclasses.replace(RECIPE, learning_rate=0.0, precision="auto")
    begun = start(still, init=str(base / "saved_model"))
    for name, value in weights(base, 4).items():  # but BN's averages move at any rate
        assert "moving" in name or np.array_equal(weights(begun, 4)[name], value), name
    assert json.loads((begun / "config.json").read_text())["recipe"]["precision"] in ("float32", "bfloat16")
    moved, longer = base.with_name("moved"), dataclasses.replace(still, steps=6)
    base.rename(moved)
    run = start(longer, init=str(moved / "saved_model"))
    assert (run / "saved_model" / "6").is_dir()
    with pytest.raises(UserError, match="another init"):
        start(longer, init=str(run / "saved_model"))


def test_pictures_that_are_too_small_for_a_crop_are_counted(data, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, size in enumerate([(64, 64), (64, 28), (20, 64)]):
        Image.new("RGB", size).save(folder / f"{i}.png")
    store = open_store(Folder(folder, 4), 4, tmp_path / "cache")
    trainer.train(trainer.Run(str(tmp_path / "run"), dataclasses.replace(RECIPE, steps=1), {}), store)
    assert "skipped: 2 of 3 pictures with a side below 32 pixels" in capsys.readouterr().out


def test_validation_uses_the_same_fixed_damage_of_each_kind_every_time(data):
    plain = validation.centres(data[1], PRESETS["bicubic"])
    first, second = (validation.centres(data[1], PRESETS["photo"]) for _ in range(2))
    assert [kind for kind, *_ in plain] == ["clean"] * len(plain)
    assert {kind for kind, *_ in first} == {"clean", "blur", "noise", "jpeg_low", "jpeg_middle", "mixed"}
    for (kind, lr, hr), (_, again, _), (_, clean, original) in zip(first, second, plain * 6, strict=True):
        np.testing.assert_array_equal(lr, again)
        np.testing.assert_array_equal(hr, original)
        assert (kind == "clean") == np.array_equal(lr, clean)


def test_each_kind_of_damage_has_a_figure_and_a_sample(data, tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=1, degradation="photo")
    trainer.train(trainer.Run(str(tmp_path / "run"), recipe, {}), data[1], data[1])
    assert any({"validation_psnr_clean", "validation_psnr_jpeg_low"} <= line.keys() for line in lines(tmp_path / "run"))
    samples = {path.name for path in (tmp_path / "run" / "samples").iterdir()}
    assert {"00000001.png", "00000001_jpeg_low.png"} <= samples


def test_the_best_step_of_srgan_is_that_of_the_lowest_perceptual_distance(start, monkeypatch):
    """A distance that falls while PSNR falls too; after a resume the best step so far is remembered."""
    distances = iter([0.4, 0.2, 0.3, 0.25])
    current = {}

    class Distance:
        def __call__(self, hr, sr):
            return current["distance"]

    original = validation.Validator.__call__

    def validate(self):
        current["distance"] = next(distances)
        return original(self)

    monkeypatch.setattr(trainer.perceptual, "Lpips", Distance)
    monkeypatch.setattr(validation.Validator, "__call__", validate)
    recipe = dataclasses.replace(RECIPE, phase="srgan", steps=6, schedule="constant")
    run = start(recipe)
    assert checkpoints.marked(run / "checkpoints", "best") == 4
    found = [line["validation_lpips"] for line in lines(run) if "validation_lpips" in line]
    assert found == pytest.approx([0.4, 0.2, 0.3])
    start(dataclasses.replace(recipe, steps=8))
    assert checkpoints.marked(run / "checkpoints", "best") == 4


def test_without_lpips_srgan_is_validated_by_its_content_loss(start, vgg_weights, monkeypatch, capsys):
    def missing():
        raise UserError("LPIPS: not installed.")

    monkeypatch.setattr(trainer.perceptual, "Lpips", missing)
    recipe = dataclasses.replace(RECIPE, phase="srgan", content="vgg22", steps=2)
    run = start(recipe, vgg=str(vgg_weights))
    assert any(line.get("validation_content", 0) > 0 for line in lines(run))
    assert "LPIPS: not installed." in capsys.readouterr().err


def test_a_run_that_is_older_than_degradations_resumes(start):
    run = start()
    config = json.loads((run / "config.json").read_text())
    del config["recipe"]["degradation"]
    config["recipe"]["jpeg"] = 0
    (run / "config.json").write_text(json.dumps(config))
    start()


def test_checkpoints_without_their_configuration_are_refused(start):
    run = start()
    (run / "config.json").unlink()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="checkpoints but no config.json"):
        start()
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_no_two_processes_train_in_one_folder(start, tmp_path):
    with RunFolder(tmp_path / "run").locked(), pytest.raises(UserError, match="run: another process is training"):
        start()
    start()


def test_damaged_metrics_are_removed_and_the_others_kept(start):
    run = start()
    figures = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text('{"st}\n' + figures + '{"step": 4, "lo')
    start(dataclasses.replace(RECIPE, steps=6))
    assert (run / "metrics.jsonl").read_text().startswith(figures) and lines(run)[-1]["step"] == 6


def test_an_export_that_was_killed_is_repeated_when_the_run_resumes(start):
    run = start()
    shutil.rmtree(run / "saved_model" / "4")
    (run / "saved_model" / ".4.0123.part").mkdir()
    start()
    assert sorted(p.name for p in (run / "saved_model").iterdir()) == ["2", "4"]


def test_a_signal_after_the_last_step_stops_before_the_next_phase(start, monkeypatch):
    save = trainer._Loop._save
    monkeypatch.setattr(trainer._Loop, "_save", lambda loop: (os.kill(os.getpid(), signal.SIGTERM), save(loop)))
    with pytest.raises(Stopped, match="stopped after the last step of srresnet, checkpoint written"):
        start(validate_every=100, checkpoint_every=100)
    assert (start() / "saved_model" / "4").is_dir()


def test_a_folder_that_cannot_be_created_gives_one_line(start, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Not a directory.*--run_dir"):
        start(folder="file/run")


def test_a_checkpoint_is_written_when_the_last_one_is_old_enough(start):
    run = start(checkpoint_every=1000, checkpoint_minutes=1e-6)
    assert [step for step, _ in checkpoints.found(run / "checkpoints")] == [4, 3, 2]


def test_freeze_norm_decay_freezes_the_averages_from_where_the_rate_begins_to_fall(start):
    run = start(
        dataclasses.replace(RECIPE, steps=5, schedule="cosine", hold=0.4, freeze_norm="decay", start="random"),
        checkpoint_every=1,
        keep=5,
    )
    at = {step: weights(run, step) for step in (1, 2, 3, 4)}
    for name in at[4]:
        same = [np.array_equal(at[step + 1][name], at[step][name]) for step in (1, 2, 3)]
        assert same == [False, *[name.split("/")[1].startswith("moving")] * 2], name


def test_a_run_that_is_older_than_a_field_of_recipes_resumes(start):
    run = start()
    config = json.loads((run / "config.json").read_text())
    del config["recipe"]["freeze_norm"]
    (run / "config.json").write_text(json.dumps(config))
    start(dataclasses.replace(RECIPE, steps=6), checkpoint_every=100, validate_every=100)
    assert (run / "saved_model" / "6").is_dir()


def test_a_finished_run_is_not_changed(start):
    run = start()
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
def test_a_folder_with_another_run_is_not_changed(start, change, named):
    run = start()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=f"{named}.*--run_dir") as error:
        start(**change)
    assert "\n" not in str(error.value)
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used(start, capsys):
    run = start()
    newest = run / "checkpoints" / "step-00000004.npz"
    newest.write_bytes(newest.read_bytes()[:1000])
    start(dataclasses.replace(RECIPE, steps=6))
    assert "step-00000004.npz is damaged" in capsys.readouterr().err
    assert [line["step"] for line in lines(run) if "loss" in line] == [2, 4, 6]


def test_losses_that_are_not_finite_stop_the_run(start):
    with pytest.raises(UserError, match="not finite at step 2. .*--learning_rate"):
        start(dataclasses.replace(RECIPE, learning_rate=1e30))


def test_averaged_weights_are_validated_and_exported_but_not_trained_on(start):
    plain, averaged = start(folder="plain"), start(dataclasses.replace(RECIPE, ema=0.9), "averaged")
    arrays = [checkpoints.load(run / "checkpoints" / "step-00000004.npz") for run in (plain, averaged)]
    np.testing.assert_allclose(*(a["generator/head_conv/kernel"] for a in arrays), atol=1e-6)
    assert not np.array_equal(weights(plain, 4)["head_conv/kernel"], weights(averaged, 4)["head_conv/kernel"])
