"""The share of codes that scanners can read: codes x methods x readers, by pixels per module."""

import collections
import concurrent.futures
import csv
import functools
import io
import os
import pathlib

import numpy as np
from PIL import Image

from srgan_tf.evaluation.evaluate import bicubic
from srgan_tf.evaluation.results import write_json, write_text
from srgan_tf.images.degradation import Damage
from srgan_tf.qr import codes
from srgan_tf.qr.drawing import picture_of, whole_view

SIZES = (0.80, 0.95, 1.05, 1.20, 1.30, 1.40, 1.50, 1.60, 2.00)  # LR pixels per module, limits of the columns
CODES = 504  # 63 for each column
CONDITIONS = {  # rotation to either side, degrees; damage of LR
    "clean": (0.0, Damage()),
    "degraded": (10.0, Damage(blur=0.6, noise=8.0)),
}

Sample = collections.namedtuple("Sample", "number condition code pitch lr hr")


def samples(count=CODES, scale=4):
    """Yield black codes on white with a fixed seed, each clean and then degraded, as `Sample`s.

    LR is uint8 [h, w, 3] with a quiet zone of 4 modules, HR the same code without damage, uint8 [scale h, scale w, 3].
    The sizes cycle through the columns of the table.
    """
    for number in range(count):
        rng = codes.held_back("evaluation", number)
        code = codes.random_code(rng)
        low, high = _columns()[number % len(_columns())]
        pitch = rng.uniform(low, high)
        for condition, (angle, damage) in CONDITIONS.items():
            view, size = whole_view(rng, len(code.modules), pitch, angle * rng.choice((-1, 1)))
            lr, hr = picture_of(code.modules, view, size, scale=scale, damage=damage, rng=rng)
            yield Sample(number, condition, code, pitch, lr, hr)


def evaluate(networks, readers, *, count=CODES, scale=4, done=None, seen=None):
    """Read codes after they are upscaled by each method.

    Args:
        networks: a mapping of names to callables, uint8 [h, w, 3] LR -> uint8 [scale h, scale w, 3] SR; LR itself,
            bicubic, Lanczos and HR are read too.
        readers: from `readers.load_readers`.
        count: of codes, each clean and degraded.
        done: called without arguments after each picture, for a progress bar.
        seen: called with the `Sample`, a dict of pictures by method and a dict of the first reader's texts by method.

    Returns:
        A dict of plain values: `{"scale", "codes", "readers", "methods", "conditions": {CONDITION: {"rotation",
        "blur", "noise", "sizes": [{"from", "to", "codes", "read": {READER: {METHOD: SHARE}}, "wrong": {READER:
        {METHOD: COUNT}}}]}}, "readings": [{"code", "condition", "pitch", "version", "level", "method", "reader",
        "outcome"}]}`. `read` is the share of codes in which the reader found the encoded text and no other, `wrong`
        counts those in which it found another text.
    """
    methods = {
        "LR": None,
        "bicubic": functools.partial(bicubic, scale=scale),
        "Lanczos": functools.partial(lanczos, scale=scale),
        **networks,
        "HR": None,
    }
    readings = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample in samples(count, scale):
            pictures = {
                name: method(sample.lr) if method else {"LR": sample.lr, "HR": sample.hr}[name]
                for name, method in methods.items()
            }
            for i, (reader, read) in enumerate(readers.items()):
                texts = dict(zip(methods, pool.map(read, pictures.values())))
                readings += [_reading(sample, method, reader, found) for method, found in texts.items()]
                if seen and i == 0:
                    seen(sample, pictures, texts)
            if done:
                done()
    conditions = {
        name: {
            "rotation": angle,
            "blur": damage.blur,
            "noise": damage.noise,
            "sizes": [_column(low, high, name, readings, methods, readers) for low, high in _columns()],
        }
        for name, (angle, damage) in CONDITIONS.items()
    }
    return {
        "scale": scale,
        "codes": count,
        "readers": list(readers),
        "methods": list(methods),
        "conditions": conditions,
        "readings": readings,
    }


def lanczos(lr, scale=4):
    """Pillow's Lanczos filter: uint8 [h, w, 3] -> uint8 [scale h, scale w, 3]."""
    height, width = lr.shape[:2]
    return np.asarray(Image.fromarray(lr).resize((scale * width, scale * height), Image.Resampling.LANCZOS))


def format_table(results):
    """The shares as plain text, in percent: a table for each condition and reader, methods x sizes."""
    blocks, width = [], max(20, 2 + max(map(len, results["methods"])))
    for name, condition in results["conditions"].items():
        sizes = [size for size in condition["sizes"] if size["codes"]]
        for reader in results["readers"]:
            head = [f"{size['from']:.2f} to {size['to']:.2f}" for size in sizes]
            counts = [f"{size['codes']} code{'s' * (size['codes'] != 1)}" for size in sizes]
            rows = [
                (method, [f"{100 * size['read'][reader][method]:.0f} %" for size in sizes])
                for method in results["methods"]
            ]
            wrong = {method: sum(size["wrong"][reader][method] for size in sizes) for method in results["methods"]}
            lines = [f"{_condition_title(name, condition)}, read by {reader}, by LR pixels a module"]
            lines += [
                f"{label:<{width}}" + "".join(f"{cell:>14}" for cell in cells)
                for label, cells in (("", head), ("", counts), *rows)
            ]
            wrong_texts = ", ".join(f"{count} of {method}" for method, count in wrong.items() if count) or "none"
            blocks.append("\n".join(lines + [f"read with another text: {wrong_texts}"]))
    return "\n\n".join(blocks)


def write_results(results, folder):
    """Write `results.json`, the shares, and `results.csv`, a row for each reading.

    Raises:
        UserError: if they cannot be written.
    """
    folder = pathlib.Path(folder)
    write_json({key: value for key, value in results.items() if key != "readings"}, folder / "results.json")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(results["readings"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(results["readings"])
    write_text(folder / "results.csv", text.getvalue())


def outcome(texts, text):
    """ "read" if the text and no other was found, "unread" if none was, otherwise "wrong"."""
    return "unread" if not texts else "read" if set(texts) == {text} else "wrong"


def _reading(sample, method, reader, texts):
    return {
        "code": sample.number,
        "condition": sample.condition,
        "pitch": round(sample.pitch, 4),
        "version": sample.code.version,
        "level": sample.code.level,
        "method": method,
        "reader": reader,
        "outcome": outcome(texts, sample.code.text),
    }


def _columns():
    return list(zip(SIZES, SIZES[1:]))


def _column(low, high, condition, readings, methods, readers):
    """One column of a condition: the number of its codes and of the outcomes."""
    mine = [r for r in readings if r["condition"] == condition and low <= r["pitch"] < high]
    found = collections.Counter((r["reader"], r["method"], r["outcome"]) for r in mine)
    count = len({r["code"] for r in mine})

    def of(result):
        return {reader: {method: found[reader, method, result] for method in methods} for reader in readers}

    shares = {
        reader: {method: n / count if count else None for method, n in by.items()} for reader, by in of("read").items()
    }
    return {"from": low, "to": high, "codes": count, "read": shares, "wrong": of("wrong")}


def _condition_title(name, condition):
    if not condition["rotation"]:
        return name
    return (
        f"{name} (rotated by {condition['rotation']:g} degrees, blur of {condition['blur']:g} pixels, noise of "
        f"{condition['noise']:g} grey levels)"
    )
