"""A training run: it starts or resumes, and loops over steps, validation and checkpoints."""

import contextlib
import dataclasses
import itertools
import math
import signal
import threading
import time

import numpy as np
import tensorflow as tf

from srgan_tf.errors import Stopped, UserError, reason
from srgan_tf.images import degradation
from srgan_tf.networks import losses, models
from srgan_tf.networks.pixels import to_lr
from srgan_tf.saved_models import export, variables, zoo
from srgan_tf.training import distribution
from srgan_tf.training.batches import Batches, Crops
from srgan_tf.training.progress import Progress
from srgan_tf.training.recipes import (
    crop_side,
    discriminator_learning_rate,
    discriminator_restarts,
    extension_start,
    final_start,
    learning_rate,
    norm_is_frozen,
)
from srgan_tf.training.run_config import Run
from srgan_tf.training.run_folder import RunFolder
from srgan_tf.training.state import State
from srgan_tf.training.step import make_step
from srgan_tf.training.validation import validation_of

MEASURED = 256  # crops for measuring the averages of batch normalisation


def train(run: Run, store, validation=None, *, initial_weights=None, strategy=None):
    """Train, or resume training, to the end of the recipe's steps.

    Args:
        run: the settings, a `Run`.
        store: the `store.Store` of the training pictures, or `batches.Batches` of `recipe.scale`, `recipe.drawn` and
            `recipe.batch`.
        validation: a `store.Store` of validation pictures, or None.
        initial_weights: a function that returns the arrays by "layer/variable" that the generator starts from, instead
            of those of `run.init`. It is called only if the run has no checkpoint yet.
        strategy: the `tf.distribute.Strategy` of `distribution.strategy`; None for one device. With several workers the
            first one writes the folder of the run, and all read it.

    Returns:
        The folder of the exported SavedModel.

    Raises:
        UserError: if the folder contains another run, no checkpoint can be read, the losses are not finite, the batch
            cannot be shared equally, or a worker is gone.
        ValueError: for batches of another size.
        Stopped: after Ctrl-C or SIGTERM, when a checkpoint has been written.
    """
    strategy = strategy or distribution.strategy()
    run = _concrete(run, strategy)
    distribution.check_replicas(run.recipe, strategy, run.xla)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    chief = distribution.is_chief(strategy)
    batches = _batches(run.recipe, store, report=chief)
    folder = RunFolder(run.folder)
    with (
        _user_errors(run.folder, strategy, batches),
        folder.locked() if chief else contextlib.nullcontext(),
        contextlib.closing(batches),
    ):
        if chief:
            folder.configure(run)
        with strategy.scope():
            content_loss = _content_loss(run)
            state = State(run.recipe)
        step = _restore(folder, state, strategy)
        if not step and (run.init or initial_weights):
            _start_from(state, initial_weights() if initial_weights else _weights(run.init))
            if not norm_is_frozen(run.recipe, 0):  # the averages may be those of a phase that froze them
                _remeasure_norms(state, batches)
        loop = _Loop(run, state, folder, step, validation, strategy, content_loss)
        with _Interruption() as interruption:
            update = make_step(run.recipe, state, content_loss, strategy=strategy, xla=run.xla)
            loop.run(batches, update, interruption)
            distribution.agree(strategy, step)  # the next phase reads the files of the first worker
        if interruption:  # since the last step
            raise Stopped(
                f"stopped after the last step of {run.recipe.phase}, checkpoint written. The same command resumes from "
                "there.",
                interruption.signal,
            )
    return folder.saved_model(run.recipe.steps)


def check(run: Run, store, strategy) -> None:
    """Check whether a run can begin or resume, before the phase that it follows takes hours.

    Args:
        run, store, strategy: as for `train`.

    Raises:
        UserError: as `train`, for what is known before the first step.
    """
    run = _concrete(run, strategy)
    _batches(run.recipe, store, report=False)
    RunFolder(run.folder).check(run)


