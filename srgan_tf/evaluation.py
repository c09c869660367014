"""Methods x pictures x protocols: a table of figures beside the paper's."""
import functools
import json
import math
import os
import pathlib

import numpy as np

from srgan_tf import zoo
from srgan_tf.benchmarks import BENCHMARKS, read_pair
from srgan_tf.errors import UserError
from srgan_tf.metrics import PROTOCOLS, as_rgb, lr_consistency, score
from srgan_tf.resize import imresize

# Ledig et al. 2017, Table 2, scale 4: PSNR in dB, SSIM, mean opinion score. Compare with protocol `paper` only.
PAPER_TABLE2 = {
    "set5": {"nearest": (26.26, 0.7552, 1.28), "bicubic": (28.43, 0.8211, 1.97),
             "srresnet": (32.05, 0.9019, 3.37), "srgan": (29.40, 0.8472, 3.58)},
    "set14": {"nearest": (24.64, 0.7100, 1.20), "bicubic": (25.99, 0.7486, 1.80),
              "srresnet": (28.49, 0.8184, 2.98), "srgan": (26.02, 0.7397, 3.72)},
    "bsd100": {"nearest": (25.02, 0.6606, 1.11), "bicubic": (25.94, 0.6935, 1.47),
               "srresnet": (27.58, 0.7620, 2.29), "srgan": (25.16, 0.6688, 3.56)},
}
PAPER_SCALE = 4
TITLES = {"nearest": "nearest", "bicubic": "bicubic", "srresnet": "SRResNet", "srgan": "SRGAN"}


def evaluate(methods, sets, protocols=PROTOCOLS, *, scale=4, done=None):
    """Score methods on sets of pictures.

    Args:
        methods: a mapping of names to callables, uint8 [h, w, 3] LR -> uint8 [scale h, scale w, 3] SR.
        sets: a mapping of names to lists of `benchmarks.Pair`.
        protocols: some of `metrics.PROTOCOLS`.
        scale: of the sets; as many pixels are cut off each side before scoring.
        done: called without arguments after each picture, for a progress bar.

    Returns:
        A dict of plain values: `{"scale", "protocols", "methods", "sets": {SET: {"pictures": [{"name",
        "figures": {METHOD: FIGURES}}], "mean": {METHOD: FIGURES}}}}`, where FIGURES is `{PROTOCOL: {"psnr",
        "ssim"}, "lr_consistency"}`. Means are plain means of the pictures' figures; decibels may be infinite.

    Raises:
        UserError: for a picture that cannot be read or does not fit its partner.
    """
    results = {"scale": scale, "protocols": list(protocols), "methods": list(methods), "sets": {}}
    for name, pairs in sets.items():
        pictures = []
        for pair in pairs:
            hr, lr = read_pair(pair, scale)
            figures = {m: score_sr(hr, lr, method(as_rgb(lr)), protocols, scale) for m, method in methods.items()}
            pictures.append({"name": pair.name, "figures": figures})
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


def load_method(name, scale=4):
    """The callable, LR -> SR, of a name: a baseline, or a network as an `upscaling.Upscaler`.

    Raises:
        UserError: for a model that is not found or of another scale.
    """
    folder = find_model(name, scale)
    if folder is None:
        return functools.partial(BASELINES[name], scale=scale)
    from srgan_tf.upscaling import Upscaler  # loads TensorFlow, which the baselines do without
    return Upscaler(str(folder))


def find_model(name, scale=4):
    """The folder of the network that a name means, None for a baseline; nothing is loaded.

    Raises:
        UserError: for a model that is not found or of another scale.
    """
    if name in BASELINES:
        return None
    try:
        folder = zoo.resolve(name, scale)
    except UserError as error:
        raise UserError(f"{error}; or {' or '.join(BASELINES)}") from None
    found = zoo.attributes(folder)["scale"]
    if found != scale:
        raise UserError(f"{name} enlarges {found} times, the pictures are for {scale}, --model, give --scale {found} "
                        "or another model")
    return folder


def bicubic(lr, scale=4):
    """MATLAB's imresize with the border that the sets' LR files were made with: uint8 [h, w] or [h, w, C]."""
    return imresize(lr, scale, edge="repeat")


def nearest(lr, scale=4):
    """Each pixel repeated scale x scale times: uint8 [h, w] or [h, w, C]."""
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


BASELINES = {"nearest": nearest, "bicubic": bicubic}


def as_grey(image):
    """The rounded mean of three channels: uint8 [H, W, 3] -> [H, W]; [H, W] as it is."""
    return image if image.ndim == 2 else np.rint(image.mean(axis=-1)).astype(np.uint8)


def format_table(results):
    """The means as plain text: a block a set, a row a method, the paper's row below its own.

    The paper's figures stand in the column of protocol `paper` and nowhere else: the others are not comparable.
    """
    return "\n\n".join(_block(results, name) for name in results["sets"])


def write_json(results, path):
    """Write everything, per picture, as strict JSON; an infinite figure becomes null.

    The file appears whole or not at all.

    Raises:
        UserError: when it cannot be written.
    """
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(json.dumps(_finite(results), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(f"the figures cannot be written ({error.strerror}), --json {path}, name a file in a folder "
                        "that exists and is yours") from error


def _mean(figures):
    """The mean of dicts of one shape, value by value."""
    first = figures[0]
    if isinstance(first, dict):
        return {key: _mean([f[key] for f in figures]) for key in first}
    return sum(figures) / len(figures)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _block(results, name):
    protocols, pictures = results["protocols"], results["sets"][name]["pictures"]
    rows = _rows(results, name)
    width = max(24, *(len(label) for label, _ in rows))
    title, _ = BENCHMARKS.get(name, (name, None))
    lines = [f"{title}: {len(pictures)} pictures, scale {results['scale']}",
             " " * width + "".join(f"{p:>18}" for p in protocols) + "    LR consistency",
             " " * width + "      PSNR    SSIM" * len(protocols) + "              PSNR"]
    lines += [f"{label:<{width}}" + "".join(cells).rstrip() for label, cells in rows]
    return "\n".join(line.rstrip() for line in lines)


def _rows(results, name):
    """Labels and cells: our methods, each with the paper's row below, then the paper's other rows."""
    protocols, means = results["protocols"], results["sets"][name]["mean"]
    comparable = results["scale"] == PAPER_SCALE and "paper" in protocols
    paper = dict(PAPER_TABLE2.get(name, {})) if comparable else {}
    rows = []
    for method_name, figures in means.items():
        cells = [_cell(**figures[p]) for p in protocols]
        rows.append((method_name, cells + [f"{figures['lr_consistency']:18.2f}"]))
        named = method_name.removesuffix(f"_x{PAPER_SCALE}")
        if named in paper:
            rows.append(_paper_row(named, paper.pop(named), protocols))
    return rows + [_paper_row(other, figures, protocols) for other, figures in paper.items()]


def _paper_row(method_name, figures, protocols):
    psnr, ssim, _ = figures
    return f"  paper's {TITLES[method_name]}", [_cell(psnr, ssim) if p == "paper" else " " * 18 for p in protocols]


def _cell(psnr, ssim):
    return f"{psnr:10.2f}{ssim:8.4f}"
