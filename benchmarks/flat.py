"""What happens to flat pictures: how far the colour shifts inside, and how far the edge deviates from the inside.

    python benchmarks/flat.py --model srgan --model srresnet --pad 0 --pad 8

The last line is one JSON object of grey levels, over nine colours: {MODEL: {PAD: {"largest_shift", "mean_shift",
"edge"}}}. A shift is the mean of a channel far from the edge minus its value in LR; `edge` has, for some distances from
the edge in pixels of the result, the largest deviation from the pixels at the centre. PAD: the picture is padded by
this many LR pixels of its edges before, and the result is cropped.

With `--set5 FOLDER` it also prints PSNR (paper protocol), SSIM and LPIPS of Set5 with each padding.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.evaluation import benchmark_sets, evaluate, measures  # noqa: E402
from srgan_tf.upscaling.upscaler import Upscaler  # noqa: E402

MODEL = flags.DEFINE_multi_string("model", ["srgan", "srresnet", "photo"], "A model, or a number for --fidelity.")
PAD = flags.DEFINE_multi_integer("pad", [0, 8], "LR pixels, repeatable.", lower_bound=0)
SET5 = flags.DEFINE_string("set5", None, "The folder that contains Set5/; needs the weights of LPIPS.")

SIDE = 48  # LR pixels
DISTANCES = (0, 4, 8, 16, 24, 32)
COLOURS = (
    *((255, 255, 255), (250, 250, 240), (240, 220, 190), (128, 128, 128), (20, 20, 20), (0, 0, 0)),
    *((200, 30, 30), (60, 120, 60), (30, 60, 180)),
)


def main(_):
    found = {}
    for name in MODEL.value:
        blend = name.replace(".", "", 1).isdigit()
        if blend and float(name) > 1:
            raise UserError(f"--model {name}: not from 0 to 1, as --fidelity is. Change it.")
        upscale = Upscaler(fidelity=float(name), precision="float32") if blend else Upscaler(name, precision="float32")
        found[name] = {pad: measured(padded(upscale, pad)) for pad in PAD.value}
        if SET5.value:
            methods = {f"{name}, pad {pad}": padded(upscale, pad) for pad in PAD.value}
            sets = {"Set5": benchmark_sets.load_pairs("set5", SET5.value)}
            metrics = ("psnr", "ssim", "lpips")
            loaded = measures.load(metrics)
            print(evaluate.evaluate(methods, sets, ["paper"], metrics=metrics, loaded=loaded)["sets"]["Set5"]["mean"])
    print(json.dumps(found))


def padded(upscale, pad):
    """`upscale` of a picture that is padded by its edge pixels, without the result of these."""

    def function(lr):
        large = upscale(np.pad(lr, ((pad, pad), (pad, pad), (0, 0)), "edge"))
        border = pad * upscale.scale
        return large[border : large.shape[0] - border, border : large.shape[1] - border]

    return function


def measured(function):
    shifts, edges = [], []
    for colour in COLOURS:
        large = function(np.full((SIDE, SIDE, 3), colour, np.uint8)).astype(float)
        side, scale = len(large), len(large) // SIDE
        third = slice(side // 3, side - side // 3)
        shifts.append(large[third, third].mean(axis=(0, 1)) - colour)
        middle = slice(side // 2 // scale * scale, (side // 2 // scale + 1) * scale)
        # the inside may repeat with the period of the scale
        deviation = np.abs(large - np.tile(large[middle, middle], (SIDE, SIDE, 1))).max(axis=2)
        nearest = np.minimum(np.arange(side), np.arange(side)[::-1])
        distance = np.minimum(nearest[:, None], nearest[None])
        edges.append([deviation[distance == d].max() for d in DISTANCES])
    return {
        "largest_shift": round(float(np.abs(shifts).max()), 1),
        "mean_shift": round(float(np.abs(shifts).mean()), 1),
        "edge": dict(zip(DISTANCES, np.max(edges, axis=0).astype(int).tolist())),
    }


if __name__ == "__main__":
    try:
        app.run(main)
    except UserError as error:
        sys.exit(f"error: {error}")