class _Loop:
    """The loop over steps, with validation and checkpoints between them. Of several workers the first one reports."""

    def __init__(self, run, state, folder, step, validation, strategy, content_loss):
        self.settings, self.recipe, self.state, self.strategy = run, run.recipe, state, strategy
        self.folder, self.step = folder, step
        self.reports = distribution.is_chief(strategy)
        self.journal = folder.journal(step) if self.reports else None
        self.validator = self.reports and validation_of(run, state, validation, content_loss, self.journal.measure)
        known = self.validator and folder.best_step  # an extension may have removed it
        self.best = self.journal.best(*self.validator.criterion) if known else None
        self.best_step = None
        self.saved = self.exported = time.monotonic()

    def run(self, batches, update, interruption):
        """Do the steps that are left.

        Args:
            batches: the `batches.Batches`.
            update: the training step of `make_step`.
            interruption: true once the run is to stop.
        """
        recipe, settings = self.recipe, self.settings
        if self.reports:
            self._begin()
        progress = Progress(recipe, self.step, self.journal)
        if self.step and self.reports:
            self.folder.export(self.state, self.step)  # if the run was killed before it had
        for lr, hr in itertools.islice(self._dataset(batches), recipe.steps - self.step):
            rate = learning_rate(recipe, self.step)
            if discriminator_restarts(recipe, self.step):
                self.state.restart_discriminator()
            if self.step and self.step == final_start(recipe):
                self.state.take_average()
            rates = [tf.constant(r, tf.float32) for r in (rate, discriminator_learning_rate(recipe, self.step))]
            frozen, side = norm_is_frozen(recipe, self.step), crop_side(recipe, self.step)
            progress.add(update(lr, hr, rates[0], frozen, side, rates[1]))
            self.step += 1
            last, stop = self.step == recipe.steps, self._stops(interruption)
            if self.step % settings.log_every == 0 or last or stop:
                self._check_losses(progress.log(self.step, rate))
            with progress.paused():
                if last and norm_is_frozen(recipe, self.step - 1):
                    _remeasure_norms(self.state, batches)
                if self.step % settings.validate_every == 0 or last:
                    progress.show(self._validate())
                progress.print_line(self.step)
                if self.reports and (last or stop or self._checkpoint_is_due()):
                    self._save(export=last or stop)
            if stop and not last:
                progress.close()
                raise Stopped(
                    f"stopped at step {self.step}, checkpoint written. The same command resumes from there.",
                    interruption.signal or signal.SIGTERM,  # None on workers that stop because another one does
                )
        progress.close()
        if self.validator:
            self._print_summary()

    def _begin(self):
        """Say what can be compared later: bicubic, and the generator before its first step."""
        if not self.journal.events:
            print(f"no charts: TensorBoard is not installed (pip install tensorboard). Figures: {self.journal.path}")
        if self.validator and not self.journal.is_of(self.validator.images):
            if self.journal.bicubic:
                print("validation: the images have changed, so the best step is determined again.", flush=True)
                self.best = None
            self.journal.write_bicubic(self.validator.bicubic(), self.validator.images)
        if 0 < self.step < self.recipe.steps:
            print(f"resumes from step {self.step} of {self.recipe.steps}", flush=True)
        elif self.validator and not self.step:
            self._validate()
            self._print_summary()

    def _print_summary(self):
        rows = self.journal.summary(*self.validator.criterion)
        print(f"{self.recipe.phase} on the validation pictures:", *rows, sep="\n  ", flush=True)

    def _dataset(self, batches):
        """Batches from the current step on, or the share that the replicas of this program get of them."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            dataset = batches.dataset(self.step)
            gpu = distribution.single_gpu(self.strategy)
            # The next batches are copied while the GPU computes.
            return dataset.apply(tf.data.experimental.prefetch_to_device(gpu)) if gpu else dataset

        def shares(context):
            count = replicas // context.num_input_pipelines
            here = range(context.input_pipeline_id * count, (context.input_pipeline_id + 1) * count)
            return batches.dataset(self.step, replicas=replicas, here=here)

        return self.strategy.distribute_datasets_from_function(shares)

    def _stops(self, interruption):
        """Whether to stop after this step. Several workers ask each other now and then, to stop at the same one."""
        if self.strategy.cluster_resolver is None:
            return bool(interruption)
        if self.step % self.settings.log_every:
            return False
        return bool(distribution.agree(self.strategy, int(bool(interruption))))

    def _validate(self):
        """Validate the generator and remember the best step. Returns the figures for the progress display."""
        if not self.validator:
            return {}
        figures, samples = self.validator()
        self.journal.write(self.step, figures)
        for kind, pictures in samples.items():
            name = f"{self.step:08}" + ("" if kind == "clean" else f"_{kind}")
            self.journal.write_picture(self.step, kind, self.folder.save_sample(name, *pictures))
        name, lower = self.validator.criterion
        if not self.step:  # the start has no checkpoint
            return {}
        if self.best is None or (figures[name] < self.best if lower else figures[name] > self.best):
            self.best, self.best_step = figures[name], self.step
        shown = {"PSNR": f"{figures['validation_psnr']:.2f}"}
        return (
            shown if name == "validation_psnr" else {**shown, name.removeprefix("validation_"): f"{figures[name]:.4f}"}
        )

    def _checkpoint_is_due(self):
        return (
            self.step % self.settings.checkpoint_every == 0
            or self.step in (extension_start(self.recipe), self.best_step)
            or time.monotonic() > self.saved + 60 * self.settings.checkpoint_minutes
        )

    def _save(self, export):
        if not all(np.isfinite(array).all() for array in self.state.arrays().values()):  # it would replace a good one
            raise self._divergence("a weight")
        marks = ["hold"] if self.step == extension_start(self.recipe) else []  # where a longer run starts from
        if self.step == self.best_step:
            marks.append("best")
        export = export or time.monotonic() > self.exported + 60 * self.settings.export_minutes
        self.folder.save(self.state, self.step, keep=self.settings.keep, marks=marks, models=export)
        self.saved = time.monotonic()
        self.exported = self.saved if export else self.exported

    def _check_losses(self, means):
        if not all(map(math.isfinite, means.values())):
            raise self._divergence("a loss")

    def _divergence(self, what):
        return UserError(
            f"{self.folder.path}: {what} is not finite at step {self.step}. Start another --run_dir with a lower "
            "--learning_rate or --precision float32."
        )


class _Interruption:
    """True after SIGTERM or SIGINT: the loop then saves and stops after the current step.

    Only the main thread of a program gets signals; a run in another thread ends without a last checkpoint.
    """

    def __enter__(self):
        self.signal = None
        received = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        self.previous = {s: signal.signal(s, self._note) for s in received}
        return self

    def __exit__(self, *_):
        for s, handler in self.previous.items():
            signal.signal(s, handler)

    def _note(self, number, _):
        self.signal = number

    def __bool__(self):
        return self.signal is not None


def _concrete(run, strategy):
    """The run as config.json records it, with the precision of its devices, and whether XLA compiles the step."""
    xla = distribution.single_gpu(strategy) is not None if run.xla is None else run.xla
    return dataclasses.replace(run, recipe=distribution.concrete(run.recipe), xla=xla)


def _batches(recipe, store, report):
    """The `Batches` of a store, or those that take its place, if they have the sizes of the recipe."""
    if isinstance(store, Batches):
        found, expected = (
            (store.scale, store.scale * store.side, store.batch),
            (recipe.scale, recipe.drawn, recipe.batch),
        )
        if found != expected:
            raise ValueError(
                f"scale, crop and batch must be those that the recipe draws, {expected}. Received: {found}"
            )
        return store
    damage = degradation.parse(recipe.degradation)
    crops = Crops(
        store,
        crop=recipe.drawn,
        batch=recipe.batch,
        seed=recipe.seed,
        degradation=damage,
        augment=recipe.augment,
    )
    if report and (small := len(store) - len(crops.usable)):
        print(
            f"skipped: {small} of {len(store)} pictures with a side below {recipe.drawn} pixels. A smaller --crop "
            "uses them."
        )
    return crops


def _remeasure_norms(state, batches):
    state.remeasure_norms([to_lr(batches(n)[0]) for n in range(-(-MEASURED // state.recipe.batch))])


def _content_loss(run):
    if run.recipe.content == "mse":
        return None
    if run.recipe.content == "log-mse":
        return losses.log_mse
    policy = "float32" if run.recipe.precision == "float32" else f"mixed_{run.recipe.precision}"
    return losses.vgg_loss(run.recipe.content, run.vgg or "imagenet", policy)


def _restore(folder, state, strategy):
    """Restore the newest valid checkpoint, which the first worker selects for all. Returns its step."""
    chief = distribution.is_chief(strategy)
    step = distribution.agree(strategy, folder.restore(state) if chief else 0)
    if step and not chief:
        folder.restore_step(state, step)
    return step


def _weights(init):
    return models.named_weights(export.restore(zoo.resolve(init, flag="--init")))


def _start_from(state, weights):
    """Set the generator's initial weights. For another scale the layers that enlarge stay new."""
    recipe, other = state.recipe, variables.architecture(weights)
    if (other["blocks"], other["features"]) != (recipe.blocks, recipe.features):
        raise UserError(
            f"--init: the model has {other['blocks']} blocks and {other['features']} features. Add --blocks "
            f"{other['blocks']} --features {other['features']}, or use another --init."
        )
    if other["scale"] != recipe.scale:
        weights = {name: value for name, value in weights.items() if not name.startswith(("up", "tail"))}
        print(f"--init: the model has scale {other['scale']}, so the upsampling layers start untrained.", flush=True)
    state.start_from(weights)


@contextlib.contextmanager
def _user_errors(folder, strategy, batches):
    """Convert errors that end a run without being bugs into a `UserError`."""
    try:
        yield
    except BrokenPipeError:  # on this program's output
        raise
    except tf.errors.UnknownError as error:
        raise batches.failure or error from None
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"{folder}: out of memory or disk space ({reason(error)}). Free some and the same command "
            "resumes from the last checkpoint, or start another --run_dir with a smaller --batch or --crop."
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if strategy.cluster_resolver is None:
            raise
        raise UserError(
            f"--distribute: a worker is gone ({reason(error)}). Start all workers again; they resume from "
            f"the last checkpoint in {folder}."
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: {error.strerror or error}. Free disk space, or choose another --run_dir; the "
            "same command resumes from the last checkpoint."
        ) from error
