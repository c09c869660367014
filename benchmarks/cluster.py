"""Scaling of a Ray cluster: upscale.py --cluster on one node with one CPU, on two nodes, and without Ray on one CPU.

    python benchmarks/cluster.py

The nodes are processes on this machine with one thread each, each bound to its own core, so two free cores are
needed. All runs enlarge the same images with the shipped SRResNet. The start-up time is the time until the first
result (joining, loading TensorFlow and the model). The rate excludes the first fifth of the results, when not all
cores have started. The last line is one JSON object:

- `ratio`: images per second on two nodes, divided by those on one.
- `overhead`: seconds per image on one node, divided by those without Ray on the same core, minus 1.
- `local`, `one`, `two`: images per second, start-up seconds and total seconds, by number of images.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from absl import app, flags  # noqa: E402

PICTURES = flags.DEFINE_list(
    "pictures",
    ["96"],
    "Numbers of images to enlarge. The ratio and the overhead are measured with the last one.",
)
SIDE = flags.DEFINE_integer("side", 256, "Side of the images in LR pixels.")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def main(_):
    if not importlib.util.find_spec("ray"):
        sys.exit("error: benchmarks/cluster.py: Ray is not installed. Run: pip install 'ray[data]'.")
    from helpers.raycluster import Cluster

    counts = [int(count) for count in PICTURES.value]
    measured = {"local": {}, "one": {}, "two": {}}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for count in counts:
            draw(folder / f"in{count}", count)

        def note(name, count, flag=()):
            measured[name][count] = found = measure(folder, name, flag, count)
            print(
                "{:6}{:6} images: {:7.3f} per second, start-up {:5.1f} s, total {:6.1f} s".format(name, count, *found),
                flush=True,
            )

        for name, cpus in (("one", (0,)), ("two", (0, 1))):
            cluster = Cluster(0, THREADS)
            try:
                for cpu in cpus:
                    cluster.node(cpu)
                for count in counts:
                    note(name, count, ["--cluster", cluster.address])
            finally:
                cluster.close()
        note("local", counts[-1])
    local, one, two = (found[counts[-1]][0] for found in measured.values())
    print(
        json.dumps(
            {
                "ratio": round(two / one, 3),
                "overhead": round(local / one - 1, 4),
                "side": SIDE.value,
                **{
                    name: {count: [round(n, 3) for n in figures] for count, figures in found.items()}
                    for name, found in measured.items()
                },
            }
        )
    )


def draw(folder, count):
    import numpy as np
    from PIL import Image

    folder.mkdir()
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (SIDE.value, SIDE.value, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05}.png")


def measure(folder, name, flag, count):
    """Images per second after the first fifth, seconds until the first result, total seconds."""
    from helpers.raycluster import ENVIRONMENT

    out, started = folder / f"{name}{count}", time.time()
    pin = [] if flag else ["taskset", "-c", "0"]
    environment = {**ENVIRONMENT, **(THREADS if not flag else {})}
    subprocess.run(
        [*pin, sys.executable, ROOT / "upscale.py", folder / f"in{count}", "-o", out, "--model", "srresnet", *flag],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    ended = time.time()
    times = sorted(path.stat().st_mtime for path in out.glob("*.png"))
    assert len(times) == count, f"{len(times)} results of {count}"
    rate = (count - 1 - count // 5) / (times[-1] - times[count // 5])
    return rate, times[0] - started, ended - started


if __name__ == "__main__":
    app.run(main)
