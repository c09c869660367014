"""Methods x pictures x protocols: a table of figures beside the paper's, and files with every picture's."""
import concurrent.futures
import csv
import datetime
import functools
import hashlib
import importlib.metadata
import io
import json
import math
import os
import pathlib
import platform
import tempfile

import numpy as np

from srgan_tf.evaluation import benchmark_sets
from srgan_tf.saved_models import zoo
from srgan_tf.errors import UserError
from srgan_tf.evaluation.metrics import PROTOCOLS, as_rgb, lr_consistency, score
from srgan_tf.resize import imresize

# Ledig et al. 2017, Table 2, scale 4: PSNR in dB, SSIM, mean opinion score. Compare with protocol `paper` only.
PAPER_TABLE2 = {
    "set5": {"nearest": (26.26, 0.7552, 1.28), "bicubic": (28.43, 0.8211, 1.97), "srcnn": (30.07, 0.8627, 2.57),
             "selfexsr": (30.33, 0.872, 2.65), "drcn": (31.52, 0.8938, 3.26), "espcn": (30.76, 0.8784, 2.89),
             "srresnet": (32.05, 0.9019, 3.37), "srgan": (29.40, 0.8472, 3.58)},
    "set14": {"nearest": (24.64, 0.7100, 1.20), "bicubic": (25.99, 0.7486, 1.80), "srcnn": (27.18, 0.7861, 2.26),
              "selfexsr": (27.45, 0.7972, 2.34), "drcn": (28.02, 0.8074, 2.84), "espcn": (27.66, 0.8004, 2.52),
              "srresnet": (28.49, 0.8184, 2.98), "srgan": (26.02, 0.7397, 3.72)},
    "bsd100": {"nearest": (25.02, 0.6606, 1.11), "bicubic": (25.94, 0.6935, 1.47), "srcnn": (26.68, 0.7291, 1.87),
               "selfexsr": (26.83, 0.7387, 1.89), "drcn": (27.21, 0.7493, 2.12), "espcn": (27.02, 0.7442, 2.01),
               "srresnet": (27.58, 0.7620, 2.29), "srgan": (25.16, 0.6688, 3.56)},
}
PAPER_HR_MOS = {"set5": 4.32, "set14": 4.32, "bsd100": 4.46}  # the originals' row of the same table
PAPER_SCALE = 4
AT_ONCE = 4_000_000  # HR pixels up to which all methods are scored at once: each takes some 160 bytes a pixel
TITLES = {"nearest": "nearest", "bicubic": "bicubic", "srcnn": "SRCNN", "selfexsr": "SelfExSR", "drcn": "DRCN",
          "espcn": "ESPCN", "srresnet": "SRResNet", "srgan": "SRGAN"}
PACKAGES = ("srgan_tf", "tensorflow", "keras", "numpy", "pillow")


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
    results = {"scale": scale, "protocols": list(protocols), "methods": list(methods),
               "vgg54": features is not None, "sets": {}}
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


def provenance(command, models, sets, vgg_weights=None):
    """What it takes to repeat an evaluation, as a dict of plain values to be added to its results.

    Args:
        command: the command line.
        models: a mapping of method names to the folders of their networks; None for a baseline.
        sets: a mapping of names to lists of `benchmark_sets.Pair`.
        vgg_weights: the file of VGG19's weights, if any.
    """
    facts = {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": platform.platform(),
        "models": {name: zoo.attributes(folder) if folder else {} for name, folder in models.items()},
        "files": {name: benchmark_sets.fingerprint(pairs) for name, pairs in sets.items()},
    }
    if vgg_weights:
        facts["vgg_weights_sha256"] = hashlib.sha256(pathlib.Path(vgg_weights).read_bytes()).hexdigest()
    return facts


