"""Draw variants of a recipe side by side, from the folders of their runs:

    python tools/variants.py OUT KODAK LABEL=RUN/srgan...

OUT.png shows D(HR), D(SR), the content loss and the LR consistency of the validation images over the steps. OUT.jpg
shows details of Kodak images by SRResNet, by the last SavedModel of each variant, and the originals. Needs
matplotlib: pip install ".[benchmark]".
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import pictures  # noqa: E402
from srgan_tf import Upscaler  # noqa: E402

PANELS = {
    "d_real": "D(HR)",
    "d_fake": "D(SR)",
    "content": "content loss",
    "validation_consistency": "LR consistency, dB",
}


def curves(out, runs):
    figure, panels = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained", sharex=True)
    for label, run in runs.items():
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for axes, (name, title) in zip(panels.flat, PANELS.items()):
            points = [(line["step"], line[name]) for line in lines if name in line]
            axes.plot([step for step, _ in points], [value for _, value in points], linewidth=1.2, label=label)
            axes.set_title(title, fontsize=10)
            axes.grid(alpha=0.3)
            axes.set_yscale("log" if name == "content" else "linear")  # layers of VGG19 differ by a factor of 1,000
            axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[1]:
        axes.set_xlabel("steps")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(out, dpi=110)


def last(run):
    versions = [folder for folder in (run / "saved_model").iterdir() if folder.name.isdigit()]
    return max(versions, key=lambda folder: int(folder.name))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("kodak")
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN/srgan")
    args = parser.parse_args()
    if not all("=" in run for run in args.runs):
        parser.error("each run must be LABEL=RUN/srgan")
    runs = {label: Path(run) for label, run in (run.split("=", 1) for run in args.runs)}
    curves(f"{args.out}.png", runs)
    networks = {"SRResNet": Upscaler("srresnet"), **{label: Upscaler(str(last(run))) for label, run in runs.items()}}
    pictures.sheet("example", args.kodak, networks).save(f"{args.out}.jpg", quality=93, subsampling=0)


if __name__ == "__main__":
    main()
