"""The folder of a training run: whose it is, where the run goes on, its figures.

RUN/config.json      what was asked for, compared field by field on resume
RUN/metrics.jsonl    losses every few steps; PSNR, SSIM and LR consistency at each validation
RUN/checkpoints/     the whole state: the last few, the best on validation, the one before the decay
RUN/ended/           the SavedModel of each end that was prolonged
RUN/samples/         LR | SR | HR at each validation
RUN/saved_model/     the generator as TF Serving reads it, one version a kept checkpoint
RUN/tensorboard/     the same figures as events, where tensorboard is installed
"""

import contextlib
import dataclasses
import importlib.util
import json
import math
import shutil
import sys
from pathlib import Path

import tensorflow as tf

from srgan_tf import atomic
from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo
from srgan_tf.training import checkpoints
from srgan_tf.training.recipes import Recipe, decay_start

PROLONGABLE = ("steps",)  # recipe fields that may change between the parts of a run


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a run lives, where its pictures come from, and how often it reports.

    `train` says what the store holds (`describe()` of its source); `init` is the model that the generator starts from,
    `vgg` the file of VGG19's weights. A run is resumed only with the same.
    """

    folder: str
    recipe: Recipe
    train: dict
    init: str = ""
    vgg: str = ""
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 15.0  # a checkpoint at the latest this long after the one before it
    keep: int = 3
    deterministic: bool = False
    xla: bool = False


@contextlib.contextmanager
def held(folder):
    """Hold the folder of a run, which is made: no other process trains in it as long as the block lasts.

    Raises:
        UserError: when another one does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as file:
        if not atomic.lock(file):
            raise UserError(f"another process trains in {folder}: wait for its end, or choose another --run_dir")
        for left in (folder / "saved_model").glob(".*.part"):  # an export that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield


def claim(run):
    """Write a run's configuration, after comparing it with the one that is there.

    Returns:
        The one that was there, None if nothing was trained yet; and what an export says of the model that training
        began from.

    Raises:
        UserError: when the folder holds another run.
    """
    path = Path(run.folder) / "config.json"
    now = {**json.loads(json.dumps(dataclasses.asdict(run))), "start": _start(run.init)}
    started = None
    if checkpoints.found(path.parent / "checkpoints"):  # without one, nothing was trained yet
        started = _read(path)
        now["start"] = started.get("start", now["start"])
        _compare(run, started, now)
        if run.init and now["start"] != _start(run.init):
            print(
                f"warning: {run.init} is another model since {run.folder} began from it: the run goes on from where "
                "it was; for one from the new model choose another --run_dir",
                file=sys.stderr,
            )
        if started["recipe"]["steps"] < now["recipe"]["steps"]:
            _reopen(path.parent, dataclasses.replace(run.recipe, steps=started["recipe"]["steps"]))
    with atomic.whole_file(path) as file:
        file.write(json.dumps(now, indent=1).encode())
    return started, now["start"]


def restore(run, state):
    """Restore the newest good checkpoint into a `state.State`; returns its step, 0 if there is none yet.

    Raises:
        UserError: when there are some, but none can be read.
    """
    candidates = checkpoints.found(Path(run.folder) / "checkpoints")
    for step, path in candidates:
        try:
            state.restore(checkpoints.load(path))
        except ValueError as error:
            print(f"warning: {error}; trying the one before it", file=sys.stderr)
        else:
            return step
    if candidates:
        raise UserError(f"no checkpoint in {run.folder}/checkpoints can be read: start over with another --run_dir")
    return 0


