"""A run is validated, and its best step is kept."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from helpers.runs import RECIPE, lines, weights
from srgan_tf.errors import UserError
from srgan_tf.evaluation import perceptual
from srgan_tf.images.degradation import PRESETS
from srgan_tf.training import checkpoints, trainer, validation
from srgan_tf.training.datasets import Folder
from srgan_tf.training.store import open_store


def test_validation_skips_tiny_pictures_and_limits_the_psnr_of_a_flat_one(data, tmp_path, capsys):
    folder = tmp_path / "validation"
    folder.mkdir()
    Image.new("RGB", (64, 64), (255, 255, 255)).save(folder / "flat.png")
    Image.new("RGB", (64, 28)).save(folder / "tiny.png")
    store = open_store(Folder(folder, 4), 4, tmp_path / "cache")
    recipe = dataclasses.replace(RECIPE, steps=2, learning_rate=0.0)
    trainer.train(trainer.Run(str(tmp_path / "run"), recipe, {}, validate_every=1), data[1], store)
    figures = [line for line in lines(tmp_path / "run") if "validation_psnr" in line]
    assert [line["step"] for line in figures] == [0, 1, 2]
    assert all(np.isfinite(list(line.values())).all() for line in figures)
    assert "tiny.png has less than 31 pixels a side" in capsys.readouterr().err


def test_the_best_on_validation_is_kept_and_exported_even_if_no_checkpoint_is_due(start):
    run = start(
        dataclasses.replace(RECIPE, steps=8, learning_rate=0.05), keep=1, validate_every=1, checkpoint_every=100
    )
    psnr = {line["step"]: line["validation_psnr"] for line in lines(run) if line["step"] and "validation_psnr" in line}
    best = max(psnr, key=psnr.get)
    assert {step for step, _ in checkpoints.found(run / "checkpoints")} == {best, 8}
    assert checkpoints.marked(run / "checkpoints", "best") == best
    assert checkpoints.marked(run / "checkpoints", "worst") is None
    assert {int(p.name) for p in (run / "saved_model").iterdir()} == {best, 8}


def test_the_best_the_held_and_the_last_step_are_exported_without_the_other_checkpoints(start):
    recipe = dataclasses.replace(RECIPE, steps=6, schedule="cosine", hold=0.5, learning_rate=0.05, ema=0.5)
    run = start(recipe, keep=10, validate_every=1, checkpoint_every=1)
    best = checkpoints.marked(run / "checkpoints", "best")
    assert len(checkpoints.found(run / "checkpoints")) == 6
    assert {int(p.name) for p in (run / "saved_model").iterdir()} == {best, 3, 6}
    held = checkpoints.load(run / "checkpoints" / "step-00000003.npz")
    for i, (name, value) in enumerate(weights(run, 3).items()):  # in the order of the generator's variables
        np.testing.assert_array_equal(value, held[f"ema/{i}"], err_msg=name)


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
    distances = iter([0.1, 0.4, 0.2, 0.3, 0.25])  # the first one is that of the start, which has no checkpoint
    current = {"distance": 0.5}

    class Distance:
        def __call__(self, hr, sr):
            return current["distance"]

    original = validation.Validator.__call__

    def validate(self):
        current["distance"] = next(distances)
        return original(self)

    monkeypatch.setattr(perceptual, "Lpips", Distance)
    monkeypatch.setattr(validation.Validator, "__call__", validate)
    recipe = dataclasses.replace(RECIPE, phase="srgan", steps=6, schedule="constant")
    run = start(recipe)
    assert checkpoints.marked(run / "checkpoints", "best") == 4
    found = [line["validation_lpips"] for line in lines(run) if "validation_lpips" in line]
    assert found == pytest.approx([0.1, 0.4, 0.2, 0.3])
    start(dataclasses.replace(recipe, steps=8))
    assert checkpoints.marked(run / "checkpoints", "best") == 4


def test_without_lpips_srgan_is_validated_by_its_content_loss(start, vgg_weights, monkeypatch, capsys):
    def missing():
        raise UserError("LPIPS: not installed.")

    monkeypatch.setattr(perceptual, "Lpips", missing)
    recipe = dataclasses.replace(RECIPE, phase="srgan", content="vgg22", steps=2)
    run = start(recipe, vgg=str(vgg_weights))
    assert any(line.get("validation_content", 0) > 0 for line in lines(run))
    assert "LPIPS: not installed." in capsys.readouterr().err


def test_a_run_of_srgan_keeps_its_measure_and_its_best_step_when_lpips_is_installed_or_removed(start, monkeypatch):
    def missing():
        raise UserError("LPIPS: not installed.")

    recipe, each = dataclasses.replace(RECIPE, phase="srgan", steps=2, learning_rate=0.0), {"keep": 1}
    with monkeypatch.context() as patch:
        patch.setattr(perceptual, "Lpips", missing)
        run = start(recipe, **each)
    assert checkpoints.marked(run / "checkpoints", "best") == 2
    monkeypatch.setattr(perceptual, "Lpips", lambda: lambda hr, sr: 0.5)
    start(dataclasses.replace(recipe, steps=4), **each)
    assert checkpoints.marked(run / "checkpoints", "best") == 2  # none is better, by PSNR
    other = start(recipe, "other", **each)
    assert checkpoints.marked(other / "checkpoints", "best") == 2
    monkeypatch.setattr(perceptual, "Lpips", missing)
    with pytest.raises(
        UserError, match="other: the best step of this run is determined by LPIPS. LPIPS: not installed"
    ):
        start(dataclasses.replace(recipe, steps=4), "other", **each)


def test_averaged_weights_are_validated_and_exported_but_not_trained_on(start, finished):
    plain, averaged = finished("plain"), start(dataclasses.replace(RECIPE, ema=0.9), "averaged")
    arrays = [checkpoints.load(run / "checkpoints" / "step-00000004.npz") for run in (plain, averaged)]
    np.testing.assert_allclose(*(a["generator/head_conv/kernel"] for a in arrays), atol=1e-6)
    assert not np.array_equal(weights(plain, 4)["head_conv/kernel"], weights(averaged, 4)["head_conv/kernel"])


def test_a_run_that_resumes_with_other_validation_images_determines_its_best_step_anew(start, tmp_path, capsys):
    run = start()
    best = max(line["validation_psnr"] for line in lines(run) if line["step"] and "validation_psnr" in line)
    (tmp_path / "others").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "others" / "noise.png")
    others = open_store(Folder(tmp_path / "others", 4), 4, tmp_path / "cache")
    start(dataclasses.replace(RECIPE, steps=6), validation=others)
    assert capsys.readouterr().out.count("the images have changed") == 1
    bicubic = [line["bicubic_psnr"] for line in lines(run) if "bicubic_psnr" in line]
    assert len(bicubic) == 2 and bicubic[1] < bicubic[0]
    assert checkpoints.marked(run / "checkpoints", "best") == 6
    assert [line for line in lines(run) if line["step"] == 6][-1]["validation_psnr"] < best
    start(dataclasses.replace(RECIPE, steps=8), validation=others)
    assert "images have changed" not in capsys.readouterr().out
