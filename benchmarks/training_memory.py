"""Resident memory and crops per second while reading a large store, and while training on it.

    python benchmarks/training_memory.py --data_dir pictures

The images are repeated under other names until the store has 3 GB. Four processes report their memory (Linux, /proc):
one that only loads the same modules, one that reads batches of 16 crops as fast as possible, and two that train
SRResNet, on one image and on all images.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

from srgan_tf.errors import UserError  # noqa: E402

LEAST = 3 * 10**9  # minimum size of the store, bytes


def resident():
    """Current and peak resident memory in bytes, including mapped files."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")]


def child(task, folder, seconds):
    import tensorflow as tf

    from srgan_tf.training.batches import Crops
    from srgan_tf.training.distribution import concrete
    from srgan_tf.training.recipes import RECIPES
    from srgan_tf.training.state import State
    from srgan_tf.training.step import make_step
    from srgan_tf.training.store import Store

    crops = 0
    began = time.perf_counter()
    if task != "nothing":
        recipe = concrete(RECIPES["fast"]["srresnet"])
        batch = 16 if task == "read" else recipe.batch
        batches = Crops(Store(folder), crop=96, batch=batch).dataset()
        step = None if task == "read" else make_step(recipe, State(recipe))
        for lr, hr in batches:
            if step:
                step(lr, hr, tf.constant(1e-4))
            crops += batch
            if crops == 5 * batch:  # tracing has finished
                began = time.perf_counter()
            if crops > 5 * batch and time.perf_counter() - began > seconds:
                break
    took = time.perf_counter() - began
    print(json.dumps([*resident(), round((crops - 5 * batch) / took, 1) if crops else 0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="a folder of images")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(*args.child, args.seconds)
    if not args.data_dir:
        parser.error("give --data_dir")

    from srgan_tf.training.datasets import Folder
    from srgan_tf.training.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        pictures = sorted(p for p in Path(args.data_dir).resolve().rglob("*") if p.is_file())
        one = Path(folder, "one")
        one.mkdir()
        largest = max(Folder(args.data_dir, 4).files, key=lambda p: p.stat().st_size)
        (one / largest.name).symlink_to(largest.resolve())
        small = _folder_of(open_store(Folder(one, 4), 4, folder), folder)
        once = _folder_of(open_store(Folder(args.data_dir, 4), 4, folder), folder)
        times = -(-LEAST // sum(p.stat().st_size for p in once.iterdir()))
        many = Path(folder, "many")
        for i in range(times):
            (many / str(i)).mkdir(parents=True)
            for p in pictures:
                (many / str(i) / p.name).symlink_to(p)
        large = _folder_of(open_store(Folder(many, 4), 4, folder), folder)
        size = sum(p.stat().st_size for p in large.iterdir())
        figures = {"store": size}
        for name, task, where in (
            ("nothing", "nothing", large),
            ("read", "read", large),
            ("train_one_picture", "train", small),
            ("train", "train", large),
        ):
            done = subprocess.run(
                [sys.executable, __file__, "--seconds", str(args.seconds), "--child", task, where],
                check=True,
                capture_output=True,
                text=True,
            )
            now, most, rate = json.loads(done.stdout.splitlines()[-1])
            figures[name] = {"resident": now, "most": most, "crops_per_second": rate}
            print(f"{name:18} {now / 1e6:7.0f} MB, at most {most / 1e6:7.0f} MB, {rate:9,.1f} crops/s", flush=True)
    print(json.dumps(figures))


def _folder_of(store, cache):
    """The folder of the store that was opened last: the newest in the cache."""
    return max(Path(cache, "stores").iterdir(), key=lambda p: p.stat().st_mtime)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
