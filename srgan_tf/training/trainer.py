"""A training run: steps, checkpoints, validation, logs and exports; `run_folder.py` says what lies in its folder."""

import contextlib
import dataclasses
import itertools
import math
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from srgan_tf.errors import UserError
from srgan_tf.evaluation import metrics
from srgan_tf.images import degradation
from srgan_tf.networks import losses, models
from srgan_tf.networks.pixels import to_lr, to_uint8
from srgan_tf.saved_models import export, zoo
from srgan_tf.training import checkpoints, distribution, run_folder
from srgan_tf.training.batches import Batches, Crops
from srgan_tf.training.recipes import decay_start, learning_rate, norm_is_frozen
from srgan_tf.training.run_folder import Run  # noqa: F401 what `train` takes
from srgan_tf.training.state import State
from srgan_tf.training.step import make_step
from srgan_tf.training.validation import BICUBIC_REACH, MOST, centres


def train(run, store, validation=None, *, initial_weights=None, strategy=None):
    """Train, or go on training, to the end of the recipe's steps.

    Args:
        run: a `Run`.
        store: the `store.Store` of the training pictures, or `batches.Batches` of the recipe's crop and batch.
        validation: a `store.Store` of validation pictures, or None.
        initial_weights: function that gives the arrays by "layer/variable" that the generator starts from, in place of
            those of `run.init`; called only where the run has no checkpoint yet.
        strategy: the `tf.distribute.Strategy` of `distribution.strategy`; None for one device. Of several workers the
            first one writes the folder of the run, and all read it.

    Returns:
        The folder of the exported SavedModel.

    Raises:
        UserError: if the folder holds another run, no checkpoint can be read, the losses are not finite, the batch
            cannot be shared equally, or a worker is gone.
    """
    strategy = strategy or distribution.strategy()
    recipe, folder = distribution.concrete(run.recipe), Path(run.folder)
    run = dataclasses.replace(run, recipe=recipe)  # the precision that it has is what its config.json tells
    _check_replicas(run, recipe, strategy)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    crops = store
    if not isinstance(store, Batches):
        damages = degradation.parse(recipe.degradation)
        crops = Crops(store, crop=recipe.drawn, batch=recipe.batch, seed=recipe.seed, degradation=damages)
    chief = distribution.is_chief(strategy)
    if chief and crops is not store and (small := len(store) - len(crops.usable)):
        print(
            f"left out: {small} of {len(store)} pictures, a side of which is below {recipe.drawn} pixels: a smaller "
            "--crop would use them"
        )
    with _told(folder, strategy), run_folder.held(folder) if chief else contextlib.nullcontext():
        started, start = run_folder.claim(run) if chief else (None, {})
        with strategy.scope():
            content_loss = None
            if recipe.content != "mse":
                policy = "float32" if recipe.precision == "float32" else f"mixed_{recipe.precision}"
                content_loss = losses.vgg_loss(recipe.content, run.vgg or "imagenet", policy)
            state = State(recipe)
        step = _restore_everywhere(run, state, started, strategy)
        if not step and (run.init or initial_weights):
            _start_from(state, initial_weights() if initial_weights else _weights(run.init))
        journal = run_folder.Journal(folder, step) if chief else None
        loop = _Loop(run, recipe, state, validation if chief else None, strategy, journal, start)
        with _Interruption() as interruption:
            loop.run(step, crops, make_step(recipe, state, content_loss, strategy=strategy, xla=run.xla), interruption)
            distribution.agree(strategy, step)  # the next phase reads what the first worker has just written
        if interruption:  # since the last step
            raise UserError(
                f"stopped after the last step of {recipe.phase}, which is saved: the same command goes on from there"
            )
    return folder / "saved_model" / str(recipe.steps)


@contextlib.contextmanager
def _told(folder, strategy):
    """What a run may end of that is no bug, as a `UserError`."""
    try:
        yield
    except BrokenPipeError:  # of our own output
        raise
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"there is not enough memory, or no room in {folder} ({str(error).splitlines()[0]}): give a "
            "smaller --batch or --crop, or make room; the same command goes on from the last checkpoint"
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if strategy.cluster_resolver is None:
            raise
        raise UserError(
            f"a worker is gone ({str(error).splitlines()[0]}): start all of them again, they go on from "
            f"the last checkpoint in {folder}"
        ) from error
    except OSError as error:
        raise UserError(
            f"the run cannot go on ({error.strerror or error}), {error.filename or folder}: make room, or "
            "choose another --run_dir; the same command goes on from the last checkpoint"
        ) from error


