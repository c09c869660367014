"""Total time of `upscale.py` on one small image, and of `import tensorflow` alone, in turn.

    python benchmarks/startup.py

The last line is one JSON object with medians in seconds: `upscale`, `import_tensorflow`, and `beyond`, the difference.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of runs of each.", lower_bound=1)
SMALL = Path(__file__).resolve().parent.parent / "docs" / "parrots.png"
SIDE = flags.DEFINE_integer("side", 64, "Side of the square image in pixels.")


def main(_):
    from PIL import Image

    root = SMALL.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.png", Path(folder) / "large.png"
        Image.open(SMALL).convert("RGB").crop((0, 0, SIDE.value, SIDE.value)).save(small)
        commands = {
            "upscale": [root / "upscale.py", small, "-o", large, "--overwrite"],
            "import_tensorflow": ["-c", "import tensorflow"],
        }
        seconds = {name: [] for name in commands}
        for i in range(ROUNDS.value + 1):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *command], check=True, capture_output=True)
                if i:  # the first run also fills the file cache
                    seconds[name].append(time.perf_counter() - started)
    found = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    print(json.dumps({**found, "beyond": round(found["upscale"] - found["import_tensorflow"], 2)}))


if __name__ == "__main__":
    app.run(main)
