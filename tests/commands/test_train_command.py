"""`python train.py` as a user runs it: both phases, interruption and resumption, and wrong flags."""

import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import ROOT
from srgan_tf.commands import train as train_command
from srgan_tf.training.datasets import Folder, hold_out
from srgan_tf.training.recipes import LOSSES, RECIPES, Recipe
from srgan_tf.training.store import Store, as_rgb

TRAIN = ROOT / "train.py"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:48, :64]
    for i in range(3):
        waves = [127 + 120 * np.sin(x * 0.1 * (i + 1) + y * 0.07 * c) for c in (1, 2, 3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def command(pictures, run_dir, vgg_weights, *more):
    return [
        sys.executable,
        str(TRAIN),
        "--data_dir",
        str(pictures),
        "--run_dir",
        str(run_dir),
        "--cache_dir",
        str(run_dir.parent / "cache"),
        "--vgg_weights",
        str(vgg_weights),
        "--content",
        "vgg22",
        "--steps",
        "40",
        "--blocks",
        "2",
        "--features",
        "8",
        "--crop",
        "32",
        "--batch",
        "2",
        "--checkpoint_every",
        "20",
        "--log_every",
        "5",
        "--ema",
        "0.9",
        "--deterministic",
        *more,
    ]


@pytest.fixture
def train(run_command):
    """Run the command in this process, where TensorFlow is loaded: its exit status, stdout and stderr."""
    return functools.partial(run_command, train_command)


def final(run_dir, phase, step=40):
    with np.load(run_dir / phase / "checkpoints" / f"step-{step:08}.npz") as file:
        return {name: file[name] for name in file.files}


def test_a_run_killed_and_resumed_gives_the_same_weights_bit_for_bit(pictures, vgg_weights, tmp_path):
    """Killed in the second phase, and without VGG19, which is slow to load; the next test has more of both."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ("--content", "mse", "--steps", "12", "--checkpoint_every", "6", "--log_every", "3")
    done = subprocess.run(command(pictures, whole, vgg_weights, *more), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = parts / "srgan" / "checkpoints" / "step-00000006.npz"
    process = subprocess.Popen(command(pictures, parts, vgg_weights, *more), stderr=subprocess.DEVNULL)
    while not wanted.exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (parts / "srgan" / "checkpoints" / "step-00000012.npz").exists()
    subprocess.run(command(pictures, parts, vgg_weights, *more), check=True, capture_output=True)
    for phase in ("srresnet", "srgan"):
        one, other = final(whole, phase, 12), final(parts, phase, 12)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{phase} {name}")
        assert (whole / phase / "saved_model" / "12" / "saved_model.pb").exists()
    figures = [json.loads(line) for line in (parts / "srgan" / "metrics.jsonl").read_text().splitlines()]
    assert [f["step"] for f in figures] == [3, 6, 9, 12]


@pytest.mark.long
def test_a_run_killed_at_ten_random_times_and_resumed_gives_the_same_weights_bit_for_bit(
    pictures, vgg_weights, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(pictures, whole, vgg_weights), check=True, capture_output=True)
    rng, phases = np.random.default_rng(), ("srresnet", "srgan")
    for phase in 5 * ["srresnet"] + 5 * ["srgan"]:
        before = set(parts.glob(f"{phase}/checkpoints/step-*.npz"))
        process = subprocess.Popen(
            command(pictures, parts, vgg_weights, "--checkpoint_every", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not set(parts.glob(f"{phase}/checkpoints/step-*.npz")) - before:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 2.5))  # a step, a checkpoint and its export take less
        process.kill()
        process.wait()
    subprocess.run(command(pictures, parts, vgg_weights), check=True, capture_output=True)
    for phase in phases:
        one, other = final(whole, phase), final(parts, phase)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{phase} {name}")


@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_run_saves_and_reports_the_step_and_how_to_resume(pictures, vgg_weights, tmp_path, sent, status):
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(pictures, run, vgg_weights, "--phase", "srresnet", "--steps", "100000", "--checkpoint_every", "100000"),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "srresnet" / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == status and "error:" not in errors and "Traceback" not in errors
    assert re.search(r"^stopped at step \d+, checkpoint written. The same command resumes from there.$", errors, re.M)
    assert len(list((run / "srresnet" / "checkpoints").glob("step-*.npz"))) == 1


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--data_dir", "missing"], "missing"),
        (["--scale", "3"], "scale"),
        (["--crop", "50"], "--crop 50"),
        (["--vgg_weights", "missing.h5"], "missing.h5"),
        (["--sclae", "4"], "sclae"),
        (["--variant", "srresnet-mse", "--phase", "srgan"], "Omit --phase srgan."),
        (["--freeze_norm", "start"], "--freeze_norm start: it starts from trained weights. Give some with --init"),
        (["--freeze_norm", "decay", "--schedule", "constant"], "the learning rate is constant"),
        (["--data_dir", ""], "--data_dir: empty"),
        (["--data_dir", ".", "--run_dir", "./runs/x"], "Choose another folder."),
        (["--smoke", "--run_dir", "/dev/null"], "cannot write to /dev/null"),
        (["--smoke", "--tfds_dir", "sets"], "--tfds_dir: has no effect without DIV2K"),
        (["--seed", str(2**32)], "seed"),
        (["--phase", "srresnet", "--adversarial", "1e-3"], "--adversarial: has no effect"),
        (["--phase", "srresnet", "--discriminator_restart", "9"], "--discriminator_restart: has no effect"),
        (["--small_crop", "40"], "--small_crop 40: not a multiple of 16"),
        (["--small_crop", "32", "--final_steps", "0"], "--small_crop: has no effect"),
        (["--small_crop", "96"], "--small_crop: has no effect, as it is not below --crop"),
        (["--final_steps", "20000"], "--final_steps: has no effect, as there are not more --steps"),
        (["--discriminator_restart", "20000"], "--discriminator_restart: has no effect, as there are not more --steps"),
        (["--data_dir", ".", "--validation_dir", "."], "--validation_dir .: inside --data_dir"),
        (["--data_dir", ".", "--validation_dir", ".."], "--data_dir .: inside --validation_dir"),
        (["--validation_dir", ".", "--run_dir", "./runs/x"], "its samples would become validation data"),
        (
            ["--phase", "srgan", "--init", "srresnet", "--discriminator", "paper", "--small_crop", "32"],
            "--discriminator paper: it accepts crops of one size",
        ),
        (["--dataset", "qr", "--augment", "none"], "--augment: has no effect with --dataset qr"),
        (["--div2k", "unknown_x2"], "--div2k unknown_x2: not of scale 4"),
        (["--div2k", "unknown_x4", "--degradation", "photo"], "--div2k: not used, as --degradation photo makes LR"),
        (["--lr_dir", "."], "--lr_dir: has no effect without --data_dir"),
        (["--learning_rate", "nan"], "--learning_rate nan: must be a finite number of at least 0"),
        (["pictures"], "pictures: not a flag"),
    ],
)
def test_a_wrong_flag_gives_one_line_and_leaves_no_files(wrong, said, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(TRAIN), *wrong], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_with_both_phases_the_flags_of_the_loss_apply_to_srgan():
    code = """if True:
        import sys
        from srgan_tf.commands import train
        train.FLAGS(sys.argv)
        print([[getattr(train._recipe(phase, 4), name) for name in ("grid", "content", "seed")]
               for phase in train._phases()])"""
    flags = ["--grid", "50", "--content", "vgg22", "--seed", "7"]
    for phase, told in (("both", "[[0.0, 'mse', 7], [50.0, 'vgg22', 7]]"), ("srresnet", "[[50.0, 'vgg22', 7]]")):
        done = subprocess.run(
            [sys.executable, "-c", code, *flags, "--phase", phase],
            cwd=TRAIN.parent,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == told


def recipes(*arguments):
    """The recipes for a command line of `train.py`, by phase."""
    code = """if True:
        import dataclasses, json, sys
        from srgan_tf.commands import train
        train.FLAGS(sys.argv)
        print(json.dumps({phase: dataclasses.asdict(train._recipe(phase, 4)) for phase in train._phases()}))"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, capture_output=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("recipe", ["fast", "photo"])
def test_a_variant_has_the_losses_of_the_paper_unless_a_flag_changes_them(recipe):
    own, paper = RECIPES[recipe]["srgan"], RECIPES["paper"]["srgan"]
    found = recipes("--recipe", recipe, "--variant", "srgan-vgg22", "--pixel", "0.5")["srgan"]
    expected = {name: getattr(paper, name) for name in LOSSES} | {"content": "vgg22", "pixel": 0.5}
    assert {name: found[name] for name in LOSSES} == expected
    assert found["optimizer"] == own.optimizer and found["steps"] == own.steps


def test_every_setting_of_a_recipe_is_a_flag():
    changes = {
        "blocks": 3,
        "learning_rate": 0.5,
        "content": "vgg22",
        "degradation": "photo",
        "seed": 2**32 - 1,
        "hold": 1.0,
    }
    names = {field.name for field in dataclasses.fields(Recipe)} - {"phase", "scale"}
    values = {name: changes.get(name, getattr(RECIPES["paper"]["srgan"], name)) for name in names}
    flags = [f"--{name}={value}" for name, value in values.items()]
    assert recipes("--phase", "srgan", *flags)["srgan"] == {"phase": "srgan", "scale": 4, **values}


def test_training_uses_the_readable_images_of_a_folder_and_names_the_others_once(train, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    y, x = np.mgrid[:40, :48]
    rgb = np.stack([40 + 4 * y, 40 + 4 * x, 30 + 2 * (x + y)], -1).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "rgb.png")
    Image.fromarray(rgb[..., 0]).save(folder / "grey.png")
    (folder / "deep.png").write_bytes(tf.io.encode_png(rgb.astype(np.uint16) * 257).numpy())
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg", quality=100, subsampling=0)
    Image.fromarray(np.dstack([rgb, np.where(x < 24, 255, 0).astype(np.uint8)])).save(folder / "alpha.png")
    Image.fromarray(rgb[:3]).save(folder / "tiny.png")
    whole = (folder / "rgb.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    arguments = [
        "--data_dir",
        folder,
        "--cache_dir",
        tmp_path / "cache",
        "--phase",
        "srresnet",
        "--steps",
        "2",
        "--blocks",
        "1",
        "--features",
        "8",
        "--crop",
        "32",
        "--batch",
        "2",
    ]
    for part in ("first", "second"):  # decoded, then from the store
        status, out, err = train(*arguments, "--run_dir", tmp_path / part)
        assert status == 0, err
        left_out = [line for line in out.splitlines() if line.startswith("skipped")]
        assert [name for name in ("cut.png", "empty.jpg", "tiny.png") for line in left_out if name in line] == [
            "cut.png",
            "empty.jpg",
            "tiny.png",
        ] and len(left_out) == 3

    store = Store(next((tmp_path / "cache" / "stores").iterdir()))
    pictures = {name: as_rgb(store.pair(i)[1]).astype(int) for i, name in enumerate(store.names)}
    assert pictures.keys() == {"rgb.png", "grey.png", "deep.png", "cmyk.jpg", "alpha.png"}
    np.testing.assert_array_equal(pictures["rgb.png"], rgb)
    np.testing.assert_array_equal(pictures["deep.png"], rgb)
    np.testing.assert_array_equal(pictures["grey.png"], np.repeat(rgb[..., :1], 3, -1))
    np.testing.assert_array_equal(pictures["alpha.png"], np.where(x[..., None] < 24, rgb, 255))
    assert np.abs(pictures["cmyk.jpg"] - rgb).mean() < 4


def test_a_folder_without_usable_images_is_one_error_line(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "empty.png").write_bytes(b"")
    status, _, err = train("--data_dir", "pictures", "--cache_dir", "cache")
    assert status == 2 and err.count("\n") == 1 and "empty.png" in err
    assert not (tmp_path / "runs").exists() and not list((tmp_path / "cache" / "stores").iterdir())


def test_srgan_without_a_generator_to_start_from_asks_for_init(train, pictures, vgg_weights, tmp_path):
    flags = command(pictures, tmp_path / "run", vgg_weights, "--phase", "srgan", "--nodeterministic")[2:]
    status, _, err = train(*flags)
    assert status == 2 and "--init" in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_smoke_has_its_own_run_folder_uses_validation_dir_and_trains_anew_each_time(
    train, pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "--smoke",
        "--phase",
        "srresnet",
        "--steps",
        "1",
        "--blocks",
        "1",
        "--features",
        "8",
        "--validation_dir",
        str(pictures),
        "--cache_dir",
        str(tmp_path / "cache"),
    ]
    metrics = tmp_path / "runs" / "smoke_x4" / "srresnet" / "metrics.jsonl"
    for _ in range(2):
        status, out, err = train(*arguments)
        assert status == 0, err
        model = "runs/smoke_x4/srresnet/saved_model/1"
        assert out.endswith(
            f"next:\n  python upscale.py photo.jpg --model {model}\n  python evaluate.py --set5 --model {model}\n"
        )
        assert re.search(r"\n  bicubic +PSNR .*\n  start +PSNR .*\n  best, step 1 .*\n  last, step 1 ", out)
        assert "validation_psnr" in metrics.read_text()
        metrics.write_text("")  # of the run before
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["smoke_x4"]
    stores = [Store(folder).names for folder in (tmp_path / "cache" / "stores").iterdir()]
    assert sorted(p.name for p in pictures.iterdir()) in map(sorted, stores)


def test_a_run_of_both_phases_fails_before_training_if_vgg_is_missing(train, pictures, tmp_path):
    wrong = tmp_path / "wrong.h5"
    wrong.write_bytes(b"not VGG19")
    status, _, err = train(*command(pictures, tmp_path / "run", wrong, "--nodeterministic")[2:])
    assert status == 2 and "--vgg_weights" in err and not (tmp_path / "run").exists()


def test_smoke_with_a_variant_needs_no_images_and_trains_the_phases_of_the_variant(train, vgg_weights, tmp_path):
    arguments = [
        "--smoke",
        "--variant",
        "srresnet-vgg22",
        "--vgg_weights",
        str(vgg_weights),
        "--blocks",
        "1",
        "--features",
        "8",
        "--run_dir",
        str(tmp_path / "run"),
        "--cache_dir",
        str(tmp_path / "cache"),
    ]
    status, _, err = train(*arguments)
    assert status == 0, err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["srresnet"]
    recipe = json.loads((tmp_path / "run" / "srresnet" / "config.json").read_text())["recipe"]
    assert (recipe["content"], recipe["tv"], recipe["phase"]) == ("vgg22", 2e-8, "srresnet")
    assert (tmp_path / "run" / "srresnet" / "saved_model" / "20" / "saved_model.pb").exists()


SMALL = ["--smoke", "--steps", "2", "--blocks", "1", "--features", "8", "--batch", "2"]


def test_images_that_are_too_small_for_the_second_phase_stop_the_first_one(train, tmp_path):
    (tmp_path / "tiles").mkdir()
    for i in range(3):
        Image.new("RGB", (96, 96), (40 * i, 0, 0)).save(tmp_path / "tiles" / f"{i}.png")
    folders = ["--data_dir", tmp_path / "tiles", "--cache_dir", tmp_path / "cache", "--run_dir", tmp_path / "run"]
    status, _, err = train(*SMALL, *folders)
    assert status == 2 and "--crop: all 3 images have a side below 100 pixels" in err and "--shift 0" in err
    assert not (tmp_path / "run").exists()


def test_one_broken_image_that_was_held_out_does_not_prevent_training(train, tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(20):
        Image.new("RGB", (100, 100), (10 * i, 0, 0)).save(tmp_path / "pictures" / f"{i:02}.png")
    (held,) = hold_out(Folder(tmp_path / "pictures", 4), [])[1].files
    held.write_bytes(b"broken")
    folders = ["--data_dir", tmp_path / "pictures", "--cache_dir", tmp_path / "cache", "--run_dir", tmp_path / "run"]
    status, out, err = train(*SMALL, *folders, "--phase", "srresnet")
    assert status == 0, err
    assert f"skipped: {held}" in out and "no validation: the best step stays unknown" in out
    status, _, err = train(*SMALL, *folders, "--phase", "srresnet", "--validation_dir", tmp_path / "cache")
    assert status == 2 and "has held out 1 of its own images for validation. Omit the flag" in err


def test_both_phases_are_compared_with_earlier_ones_before_the_first_changes(train, tmp_path):
    run = [*SMALL, "--cache_dir", tmp_path / "cache", "--run_dir", tmp_path / "run"]
    assert train(*run)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    status, _, err = train(*run, "--steps", "4", "--adversarial", "3")
    assert status == 2 and "srgan: this run has another adversarial" in err
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_a_run_resumes_without_the_model_that_it_started_from(train, tmp_path):
    small = [*SMALL, "--cache_dir", tmp_path / "cache"]
    assert train(*small, "--run_dir", tmp_path / "base")[0] == 0
    child = ["--phase", "srresnet", "--init", tmp_path / "base" / "srresnet" / "saved_model"]
    child += ["--run_dir", tmp_path / "child"]
    assert train(*small, *child)[0] == 0
    shutil.rmtree(tmp_path / "base" / "srresnet")
    status, _, err = train(*small, *child, "--steps", "4")
    assert status == 0 and not err
    status, _, err = train(*small, "--run_dir", tmp_path / "base", "--phase", "srgan")
    assert status == 0 and not err


def test_keras_has_its_usual_settings_whatever_is_set(tmp_path):
    settings = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(TRAIN), *SMALL, "--phase", "srresnet", "--run_dir", tmp_path / "run"],
        cwd=tmp_path,
        env={**environment, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
