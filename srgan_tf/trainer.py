"""A training run: steps, checkpoints, validation, logs and exports in one folder.

    RUN/config.json      what was asked for, compared field by field on resume
    RUN/metrics.jsonl    losses every few steps, PSNR and SSIM at each validation
    RUN/checkpoints/     the whole state: the last few, the best on validation, the one before the decay
    RUN/samples/         LR | SR | HR at each validation
    RUN/saved_model/     the generator as TF Serving reads it, one version a kept checkpoint
    RUN/tensorboard/     the same figures as events, where tensorboard is installed
"""
import dataclasses
import importlib.util
import json
import math
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from srgan_tf import checkpoints, export, graph, losses, metrics, steps
from srgan_tf.errors import UserError
from srgan_tf.pipeline import Crops
from srgan_tf.pixels import to_lr, to_uint8
from srgan_tf.recipes import Recipe, decay_start, learning_rate
from srgan_tf.store import as_rgb

PROLONGABLE = ("steps",)  # recipe fields that may change between the parts of a run
VALIDATION_CROP = 256  # HR side of the centre that is scored, pixels


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a run lives, where its pictures come from, and how often it reports.

    `train` and `validation` say what the stores hold (`describe()` of their sources), `init` and `vgg` where
    weights came from: a run is resumed only with the same.
    """

    folder: str
    recipe: Recipe
    train: dict
    init: str = ""
    vgg: str = ""
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 1000
    keep: int = 3
    deterministic: bool = False


def train(run, store, validation=None, *, initial_weights=None):
    """Train, or go on training, to the end of the recipe's steps.

    Args:
        run: a `Run`.
        store: the `store.Store` of the training pictures.
        validation: a `store.Store` of validation pictures, or None.
        initial_weights: function that gives the arrays by "layer/variable" that the generator starts from; called
            only where the run has no checkpoint yet.

    Returns:
        The folder of the exported SavedModel.

    Raises:
        UserError: if the folder holds another run, no checkpoint can be read, or the losses are not finite.
    """
    recipe, folder = run.recipe, Path(run.folder)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    crops = Crops(store, crop=recipe.crop, batch=recipe.batch, seed=recipe.seed, jpeg=recipe.jpeg)
    vgg = None
    if recipe.content != "mse":
        policy = "float32" if recipe.precision == "float32" else f"mixed_{recipe.precision}"
        vgg = losses.vgg_model(recipe.content, run.vgg or "imagenet", policy)
    started = _claim(run)
    state = steps.State(recipe)
    step = _restore(run, state, started) if started else 0
    if not step and initial_weights is not None:
        state.start_from(initial_weights())
    journal = _Journal(folder, step)
    loop = _Loop(run, state, journal, validation)
    with _Interruption() as interruption:
        loop.run(step, crops.dataset(step), steps.make_step(recipe, state, vgg), interruption)
    return folder / "saved_model" / str(recipe.steps)


def _claim(run):
    """Write the run's configuration, or return the one that is there after comparing."""
    path = Path(run.folder) / "config.json"
    now = json.loads(json.dumps(dataclasses.asdict(run)))
    started = None
    if path.exists():
        started = json.loads(path.read_text())
        for where in ("recipe", None):
            old, new = (c[where] if where else {k: c[k] for k in ("train", "init", "vgg")} for c in (started, now))
            for field in old.keys() | new.keys():
                if field not in PROLONGABLE and old.get(field) != new.get(field):
                    raise UserError(f"{run.folder} holds a run with another {field} ({_short(old.get(field))}, now "
                                    f"{_short(new.get(field))}): use its flags to go on, or another --run_dir")
        if started["recipe"]["steps"] > now["recipe"]["steps"]:
            raise UserError(f"{run.folder} holds a run of {started['recipe']['steps']} steps: "
                            f"use --steps {started['recipe']['steps']} or more, or another --run_dir")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(now, indent=1))
    part.replace(path)
    return started


def _short(value):
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


def _restore(run, state, started):
    """Restore the newest good checkpoint; returns its step, 0 if there is none yet."""
    recipe, last = run.recipe, None
    if recipe.steps > started["recipe"]["steps"]:
        # Prolonged: what was trained at a falling rate belongs to the old end.
        last = decay_start(dataclasses.replace(recipe, steps=started["recipe"]["steps"]))
    candidates = checkpoints.found(Path(run.folder) / "checkpoints", last)
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


