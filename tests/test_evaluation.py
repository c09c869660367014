"""Benchmark sets are found and read with clear errors, and scored into a table and a JSON file."""
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf import benchmarks, evaluation, metrics
from srgan_tf.errors import UserError
from srgan_tf.resize import imresize

PROGRAM = Path(__file__).resolve().parent.parent / "evaluate.py"
BASELINES = {name: evaluation.load_method(name) for name in ("nearest", "bicubic")}


@pytest.fixture
def data_dir(tmp_path):
    """A Set5 of five small pictures, the second one grey."""
    rng = np.random.default_rng(5)
    for number in range(1, 6):
        hr = imresize(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8), size=(48, 40))
        write_pair(tmp_path, number, hr[..., 0] if number == 2 else hr)
    return tmp_path


def test_pairs_come_in_order_and_keep_their_mode(data_dir):
    pairs = benchmarks.load_pairs("set5", data_dir)
    assert [p.name for p in pairs] == ["img_001", "img_002", "img_003", "img_004", "img_005"]
    shapes = [tuple(picture.shape for picture in benchmarks.read_pair(p)) for p in pairs]
    assert shapes[0] == ((48, 40, 3), (12, 10, 3))
    assert shapes[1] == ((48, 40), (12, 10))


def test_a_missing_set_says_where_it_was_looked_for_and_what_to_do(tmp_path):
    message = user_error(benchmarks.load_pairs, "bsd100", tmp_path)
    assert "BSD100" in message and str(tmp_path / "BSD100" / "image_SRF_4") in message and "--data_dir" in message


@pytest.mark.parametrize("kind", ["HR", "LR"])
def test_a_missing_partner_is_named(data_dir, kind):
    path = path_of(data_dir, 3, kind)
    path.unlink()
    message = user_error(benchmarks.load_pairs, "set5", data_dir)
    assert str(path) in message and "1 of its 10 files" in message


@pytest.mark.parametrize("kind", ["HR", "LR"])
@pytest.mark.parametrize("harm", ["cut", "text", "empty", "flipped"])
def test_a_corrupt_file_is_named(data_dir, kind, harm):
    path = path_of(data_dir, 4, kind)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes({"cut": content[:middle], "text": b"<html>not found</html>", "empty": b"",
                      "flipped": content[:middle] + bytes(255 - b for b in content[middle:])}[harm])
    message = user_error(benchmarks.read_pair, benchmarks.load_pairs("set5", data_dir)[3])
    assert str(path) in message and "cannot be read" in message


def test_a_wrong_size_is_named_with_both_sizes(data_dir):
    path = path_of(data_dir, 5, "HR")
    Image.fromarray(np.zeros((48, 44, 3), np.uint8)).save(path)
    message = user_error(benchmarks.read_pair, benchmarks.load_pairs("set5", data_dir)[4])
    assert str(path) in message and "44 x 48" in message and "40 x 48" in message


def test_a_picture_of_sixteen_bits_is_refused_by_name(data_dir):
    path = path_of(data_dir, 1, "HR")
    Image.fromarray(np.zeros((48, 40), np.uint16)).save(path)
    message = user_error(benchmarks.read_pair, benchmarks.load_pairs("set5", data_dir)[0])
    assert str(path) in message and "8 bits" in message


def test_figures_are_those_of_the_metrics_and_means_are_plain_means(data_dir):
    results = score(data_dir)
    pictures, mean = (results["sets"]["set5"][key] for key in ("pictures", "mean"))
    hr, lr = benchmarks.read_pair(benchmarks.load_pairs("set5", data_dir)[0])
    sr = imresize(lr, 4, edge="repeat")
    for protocol in metrics.PROTOCOLS:
        found = pictures[0]["figures"]["bicubic"][protocol]
        assert (found["psnr"], found["ssim"]) == metrics.score(hr, sr, protocol)
        all_psnr = [p["figures"]["bicubic"][protocol]["psnr"] for p in pictures]
        assert mean["bicubic"][protocol]["psnr"] == pytest.approx(np.mean(all_psnr))
    assert pictures[0]["figures"]["bicubic"]["lr_consistency"] == metrics.lr_consistency(lr, sr)
    assert mean["nearest"]["lr_consistency"] == pytest.approx(
        np.mean([p["figures"]["nearest"]["lr_consistency"] for p in pictures]))


