"""QR codes are drawn exactly, never mirrored and reproducibly, and are counted if a scanner reads them."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from srgan_tf.commands import evaluate as evaluate_command
from srgan_tf.commands import train as train_command
from srgan_tf.commands import upscale as upscale_command
from srgan_tf.errors import UserError
from srgan_tf.images.degradation import Damage
from srgan_tf.qr import batches, codes, drawing, evaluation, options, readers

WITHOUT = "import sys; sys.modules['{}'] = None; sys.argv = {!r}; from srgan_tf.commands import {} as c; c.run()"


def area_mean(modules, view, y, x, scale, points=200):
    """The dark part of one HR pixel of an upright code, by counting."""
    at = (np.arange(points) + 0.5) / points
    v, u = ((where + at) / scale for where in (y, x))
    v, u = ((a - c) / view.pitch + len(modules) / 2 for a, c in zip((v, u), view.centre))
    v, u = np.meshgrid(np.floor(v).astype(int) + 1, np.floor(u).astype(int) + 1, indexing="ij")
    padded = np.pad(modules, 1)
    return padded[np.clip(v, 0, len(padded) - 1), np.clip(u, 0, len(padded) - 1)].mean()


def box_mean(hr, scale):
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    return hr.reshape(height, scale, width, scale, 3).astype(float).mean((1, 3))


@pytest.fixture(scope="module")
def code():
    return codes.make_code("https://example.org/srgan", level="M")


def test_every_pixel_is_the_mean_of_the_modules_it_covers(code):
    view = drawing.View(1.137, (17.31, 16.74))
    share = drawing.dark_share(code.modules, view, (34, 33), 4)
    assert share.shape == (136, 132)
    for y, x in np.random.default_rng(0).integers(8, 128, (40, 2)):
        assert abs(share[y, x] - area_mean(code.modules, view, y, x, 4)) < 0.02
    assert share.sum() / 16 == pytest.approx(code.modules.sum() * 1.137**2, rel=1e-4)


def test_a_code_rotated_by_almost_nothing_has_the_pixels_of_an_upright_one(code):
    view = drawing.View(1.5, (21.0, 22.0))
    upright = drawing.dark_share(code.modules, view, (44, 44), 4)
    turned = drawing.dark_share(code.modules, drawing.View(1.5, (21.0, 22.0), angle=1e-9), (44, 44), 4)
    assert np.abs(upright - turned).mean() < 0.02


def test_lr_without_damage_is_the_box_mean_of_hr():
    undamaged = options.Options(blur=0, noise=0, jpeg=0)
    lr, hr = batches.Codes(crop=64, batch=6, seed=3, options=undamaged)(5)
    assert lr.shape == (6, 16, 16, 3) and hr.shape == (6, 64, 64, 3) and lr.dtype == hr.dtype == np.uint8
    for small, large in zip(lr, hr):
        assert np.abs(box_mean(large, 4) - small).max() <= 0.5


def test_damage_changes_neither_hr_nor_the_position_of_lr(code):
    view = drawing.View(2.0, (40.0, 40.0), angle=10)
    rng = np.random.default_rng(0)
    clean = drawing.picture_of(code.modules, view, (80, 80))
    damaged = drawing.picture_of(code.modules, view, (80, 80), damage=Damage(blur=0.6, noise=8.0, jpeg=(80,)), rng=rng)
    assert np.array_equal(clean[1], damaged[1])
    off = damaged[0].astype(float) - clean[0]
    assert 5 < np.sqrt((off**2).mean()) < 60 and abs(off.mean()) < 2
    moved = [np.mean((np.roll(damaged[0], by, 1).astype(float) - clean[0]) ** 2) for by in (-1, 0, 1)]
    assert np.argmin(moved) == 1


def test_a_batch_depends_on_its_seed_and_number_alone():
    one, same, other = (batches.Codes(crop=32, batch=3, seed=seed) for seed in (7, 7, 8))
    for n in (0, 4):
        for a, b in zip(one(n), same(n)):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one(0)[1], one(1)[1]) and not np.array_equal(one(0)[1], other(0)[1])
    for whole, part in zip(one(2), one(2, slice(1, 3))):
        np.testing.assert_array_equal(whole[1:3], part)
    dataset = [[x.numpy() for x in batch] for batch in one.dataset(3).take(2)]
    one.close()
    for n, batch in zip((3, 4), dataset):
        for a, b in zip(batch, one(n)):
            np.testing.assert_array_equal(a, b)


def test_no_crop_is_mirrored():
    """Scanners read mirrored codes too, so the geometry itself is tested."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        view = batches._changed_view(rng, drawing.View(1.0, (0.0, 0.0)), 30, options.Options())
        assert np.linalg.det(view.matrix) > 0.9
    modules = np.zeros((21, 21), bool)
    marked = [(0, 0), (20, 0), (5, 2)]
    modules[tuple(zip(*marked))] = True
    view = drawing.View(2.0, (40.0, 40.0), angle=30, shear=0.1, zoom=1.1)
    share = drawing.dark_share(modules, view, (80, 80), 4)

    def middle(row, column):
        y, x = 4 * (view.matrix @ (np.array([row, column]) + 0.5 - 10.5) + 40)
        return share[int(y), int(x)]

    assert [middle(*at) for at in marked] == [1, 1, 1]
    assert [middle(column, row) for row, column in marked[1:]] == [0, 0]


