"""Memory for one image of 12 megapixels, from file to file.

    python benchmarks/memory.py

Runs `upscale.py` on a PNG file of 4000 x 3000 pixels in a separate process, which takes minutes. The last line is one
JSON object in MiB: `peak`, the peak resident memory; `output`, the pixels of the result; and `beyond_output`, the
difference.
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

SIZE = flags.DEFINE_list("size", ["4000", "3000"], "Width and height of the image.")
flags.register_validator(
    "size", lambda size: len(size) == 2 and all(map(str.isdecimal, size)), "must be two numbers: WIDTH,HEIGHT"
)
MODEL = flags.DEFINE_string("model", "srresnet", "The flag of upscale.py.")
PRECISION = flags.DEFINE_string("precision", "auto", "The flag of upscale.py.")
ROOT = Path(__file__).resolve().parent.parent


def main(_):
    width, height = map(int, SIZE.value)
    with tempfile.TemporaryDirectory() as folder:
        y, x = np.mgrid[:height, :width]
        waves = 127.5 + 127.5 * np.sin((x**2 + y**2) / 40000)  # smooth and fine areas
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
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this process only
        if status:
            sys.exit(f"error: upscale.py: failed with status {os.waitstatus_to_exitcode(status)}, see above.")
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
