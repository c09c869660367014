"""Tools of `tools/`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf.networks import models
from srgan_tf.saved_models import export

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="module")
def fonts():
    """A folder with .ttf files that a package of the test environment brings."""
    gradio = pytest.importorskip("gradio", reason="gradio, whose fonts are used, is not installed")
    return Path(gradio.__file__).parent / "templates" / "frontend"


def draw(folder, fonts, *arguments):
    command = [sys.executable, TOOLS / "lettering.py", folder, "--fonts", fonts, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_pages_of_letters_are_sharp_and_depend_on_the_seed_alone(tmp_path, fonts):
    for name, seed in (("once", "1"), ("again", "1"), ("other", "2")):
        assert draw(tmp_path / name, fonts, "--pages", "4", "--seed", seed).returncode == 0
    pages = {name: sorted((tmp_path / name).iterdir()) for name in ("once", "again", "other")}
    assert [path.name for path in pages["once"]] == [f"lettering{n:03}.png" for n in range(4)]
    for once, again, other in zip(*pages.values()):
        assert once.read_bytes() == again.read_bytes() != other.read_bytes()
        luma = np.asarray(Image.open(once).convert("L"), int)
        assert luma.shape == (768, 1024)
        edges = np.abs(np.diff(luma, axis=1)) > 60
        assert 0.001 < edges.mean() < 0.5  # letters and shapes, neither an empty page nor noise


def test_a_folder_without_fonts_is_one_line(tmp_path):
    run = draw(tmp_path / "pages", tmp_path)
    assert run.returncode == 1
    assert run.stderr == f"error: --fonts {tmp_path}: no .ttf or .otf file. Give a folder of fonts.\n"
    assert not (tmp_path / "pages").exists()


def test_fonts_without_latin_letters_are_left_out(tmp_path, fonts):
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "damaged.ttf").write_bytes(b"no font")
    run = draw(tmp_path / "pages", tmp_path / "fonts")
    assert run.returncode == 1 and "except 1 without Latin letters. Give a folder of fonts." in run.stderr
    good = next(fonts.rglob("KaTeX_Typewriter*.ttf"))
    (tmp_path / "fonts" / "good.ttf").write_bytes(good.read_bytes())
    run = draw(tmp_path / "pages", tmp_path / "fonts", "--pages", "1")
    assert run.returncode == 0 and run.stdout.startswith("skipped: 1 of 2 fonts")


@pytest.mark.parametrize("tool", [["remeasure.py", "missing", ".", "out"], ["transfer.py", "missing", "b", "c", "out"]])
def test_a_model_that_does_not_exist_is_one_line(tmp_path, tool):
    run = subprocess.run([sys.executable, TOOLS / tool[0], *tool[1:]], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: MODEL missing: ")


@pytest.mark.parametrize("tool", ["curve.py", "pictures.py", "variants.py"])
def test_help_is_printed_and_nothing_is_drawn(tmp_path, tool):
    if tool != "pictures.py":
        pytest.importorskip("matplotlib", reason="needs matplotlib: pip install .[benchmark]")
    run = subprocess.run([sys.executable, TOOLS / tool, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("usage: ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (["remeasure.py", "srresnet", ".", "out", "--crops", "8"], 2, "--crops 8: not a positive multiple of 16"),
        (["remeasure.py", "srresnet", ".", "."], 1, "error: OUT .: exists and is not a SavedModel."),
        (["pictures.py", "foo", "."], 2, "invalid choice: 'foo'"),
        (["transfer.py", "srresnet", "srresnet", "SMALL", "out"], 1, "another network than MODEL"),
        (["curve.py", "out.png", "RUN"], 2, "error: each run must be LABEL=RUN/srresnet/metrics.jsonl"),
        (["variants.py", "out", "kodak", "RUN"], 2, "error: each run must be LABEL=RUN/srgan"),
        (["../benchmarks/flat.py", "--model", "2"], 1, "error: --model 2: not from 0 to 1"),
        (["../benchmarks/grid.py", "--data_dir", "nope"], 1, "error: --data_dir nope: not a folder"),
        (["../benchmarks/input_pipeline.py", "--data_dir", "nope"], 1, "error: nope: not a folder"),
        (["../benchmarks/training_memory.py", "--data_dir", "nope"], 1, "error: nope: not a folder"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_before_the_work(tmp_path, small_model, arguments, status, said):
    if arguments[0] in ("curve.py", "variants.py"):
        pytest.importorskip("matplotlib", reason="needs matplotlib: pip install .[benchmark]")
    arguments = [str(small_model) if argument == "SMALL" else argument for argument in arguments]
    run = subprocess.run(
        [sys.executable, TOOLS / arguments[0], *arguments[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == status and said in run.stderr.splitlines()[-1] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [["startup.py", "--rounds", "0"], ["memory.py", "--size", "10"], ["inference.py", "--sizes", "abc"]],
    ids=str,
)
def test_a_wrong_flag_of_a_benchmark_is_no_traceback(arguments):
    command = [sys.executable, TOOLS.parent / "benchmarks" / arguments[0], *arguments[1:]]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and f"flag {arguments[1]}=" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_share_of_what_training_changed_is_added_to_a_model(tmp_path):
    base, trained = (models.srresnet(4, blocks=1, features=4) for _ in range(2))
    for seed, (name, model) in enumerate({"base": base, "trained": trained}.items()):
        rng = np.random.default_rng(seed)
        weights = {k: v + rng.uniform(0, 0.1, v.shape) for k, v in models.named_weights(model).items()}
        models.load_named_weights(model, weights)
        export.export(model, tmp_path / name)
    command = ["transfer.py", "base", "trained", "base", "out", "--factor", "0.25"]
    subprocess.run([sys.executable, TOOLS / command[0], *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    found = models.named_weights(export.restore(tmp_path / "out"))
    for name, value in found.items():
        if f"{name.split('/')[0]}/gamma" not in found:  # normalisation is added up as a map
            a, b = (models.named_weights(model)[name] for model in (base, trained))
            np.testing.assert_allclose(value, 0.75 * a + 0.25 * b, atol=1e-6, err_msg=name)


def test_the_grid_benchmark_skips_images_without_a_complete_tile(tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    command = [sys.executable, TOOLS.parent / "benchmarks" / "grid.py", "--data_dir", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and f"skipped: {tmp_path / 'a.png'} has no complete tile" in run.stderr
    assert run.stderr.endswith(": no image of at least 256 x 256 pixels. Give larger ones.\n")