def test_codes_of_all_versions_and_levels_scan_at_full_size():
    scanners = readers.load_readers()
    seen, texts = set(), set()
    for sample in evaluation.samples(64):
        seen.add((sample.code.version, sample.code.level))
        texts.add(sample.code.text.partition(":")[0])
        assert scanners["zxing-cpp"](sample.hr) == [sample.code.text], sample.number
        assert sample.hr.shape[0] == 4 * sample.lr.shape[0]
    assert {version for version, _ in seen} == set(codes.VERSIONS) and {level for _, level in seen} == set(codes.LEVELS)
    assert {"https", "MECARD", "BEGIN"} <= texts


def test_another_text_counts_as_wrong():
    assert [evaluation.outcome(texts, "a") for texts in ([], ["a"], ["a", "a"], ["b"], ["a", "b"])] == [
        "unread",
        "read",
        "read",
        "wrong",
        "wrong",
    ]


def test_rates_count_the_codes_that_each_method_makes_readable():
    """All codes are read from HR, and none from another code, which counts as wrong."""
    hr = {sample.lr.tobytes(): sample.hr for sample in evaluation.samples(16)}
    other = np.kron(np.pad(~codes.make_code("another").modules, 4, constant_values=True), np.ones((8, 8)))
    other = np.repeat((255 * other).astype(np.uint8)[..., None], 3, 2)
    seen = []
    results = evaluation.evaluate(
        {"perfect": lambda lr: hr[lr.tobytes()], "liar": lambda lr: other},
        {"zxing-cpp": readers.load_readers()["zxing-cpp"]},
        count=16,
        seen=lambda *what: seen.append(what),
    )
    assert len(seen) == 32 and results["methods"] == ["LR", "bicubic", "Lanczos", "perfect", "liar", "HR"]
    for condition in results["conditions"].values():
        assert sum(size["codes"] for size in condition["sizes"]) == 16
        for size in condition["sizes"]:
            read = size["read"]["zxing-cpp"]
            assert (read["perfect"], read["HR"], read["liar"]) == (1, 1, 0)
            assert size["wrong"]["zxing-cpp"] == {**dict.fromkeys(results["methods"], 0), "liar": size["codes"]}
    table = evaluation.format_table(results)
    assert "read with another text: 16 of liar" in table
    assert "".join(["perfect".ljust(20), "100 %".rjust(14)]) in table


