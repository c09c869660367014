"""Crop pairs per second: this package and a usual tf.data pipeline on the same images, in turn.

    python benchmarks/input_pipeline.py --data_dir pictures

The usual pipeline, as in other TensorFlow implementations of SRGAN, caches decoded images with `Dataset.cache(FILE)`
and takes one random crop from each, with flips and quarter turns. Both return batches of 16 aligned 96-pixel crops.
The images are tiled or cropped to the size of DIV2K, 2040 x 1356, unless `--own_size` is given: the usual pipeline
reads whole images, ours does not.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.images.degradation import PRESETS  # noqa: E402
from srgan_tf.training.batches import Crops  # noqa: E402
from srgan_tf.training.datasets import Folder, Picture  # noqa: E402
from srgan_tf.training.store import as_rgb, open_store  # noqa: E402

SCALE, CROP, BATCH = 4, 96, 16
DIV2K = 1356, 2040  # pixels, height and width


class SameSize:
    """The first images of a folder, tiled or cropped to one size."""

    def __init__(self, folder, height, width, count):
        self.folder, self.size, self.count = folder, (height, width), min(count, folder.count)

    def describe(self):
        return {**self.folder.describe(), "size": self.size, "count": self.count}

    def pictures(self):
        usable = (picture for picture in self.folder.pictures() if not picture.error)
        for picture in itertools.islice(usable, self.count):
            lr, hr = (self._sized(pixels, by) for pixels, by in ((picture.lr, SCALE), (picture.hr, 1)))
            yield Picture(picture.name, hr, lr)

    def _sized(self, pixels, by):
        height, width = (side // by for side in self.size)
        missing = [(0, max(0, side - n)) for n, side in zip(pixels.shape, (height, width))]
        return np.pad(pixels, [*missing, (0, 0)], mode="wrap")[:height, :width]


def usual(store, cache_file):
    """Decoded images cached in a file, one crop from each."""

    def pictures():
        for i in range(len(store)):
            yield tuple(as_rgb(pixels) for pixels in store.pair(i))

    def crop(lr, hr):
        side = CROP // SCALE
        y = tf.random.uniform((), maxval=tf.shape(lr)[0] - side + 1, dtype=tf.int32)
        x = tf.random.uniform((), maxval=tf.shape(lr)[1] - side + 1, dtype=tf.int32)
        lr, hr = lr[y : y + side, x : x + side], hr[SCALE * y : SCALE * (y + side), SCALE * x : SCALE * (x + side)]
        turns = tf.random.uniform((), maxval=4, dtype=tf.int32)
        lr, hr = tf.image.rot90(lr, turns), tf.image.rot90(hr, turns)
        flip = tf.random.uniform(()) < 0.5
        return (
            tf.cond(flip, lambda: tf.image.flip_left_right(lr), lambda: lr),
            tf.cond(flip, lambda: tf.image.flip_left_right(hr), lambda: hr),
        )

    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    cached = tf.data.Dataset.from_generator(pictures, output_signature=(spec, spec)).cache(str(cache_file))
    for _ in cached:  # fill it
        pass
    return cached.repeat().map(crop, num_parallel_calls=2).batch(BATCH).prefetch(8)


def rate(batches, count):
    """Crop pairs per second over `count` batches, after a warm-up."""
    for _ in itertools.islice(batches, 5):
        pass
    began = time.perf_counter()
    for _ in itertools.islice(batches, count):
        pass
    return BATCH * count / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="a folder of images")
    parser.add_argument("--own_size", action="store_true", help="do not change the size of the images")
    parser.add_argument("--count", type=int, default=100, help="maximum number of images")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Folder(args.data_dir, SCALE)
        store = open_store(source if args.own_size else SameSize(source, *DIV2K, args.count), SCALE, folder)
        ours = iter(Crops(store, crop=CROP, batch=BATCH).dataset())
        damaged = iter(Crops(store, crop=CROP, batch=BATCH, degradation=PRESETS["photo"]).dataset())
        theirs = iter(usual(store, Path(folder) / "cache"))
        rates = [(rate(ours, 1000), rate(damaged, 200), rate(theirs, 30)) for _ in range(args.rounds)]
    ours, damaged, theirs = np.median(rates, axis=0)
    print(f"{len(store)} images, {os.cpu_count()} cores, crop pairs per second, median of {args.rounds} rounds")
    print(f"  srgan_tf                      {ours:9,.0f}")
    print(f"  srgan_tf, --degradation photo {damaged:9,.0f}")
    print(f"  Dataset.cache(FILE)           {theirs:9,.0f}")
    figures = {"ours": round(ours), "damaged": round(damaged), "usual": round(theirs)}
    print(json.dumps({**figures, "ratio": round(ours / theirs, 2)}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
