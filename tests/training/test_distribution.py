"""Several devices or machines train the same weights as one device; precisions and XLA."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import ROOT
from srgan_tf.errors import UserError
from srgan_tf.training import distribution
from srgan_tf.training.recipes import Recipe
from srgan_tf.training.state import State
from srgan_tf.training.step import make_step

TWO_PROCESSORS = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                           [tf.config.LogicalDeviceConfiguration()] * 2)
from srgan_tf.commands import train
train.run()
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, vgg_weights):
    """Ten steps of both phases on two pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:64, :80]
    for i in range(2):
        waves = [127 + 120 * np.sin(x * 0.1 * (i + 1) + y * 0.07 * c) for c in (1, 2, 3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(folder / f"{i}.png")
    return [
        "--data_dir",
        str(folder),
        "--cache_dir",
        str(tmp_path_factory.mktemp("cache")),
        "--steps",
        "10",
        "--blocks",
        "1",
        "--features",
        "8",
        "--crop",
        "32",
        "--batch",
        "4",
        "--variant",
        "srgan-vgg22",
        "--vgg_weights",
        str(vgg_weights),
        "--log_every",
        "5",
        "--checkpoint_every",
        "5",
        "--precision",
        "float32",
    ]


@pytest.fixture(scope="module")
def alone(arguments, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    subprocess.run([sys.executable, ROOT / "train.py", *arguments, "--run_dir", run], check=True, capture_output=True)
    return run


def same(run, other, phase):
    """Weights and averages of BN to float tolerance; Adam's too, where no second network multiplies what differs.

    Where a gradient is next to nothing its sign is rounding, and Adam's step is as long as for any other: a few of
    two million values may differ by more.
    """
    one, two = (np.load(r / phase / "checkpoints" / "step-00000010.npz") for r in (run, other))
    assert one.files == two.files
    names = [name for name in one.files if phase == "srresnet" or "_optimizer/" not in name]
    wrong = {name: np.sum(~np.isclose(two[name], one[name], rtol=2e-3, atol=2e-4)) for name in names}
    assert sum(wrong.values()) < 1e-4 * sum(one[name].size for name in names), f"{phase} {wrong}"
    figures = [
        [json.loads(line)["loss"] for line in (r / phase / "metrics.jsonl").read_text().splitlines()]
        for r in (run, other)
    ]
    np.testing.assert_allclose(*figures, rtol=1e-3)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def workers(arguments, run):
    """Two processes that are the workers of one cluster."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [
        subprocess.Popen(
            [sys.executable, ROOT / "train.py", *arguments, "--run_dir", run, "--distribute", "multiworker"],
            env={**os.environ, "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


@pytest.mark.long
def test_two_devices_of_one_machine_train_the_same_weights_as_one_device(arguments, alone, tmp_path):
    run = tmp_path / "mirrored"
    subprocess.run(
        [sys.executable, "-c", TWO_PROCESSORS, *arguments, "--run_dir", run, "--distribute", "mirrored"],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    for phase in ("srresnet", "srgan"):
        same(alone, run, phase)


@pytest.mark.long
def test_two_workers_train_the_same_weights_as_one_device(arguments, alone, tmp_path):
    run = tmp_path / "multiworker"
    for process in workers(arguments, run):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for phase in ("srresnet", "srgan"):
        same(alone, run, phase)


@pytest.mark.long
def test_workers_that_lose_one_end_with_a_line_and_all_resume_from_the_checkpoint(arguments, alone, tmp_path):
    run = tmp_path / "multiworker"
    left, killed = workers(arguments, run)
    while not (run / "srresnet" / "checkpoints" / "step-00000005.npz").exists() and left.poll() is None:
        time.sleep(0.01)
    killed.kill()
    _, errors = left.communicate()
    assert "a worker is gone" in errors.splitlines()[-1]
    for process in workers(arguments, run):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for phase in ("srresnet", "srgan"):
        same(alone, run, phase)


@pytest.mark.long
def test_a_signal_to_one_worker_stops_all_at_the_same_step(arguments, tmp_path):
    run = tmp_path / "multiworker"
    processes = workers([*arguments, "--steps", "100000"], run)
    while not (run / "srresnet" / "metrics.jsonl").exists() and all(p.poll() is None for p in processes):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    last = [process.communicate()[1].splitlines()[-1] for process in processes]
    assert "The same command resumes" in last[0] and last[0] == last[1]


BATCH = [np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8) for side in (8, 32)]
SMALL = Recipe(phase="srgan", content="mse", blocks=1, features=8, crop=32, batch=2)


def losses_of(recipe, count=8, **options):
    state = State(recipe)
    step = make_step(recipe, state, **options)
    return [float(step(*BATCH, tf.constant(1e-3))["loss"]) for _ in range(count)]


@pytest.fixture(scope="module")
def single():
    return losses_of(SMALL)


@pytest.mark.long
def test_xla_trains_the_same(single):
    np.testing.assert_allclose(losses_of(SMALL, xla=True), single, rtol=2e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_follows_single_precision(single, precision):
    half = losses_of(dataclasses.replace(SMALL, precision=precision))
    np.testing.assert_allclose(half, single, rtol=0.05)
    assert half[-1] < half[0]


def test_float16_scales_the_loss_and_skips_a_step_that_overflows():
    recipe = dataclasses.replace(SMALL, precision="float16")
    state = State(recipe)
    step = make_step(recipe, state)
    scale = state.optimizers["generator"].dynamic_scale
    scale.assign(1e38)
    before = state.arrays()["generator/tail_conv/kernel"]
    step(*BATCH, tf.constant(1e-3))
    np.testing.assert_array_equal(state.arrays()["generator/tail_conv/kernel"], before)
    assert float(scale) == np.float32(1e38) / 2
    scale.assign(1.0)
    step(*BATCH, tf.constant(1e-3))
    assert not np.array_equal(state.arrays()["generator/tail_conv/kernel"], before)
    assert any(np.array_equal(v, np.float32(1.0)) for v in state.arrays().values())  # it is part of the checkpoint


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_where_the_processor_computes_in_it(native, monkeypatch):
    monkeypatch.setattr(distribution, "computes_bfloat16", lambda: native)
    assert distribution.concrete(Recipe(precision="auto")).precision == ("bfloat16" if native else "float32")
    assert distribution.concrete(Recipe(precision="float16")).precision == "float16"


@pytest.mark.parametrize("config", ["", "{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}}'])
def test_workers_without_a_tf_config_get_a_line_that_shows_its_form(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match='TF_CONFIG.*"worker"'):
        distribution.strategy("multiworker")


@pytest.mark.parametrize("wrong, said", [(["--batch", "5"], "--batch"), (["--xla"], "--xla")])
def test_settings_that_several_devices_do_not_support_give_one_line(arguments, wrong, said, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            TWO_PROCESSORS,
            *arguments,
            "--run_dir",
            tmp_path / "run",
            "--distribute",
            "mirrored",
            "--variant",
            "srresnet-mse",  # without VGG19, which is slow to load
            *wrong,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and line.startswith("error: ") and said in line and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