def _check_replicas(run, recipe, strategy):
    replicas = strategy.num_replicas_in_sync
    if recipe.batch % replicas:
        raise UserError(
            f"a batch of {recipe.batch} can't be shared equally by {replicas} devices: give a --batch that "
            f"is a multiple of {replicas}"
        )
    if replicas > 1 and (run.xla or recipe.precision == "float16"):
        raise UserError(
            f"{'--xla' if run.xla else '--precision float16'} is for one device: leave it or --distribute out"
        )


def _restore_everywhere(run, state, started, strategy):
    """Restore the newest good checkpoint, on all workers the one that the first of them chooses; returns its step."""
    chief = distribution.is_chief(strategy)
    step = distribution.agree(strategy, run_folder.restore(run, state) if chief and started else 0)
    if step and not chief:
        path = checkpoints.path(Path(run.folder) / "checkpoints", step)
        try:
            state.restore(checkpoints.load(path))
        except ValueError as error:
            raise UserError(f"{error}: --run_dir must be a folder that all workers share") from error
    return step


def _weights(init):
    return models.named_weights(export.restore(zoo.resolve(init, flag="--init")))


def _start_from(state, weights):
    """Give the generator weights to start from; the layers that enlarge may be those of another scale."""
    fresh = state.start_from(weights)
    if strange := [name for name in fresh if not name.startswith(("up", "tail"))]:
        raise UserError(
            f"the model that training starts from has other blocks or features, {strange[0]} does not fit: "
            "give its --blocks and --features, or another --init"
        )
    if fresh:
        print(f"fresh, as the model that training starts from has another scale: {', '.join(fresh)}")