def claim(folder):
    """Make the folder of the figures and see that it can be written, before they are computed.

    Raises:
        UserError: when it cannot.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(_unwritable(error, folder)) from error


def write_results(results, folder):
    """Write `results.json`, all there is, and `results.csv`, a row for each picture and method.

    JSON has no infinity: null stands for it there. Each file appears whole or not at all.

    Raises:
        UserError: when they cannot be written.
    """
    folder = pathlib.Path(folder)
    write_json(results, folder / "results.json")
    write_text(folder / "results.csv", _csv(results))


def write_json(value, path):
    """Write plain values as strict JSON, whole or not at all; the folder is made.

    Raises:
        UserError: when it cannot be written.
    """
    write_text(pathlib.Path(path), json.dumps(finite(value), indent=1, allow_nan=False) + "\n")


def write_text(path, text):
    """Write a text file, whole or not at all; the folder is made.

    Raises:
        UserError: when it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(_unwritable(error, path)) from error


def finite(value):
    """The same plain values with None for what JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def label(name):
    """What a method is called beside the paper's: SRGAN for `srgan` and `srgan_x4`; a path as it is."""
    return TITLES.get(name.removesuffix(f"_x{PAPER_SCALE}"), name)


def set_title(name):
    """Set5 for `set5`; a set of one's own has its folder's name."""
    return benchmark_sets.BENCHMARKS.get(name, (name,))[0]


def paper_rows(name, scale):
    """The paper's figures of a set by method, {METHOD: (psnr, ssim, mos)}: empty where it has none."""
    return PAPER_TABLE2.get(name, {}) if scale == PAPER_SCALE else {}


def not_released(results, sets):
    """The names of those sets that stand beside the paper's figures while their files are not the released ones.

    Args:
        results: of `evaluate`.
        sets: a mapping of names to lists of `benchmark_sets.Pair`, as it got it.
    """
    return [name for name, pairs in sets.items() if "paper" in results["protocols"]
            and paper_rows(name, results["scale"]) and benchmark_sets.fingerprint(pairs)["released"] is False]


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


def _csv(results):
    protocols = results["protocols"]
    measures = [f"{protocol}_{measure}" for protocol in protocols for measure in ("psnr", "ssim")]
    rest = ["lr_consistency"] + ["vgg54"] * results["vgg54"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", "picture", "method", *measures, *rest])
    for name, found in results["sets"].items():
        for picture in found["pictures"]:
            for method, figures in picture["figures"].items():
                cells = [figures[protocol][measure] for protocol in protocols for measure in ("psnr", "ssim")]
                writer.writerow([name, picture["name"], method, *cells, *(figures[key] for key in rest)])
    return text.getvalue()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "checkout" if package == "srgan_tf" else None


def _block(results, name):
    protocols, pictures = results["protocols"], results["sets"][name]["pictures"]
    rows = _rows(results, name)
    width = max(24, *(len(row) for row, _ in rows))
    vgg54 = results["vgg54"]
    lines = [f"{set_title(name)}: {len(pictures)} pictures, scale {results['scale']}",
             " " * width + "".join(f"{p:>18}" for p in protocols) + "    LR consistency" + "     VGG54" * vgg54,
             " " * width + "      PSNR    SSIM" * len(protocols) + "              PSNR" + "  distance" * vgg54]
    lines += [f"{row:<{width}}" + "".join(cells) for row, cells in rows]
    return "\n".join(line.rstrip() for line in lines)


def _rows(results, name):
    """Labels and cells: our methods, each with the paper's row below, then the paper's other rows."""
    protocols, means = results["protocols"], results["sets"][name]["mean"]
    paper = dict(paper_rows(name, results["scale"])) if "paper" in protocols else {}
    rows = []
    for method_name, figures in means.items():
        cells = [_cell(**figures[p]) for p in protocols] + [f"{figures['lr_consistency']:18.2f}"]
        rows.append((method_name, cells + ([f"{figures['vgg54']:10.4f}"] if results["vgg54"] else [])))
        named = method_name.removesuffix(f"_x{PAPER_SCALE}")
        if named in paper:
            rows.append(_paper_row(named, paper.pop(named), protocols))
    return rows + [_paper_row(other, figures, protocols) for other, figures in paper.items()]


def _paper_row(method_name, figures, protocols):
    psnr, ssim, _ = figures
    return f"  paper's {TITLES[method_name]}", [_cell(psnr, ssim) if p == "paper" else " " * 18 for p in protocols]


def _cell(psnr, ssim):
    return f"{psnr:10.2f}{ssim:8.4f}"


def _unwritable(error, path):
    return f"the figures cannot be written ({error.strerror}), {path}, name a folder that is yours with --output"
