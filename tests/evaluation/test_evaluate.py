"""Sets are scored; a table has the means and files have the figures of every picture."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets, evaluate, measures, metrics, opinion, report, tables
from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.results import command_line, provenance, write_results
from srgan_tf.resize import imresize

PROGRAM = ROOT / "evaluate.py"
LONG = "a" * 300  # no file system has such a name
TAKEN = "Set5/image_SRF_4/img_001_SRF_4_HR.png"  # a file where a folder is wanted
BASELINES = {name: evaluate.load_method(name) for name in ("nearest", "bicubic")}


@pytest.fixture
def data_dir(tmp_path):
    """A Set5 of five small pictures, the second one grey."""
    rng = np.random.default_rng(5)
    for number in range(1, 6):
        hr = imresize(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8), size=(48, 40))
        write_pair(tmp_path, number, hr[..., 0] if number == 2 else hr)
    return tmp_path


def test_figures_come_from_the_metrics_and_means_are_plain_means(data_dir):
    results = score(data_dir)
    pictures, mean = (results["sets"]["set5"][key] for key in ("pictures", "mean"))
    hr, lr = benchmark_sets.read_pair(benchmark_sets.load_pairs("set5", data_dir)[0])
    sr = imresize(lr, 4, edge="repeat")
    for protocol in metrics.PROTOCOLS:
        found = pictures[0]["figures"]["bicubic"][protocol]
        assert (found["psnr"], found["ssim"]) == metrics.score(hr, sr, protocol)
        all_psnr = [p["figures"]["bicubic"][protocol]["psnr"] for p in pictures]
        assert mean["bicubic"][protocol]["psnr"] == pytest.approx(np.mean(all_psnr))
    assert pictures[0]["figures"]["bicubic"]["lr_consistency"] == metrics.lr_consistency(lr, sr)
    assert mean["nearest"]["lr_consistency"] == pytest.approx(
        np.mean([p["figures"]["nearest"]["lr_consistency"] for p in pictures])
    )


def test_a_method_gets_three_channels_and_a_grey_pair_is_scored_in_grey_under_bt601(data_dir):
    shapes = []

    def tinted(lr):
        shapes.append(lr.shape)
        return np.clip(BASELINES["bicubic"](lr).astype(int) + (0, 3, 1), 0, 255).astype(np.uint8)

    results = score(data_dir, {"tinted": tinted})
    assert shapes == [(12, 10, 3)] * 5
    hr, lr = benchmark_sets.read_pair(benchmark_sets.load_pairs("set5", data_dir)[1])
    sr = tinted(as_rgb(lr))
    grey = np.floor(sr.astype(int).sum(axis=-1) / 3 + 0.5).astype(np.uint8)
    figures = results["sets"]["set5"]["pictures"][1]["figures"]["tinted"]
    for protocol, picture in (("bt601", grey), ("rgb", sr), ("paper", sr)):
        assert (figures[protocol]["psnr"], figures[protocol]["ssim"]) == metrics.score(hr, picture, protocol)


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES.keys())
def test_a_baseline_keeps_grey_grey_and_agrees_with_its_three_channels(method):
    lr = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
    assert method(lr).shape == (36, 28)
    np.testing.assert_array_equal(as_rgb(method(lr)), method(as_rgb(lr)))


def test_progress_is_reported_for_every_picture(data_dir):
    ticks = []
    score(data_dir, done=lambda: ticks.append(1))
    assert len(ticks) == 5


def test_the_methods_of_a_large_picture_are_scored_one_by_one_with_the_same_figures(data_dir, monkeypatch):
    expected, running, most, original = score(data_dir), [], [], evaluate.score_sr

    def counted(*arguments):
        running.append(1)
        most.append(len(running))
        try:
            return original(*arguments)
        finally:
            running.pop()

    monkeypatch.setattr(evaluate, "score_sr", counted)
    monkeypatch.setattr(evaluate, "AT_ONCE", 48 * 40 - 1)
    assert score(data_dir) == expected
    assert most == [1] * 10


def test_the_table_holds_our_rows_and_the_papers_below(data_dir):
    lines = tables.format_table(score(data_dir)).splitlines()
    assert lines[0] == "Set5: 5 pictures, scale 4"
    rows = [line.split() for line in lines[3:]]
    assert [row[0] for row in rows] == ["nearest", "paper's", "bicubic"] + ["paper's"] * 10
    assert rows[1:5:2] == [["paper's", "nearest", "26.26", "0.7552"], ["paper's", "bicubic", "28.43", "0.8211"]]
    assert rows[4:] == [
        ["paper's", "SRCNN", "30.07", "0.8627"],
        ["paper's", "SelfExSR", "30.33", "0.8720"],
        ["paper's", "DRCN", "31.52", "0.8938"],
        ["paper's", "ESPCN", "30.76", "0.8784"],
        ["paper's", "SRResNet", "32.05", "0.9019"],
        ["paper's", "SRGAN", "29.40", "0.8472"],
        ["paper's", "SRResNet-VGG22", "30.51", "0.8803"],
        ["paper's", "SRGAN-MSE", "30.64", "0.8701"],
        ["paper's", "SRGAN-VGG22", "29.84", "0.8468"],
    ]
    assert len(rows[0]) == 1 + 2 * 3 + 1


def test_the_papers_figures_are_below_its_protocol_in_any_order(data_dir):
    lines = tables.format_table(score(data_dir, protocols=("rgb", "paper"))).splitlines()
    column = lines[1].index("paper") + len("paper")
    paper = [line for line in lines if line.startswith("  paper's")]
    assert len(paper) == 11 and {len(line) for line in paper} == {column}


def test_the_papers_figures_are_omitted_where_they_cannot_be_compared(data_dir):
    assert "paper" not in tables.format_table(score(data_dir, protocols=("bt601", "rgb")))
    write_pair(data_dir, 1, np.zeros((48, 40, 3), np.uint8), scale=2)
    pairs = [benchmark_sets.Pair("img_001", *(path_of(data_dir, 1, kind, 2) for kind in ("HR", "LR")))]
    methods = {"bicubic": evaluate.load_method("bicubic", 2)}
    table = tables.format_table(evaluate.evaluate(methods, {"set5": pairs}, scale=2))
    assert "bicubic" in table and "paper's" not in table


def test_a_models_name_with_its_scale_has_the_papers_row_too(data_dir):
    lines = tables.format_table(score(data_dir, {"srgan_x4": BASELINES["bicubic"]})).splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("srgan_x4"))
    assert lines[row + 1].split() == ["paper's", "SRGAN", "29.40", "0.8472"]


def test_the_files_contain_the_figures_of_every_picture(data_dir):
    results = score(data_dir)
    write_results(results, data_dir / "out")
    assert json.loads((data_dir / "out" / "results.json").read_text()) == results
    rows = list(csv.DictReader((data_dir / "out" / "results.csv").open()))
    assert len(rows) == 5 * len(BASELINES)
    row = next(r for r in rows if r["picture"] == "img_003" and r["method"] == "bicubic")
    figures = results["sets"]["set5"]["pictures"][2]["figures"]["bicubic"]
    assert row["set"] == "set5" and float(row["rgb_ssim"]) == figures["rgb"]["ssim"]
    assert float(row["lr_consistency"]) == figures["lr_consistency"]
    assert sorted(p.name for p in (data_dir / "out").iterdir()) == ["results.csv", "results.json"]


def test_pictures_whose_names_are_not_utf_8_are_scored_and_written(tmp_path):
    (tmp_path / "set" / "HR").mkdir(parents=True)
    name = os.fsdecode(b"caf\xe9")
    try:
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(
            tmp_path / "set" / "HR" / f"{name}.png"
        )
    except OSError:
        pytest.skip("needs a file system whose names are bytes")
    sets = dict([benchmark_sets.load_folder(tmp_path / "set")])
    page, test = (kind(tmp_path / kind.__name__, list(BASELINES)) for kind in (report.Report, opinion.OpinionTest))
    results = evaluate.evaluate(BASELINES, sets, seen=lambda *picture: (page.add(*picture), test.add(*picture)))
    results |= provenance(f"python evaluate.py --data_dir {name}", dict.fromkeys(BASELINES), sets)
    write_results(results, tmp_path / "out")
    pages = [made.finish(results).read_text(encoding="utf-8") for made in (page, test)]
    for folder in ("out", "Report"):
        rows = (tmp_path / folder / "results.csv").read_text(encoding="utf-8").splitlines()
        assert rows[1].startswith("set,caf\\udce9,nearest,")
        assert json.loads((tmp_path / folder / "results.json").read_text(encoding="utf-8")) == results
    assert all('"caf\\udce9"' in text for text in pages)


def test_an_infinite_figure_becomes_null_in_json(data_dir):
    results = score(data_dir)
    results["sets"]["set5"]["mean"]["bicubic"]["rgb"]["psnr"] = math.inf
    write_results(results, data_dir)
    written = json.loads((data_dir / "results.json").read_text(), parse_constant=pytest.fail)
    assert written["sets"]["set5"]["mean"]["bicubic"]["rgb"]["psnr"] is None


def test_a_place_that_cannot_be_written_is_named(data_dir):
    (data_dir / "taken").write_text("")
    message = user_error(write_results, score(data_dir), data_dir / "taken")
    assert str(data_dir / "taken") in message and "--output" in message


def test_the_vgg54_distance_is_that_of_the_loss(data_dir, vgg_weights):
    from srgan_tf.networks import losses

    pairs = benchmark_sets.load_pairs("set5", data_dir)[:2]  # the second one is grey
    metrics = ("psnr", "ssim", "vgg54")
    results = evaluate.evaluate(
        {"bicubic": BASELINES["bicubic"]},
        {"set5": pairs},
        metrics=metrics,
        loaded=measures.load(metrics, vgg_weights=vgg_weights),
    )
    vgg = losses.vgg_model("vgg54", vgg_weights)
    for pair, picture in zip(pairs, results["sets"]["set5"]["pictures"]):
        hr, lr = (as_rgb(p) for p in benchmark_sets.read_pair(pair))
        hr, sr = (p[None].astype("float32") / 127.5 - 1 for p in (hr, BASELINES["bicubic"](lr)))
        expected = losses.mse(losses.vgg_features(vgg, hr), losses.vgg_features(vgg, sr))
        assert picture["figures"]["bicubic"]["vgg54"] == pytest.approx(float(expected), rel=1e-5)
    table = tables.format_table(results)
    assert "VGG54" in table.splitlines()[1] and f"{results['sets']['set5']['mean']['bicubic']['vgg54']:.4f}" in table
    write_results(results, data_dir / "out")
    assert "vgg54" in (data_dir / "out" / "results.csv").read_text().splitlines()[0]


def test_a_network_is_scored_in_float32_and_its_checksum_is_kept(data_dir, small_model):
    from srgan_tf.upscaling.upscaler import Upscaler

    folder = evaluate.find_model(str(small_model))
    pairs = benchmark_sets.load_pairs("set5", data_dir)
    results = evaluate.evaluate({"small": evaluate.load_method(str(small_model))}, {"set5": pairs})
    hr, lr = benchmark_sets.read_pair(pairs[0])
    sr = Upscaler(folder, precision="float32")(lr)
    assert results["sets"]["set5"]["pictures"][0]["figures"]["small"]["rgb"]["psnr"] == metrics.score(hr, sr, "rgb")[0]
    facts = provenance("python evaluate.py", {"small": folder, "bicubic": None}, {"set5": pairs})
    assert (
        facts["models"]["small"]["sha256"]
        == json.loads((folder / "assets.extra" / "attributes.json").read_text())["sha256"]
    )
    assert facts["models"]["bicubic"] == {} and facts["files"]["set5"]["pictures"] == 5
    assert facts["versions"]["numpy"] == np.__version__ and facts["command"] == "python evaluate.py"


def test_a_model_of_another_scale_is_named(small_model):
    message = user_error(evaluate.find_model, str(small_model), 2)
    assert str(small_model) in message and "of scale 2" in message and "--scale 4" in message


def test_an_unknown_model_is_named_with_the_available_ones():
    message = user_error(evaluate.load_method, "bicubci")
    assert "bicubci" in message and "bicubic" in message and "--model" in message


def test_the_program_prints_the_table_and_writes_the_files(data_dir):
    done = program("--set5", "--data_dir", data_dir, "--model", "bicubic", "--output", data_dir / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == tables.format_table(score(data_dir, {"bicubic": BASELINES["bicubic"]})) + "\n"
    written = json.loads((data_dir / "out" / "results.json").read_text())
    assert list(written["sets"]["set5"]["mean"]) == ["bicubic"]
    assert written["command"].startswith("python evaluate.py --set5 --data_dir")


def test_the_written_command_line_has_no_password(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--set5", "--benchmarks_url=https://me:secret@example.org/data"])
    assert command_line() == "python evaluate.py --set5 --benchmarks_url=https://***@example.org/data"


def test_the_chosen_metrics_are_in_the_table_and_in_the_files(data_dir):
    names = ("--metrics", "ssim,consistency", "--protocol", "rgb")
    done = program("--set5", "--data_dir", data_dir, "--model", "bicubic", *names, "--output", data_dir / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split() == ["SSIM", "PSNR"]
    written = json.loads((data_dir / "out" / "results.json").read_text())
    figures = written["sets"]["set5"]["mean"]["bicubic"]
    assert written["metrics"] == ["ssim", "consistency"]
    assert figures.keys() == {"rgb", "lr_consistency"} and figures["rgb"].keys() == {"ssim"}
    head = (data_dir / "out" / "results.csv").read_text().splitlines()[0]
    assert head == "set,picture,method,rgb_ssim,lr_consistency"


def test_loaded_metrics_are_computed_for_every_method_and_their_means_are_plain_means(data_dir):
    seen = []

    def measure(hr):
        seen.append(hr.shape)
        return lambda sr: float(np.abs(hr.astype(int) - sr).mean())

    results = score(data_dir, metrics=("lpips",), loaded={"lpips": measure})
    assert seen == [(48, 40, 3)] * 5  # once for each picture, grey ones with three channels
    pictures, mean = (results["sets"]["set5"][key] for key in ("pictures", "mean"))
    for method in BASELINES:
        values = [picture["figures"][method]["lpips"] for picture in pictures]
        assert mean[method] == {"lpips": pytest.approx(np.mean(values))} and min(values) > 0
    assert results["protocols"] == []


def test_lpips_and_niqe_are_computed_without_a_border_as_wide_as_the_scale(data_dir, monkeypatch):
    from srgan_tf.evaluation import niqe, perceptual

    class Distance:
        def __init__(self, weights):
            self.weights = weights

        def __call__(self, hr, sr):
            return hr.shape, sr.shape, self.weights

    monkeypatch.setattr(perceptual, "Lpips", Distance)
    hr, sr = np.random.default_rng(2).integers(0, 256, (2, 210, 120, 3), dtype=np.uint8)
    loaded = measures.load(("psnr", "lpips", "niqe"), 2, lpips_weights="a.ckpt")
    assert loaded.keys() == {"lpips", "niqe"}
    assert loaded["lpips"](hr)(sr) == ((206, 116, 3), (206, 116, 3), "a.ckpt")
    assert loaded["niqe"](hr)(sr) == niqe.niqe(sr[2:-2, 2:-2], 0)


def test_sr_files_of_another_program_are_a_method_beside_the_models(data_dir):
    for number in range(1, 6):
        _, lr = benchmark_sets.read_pair(benchmark_sets.load_pairs("set5", data_dir)[number - 1])
        sr = Image.fromarray(BASELINES["bicubic"](as_rgb(lr)))
        (data_dir / "peer").mkdir(exist_ok=True)
        sr.save(data_dir / "peer" / f"img_{number:03}_SRF_4_LR_out.png")
    sr.save(data_dir / "peer" / "baboon_out.png")
    pages = ("--report", data_dir / "page", "--mos", data_dir / "test", "--output", data_dir / "out")
    models = ("--model", "bicubic", "--results", f"the peer={data_dir / 'peer'}")
    done = program("--set5", "--data_dir", data_dir, *models, *pages)
    assert done.returncode == 0, done.stderr
    written = json.loads((data_dir / "out" / "results.json").read_text())
    assert written["methods"] == ["bicubic", "the peer"]
    assert written["sets"]["set5"]["mean"]["the peer"] == written["sets"]["set5"]["mean"]["bicubic"]
    assert len(written["models"]["the peer"]["sha256"]) == 64
    assert len([line for line in done.stderr.splitlines() if "baboon_out.png" in line and "ignored" in line]) == 1
    assert (data_dir / "page" / "pictures" / "set5" / "img_003_the-peer.png").is_file()
    assert '"the peer"' in (data_dir / "test" / "index.html").read_text()


@pytest.mark.parametrize("size, said", [((40, 44), "instead of 40 x 48"), ((32, 40), "4 pixels are missing at each")])
def test_sr_files_of_another_size_are_one_line_before_networks_are_loaded(data_dir, size, said):
    (data_dir / "peer").mkdir()
    for number in range(1, 6):
        Image.new("RGB", size if number == 4 else (40, 48)).save(data_dir / "peer" / f"img_{number:03}_x4.png")
    done = program("--set5", "--data_dir", data_dir, "--model", "srgan", "--results", f"peer={data_dir / 'peer'}")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {data_dir / 'peer' / 'img_004_x4.png'}: ") and said in done.stderr


def test_degraded_lr_is_made_from_hr_named_in_the_table_and_written_for_other_programs(data_dir):
    arguments = ("--set5", "--data_dir", data_dir, "--model", "bicubic", "--degradation", "jpeg=30:40")
    runs = [program(*arguments, "--output", data_dir / name) for name in ("one", "two")]
    assert runs[0].returncode == 0 and runs[0].stderr.count("warning") == 0, runs[0].stderr
    assert runs[0].stdout.splitlines()[0] == "Set5: 5 pictures, scale 4, LR degraded: jpeg=30:40, seed 0"
    assert "paper's" not in runs[0].stdout and "LR consistency" not in runs[0].stdout
    written = [json.loads((data_dir / name / "results.json").read_text()) for name in ("one", "two")]
    assert written[0]["sets"] == written[1]["sets"]
    assert written[0]["degradation"] == {"name": "jpeg=30:40", "seed": 0}
    assert len(list((data_dir / "one" / "lr" / "Set5").iterdir())) == 5
    for i, pair in enumerate(benchmark_sets.load_pairs("set5", data_dir)):
        lr = np.asarray(Image.open(data_dir / "one" / "lr" / "Set5" / f"{pair.name}.png"))
        clean = as_rgb(np.asarray(Image.open(pair.lr_path)))
        assert lr.shape == clean.shape and (lr != clean).any()
        sr = BASELINES["bicubic"](lr)
        hr, _ = benchmark_sets.read_pair(pair)
        figures = written[0]["sets"]["set5"]["pictures"][i]["figures"]["bicubic"]
        assert (figures["rgb"]["psnr"], figures["rgb"]["ssim"]) == metrics.score(hr, sr, "rgb")


def test_files_other_than_the_released_ones_give_a_warning_beside_the_papers_figures(data_dir):
    arguments = ("--set5", "--data_dir", data_dir, "--model", "nearest")
    done = program(*arguments, "--protocol", "paper")
    said = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert done.returncode == 0 and len(said) == 1 and "Set5" in said[0] and str(data_dir) in said[0]
    assert "warning" not in program(*arguments, "--protocol", "rgb").stderr


def test_the_program_scores_a_custom_folder(data_dir):
    folder = data_dir / "flowers" / "HR"
    folder.mkdir(parents=True)
    hr = Image.open(path_of(data_dir, 1, "HR"))
    hr.save(folder / "rose.png")
    done = program("--data_dir", folder.parent, "--model", "bicubic", "--model", "nearest")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "flowers: 1 picture, scale 4"
    assert [line.split()[0] for line in lines[3:]] == ["bicubic", "nearest"]


def test_a_bad_picture_is_named_before_networks_are_loaded(data_dir):
    path = path_of(data_dir, 5, "HR")
    Image.fromarray(np.zeros((48, 40, 4), np.uint8)).save(path)
    done = program("--set5", "--data_dir", data_dir, "--model", "srresnet")  # TensorFlow cannot be imported there
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert str(path) in done.stderr and "transparent" in done.stderr


def test_a_set_that_is_not_there_is_downloaded(data_dir, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(data_dir / "empty"))
    done = program("--set5", "--benchmarks_url", "http://127.0.0.1:9", "--model", "bicubic")  # nothing listens there
    assert done.returncode == 2 and "127.0.0.1:9" in done.stderr and "cannot be downloaded" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: http://127.0.0.1:9/Set5/")


def test_without_a_model_the_baselines_and_what_is_shipped_for_the_scale_are_scored(monkeypatch):
    from srgan_tf.commands import evaluate as command
    from srgan_tf.saved_models import zoo

    monkeypatch.setattr(zoo, "shipped", lambda: {"srresnet_x4": Path("a"), "srgan_x2": Path("b")})
    assert command._default_models(4) == ["nearest", "bicubic", "srresnet"]
    assert command._default_models(8) == ["nearest", "bicubic"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        ((), "--set5, --set14 and --bsd100"),
        (("set5",), "--set5"),
        (("--set5", "--data_dir", "{}", "--metrics", "psnr,lpisp"), "lpisp"),
        (("--set5", "--data_dir", "{}", "--metrics", ","), "--metrics"),
        (("--set5", "--data_dir", "{}", "--metrics", "vgg54"), "--vgg_weights"),
        (("--set5", "--data_dir", "{}", "--metrics", "ssim", "--lpips_weights", "{}/a.ckpt"), "--lpips_weights"),
        (("--set5", "--data_dir", "{}", "--metrics", "lpips", "--lpips_weights", "{}/a.ckpt"), "a.ckpt"),
        (("--set5", "--data_dir", "{}", "--metrics", "niqe", "--report", "{}/page"), "NIQE"),
        (("--set5", "--data_dir", "{}", "--results", "{}"), "NAME=FOLDER"),
        (("--set5", "--data_dir", "{}", "--results", "peer={}/nowhere"), "nowhere"),
        (("--set5", "--data_dir", "{}", "--results", "peer={}", "--results", "peer={}"), "peer"),
        (("--set5", "--data_dir", "{}", "--model", "bicubic", "--results", "bicubic={}"), "bicubic"),
        (("--set5", "--data_dir", "{}", "--results", "hr={}"), "the name of the originals"),
        (("--set5", "--data_dir", "{}", "--model", "hr"), "--model hr: the name of the originals"),
        (("--data_dir", LONG), "File name too long"),
        (("--set5", "--data_dir", "{}", "--results", f"a={LONG}"), "File name too long"),
        (("--set5", "--data_dir", "{}", "--vgg_weights", LONG), "File name too long"),
        *(((flag, ""), f"{flag}: empty") for flag in ("--output", "--mos_results", "--model")),
        (("--set5", "--benchmarks_url", "ftp://example.org"), "--benchmarks_url ftp://example.org: not a web address"),
        (("--set5", "--data_dir", "{}", "--metrics", "consistency", "--protocol", "rgb"), "--protocol"),
        (("--set5", "--data_dir", "{}", "--table", "html"), "--table"),
        (("--qr", "--results", "a={}"), "--results"),
        (("--set5", "--data_dir", "{}", "--degradation", "fog"), "fog"),
        (("--set5", "--data_dir", "{}", "--model", "bicubci"), "bicubci"),
        (("--set5", "--set14", "--data_dir", "{}"), "Set14"),
        (("--set5", "--data_dir", "{}/nowhere"), "nowhere"),
        (("--set5", "--data_dir", "{}", "--vgg_weights", "{}/vgg.h5"), "vgg.h5"),
        (("--set5", "--data_dir", "{}", "--report", "{}"), "--report"),
        (("--set5", "--data_dir", "{}", "--report", "{}/page", "--mos", "{}/page"), "--mos"),
        (("--set5", "--data_dir", "{}", "--model", "bicubic", "--output", f"{{}}/{TAKEN}"), TAKEN),
        (("--qr", "--output", f"{{}}/{TAKEN}/codes"), TAKEN),
        (("--mos_results", "{}/nobody.json"), "nobody.json"),
        (("--mos_results", "{}/a.json", "--set5", "--report", "{}/page"), "--set5"),
        (("--mos_results", "{}/a.json", "--report", "{}/page"), "--report"),
        (("--mos_results", "{}/a.json", "--qr"), "--qr"),
        (("--qr", "--protocol", "rgb"), "--protocol"),
        (("--qr", "--benchmarks_url", "http://127.0.0.1:9"), "--benchmarks_url"),
        (("--set5", "--data_dir", "{}", "--benchmarks_url", "http://127.0.0.1:9"), "--benchmarks_url"),
        (("--set5", "--data_dir", "{}", "--model", "bicubic", "--mos_seed", "1"), "--mos_seed"),
        (("--set5", "--data_dir", "{}", "--scale", "2", "--model", "bicubic"), "image_SRF_2"),
    ],
)
def test_wrong_input_is_one_line_and_loads_no_tensorflow(data_dir, arguments, named):
    done = program(*(a.format(data_dir) for a in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert not (data_dir / "page").exists()
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and named in done.stderr


@pytest.mark.parametrize("missing", ["segno", "zxingcpp"])
def test_a_missing_package_for_codes_is_named_before_networks_are_loaded(missing):
    done = program("--qr", without=(missing,))
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert missing in done.stderr and "pip install " in done.stderr


def score(data_dir, methods=None, **settings):
    sets = {"set5": benchmark_sets.load_pairs("set5", data_dir)}
    return evaluate.evaluate(methods or BASELINES, sets, **settings)


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


def program(*arguments, without=()):
    """Run evaluate.py without TensorFlow, Keras and the packages in `without`."""
    absent = dict.fromkeys(["tensorflow", "keras", *without])
    code = (
        f"import runpy, sys; sys.modules.update({absent}); sys.argv = sys.argv[1:]; "
        f"sys.path.insert(0, {str(PROGRAM.parent)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, PROGRAM, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)
