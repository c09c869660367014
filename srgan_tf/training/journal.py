"""The metrics of a training run, as lines of JSON and as TensorBoard's events."""

import importlib.util
import json
import math
from pathlib import Path

import tensorflow as tf

from srgan_tf import atomic


class Journal:
    """The metrics of a run: `metrics.jsonl`, and TensorBoard's events if it is installed.

    Args:
        folder: the folder of the run.
        step: the step from which the run resumes; metrics of later steps are removed.
    """

    def __init__(self, folder: Path, step: int):
        self.path, kept = folder / "metrics.jsonl", []
        for line in self.path.read_text(errors="replace").splitlines() if self.path.exists() else ():
            if _step(line) <= step:
                kept.append(line)
        self._kept = [json.loads(line) for line in kept]
        if self.path.exists():
            with atomic.whole_file(self.path) as file:
                file.write("".join(line + "\n" for line in kept).encode())
        self.events = None
        if importlib.util.find_spec("tensorboard"):
            self.events = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def best(self, figure: str, lower: bool) -> float | None:
        """The best value of a figure before the run resumed; None if there is none."""
        values = [line[figure] for line in self._kept if isinstance(line.get(figure), (int, float))]
        return (min if lower else max)(values, default=None)

    def write(self, step: int, figures: dict) -> None:
        """Append the figures of a step, numbers by name."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        if self.events:
            with self.events.as_default(step):
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
