"""The public API, as a user imports it."""

import dataclasses
import inspect
import re
import shlex
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import srgan_tf
from helpers import ROOT, lpips
from srgan_tf.errors import UserError
from srgan_tf.networks.pixels import to_lr, to_uint8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of three HR images of 64 x 48 pixels, as a test set and as training data."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "HR").mkdir()
    y, x = np.mgrid[:48, :64]
    for i in range(3):
        waves = [127 + 120 * np.sin(x * 0.1 * (i + 1) + y * 0.07 * c) for c in (1, 2, 3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(folder / "HR" / f"{i}.png")
    return folder


def test_import_does_not_load_tensorflow_and_dir_lists_the_public_names():
    code = (
        "import sys, srgan_tf; assert not {'tensorflow', 'keras', 'numpy'} & sys.modules.keys();"
        "assert dir(srgan_tf) == sorted(srgan_tf.__all__);"
        "assert not {'tensorflow', 'keras', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_reference_is_generated_and_its_links_lead_somewhere(tmp_path):
    """By the command in docs/api.md."""
    pytest.importorskip("pdoc", reason="needs pdoc: pip install pdoc")
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    command = shlex.split(
        re.search(r"^python (-m pdoc .*)$", page, re.MULTILINE)[1].replace("reference", str(tmp_path))
    )
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Warn:" not in done.stderr and "Error" not in done.stderr, done.stderr
    ids = {path: set(re.findall(r'id="([^"]+)"', path.read_text())) for path in tmp_path.rglob("*.html")}
    assert set(srgan_tf.__all__) - {"losses", "models"} <= ids[tmp_path / "srgan_tf.html"]
    assert {"vgg_loss", "adversarial"} <= ids[tmp_path / "srgan_tf" / "networks" / "losses.html"]
    for path in ids:
        for link in re.findall(r'href="([^"$]*)"', path.read_text()):
            file, _, anchor = link.partition("#")
            if not file.startswith("http"):
                target = (path.parent / file).resolve() if file else path
                assert target.exists() and (not anchor or anchor in ids[target]), f"{path.name}: {link}"


@pytest.mark.parametrize("name", srgan_tf.__all__)
def test_every_public_name_exists_and_is_documented(name):
    found = getattr(srgan_tf, name)
    if name not in ("__version__", "RECIPES"):
        assert inspect.getdoc(found)
    assert f"`{name}" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'upscaler'"):
        srgan_tf.upscaler  # noqa: B018


@pytest.mark.parametrize("function", ["load", "train", "evaluate"])
def test_public_functions_have_type_hints(function):
    signature = inspect.signature(getattr(srgan_tf, function))
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert (ROOT / "srgan_tf" / "py.typed").is_file()


def test_load_returns_the_keras_model_with_the_shipped_weights():
    model = srgan_tf.load("srresnet")
    assert isinstance(model, keras.Model) and model.count_params() == 1_552_771
    small = np.random.default_rng(0).integers(0, 256, (1, 13, 17, 3)).astype(np.uint8)
    sr = np.asarray(model(to_lr(small), training=False))
    assert sr.shape == (1, 52, 68, 3) and sr.min() < -0.5 and sr.max() > 0.5
    expected = srgan_tf.Upscaler("srresnet", precision="float32")(small[0]).astype(int)
    np.testing.assert_allclose(np.asarray(to_uint8(sr))[0], expected, atol=1)


def test_load_refuses_an_unknown_model():
    with pytest.raises(UserError, match="nothing"):
        srgan_tf.load("nothing")


def test_train_trains_continues_and_returns_what_load_takes(pictures, tmp_path):
    recipe = dataclasses.replace(
        srgan_tf.RECIPES["fast"]["srresnet"], blocks=1, features=8, crop=32, batch=2, steps=2, warmup=0
    )
    others = shutil.copytree(pictures / "HR", tmp_path / "others")
    options = {"cache_dir": tmp_path / "cache", "validation_dir": others, "validate_every": 2}
    saved = srgan_tf.train(pictures / "HR", tmp_path / "run", recipe, **options)
    assert srgan_tf.load(saved).output_shape[-1] == 3
    again = srgan_tf.train(pictures / "HR", tmp_path / "run", dataclasses.replace(recipe, steps=3), **options)
    assert (saved.name, again.name) == ("2", "3")


def test_train_sets_its_own_precision_under_a_global_policy(pictures, tmp_path):
    recipe = dataclasses.replace(
        srgan_tf.RECIPES["fast"]["srresnet"], blocks=1, features=8, crop=32, batch=2, steps=1, warmup=0
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        saved = srgan_tf.train(pictures / "HR", tmp_path / "run", recipe, cache_dir=tmp_path / "cache")
    finally:
        keras.config.set_dtype_policy("float32")
    assert srgan_tf.load(saved).dtype_policy.name == "float32"


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"run_dir": "set/HR/run"}, "run_dir set/HR/run: inside data_dir"),
        ({"run_dir": "other/run", "validation_dir": "other"}, "run_dir other/run: inside validation_dir"),
        ({"data_dir": "none"}, "data_dir none: not a folder"),
        ({"validation_dir": "set/HR"}, "validation_dir set/HR: inside data_dir"),
        ({"validation_dir": "other", "lr_dir": "lr"}, "lr_dir: with validation_dir it needs validation_lr_dir"),
        ({"validation_lr_dir": "lr"}, "validation_lr_dir: has no effect without validation_dir"),
        ({"lr_dir": "lr", "recipe": {"degradation": "photo"}}, "lr_dir: not used, as degradation photo makes LR"),
        ({"recipe": {"degradation": "foto"}}, "degradation: 'foto' is unknown"),
        ({"recipe": {"freeze_norm": "start"}}, "freeze_norm start: it starts from trained weights"),
        ({"recipe": {"phase": "srgan", "small_crop": 32}}, "discriminator paper: it accepts crops of one size only"),
        ({"init": "nope"}, "init nope: "),
        ({"vgg_weights": "nope.h5"}, "vgg_weights nope.h5: no such file"),
    ],
    ids=str,
)
def test_train_refuses_what_does_not_fit_before_it_writes_anything(pictures, tmp_path, monkeypatch, wrong, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").symlink_to(pictures)
    for name in ("other", "lr"):
        (tmp_path / name).mkdir()
    options = {"data_dir": "set/HR", "run_dir": "run", "cache_dir": "cache", **wrong}
    options["recipe"] = dataclasses.replace(srgan_tf.RECIPES["paper"]["srresnet"], **wrong.get("recipe", {}))
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        srgan_tf.train(**options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr", "other", "set"]
    assert not (pictures / "HR" / "run").exists() and not list((tmp_path / "other").iterdir())


def test_evaluate_scores_names_keras_models_and_functions_alike(pictures, small_model):
    loaded = srgan_tf.load(small_model)
    results = srgan_tf.evaluate(
        {
            "bicubic": "bicubic",
            "path": str(small_model),
            "keras": loaded,
            "mine": lambda lr: lr.repeat(4, 0).repeat(4, 1),
        },
        data_dir=pictures,
        protocols=["rgb"],
    )
    [found] = results["sets"].values()
    psnr = {label: figures["rgb"]["psnr"] for label, figures in found["mean"].items()}
    assert psnr["keras"] == pytest.approx(psnr["path"], abs=0.01)
    assert psnr["mine"] < psnr["bicubic"]
    [nearest] = srgan_tf.evaluate("nearest", data_dir=pictures, protocols=["rgb"])["sets"].values()
    assert nearest["mean"]["nearest"]["rgb"]["psnr"] == pytest.approx(psnr["mine"])


def test_evaluate_refuses_a_result_of_another_size_and_a_model_without_a_label(pictures):
    for model in (srgan_tf.srresnet(2, blocks=0, features=4), lambda lr: lr):
        with pytest.raises(UserError, match=r"result has shape .*, not \(48, 64, 3\). Give a model of scale 4"):
            srgan_tf.evaluate(model, data_dir=pictures)
    with pytest.raises(ValueError, match="A list of models must contain names"):
        srgan_tf.evaluate(["bicubic", lambda lr: lr], data_dir=pictures)


def test_evaluate_takes_the_metrics_of_the_command(pictures, tmp_path):
    weights = lpips.write_random_weights(tmp_path / "alexnet.ckpt")
    results = srgan_tf.evaluate("bicubic", data_dir=pictures, metrics=["ssim", "lpips"], lpips_weights=weights)
    one = srgan_tf.evaluate("bicubic", data_dir=pictures, metrics="ssim", protocols="rgb")
    assert one["metrics"] == ["ssim"] and one["protocols"] == ["rgb"]
    [found] = results["sets"].values()
    assert found["mean"]["bicubic"]["lpips"] > 0 and found["mean"]["bicubic"]["rgb"].keys() == {"ssim"}
    with pytest.raises(ValueError, match="vgg_weights"):
        srgan_tf.evaluate("bicubic", data_dir=pictures, metrics=["vgg54"])


def test_evaluate_asks_for_a_test_set():
    with pytest.raises(ValueError, match="data_dir"):
        srgan_tf.evaluate("bicubic")
    with pytest.raises(ValueError, match="sets must be some of .*Received: 'Set5'"):
        srgan_tf.evaluate("bicubic", sets="Set5")
