"""How much memory one picture of 12 megapixels takes, from file to file.

    python benchmarks/memory.py

Runs `upscale.py` on a PNG file of 4000 x 3000 pixels in a process of its own; that takes minutes. Prints, as its last
line, one JSON object in MiB: `peak`, the most that was resident; `output`, the pixels of the result; `beyond_output`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image

SIZE = flags.DEFINE_list("size", ["4000", "3000"], "Width and height of the picture.")
MODEL = flags.DEFINE_string("model", "srresnet", "As upscale.py takes it.")
PRECISION = flags.DEFINE_string("precision", "auto", "As upscale.py takes it.")
ROOT = Path(__file__).resolve().parent.parent


def main(_):
    width, height = map(int, SIZE.value)
    with tempfile.TemporaryDirectory() as folder:
        y, x = np.mgrid[:height, :width]
        waves = 127.5 + 127.5 * np.sin((x**2 + y**2) / 40000)  # smooth here, fine there
        small, large = Path(folder) / "small.png", Path(folder) / "large.png"
        Image.fromarray(np.uint8(np.dstack([waves, waves[::-1], x % 256]))).save(small, compress_level=1)
        started = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                ROOT / "upscale.py",
                small,
                "-o",
                large,
                "--model",
                MODEL.value,
                "--precision",
                PRECISION.value,
            ]
        )
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone
        if status:
            sys.exit(f"error: upscale.py failed, status {os.waitstatus_to_exitcode(status)}, see above")
        with Image.open(large) as result:
            output = result.width * result.height * 3 / 2**20
    peak = usage.ru_maxrss / 1024
    print(
        json.dumps(
            {
                "peak": round(peak),
                "output": round(output),
                "beyond_output": round(peak - output),
                "seconds": round(time.perf_counter() - started),
            }
        )
    )


if __name__ == "__main__":
    Image.MAX_IMAGE_PIXELS = None
    app.run(main)