def test_a_model_is_trained_on_codes_and_scored(run_command, tmp_path):
    train = [
        "--dataset",
        "qr",
        "--smoke",
        "--phase",
        "srresnet",
        "--steps",
        "3",
        "--blocks",
        "1",
        "--features",
        "8",
        "--crop",
        "32",
        "--run_dir",
        str(tmp_path / "run"),
        "--cache_dir",
        str(tmp_path / "cache"),
        "--qr_options",
        "angle=20,pitch=1:3",
    ]
    status, _, err = run_command(train_command, *train)
    assert status == 0, err
    config = json.loads((tmp_path / "run" / "srresnet" / "config.json").read_text())
    assert config["train"]["source"] == "qr" and config["train"]["angle"] == 20 and config["train"]["pitch"] == [1, 3]
    status, _, err = run_command(train_command, *train[:-1], "angle=30")
    assert status == 2 and "other pictures (" in err and "angle 20.0, now 30.0" in err
    model = tmp_path / "run" / "srresnet" / "saved_model"
    evaluate = ["--qr", "--qr_codes", "9", "--model", model, "-o", tmp_path / "figures"]
    status, out, err = run_command(evaluate_command, *evaluate)
    assert status == 0, err
    assert "clean, read by zxing-cpp" in out and str(model) in out
    results = json.loads((tmp_path / "figures" / "results.json").read_text())
    assert results["codes"] == 9 and results["models"][str(model)]["scale"] == 4 and "readings" not in results
    with open(tmp_path / "figures" / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * 2 * 2 * 5
    assert {row["outcome"] for row in rows if (row["method"], row["reader"]) == ("HR", "zxing-cpp")} == {"read"}
    with Image.open(tmp_path / "figures" / "examples.png") as examples:
        assert examples.width > 5 * 136


@pytest.mark.parametrize(
    "program, wrong, said",
    [
        ("train", ["--dataset", "qr", "--data_dir", "."], "--data_dir"),
        ("train", ["--dataset", "qr", "--qr_options", "wobble=3"], "wobble"),
        ("train", ["--dataset", "qr", "--qr_options", "pitch=2"], "LOW:HIGH"),
        ("train", ["--qr_options", "angle=3"], "--dataset qr"),
        ("evaluate", ["--qr", "--set5"], "--set5"),
        ("evaluate", ["--qr_codes", "9"], "--qr_codes"),
        ("evaluate", ["--qr", "--model", "nonsense"], "nonsense"),
    ],
)
def test_a_mistake_gives_one_line(program, wrong, said, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / f"{program}.py"), *wrong], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "missing, arguments",
    [
        ("segno", ["train.py", "--dataset", "qr", "--smoke"]),
        ("zxingcpp", ["evaluate.py", "--qr"]),
        ("cv2", ["evaluate.py", "--qr"]),
    ],
)
def test_without_the_extra_the_error_names_it(missing, arguments, tmp_path):
    program = arguments[0].removesuffix(".py")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); " + WITHOUT.format(missing, arguments, program)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "pip install " in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_options_are_parsed_or_refused():
    assert options.parse_options("") == options.Options()
    assert options.parse_options("jpeg=80,hard=1:1.5").hard == (1.0, 1.5)
    for wrong in ("angle", "angle=x", "pitch=2:1", "noise=1:2", "contrast=2", "blur=-1", "pitch=1:nan"):
        with pytest.raises(UserError, match="--qr_options"):
            options.parse_options(wrong)


def test_the_shipped_model_makes_a_code_of_another_generator_readable(run_command, tmp_path, monkeypatch):
    """Drawn by zxing-cpp and downscaled by Pillow to 1.1 pixels a module, where bicubic does not make it readable."""
    import zxingcpp

    text = "WIFI:T:WPA;S:a net of another generator;P:correct horse battery;;"
    drawn = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image(scale=20)
    side = round(drawn.shape[0] / 20 * 1.1)
    small = Image.fromarray(np.array(drawn)).resize((side, side), Image.Resampling.BOX)
    small.save(tmp_path / "code.png")
    read = readers.load_readers()["zxing-cpp"]
    lr = np.asarray(small.convert("RGB"))
    assert not read(lr) and not read(evaluation.bicubic(lr))
    monkeypatch.chdir(tmp_path)
    assert run_command(upscale_command, "code.png", "--model", "qr")[0] == 0
    assert read(np.asarray(Image.open(tmp_path / "code_x4.png").convert("RGB"))) == [text]


def test_the_example_of_a_custom_data_set_trains(tmp_path):
    """The code of docs/qr.md with smaller batches and fewer steps."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "qr.md").read_text(encoding="utf-8"), re.S)[1]
    assert "steps=9000" in code and "crop=128, batch=6" in code
    code = code.replace("steps=9000", "steps=2").replace("crop=128, batch=6", "crop=64, batch=1")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "plates" / "saved_model" / "2" / "saved_model.pb").exists()
