"""Remove the remaining grid pattern from a trained generator:

    python tools/degrid.py MODEL BASE PICTURES OUT

Trains MODEL to reproduce its own output (MSE) without the part that repeats every 2 or 4 pixels. That part is
measured in the difference between MODEL and BASE, the network from which MODEL was trained: as in benchmarks/grid.py,
the power at these points of the spectrum is compared with the power around them. `losses.grid` weights all points
equally and hardly affects those of fine detail, where the power is lowest (a thousandth at a period of 2 pixels in
both directions).

BASE and MODEL are model names or SavedModels, PICTURES is a folder of HR images, OUT is the new SavedModel.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from srgan_tf.networks import losses, models  # noqa: E402
from srgan_tf.networks.pixels import to_lr  # noqa: E402
from srgan_tf.saved_models import export, zoo  # noqa: E402
from srgan_tf.training.batches import Crops  # noqa: E402
from srgan_tf.training.datasets import Folder  # noqa: E402
from srgan_tf.training.store import open_store  # noqa: E402

SCALE, WARMUP = 4, 20
MEMORY = 0.98  # decay of the mean power around the points, which averages over some hundreds of crops
LUMA = (0.299, 0.587, 0.114)
POINTS = [(y, x) for y in range(SCALE) for x in range(SCALE) if y or x]  # periods of 4 and 2 pixels
AROUND = [
    (y, x) for y in range(-4, 5) for x in range(-4, 5) if max(abs(y), abs(x)) > 2
]  # not closer, because the window widens a peak


def spectrum(difference):
    """Power of differences [B, side, side, 3] at the points [15], around them [15], and of their mean [15]."""
    side = difference.shape[1]
    window = np.hanning(side + 1)[:-1]
    window = (window[:, None] * window).astype("float32")
    luma = tf.tensordot(difference, tf.constant(LUMA), 1)
    waves = tf.signal.fft2d(tf.cast((luma - tf.reduce_mean(luma, (1, 2), keepdims=True)) * window, tf.complex64))
    waves = tf.transpose(waves, (1, 2, 0))
    points = [(y * side // SCALE, x * side // SCALE) for y, x in POINTS]
    at = tf.gather_nd(waves, points)
    near = tf.gather_nd(waves, [[((y + v) % side, (x + u) % side) for v, u in AROUND] for y, x in points])
    return (
        tf.reduce_mean(tf.abs(at) ** 2, 1),
        tf.reduce_mean(tf.abs(near) ** 2, (1, 2)),
        tf.abs(tf.reduce_mean(at, 1)) ** 2,
    )


def loaded(name):
    network = models.srresnet(SCALE)
    models.load_named_weights(network, models.named_weights(export.restore(zoo.resolve(name))))
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "base", "pictures", "out"):
        parser.add_argument(name)
    parser.add_argument("--cache_dir", default="runs/cache")
    parser.add_argument(
        "--side", type=int, default=96, help="side of a crop in pixels; larger crops have a sharper spectrum"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--weight", type=float, default=1e-5)
    parser.add_argument(
        "--blend",
        type=float,
        default=1,
        help="weight of the trained weights in OUT, the rest are those of MODEL; 0.5 for the shipped SRGAN",
    )
    args = parser.parse_args()
    network, before, base = loaded(args.model), loaded(args.model), loaded(args.base)
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    usual = tf.Variable(tf.zeros(len(POINTS)))

    @tf.function
    def step(lr, rate, memory):
        lr = to_lr(lr)
        smooth, old = (frozen(lr, training=False) for frozen in (base, before))
        with tf.GradientTape() as tape:
            sr = network(lr, training=False)
            same = losses.mse(old, sr)
            at, near, mean = spectrum(tf.ensure_shape(sr - smooth, (None, args.side, args.side, 3)))
            usual.assign(memory * usual + (1 - memory) * near)
            goal = same + args.weight * tf.reduce_sum((at + mean) / tf.stop_gradient(usual))
        optimizer.learning_rate.assign(rate)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(goal, [v.value for v in variables]), variables)
        return same, at, spectrum(tf.ensure_shape(old - smooth, (None, args.side, args.side, 3)))[0]

    store = open_store(Folder(args.pictures, SCALE), SCALE, args.cache_dir)
    crops = Crops(store, crop=args.side, batch=args.batch, seed=0)
    recent = []
    for i, (lr, _) in enumerate(itertools.islice(crops.dataset(0), args.steps)):
        rate = args.rate * min(1, (i + 1) / WARMUP) * (1 + np.cos(np.pi * i / args.steps)) / 2
        recent.append(step(lr, tf.constant(rate, tf.float32), tf.constant(min(MEMORY, i / (i + 1)), tf.float32)))
        if (i + 1) % 50 == 0 or i + 1 == args.steps:
            same, now, then = (np.mean([values[k] for values in recent], axis=0) for k in range(3))
            above = [10 * np.log10(power / usual.numpy()).max() for power in (now, then)]
            print(
                f"step {i + 1}: MSE to MODEL {same:.2e}, highest peak {above[0]:.2f} dB, of MODEL {above[1]:.2f}",
                flush=True,
            )
            recent = []
    new, old = models.named_weights(network), models.named_weights(before)
    models.load_named_weights(network, {key: args.blend * new[key] + (1 - args.blend) * old[key] for key in new})
    said = zoo.attributes(zoo.resolve(args.model))
    export.export(network, args.out, attributes={key: said[key] for key in ("step", "start") if key in said})


if __name__ == "__main__":
    main()
