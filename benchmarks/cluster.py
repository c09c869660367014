"""How a Ray cluster scales: upscale.py --cluster on one node of one CPU, on two, and without Ray on one CPU.

    python benchmarks/cluster.py

The nodes are processes of this machine, each bound to a core of its own with one thread each, so two free cores are
needed. All enlarge the same pictures with the shipped SRResNet. Start-up (joining, loading TensorFlow and the model)
is what passes until a run's first result; the rate is that of the results after the first fifth of them, by when all
cores have begun, to the last. Prints, as its last line, one JSON object:

- `ratio`: pictures a second on two nodes over those on one.
- `overhead`: seconds a picture on one node over those of a run without Ray, on the same core, less 1.
- `local`, `one`, `two`: pictures a second, and seconds of start-up and in all, by number of pictures.
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
    "How many pictures the clusters enlarge; the last number is what the ratio and the overhead are of.",
)
SIDE = flags.DEFINE_integer("side", 256, "Side of the pictures, LR pixels.")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def main(_):
    if not importlib.util.find_spec("ray"):
        sys.exit("error: Ray is missing, benchmarks/cluster.py, pip install 'srgan_tf[cluster]'")
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
                "{:6}{:6} pictures: {:7.3f} a second, start-up {:5.1f} s, in all {:6.1f} s".format(name, count, *found),
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
    """Pictures a second after the first fifth, seconds until the first, seconds in all."""
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