class _Loop:
    """The loop over steps with everything that happens between them; of several workers the first one reports."""

    def __init__(self, run, recipe, state, validation, strategy, journal, start):
        self.run_, self.recipe, self.state, self.strategy, self.journal = run, recipe, state, strategy, journal
        self.folder, self.reported, self.saved = Path(run.folder), time.monotonic(), time.monotonic()
        self.generator = state.exported()  # in float32
        self.validation = centres(validation, degradation.parse(recipe.degradation)) if validation is not None else []
        self.start = start
        self.best_psnr, self.best_step = journal.best_psnr if journal else math.inf, None

    def run(self, step, crops, train_step, interruption):
        run, recipe = self.run_, self.recipe
        bar = tqdm(
            total=recipe.steps,
            initial=step,
            desc=recipe.phase,
            unit=" steps",
            disable=None if self.journal else True,
            dynamic_ncols=True,
            smoothing=0.05,
        )
        recent, clock, shown, seconds = [], time.monotonic(), {}, math.nan
        if step and self.journal:
            self._export(step)  # if the run was killed before it had
        for lr, hr in itertools.islice(self._batches(crops, step), recipe.steps - step):
            rate = tf.constant(learning_rate(recipe, step), tf.float32)
            recent.append(train_step(lr, hr, rate, norm_is_frozen(recipe, step)))
            step += 1
            bar.update()
            last = step == recipe.steps
            stop = self._stops(step, interruption)
            if step % run.log_every == 0 or last or stop:
                means = {k: float(np.mean([logs[k].numpy() for logs in recent])) for k in recent[0]}
                seconds = (time.monotonic() - clock) / len(recent)
                self._log(step, means, seconds)
                shown |= {k: f"{v:.4g}" for k, v in means.items()}
                recent, clock = [], time.monotonic()
            paused = time.monotonic()
            if self.validation and (step % run.validate_every == 0 or last):
                psnr, ssim = self.validate(step)
                shown["PSNR"] = f"{psnr:.2f}"
            self._report(bar, step, shown, seconds)
            if self.journal and (last or stop or self._is_due(step)):
                self.save(step)
            clock += time.monotonic() - paused  # the steps' own speed
            if stop and not last:
                bar.close()
                raise UserError(f"stopped at step {step}, checkpoint written: the same command goes on from there")
        bar.close()

    def _batches(self, crops, step):
        """Batches from a step on, or what the replicas of this program get of them."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return crops.dataset(step)

        def parts(context):
            count = replicas // context.num_input_pipelines
            here = range(context.input_pipeline_id * count, (context.input_pipeline_id + 1) * count)
            return crops.dataset(step, replicas=replicas, here=here)

        return self.strategy.distribute_datasets_from_function(parts)

    def _stops(self, step, interruption):
        """Whether to stop after this step; several workers ask each other now and then, to stop at the same one."""
        if self.strategy.cluster_resolver is None:
            return bool(interruption)
        return step % self.run_.log_every == 0 and bool(distribution.agree(self.strategy, int(bool(interruption))))

    def _log(self, step, means, seconds):
        if not all(np.isfinite(list(means.values()))):
            raise self._diverged(f"a loss is not finite at step {step} ({means})")
        if self.journal:
            self.journal.write(
                step, {**means, "learning_rate": learning_rate(self.recipe, step - 1), "seconds_per_step": seconds}
            )

    def _diverged(self, what):
        return UserError(
            f"{what}: the last good checkpoint is in {self.folder}/checkpoints; try a lower "
            "--learning_rate or --precision float32"
        )

    def _is_due(self, step):
        return (
            step % self.run_.checkpoint_every == 0
            or step in (decay_start(self.recipe), self.best_step)
            or time.monotonic() > self.saved + 60 * self.run_.checkpoint_minutes
        )

    def validate(self, step):
        """PSNR, SSIM (bt601) and LR consistency, means over the validation pictures' centres, in float32.

        The journal gets the mean over all kinds of damage and the PSNR of each; a sample of each kind is saved.
        """
        models.load_named_weights(self.generator, self.state.export_weights())
        scores = {}
        for kind, lr, hr in self.validation:
            sr = self._upscale(lr[None])[0].numpy()
            psnr, ssim = metrics.score(hr, sr, "bt601", border=self.recipe.scale)
            consistency = metrics.lr_consistency(lr, sr, border=BICUBIC_REACH)
            if kind not in scores:
                self._sample(step, kind, lr, sr, hr)
            scores.setdefault(kind, []).append((min(psnr, MOST), ssim, min(consistency, MOST)))
        means = {kind: np.mean(figures, axis=0).tolist() for kind, figures in scores.items()}
        psnr, ssim, consistency = np.mean([*means.values()], axis=0).tolist()
        figures = {"validation_psnr": psnr, "validation_ssim": ssim, "validation_consistency": consistency}
        if len(means) > 1:
            figures |= {f"validation_psnr_{kind}": mean[0] for kind, mean in means.items()}
        self.journal.write(step, figures)
        if psnr > self.best_psnr:
            self.best_psnr, self.best_step = psnr, step
        return psnr, ssim

    @tf.function(reduce_retracing=True)
    def _upscale(self, lr):
        return to_uint8(self.generator(to_lr(lr), training=False))

    def _sample(self, step, kind, lr, sr, hr):
        scale = self.recipe.scale
        nearest = lr.repeat(scale, 0).repeat(scale, 1)
        (self.folder / "samples").mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([nearest, sr, hr], 1)).save(
            self.folder / "samples" / (f"{step:08}.png" if kind == "clean" else f"{step:08}_{kind}.png")
        )

    def save(self, step):
        """A checkpoint and its SavedModel; those of checkpoints that are gone go too."""
        run, arrays = self.run_, self.state.arrays()
        if not all(np.isfinite(array).all() for array in arrays.values()):  # it would push out a good one
            raise self._diverged(f"a weight is not finite at step {step}")
        folder = self.folder / "checkpoints"
        marks = ["hold"] if step == decay_start(self.recipe) else []  # where a longer run starts from
        if step == self.best_step:
            marks.append("best")
        checkpoints.save(folder, step, arrays, keep=run.keep, marks=marks)
        self._export(step)
        self.saved = time.monotonic()

    def _export(self, step):
        versions = self.folder / "saved_model"
        if not (versions / str(step)).exists():
            export.export(self.state.exported(), versions / str(step), attributes={"step": step, **self.start})
        kept = {str(s) for s, _ in checkpoints.found(self.folder / "checkpoints")}
        for version in versions.iterdir():
            if version.name.isdigit() and version.name not in kept:
                shutil.rmtree(version)

    def _report(self, bar, step, shown, seconds):
        """The bar's figures; without a terminal a line a minute."""
        bar.set_postfix(shown, refresh=False)
        due = step == self.recipe.steps or time.monotonic() > self.reported + 60
        if bar.disable and self.journal and shown and due:
            self.reported = time.monotonic()
            left = (self.recipe.steps - step) * seconds / 60
            figures = ", ".join(f"{k} {v}" for k, v in shown.items())
            print(
                f"step {step} of {self.recipe.steps}: {figures}, {1 / seconds:.2f} steps/s, {left:.0f} min left",
                flush=True,
            )


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
