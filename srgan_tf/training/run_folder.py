"""The folder of a training run.

RUN/config.json      the settings, compared field by field when the run resumes
RUN/metrics.jsonl    figures of bicubic and of the start; losses every few steps; PSNR and others at each validation
RUN/checkpoints/     the whole state: the last few, the best on validation, the one before the learning rate falls
RUN/ended/           SavedModels of later steps, such as the best and the last, from before the run was extended
RUN/samples/         LR | SR | HR at each validation
RUN/saved_model/     the generator as TF Serving reads it: the last and the marked checkpoints, others now and then
RUN/tensorboard/     metrics and samples as events, if tensorboard is installed
"""

import contextlib
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf import atomic
from srgan_tf.errors import UserError, one_line
from srgan_tf.saved_models import export
from srgan_tf.training import checkpoints, run_config
from srgan_tf.training.journal import Journal
from srgan_tf.training.recipes import extension_start
from srgan_tf.training.run_config import Run
from srgan_tf.training.state import State

LOCK = ".lock"


class RunFolder:
    """The folder of a run: everything that is read from it and written to it.

    Args:
        path: the folder; `locked` creates it.

    Attributes:
        path: the folder.
        origin: the attributes of the starting model for exports, available after `configure`.
    """

    def __init__(self, path):
        self.path, self.origin = Path(path), {}
        self._checkpoints, self._models = self.path / "checkpoints", self.path / "saved_model"

    @contextlib.contextmanager
    def locked(self):
        """Lock the folder for the duration of a `with` block: no other process can train in it.

        Raises:
            UserError: if another process holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / LOCK, "ab") as file:
            if not atomic.lock(file):
                raise UserError(
                    f"{self.path}: another process is training in this folder. Wait until it ends, or choose another "
                    "--run_dir."
                )
            for part in self._models.glob(".*.part"):  # of an export that was killed
                shutil.rmtree(part, ignore_errors=True)
            for part in self._checkpoints.glob("*.part"):  # of a checkpoint
                part.unlink()
            atomic.sweep(self.path)
            yield

    def clear(self) -> None:
        """Remove the run.

        Raises:
            UserError: if another process is training in the folder.
        """
        with self.locked():
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()

    def check(self, run: Run) -> dict | None:
        """Compare the settings of a run with those that it began with.

        Returns:
            The settings that it began with; None if nothing was trained yet.

        Raises:
            UserError: if the folder contains another run, or one that cannot be trained for as many steps.
        """
        if not checkpoints.found(self._checkpoints):
            return None
        old = run_config.read(self.path / "config.json")
        run_config.check_same(run, old, run_config.as_config(run))
        last = _last_step_to_resume_from(run, old)
        if old["recipe"]["steps"] < run.recipe.steps and not any(
            _is_whole(path) for _, path in checkpoints.found(self._checkpoints, last)
        ):
            raise UserError(
                f"{self.path}: no checkpoint of step {last} or before can be read, so the run cannot be extended. To "
                f"train it for longer, use --init {self._models} and another --run_dir."
            )
        return old

    def configure(self, run: Run) -> None:
        """Write the settings of a run after comparing them with its original settings.

        Raises:
            UserError: if the folder contains another run.
        """
        new = run_config.as_config(run)
        if old := self.check(run):
            current, new["start"] = new["start"], old.get("start", new["start"])
            if current and current != new["start"]:
                print(
                    f"warning: {self.path} started from another version of {run.init}. The run resumes with its own "
                    "weights; to start from the new model, choose another --run_dir.",
                    file=sys.stderr,
                )
            if old["recipe"]["steps"] < run.recipe.steps:
                self._reopen(_last_step_to_resume_from(run, old))
        with atomic.whole_file(self.path / "config.json") as file:
            file.write(json.dumps(new, indent=1).encode())
        self.origin = new["start"]

    def restore(self, state: State) -> int:
        """Restore the newest checkpoint that can be read. Returns its step, 0 if there are no checkpoints.

        Raises:
            UserError: if there are checkpoints, but none can be read.
        """
        candidates = checkpoints.found(self._checkpoints)
        for step, path in candidates:
            try:
                if step > state.recipe.steps:
                    raise ValueError(f"{path} is of a step after the last one, {state.recipe.steps}")
                _restore(state, path)
            except ValueError as error:
                print(f"warning: {one_line(error)}. Trying the checkpoint before it.", file=sys.stderr)
            else:
                return step
        if candidates:
            raise UserError(f"{self._checkpoints}: no checkpoint can be read. Start again with another --run_dir.")
        return 0

    def restore_step(self, state: State, step: int) -> None:
        """Restore the checkpoint of a step.

        Raises:
            UserError: if it cannot be read.
        """
        try:
            _restore(state, checkpoints.path(self._checkpoints, step))
        except ValueError as error:
            raise UserError(f"--run_dir: {error}. Use a folder that all workers share.") from error

    def journal(self, step: int) -> Journal:
        """The metrics of the run, without those of later steps."""
        return Journal(self.path, step)

    def save(self, state: State, step: int, *, keep: int, marks=(), models: bool = True) -> None:
        """Write a checkpoint, and remove those that are no longer kept.

        Args:
            state: the `State`.
            step: the number of steps it was trained for.
            keep: how many of the last checkpoints are kept.
            marks: further reasons to keep this one, see `checkpoints.save`.
            models: whether to write SavedModels as well, see `export`.
        """
        checkpoints.save(self._checkpoints, step, state.arrays(), keep=keep, marks=marks)
        if models:
            self.export(state, step)

    def export(self, state: State, step: int) -> None:
        """Write the SavedModels of a step and of all marked checkpoints, unless they exist, and remove outdated ones.

        Args:
            state: the `State` after that step.
            step: the number of steps it was trained for.
        """
        found = dict(checkpoints.found(self._checkpoints))
        marked = {checkpoints.marked(self._checkpoints, mark) for mark in ("best", "hold")}
        for other in {step, *marked & found.keys()}:
            if (self._models / str(other)).exists():
                continue
            try:
                generator = state.exported(None if other == step else checkpoints.load(found[other]))
            except ValueError as error:
                print(f"warning: {one_line(error)}. Step {other} cannot be exported.", file=sys.stderr)
                continue
            export.export(generator, self._models / str(other), attributes={"step": other, **self.origin})
        kept = {str(s) for s in found}
        for version in self._models.iterdir():
            if version.name.isdigit() and version.name not in kept:
                shutil.rmtree(version)

    def save_sample(self, name: str, lr: np.ndarray, sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
        """Write LR | SR | HR, uint8 [h, w, 3] and twice [s h, s w, 3], as one picture. Returns it."""
        scale = hr.shape[0] // lr.shape[0]
        large = lr.repeat(scale, 0).repeat(scale, 1)
        (self.path / "samples").mkdir(exist_ok=True)
        picture = np.concatenate([large, sr, hr], 1)
        with atomic.whole_file(self.path / "samples" / f"{name}.png") as file:
            Image.fromarray(picture).save(file, "PNG")
        return picture

    def saved_model(self, step: int) -> Path:
        """The folder of the SavedModel of a step."""
        return self._models / str(step)

    @property
    def best_step(self) -> int | None:
        """The step of the best checkpoint on validation; None without validation."""
        return checkpoints.marked(self._checkpoints, "best")

    def _reopen(self, last: int) -> None:
        """Return to the step from which a finished run can be trained for longer.

        Later checkpoints are removed, and their SavedModels, such as the best and the last one, are moved to `ended/`.
        """
        for step, path in checkpoints.found(self._checkpoints):
            if step > last:
                model, ended = self.saved_model(step), self.path / "ended" / str(step)
                if model.is_dir():
                    ended.parent.mkdir(exist_ok=True)
                    shutil.rmtree(ended, ignore_errors=True)  # of an earlier extension
                    model.replace(ended)
                path.unlink()
        if (self.best_step or 0) > last:
            checkpoints.unmark(self._checkpoints, "best")


def _last_step_to_resume_from(run, old):
    """The step from which a run with the settings `old` continues as one that has the steps of `run`."""
    return extension_start(dataclasses.replace(run.recipe, steps=old["recipe"]["steps"]))


def _restore(state, checkpoint):
    """Raises ValueError, which names the file."""
    arrays = checkpoints.load(checkpoint)
    try:
        state.restore(arrays)
    except ValueError as error:
        raise ValueError(f"{checkpoint} is of another run: {error}") from error


def _is_whole(checkpoint):
    try:
        checkpoints.load(checkpoint)
    except ValueError:
        return False
    return True
