"""The metrics of a training run, as lines of JSON and as TensorBoard's events."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from srgan_tf import atomic

SHOWN = {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.4f}", "lpips": "LPIPS {:.4f}", "content": "content loss {:.4g}"}


class Journal:
    """The metrics of a run: `metrics.jsonl`, and TensorBoard's events if it is installed.

    Args:
        folder: the folder of the run.
        step: the step from which the run resumes; metrics of later steps are removed, and all if it is 0.

    Attributes:
        events: the writer of TensorBoard's events; None if it is not installed.
        bicubic: the figures of bicubic by name, `bicubic_psnr` and so on, and `images`; empty before `write_bicubic`.
    """

    def __init__(self, folder: Path, step: int):
        self.path, kept = folder / "metrics.jsonl", []
        for line in self.path.read_text(errors="replace").splitlines() if step and self.path.exists() else ():
            if _step(line) <= step:
                kept.append(line)
        if self.path.exists():
            with atomic.whole_file(self.path) as file:
                file.write("".join(line + "\n" for line in kept).encode())
        self.events = self._bicubic = None
        if importlib.util.find_spec("tensorboard"):
            self.events = tf.summary.create_file_writer(str(folder / "tensorboard"))
            self._bicubic = tf.summary.create_file_writer(str(folder / "tensorboard" / "bicubic"))
        self.bicubic, self._validations = {}, []
        for line in map(json.loads, kept):
            self._note(line)

    @property
    def measure(self) -> str | None:
        """The name of the perceptual distance in the validations, "" if they have none; None without validations."""
        if not self._validations:
            return None
        return next((name for name in ("lpips", "content") if f"validation_{name}" in self._validations[-1]), "")

    def best(self, figure: str, lower: bool) -> float | None:
        """The best value of a figure after the start; None if there is none."""
        return self._best(figure, lower).get(figure)

    def is_of(self, images: int) -> bool:
        """Whether the figures are those of certain validation images; older versions did not record which."""
        return bool(self.bicubic) and self.bicubic.get("images", images) == images

    def write(self, step: int, figures: dict) -> None:
        """Append the figures of a step, numbers by name."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        self._note({"step": step, **figures})
        _write_scalars(self.events, step, figures)
        # TensorBoard draws bicubic as a second run in the charts of validation: a horizontal line.
        same = {name.replace("bicubic", "validation", 1): value for name, value in self.bicubic.items()}
        _write_scalars(self._bicubic, step, {name: same[name] for name in figures.keys() & same.keys() - {"step"}})

    def write_bicubic(self, figures: dict, images: int) -> None:
        """Append the figures of bicubic. Earlier validations, which were of other images, no longer count.

        Args:
            figures: the figures on the validation images, `bicubic_psnr` and so on.
            images: an integer that identifies these images.
        """
        line = {"step": 0, **figures, "images": images}
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")
        self._note(line)

    def write_picture(self, step: int, kind: str, picture: np.ndarray) -> None:
        """Show a sample, LR | SR | HR side by side, uint8 [H, W, 3], in TensorBoard."""
        if self.events:
            with self.events.as_default(step):
                tf.summary.image(f"LR, SR, HR/{kind}", picture[None])

    def summary(self, figure: str, lower: bool) -> list[str]:
        """Compare bicubic, the start, the best and the last validation in one line each.

        Args:
            figure: the name of the figure that decides which step is the best.
            lower: whether lower is better.
        """
        rows = [("bicubic", as_text(self.bicubic, "bicubic"))]
        marked = [("start", line) for line in self._validations[:1] if line["step"] == 0]
        marked += [(f"best, step {line['step']}", line) for line in [self._best(figure, lower)] if line]
        marked += [(f"last, step {line['step']}", line) for line in self._validations[-1:] if line["step"]]
        rows += [(name, as_text(line, "validation")) for name, line in marked]
        width = max(len(name) for name, _ in rows)
        return [f"{name:{width}}  {text}" for name, text in rows if text]

    def _note(self, line):
        if "bicubic_psnr" in line:
            if self.bicubic:  # of other images
                self._validations = []
            self.bicubic = line
        elif "validation_psnr" in line:
            self._validations.append(line)

    def _best(self, figure, lower):
        trained = [line for line in self._validations if line["step"] and figure in line]
        return (min if lower else max)(trained, key=lambda line: line[figure], default={})


def as_text(figures: dict, prefix: str) -> str:
    """Figures of a validation as text: "PSNR 26.63 dB, SSIM 0.7540"."""
    found = {name: figures.get(f"{prefix}_{name}") for name in SHOWN}
    return ", ".join(SHOWN[name].format(value) for name, value in found.items() if value is not None)


def _write_scalars(writer, step, figures):
    if writer and figures:
        with writer.as_default(step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)


def _step(line):
    """The step of a line of metrics; infinite if the line is damaged, such as that of a killed process."""
    try:
        figures = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        return math.inf
    numbers = isinstance(figures, dict) and all(
        type(value) in (int, float) and abs(value) < math.inf for value in figures.values()
    )
    return figures.get("step", math.inf) if numbers else math.inf