def test_a_method_gets_three_channels_and_a_grey_pair_is_scored_in_grey_under_bt601(data_dir):
    shapes = []

    def tinted(lr):
        shapes.append(lr.shape)
        return np.clip(BASELINES["bicubic"](lr).astype(int) + (0, 3, 1), 0, 255).astype(np.uint8)

    results = score(data_dir, {"tinted": tinted})
    assert shapes == [(12, 10, 3)] * 5
    hr, lr = benchmarks.read_pair(benchmarks.load_pairs("set5", data_dir)[1])
    sr = tinted(metrics.as_rgb(lr))
    grey = np.floor(sr.astype(int).sum(axis=-1) / 3 + 0.5).astype(np.uint8)
    figures = results["sets"]["set5"]["pictures"][1]["figures"]["tinted"]
    for protocol, picture in (("bt601", grey), ("rgb", sr), ("paper", sr)):
        assert (figures[protocol]["psnr"], figures[protocol]["ssim"]) == metrics.score(hr, picture, protocol)


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES.keys())
def test_a_baseline_keeps_grey_grey_and_agrees_with_its_three_channels(method):
    lr = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
    assert method(lr).shape == (36, 28)
    np.testing.assert_array_equal(metrics.as_rgb(method(lr)), method(metrics.as_rgb(lr)))


def test_progress_is_told_of_every_picture(data_dir):
    ticks = []
    score(data_dir, done=lambda: ticks.append(1))
    assert len(ticks) == 5


def test_the_table_holds_our_rows_and_the_papers_below(data_dir):
    lines = evaluation.format_table(score(data_dir)).splitlines()
    assert lines[0] == "Set5: 5 pictures, scale 4"
    rows = [line.split() for line in lines[3:]]
    assert [row[0] for row in rows] == ["nearest", "paper's", "bicubic", "paper's", "paper's", "paper's"]
    assert rows[1:5:2] == [["paper's", "nearest", "26.26", "0.7552"], ["paper's", "bicubic", "28.43", "0.8211"]]
    assert rows[4:] == [["paper's", "SRResNet", "32.05", "0.9019"], ["paper's", "SRGAN", "29.40", "0.8472"]]
    assert len(rows[0]) == 1 + 2 * 3 + 1


def test_the_papers_figures_stand_below_its_protocol_whatever_the_order(data_dir):
    lines = evaluation.format_table(score(data_dir, protocols=("rgb", "paper"))).splitlines()
    column = lines[1].index("paper") + len("paper")
    assert all(line.endswith(("0.7552", "0.8211", "0.9019", "0.8472")) and len(line) == column
               for line in lines if line.startswith("  paper's"))


def test_the_papers_figures_are_left_out_where_they_are_not_comparable(data_dir):
    assert "paper" not in evaluation.format_table(score(data_dir, protocols=("bt601", "rgb")))
    write_pair(data_dir, 1, np.zeros((48, 40, 3), np.uint8), scale=2)
    pairs = [benchmarks.Pair("img_001", *(path_of(data_dir, 1, kind, 2) for kind in ("HR", "LR")))]
    methods = {"bicubic": evaluation.load_method("bicubic", 2)}
    table = evaluation.format_table(evaluation.evaluate(methods, {"set5": pairs}, scale=2))
    assert "bicubic" in table and "paper's" not in table


def test_a_models_name_with_its_scale_has_the_papers_row_too(data_dir):
    lines = evaluation.format_table(score(data_dir, {"srgan_x4": BASELINES["bicubic"]})).splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("srgan_x4"))
    assert lines[row + 1].split() == ["paper's", "SRGAN", "29.40", "0.8472"]