class _Loop:
    """The loop over steps with everything that happens between them."""

    def __init__(self, run, state, journal, validation):
        self.run_, self.state, self.journal = run, state, journal
        self.folder, self.reported = Path(run.folder), time.monotonic()
        self.validation = _centres(validation) if validation is not None else []
        self.best_psnr, self.best_step = journal.best_psnr, None

    def run(self, step, batches, train_step, interruption):
        run, recipe = self.run_, self.run_.recipe
        bar = tqdm(total=recipe.steps, initial=step, desc=recipe.phase, unit=" steps", disable=None,
                   dynamic_ncols=True, smoothing=0.05)
        recent, clock, shown, seconds = [], time.monotonic(), {}, math.nan
        if step == recipe.steps:
            self.save(step)
        for lr, hr in batches.take(recipe.steps - step):
            recent.append(train_step(lr, hr, tf.constant(learning_rate(recipe, step), tf.float32)))
            step += 1
            bar.update()
            last = step == recipe.steps
            if step % run.log_every == 0 or last or interruption:
                means = {k: float(np.mean([logs[k].numpy() for logs in recent])) for k in recent[0]}
                seconds = (time.monotonic() - clock) / len(recent)
                if not all(np.isfinite(list(means.values()))):
                    raise UserError(
                        f"a loss is not finite at step {step} ({means}): the last good checkpoint is in "
                        f"{self.folder}/checkpoints; try a lower --learning_rate or --precision float32")
                self.journal.write(step, {**means, "learning_rate": learning_rate(recipe, step - 1),
                                          "seconds_per_step": seconds})
                shown |= {k: f"{v:.4g}" for k, v in means.items()}
                recent, clock = [], time.monotonic()
            paused = time.monotonic()
            if self.validation and (step % run.validate_every == 0 or last):
                psnr, ssim = self.validate(step)
                shown["PSNR"] = f"{psnr:.2f}"
            self._report(bar, step, shown, seconds)
            if step % run.checkpoint_every == 0 or step == decay_start(recipe) or last or interruption:
                self.save(step)
            clock += time.monotonic() - paused  # the steps' own speed
            if interruption and not last:
                bar.close()
                raise UserError(f"stopped at step {step}, checkpoint written: the same command goes on from there")
        bar.close()

    def validate(self, step):
        """PSNR and SSIM (bt601) over the centres of the validation pictures, in float32; keeps a sample."""
        weights, ema = self.state.generator, self.state.ema
        held = [v.numpy() for v in weights.variables] if ema else None
        for average, v in zip(ema, weights.variables):
            v.assign(average)
        scores = []
        for i, (lr, hr) in enumerate(self.validation):
            sr = self._upscale(lr[None])[0].numpy()
            scores.append(metrics.score(hr, sr, "bt601", border=self.run_.recipe.scale))
            if i == 0:
                self._sample(step, lr, sr, hr)
        for v, value in zip(weights.variables, held or ()):
            v.assign(value)
        psnr, ssim = np.mean(scores, axis=0)
        self.journal.write(step, {"validation_psnr": float(psnr), "validation_ssim": float(ssim)})
        if psnr > self.best_psnr:
            self.best_psnr, self.best_step = psnr, step
        return psnr, ssim

    @tf.function(reduce_retracing=True)
    def _upscale(self, lr):
        return to_uint8(graph.generator(self.state.generator, to_lr(lr), training=False)[0])

    def _sample(self, step, lr, sr, hr):
        scale = self.run_.recipe.scale
        nearest = lr.repeat(scale, 0).repeat(scale, 1)
        (self.folder / "samples").mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([nearest, sr, hr], 1)).save(self.folder / "samples" / f"{step:08}.png")

    def save(self, step):
        """A checkpoint and its SavedModel; those of checkpoints that are gone go too."""
        run = self.run_
        folder = self.folder / "checkpoints"
        marks = ["hold"] if step == decay_start(run.recipe) else []  # where a longer run starts from
        if step == self.best_step:
            marks.append("best")
        checkpoints.save(folder, step, self.state.arrays(), keep=run.keep, marks=marks)
        versions = self.folder / "saved_model"
        if not (versions / str(step)).exists():
            export.export(self.state.exported(), versions / str(step), attributes={"step": step})
        kept = {str(s) for s, _ in checkpoints.found(folder)}
        for version in versions.iterdir():
            if version.name.isdigit() and version.name not in kept:
                shutil.rmtree(version)

    def _report(self, bar, step, shown, seconds):
        """The bar's figures; without a terminal a line a minute."""
        bar.set_postfix(shown, refresh=False)
        if bar.disable and shown and (step == self.run_.recipe.steps or time.monotonic() > self.reported + 60):
            self.reported = time.monotonic()
            left = (self.run_.recipe.steps - step) * seconds / 60
            figures = ", ".join(f"{k} {v}" for k, v in shown.items())
            print(f"step {step} of {self.run_.recipe.steps}: {figures}, {1 / seconds:.2f} steps/s, {left:.0f} min left",
                  flush=True)


def _centres(store):
    """The middle of every picture, LR uint8 [h, w, 3] and HR uint8 [s h, s w, 3], at most 256 HR pixels a side."""
    side = VALIDATION_CROP // store.scale
    pairs = []
    for i in range(len(store)):
        y, x = (max(0, (n - side) // 2) for n in store.sizes[i])
        lr, hr = store.pair(i)
        s = store.scale
        pairs.append((as_rgb(lr[y:y + side, x:x + side]), as_rgb(hr[y * s:(y + side) * s, x * s:(x + side) * s])))
    return pairs


class _Journal:
    """metrics.jsonl, and TensorBoard's events where it is installed; forgets what came after a resumed step."""

    def __init__(self, folder, step):
        self.path, self.best_psnr = folder / "metrics.jsonl", -math.inf
        if self.path.exists():
            lines = self.path.read_text().splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            self.best_psnr = max([json.loads(line).get("validation_psnr", -math.inf) for line in kept], default=-math.inf)
            self.path.write_text("".join(line + "\n" for line in kept))
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


class _Interruption:
    """True once SIGTERM or SIGINT has come: the loop saves and stops after the step that is under way."""

    def __enter__(self):
        self.came = False
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_):
        for s, handler in self.previous.items():
            signal.signal(s, handler)

    def _note(self, *_):
        self.came = True

    def __bool__(self):
        return self.came
