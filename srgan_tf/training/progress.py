"""Progress of a training run: a progress bar or lines, and the means of the losses."""

import contextlib
import math
import time

import tensorflow as tf

from srgan_tf.bars import bar
from srgan_tf.training.journal import Journal

LINE_SECONDS = 60  # without a terminal, the minimum time between two lines


class Progress:
    """The progress of a run's steps: on a terminal a bar, elsewhere a line a minute.

    Args:
        recipe: the `recipes.Recipe`.
        step: the step from which the run resumes.
        journal: the `Journal` that the losses are written to; None on workers that do not report.
    """

    def __init__(self, recipe, step: int, journal: Journal | None):
        self.steps, self.journal = recipe.steps, journal
        self.bar = bar(
            total=recipe.steps,
            initial=step,
            desc=recipe.phase,
            unit=" steps",
            disable=None if journal else True,
            smoothing=0.05,
        )
        self.recent, self.shown, self.seconds = [], {}, math.nan
        self.started = self.printed = time.monotonic()

    def add(self, losses: dict) -> None:
        """Count a step and its losses, tensors by name."""
        self.recent.append(losses)
        self.bar.update()

    def log(self, step: int, learning_rate: float) -> dict:
        """Write the means of the losses since the last call. Returns them as numbers by name."""
        values = tf.stack([tf.stack(list(losses.values())) for losses in self.recent])  # one copy from the device
        means = dict(zip(self.recent[0], map(float, values.numpy().mean(axis=0))))
        self.seconds = (time.monotonic() - self.started) / len(self.recent)
        if self.journal and all(map(math.isfinite, means.values())):
            self.journal.write(step, {**means, "learning_rate": learning_rate, "seconds_per_step": self.seconds})
        self.show({k: f"{v:.4g}" for k, v in means.items()})
        self.recent, self.started = [], time.monotonic()
        return means

    def show(self, figures: dict) -> None:
        """Add figures, strings by name, to the display."""
        self.shown |= figures
        self.bar.set_postfix(self.shown, refresh=False)

    def print_line(self, step: int) -> None:
        """Without a terminal, print a line if the last one is old enough or this is the last step."""
        logged = not math.isnan(self.seconds)
        due = step == self.steps or time.monotonic() > self.printed + LINE_SECONDS
        if self.bar.disable and self.journal and logged and due:
            self.printed = time.monotonic()
            minutes = (self.steps - step) * self.seconds / 60
            figures = ", ".join(f"{k} {v}" for k, v in self.shown.items())
            print(
                f"step {step} of {self.steps}: {figures}, {1 / self.seconds:.2f} steps/s, {minutes:.0f} min left",
                flush=True,
            )

    @contextlib.contextmanager
    def paused(self):
        """Exclude the duration of a `with` block from the step times."""
        began = time.monotonic()
        yield
        self.started += time.monotonic() - began

    def close(self) -> None:
        self.bar.close()