class Journal:
    """metrics.jsonl, which forgets what came after a resumed step; and TensorBoard's events where it is installed.

    Attributes:
        best_psnr: of the validations so far; minus infinity before the first.
    """

    def __init__(self, folder, step):
        self.path, kept = folder / "metrics.jsonl", []
        for line in self.path.read_text(errors="replace").splitlines() if self.path.exists() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # half a line, of a killed process
                if json.loads(line)["step"] <= step:
                    kept.append(line)
        self.best_psnr = max([json.loads(line).get("validation_psnr", -math.inf) for line in kept], default=-math.inf)
        if self.path.exists():
            with atomic.whole_file(self.path) as file:
                file.write("".join(line + "\n" for line in kept).encode())
        self.events = None
        if importlib.util.find_spec("tensorboard"):
            self.events = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def write(self, step, figures):
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        if self.events:
            with self.events.as_default(step):
                for name, value in figures.items():
                    tf.summary.scalar(name, value)


def _read(path):
    """The configuration of a run that has checkpoints."""
    try:
        config = json.loads(path.read_text())
        # It may be older than a field of recipes.
        recipe = {**dataclasses.asdict(Recipe()), **config["recipe"]}
        if lowest := recipe.pop("jpeg", 0):
            recipe["degradation"] = f"jpeg={lowest}:95"
        return {**config, "recipe": recipe}
    except FileNotFoundError:
        what = "checkpoints but no config.json"
    except (ValueError, KeyError, TypeError):
        what = "a config.json that is damaged"
    raise UserError(f"{path.parent} holds {what}: put it back, or choose another --run_dir")


def _compare(run, started, now):
    """UserError unless a run may go on as the one that was started: `started` and `now` are configurations."""
    same_init = started.get("start") and started["start"] == _start(run.init)  # wherever the model lies by now
    for where in ("recipe", None):
        old, new = (
            c[where]
            if where
            else {"train": c["train"], "init": "" if same_init else c["init"], "vgg": Path(c["vgg"]).name}
            for c in (started, now)
        )
        for field in old.keys() | new.keys():
            if field == "precision" and old[field] == "auto":  # of a run from before this was told apart
                continue
            if field == "train" and old[field] != new[field]:
                raise UserError(
                    f"{run.folder} holds a run on other pictures ({_differing(old[field], new[field])}): "
                    f"put them back, or go on with --init {run.folder}/saved_model and another --run_dir"
                )
            if field not in PROLONGABLE and old.get(field) != new.get(field):
                raise UserError(
                    f"{run.folder} holds a run with another {field} ({_short(old.get(field))}, now "
                    f"{_short(new.get(field))}): use its flags to go on, or another --run_dir"
                )
    if started["recipe"]["steps"] > now["recipe"]["steps"]:
        raise UserError(
            f"{run.folder} holds a run of {started['recipe']['steps']} steps: "
            f"use --steps {started['recipe']['steps']} or more, or another --run_dir"
        )


def _reopen(folder, recipe):
    """Go back to where the rate of a finished run began to fall: what came after belongs to its end."""
    last, models = decay_start(recipe), folder / "saved_model"
    if not any(_is_whole(path) for _, path in checkpoints.found(folder / "checkpoints", last)):
        raise UserError(
            f"{folder} has no checkpoint that can be read from before its learning rate began to fall, at "
            f"step {last}: to train it for longer give --init {models} and another --run_dir"
        )
    ended = folder / "ended" / str(recipe.steps)
    if recipe.steps > last and (models / str(recipe.steps)).is_dir():
        ended.parent.mkdir(exist_ok=True)
        shutil.rmtree(ended, ignore_errors=True)  # of an earlier attempt that was killed here
        (models / str(recipe.steps)).replace(ended)
    for step, path in checkpoints.found(folder / "checkpoints"):
        if step > last:
            shutil.rmtree(models / str(step), ignore_errors=True)
            path.unlink()


def _is_whole(checkpoint):
    try:
        checkpoints.load(checkpoint)
    except ValueError:
        return False
    return True


def _differing(old, new):
    return ", ".join(f"{k} {old.get(k)}, now {new.get(k)}" for k in {**old, **new} if old.get(k) != new.get(k))


def _short(value):
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


def _start(init):
    """What an export says of the model that training began from: its checksum, where it is known."""
    with contextlib.suppress(UserError, KeyError):
        return {"start": zoo.attributes(zoo.resolve(init))["sha256"]} if init else {}
    return {}
