"""Draw the training curve of a model card: python tools/curve.py OUT.png LABEL=RUN/srresnet/metrics.jsonl...

Draws validation PSNR over the number of training crops. Each run continues where the previous one ends. Needs
matplotlib: pip install ".[benchmark]".
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN/srresnet/metrics.jsonl")
    args = parser.parse_args()
    if not all("=" in run for run in args.runs):
        parser.error("each run must be LABEL=RUN/srresnet/metrics.jsonl")
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    begin = 0
    for run in args.runs:
        label, path = run.split("=", 1)
        path = Path(path)
        batch = json.loads((path.parent / "config.json").read_text())["recipe"]["batch"]
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        points = [
            (begin + batch * line["step"] / 1000, line["validation_psnr"])
            for line in lines
            if line["step"] and "validation_psnr" in line
        ]
        axes.plot(*zip(*points), marker=".", markersize=3, linewidth=1.2, label=label)
        begin += batch * lines[-1]["step"] / 1000
    axes.set(xlabel="crops of 96 x 96 pixels, thousands", ylabel="PSNR on Kodak centres, dB")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