def test_the_json_file_has_every_pictures_figures(data_dir):
    results = score(data_dir)
    path = data_dir / "figures.json"
    path.write_text("old")
    evaluation.write_json(results, path)
    assert json.loads(path.read_text()) == results
    assert len(json.loads(path.read_text())["sets"]["set5"]["pictures"]) == 5
    assert sorted(p.name for p in data_dir.iterdir()) == ["Set5", "figures.json"]  # nothing is left beside it


def test_an_infinite_figure_becomes_null_in_json(data_dir):
    results = score(data_dir)
    results["sets"]["set5"]["mean"]["bicubic"]["rgb"]["psnr"] = math.inf
    evaluation.write_json(results, data_dir / "figures.json")
    written = json.loads((data_dir / "figures.json").read_text(), parse_constant=pytest.fail)
    assert written["sets"]["set5"]["mean"]["bicubic"]["rgb"]["psnr"] is None


def test_a_json_file_that_cannot_be_written_is_named(data_dir):
    (data_dir / "taken").mkdir()
    message = user_error(evaluation.write_json, score(data_dir), data_dir / "taken")
    assert str(data_dir / "taken") in message
    assert sorted(p.name for p in data_dir.iterdir()) == ["Set5", "taken"]


def test_an_unknown_model_is_named_with_what_there_is():
    message = user_error(evaluation.load_method, "bicubci")
    assert "bicubci" in message and "bicubic" in message and "--model" in message


def test_the_program_prints_the_table_and_writes_the_json(data_dir):
    done = program("--set5", "--data_dir", data_dir, "--model", "bicubic", "--json", data_dir / "figures.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == evaluation.format_table(score(data_dir, {"bicubic": BASELINES["bicubic"]})) + "\n"
    assert list(json.loads((data_dir / "figures.json").read_text())["sets"]["set5"]["mean"]) == ["bicubic"]


@pytest.mark.parametrize("arguments, named", [
    ((), "--set5, --set14 and --bsd100"),
    (("set5",), "--set5"),
    (("--set5", "--data_dir", "{}", "--model", "bicubci"), "bicubci"),
    (("--set5", "--set14", "--data_dir", "{}"), "Set14"),
    (("--set5", "--data_dir", "{}", "--json", "{}/nowhere/figures.json"), "nowhere"),
    (("--set5", "--data_dir", "{}", "--scale", "2"), "image_SRF_2")])
def test_wrong_input_is_one_line_and_loads_no_tensorflow(data_dir, arguments, named):
    done = program(*(a.format(data_dir) for a in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and named in done.stderr


def score(data_dir, methods=None, **settings):
    sets = {"set5": benchmarks.load_pairs("set5", data_dir)}
    return evaluation.evaluate(methods or BASELINES, sets, **settings)


def write_pair(data_dir, number, hr, scale=4):
    path_of(data_dir, number, "HR", scale).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hr).save(path_of(data_dir, number, "HR", scale))
    Image.fromarray(imresize(hr, 1 / scale, edge="repeat")).save(path_of(data_dir, number, "LR", scale))


def path_of(data_dir, number, kind, scale=4):
    return data_dir / "Set5" / f"image_SRF_{scale}" / f"img_{number:03}_SRF_{scale}_{kind}.png"


def user_error(function, *arguments):
    """The message of the UserError that a call raises; one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def program(*arguments):
    """Run evaluate.py where importing TensorFlow or Keras fails."""
    code = ("import runpy, sys; sys.modules.update(tensorflow=None, keras=None); sys.argv = sys.argv[1:]; "
            f"sys.path.insert(0, {str(PROGRAM.parent)!r}); runpy.run_path(sys.argv[0], run_name='__main__')")
    command = [sys.executable, "-c", code, PROGRAM, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)
