"""Scoring: methods x images x metrics, and the methods that can be scored by name."""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets, measures
from srgan_tf.evaluation.channels import as_grey, as_rgb
from srgan_tf.evaluation.metrics import PROTOCOLS, lr_consistency, score
from srgan_tf.resize import imresize
from srgan_tf.saved_models import zoo

AT_ONCE = 4_000_000  # HR pixels up to which all methods are scored in parallel; each takes about 160 bytes per pixel


def evaluate(
    methods: Mapping[str, Callable],
    sets: Mapping[str, Sequence[benchmark_sets.Pair]],
    protocols: Sequence[str] = PROTOCOLS,
    *,
    scale: int = 4,
    metrics: Sequence[str] = measures.DEFAULT,
    loaded: Mapping[str, measures.Measure] | None = None,
    folders: Mapping | None = None,
    done: Callable | None = None,
    seen: Callable | None = None,
) -> dict:
    """Score methods on sets of images.

    Args:
        methods: a mapping of names to callables, uint8 [h, w, 3] LR -> uint8 [scale h, scale w, 3] SR.
        sets: a mapping of names to lists of `benchmark_sets.Pair`.
        protocols: some of `metrics.PROTOCOLS`, for PSNR and SSIM.
        scale: the scale of the sets. The same number of pixels is cropped at each side before scoring.
        metrics: some of `measures.METRICS`.
        loaded: the result of `measures.load`, for the metrics that need it.
        folders: a mapping of names to `result_folders.ResultFolder`, methods whose SR files exist already.
        done: called without arguments after each image, for a progress bar.
        seen: called with the name of the set, the name of the image, HR, LR and a dict of SR by method.

    Returns:
        A dict of plain values: `{"scale", "protocols", "metrics", "methods", "sets": {SET: {"pictures": [{"name",
        "figures": {METHOD: FIGURES}}], "mean": {METHOD: FIGURES}}}}`. FIGURES is `{PROTOCOL: {"psnr", "ssim"},
        "lpips", "niqe", "vgg54", "lr_consistency"}` without those that were not asked for. Means are over the images
        of the set; decibels may be infinite.

    Raises:
        UserError: for an image that cannot be read or does not match its counterpart.
    """
    folders, loaded = folders or {}, loaded or {}
    names = [*methods, *folders]
    by_protocol = any(measures.METRICS[metric].by_protocol for metric in metrics)
    results = {
        "scale": scale,
        "protocols": list(protocols) if by_protocol else [],
        "metrics": list(metrics),
        "methods": names,
        "sets": {},
    }
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for set_name, pairs in sets.items():
            pictures = []
            for pair in pairs:
                hr, lr = benchmark_sets.read_pair(pair, scale)
                srs = {name: method(as_rgb(lr)) for name, method in methods.items()}
                srs |= {name: folder.read(set_name, pair) for name, folder in folders.items()}
                run = pool.map if hr.shape[0] * hr.shape[1] <= AT_ONCE else map
                figures = dict(zip(srs, run(lambda sr: score_sr(hr, lr, sr, protocols, scale, metrics), srs.values())))
                for metric, measure in loaded.items():
                    compare = measure(as_rgb(hr))
                    for name, sr in srs.items():
                        figures[name][metric] = compare(as_rgb(sr))
                pictures.append({"name": pair.name, "figures": figures})
                if seen:
                    seen(set_name, pair.name, hr, lr, srs)
                if done:
                    done()
            mean = {name: _mean([p["figures"][name] for p in pictures]) for name in names}
            results["sets"][set_name] = {"pictures": pictures, "mean": mean}
    return results


def score_sr(
    hr: np.ndarray,
    lr: np.ndarray,
    sr: np.ndarray,
    protocols: Sequence[str] = PROTOCOLS,
    scale: int = 4,
    metrics: Sequence[str] = measures.DEFAULT,
) -> dict:
    """PSNR, SSIM and LR consistency of one SR image: `{PROTOCOL: {"psnr", "ssim"}, "lr_consistency"}`.

    Args:
        hr, lr: uint8, [H, W, 3], or [H, W] for a grey file.
        sr: uint8 [H, W, 3]. If HR and LR are grey, the rounded mean of its channels is scored under `bt601`, as
            published figures of Set14, which has a grey image, do.
        protocols, scale, metrics: as for `evaluate`.
    """
    figures = {}
    wanted = [metric for metric in ("psnr", "ssim") if metric in metrics]
    for protocol in protocols if wanted else ():
        grey = protocol == "bt601" and hr.ndim == lr.ndim == 2
        both = dict(zip(("psnr", "ssim"), score(hr, as_grey(sr) if grey else sr, protocol, border=scale)))
        figures[protocol] = {metric: both[metric] for metric in wanted}
    if "consistency" in metrics:
        figures["lr_consistency"] = lr_consistency(lr, sr)
    return figures


def load_method(name: str, scale: int = 4) -> Callable:
    """The method of a name, LR -> SR: a baseline, or a network as an `upscaler.Upscaler`.

    Raises:
        UserError: for a model that is not found or has another scale.
    """
    folder = find_model(name, scale)
    if folder is None:
        return functools.partial(BASELINES[name], scale=scale)
    from srgan_tf.upscaling.upscaler import Upscaler  # loads TensorFlow, which the baselines do not need

    return Upscaler(str(folder), precision="float32")  # reproducible on any machine


def find_model(name: str, scale: int = 4):
    """The folder of the network of a name, None for a baseline; nothing is loaded.

    Raises:
        UserError: for a model that is not found or has another scale.
    """
    if name in BASELINES:
        return None
    try:
        folder = zoo.resolve(name, scale if f"{name}_x{scale}" in zoo.shipped() else None)
    except UserError as error:
        raise UserError(f"{error} Baselines: {', '.join(BASELINES)}.") from None
    found = zoo.attributes(folder)["scale"]
    if found != scale:
        raise UserError(
            f"--model {name}: a model of scale {found}, but the images are of scale {scale}. "
            f"Give --scale {found}, or another model."
        )
    return folder


def bicubic(lr: np.ndarray, scale: int = 4) -> np.ndarray:
    """MATLAB's imresize, with the edges that the LR files of the sets were made with: uint8 [h, w] or [h, w, C]."""
    return imresize(lr, scale, edge="repeat")


def nearest(lr: np.ndarray, scale: int = 4) -> np.ndarray:
    """Each pixel repeated scale x scale times: uint8 [h, w] or [h, w, C]."""
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


BASELINES = {"nearest": nearest, "bicubic": bicubic}


def _mean(figures):
    """The mean of dicts of one shape, value by value."""
    first = figures[0]
    if isinstance(first, dict):
        return {key: _mean([f[key] for f in figures]) for key in first}
    return sum(figures) / len(figures)
