"""Methods x pictures x protocols: a table of figures beside the paper's, and files with every picture's."""

import concurrent.futures
import functools
import os

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets
from srgan_tf.evaluation.channels import as_grey, as_rgb
from srgan_tf.evaluation.metrics import PROTOCOLS, lr_consistency, score
from srgan_tf.resize import imresize
from srgan_tf.saved_models import zoo

AT_ONCE = 4_000_000  # HR pixels up to which all methods are scored at once: each takes some 160 bytes a pixel


def evaluate(methods, sets, protocols=PROTOCOLS, *, scale=4, features=None, done=None, seen=None):
    """Score methods on sets of pictures.

    Args:
        methods: a mapping of names to callables, uint8 [h, w, 3] LR -> uint8 [scale h, scale w, 3] SR.
        sets: a mapping of names to lists of `benchmark_sets.Pair`.
        protocols: some of `metrics.PROTOCOLS`.
        scale: of the sets; as many pixels are cut off each side before scoring.
        features: from `load_vgg54`, for a VGG54 distance too.
        done: called without arguments after each picture, for a progress bar.
        seen: called with the set's name, the picture's, HR, LR and a dict of SR by method, for a page that shows
            them.

    Returns:
        A dict of plain values: `{"scale", "protocols", "methods", "vgg54", "sets": {SET: {"pictures": [{"name",
        "figures": {METHOD: FIGURES}}], "mean": {METHOD: FIGURES}}}}`, where FIGURES is `{PROTOCOL: {"psnr",
        "ssim"}, "lr_consistency"}`, and `"vgg54"` with `features`. Means are plain means of the pictures' figures;
        decibels may be infinite.

    Raises:
        UserError: for a picture that cannot be read or does not fit its partner.
    """
    results = {
        "scale": scale,
        "protocols": list(protocols),
        "methods": list(methods),
        "vgg54": features is not None,
        "sets": {},
    }
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, pairs in sets.items():
            pictures = []
            for pair in pairs:
                hr, lr = benchmark_sets.read_pair(pair, scale)
                srs = {m: method(as_rgb(lr)) for m, method in methods.items()}
                run = pool.map if hr.shape[0] * hr.shape[1] <= AT_ONCE else map
                figures = dict(zip(srs, run(lambda sr: score_sr(hr, lr, sr, protocols, scale), srs.values())))
                if features:
                    _add_vgg54(figures, hr, srs, features)
                pictures.append({"name": pair.name, "figures": figures})
                if seen:
                    seen(name, pair.name, hr, lr, srs)
                if done:
                    done()
            mean = {m: _mean([p["figures"][m] for p in pictures]) for m in methods}
            results["sets"][name] = {"pictures": pictures, "mean": mean}
    return results


def score_sr(hr, lr, sr, protocols=PROTOCOLS, scale=4):
    """Figures of one SR picture: `{PROTOCOL: {"psnr", "ssim"}, "lr_consistency"}`, in dB, SSIM and dB.

    Args:
        hr, lr: uint8, [H, W, 3], or [H, W] for a grey file.
        sr: uint8 [H, W, 3]. Where HR and LR are grey, the rounded mean of its channels is scored under `bt601`,
            as the literature does with the grey picture of Set14.
    """
    figures = {}
    for protocol in protocols:
        grey = protocol == "bt601" and hr.ndim == lr.ndim == 2
        psnr, ssim = score(hr, as_grey(sr) if grey else sr, protocol, border=scale)
        figures[protocol] = {"psnr": psnr, "ssim": ssim}
    figures["lr_consistency"] = lr_consistency(lr, sr)
    return figures


def load_vgg54(weights):
    """The features that VGG54 distances are measured in (section 2.2.1): uint8 [H, W, 3] -> float32 [h, w, 512].

    Args:
        weights: the path of a Keras VGG19 notop .h5 file, or "imagenet".

    Raises:
        UserError: when they cannot be had.
    """
    from srgan_tf.networks import losses

    vgg = losses.vgg_model("vgg54", weights)

    def features(image):
        picture = image[None].astype(np.float32) / 127.5 - 1
        return np.asarray(losses.vgg_features(vgg, picture))[0]

    return features


def load_method(name, scale=4):
    """The callable, LR -> SR, of a name: a baseline, or a network as an `upscaler.Upscaler`.

    Raises:
        UserError: for a model that is not found or of another scale.
    """
    folder = find_model(name, scale)
    if folder is None:
        return functools.partial(BASELINES[name], scale=scale)
    from srgan_tf.upscaling.upscaler import Upscaler  # loads TensorFlow, which the baselines do without

    return Upscaler(str(folder), precision="float32")  # figures that any machine repeats


def find_model(name, scale=4):
    """The folder of the network that a name means, None for a baseline; nothing is loaded.

    Raises:
        UserError: for a model that is not found or of another scale.
    """
    if name in BASELINES:
        return None
    try:
        folder = zoo.resolve(name, scale if f"{name}_x{scale}" in zoo.shipped() else None)
    except UserError as error:
        raise UserError(f"{error}; or {' or '.join(BASELINES)}") from None
    found = zoo.attributes(folder)["scale"]
    if found != scale:
        raise UserError(
            f"{name} enlarges {found} times, the pictures are for {scale}, --model, give --scale {found} "
            "or another model"
        )
    return folder


def bicubic(lr, scale=4):
    """MATLAB's imresize with the border that the sets' LR files were made with: uint8 [h, w] or [h, w, C]."""
    return imresize(lr, scale, edge="repeat")


def nearest(lr, scale=4):
    """Each pixel repeated scale x scale times: uint8 [h, w] or [h, w, C]."""
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


BASELINES = {"nearest": nearest, "bicubic": bicubic}


def _mean(figures):
    """The mean of dicts of one shape, value by value."""
    first = figures[0]
    if isinstance(first, dict):
        return {key: _mean([f[key] for f in figures]) for key in first}
    return sum(figures) / len(figures)


def _add_vgg54(figures, hr, srs, features):
    original = features(as_rgb(hr))
    for method, sr in srs.items():
        figures[method]["vgg54"] = float(np.mean(np.square(features(sr) - original)))
