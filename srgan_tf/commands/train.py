"""python train.py: train SRResNet, then SRGAN from it."""

import dataclasses
import functools
import shlex
import sys
from pathlib import Path

from absl import flags

from srgan_tf.commands import training_checks as checks
from srgan_tf.errors import UserError
from srgan_tf.evaluation import cache
from srgan_tf.saved_models import zoo
from srgan_tf.training.recipes import (
    DIV2K_LR,
    OF_DISCRIMINATOR,
    PHASES,
    PIXEL_CONTENTS,
    RECIPES,
    VARIANTS,
    Recipe,
    final_start,
    recipe_for,
)
from srgan_tf.training.recipes import SMOKE as SMOKE_CHANGES

USAGE = """Train SRResNet, then SRGAN from it, on DIV2K or on your own images.

    python train.py --scale 4
    python train.py --scale 4 --data_dir my_pictures --run_dir runs/mine

To continue a stopped run, start the same command again. If both phases run, the flags of the loss apply to SRGAN and
all others to both."""

FLAGS = flags.FlagValues()
_bool, _enum, _float, _integer, _string = (
    functools.partial(define, flag_values=FLAGS)
    for define in (flags.DEFINE_bool, flags.DEFINE_enum, flags.DEFINE_float, flags.DEFINE_integer, flags.DEFINE_string)
)
SCALE = _enum("scale", "4", ["2", "4", "8"], "Upscaling factor of the network.")
PHASE = _enum(
    "phase",
    "both",
    ["both", *PHASES],
    "The phases to train. srgan starts from --init, or from the srresnet in the same --run_dir.",
)
VARIANT = _enum(
    "variant",
    None,
    list(VARIANTS),
    "One of the five variants in the paper. Sets the losses, and the phases if it needs SRResNet only.",
)
SMOKE = _bool("smoke", False, "A few steps on generated images, to check that training works on this machine.")
RECIPE = _enum(
    "recipe",
    "fast",
    list(RECIPES),
    "Default settings: paper, as published; fast, with fewer steps and other losses for SRGAN; photo, for "
    "compressed and noisy images.",
)
DATASET = _enum(
    "dataset",
    "pictures",
    ["pictures", "qr"],
    "Training data: images from DIV2K or --data_dir, or QR codes generated during training.",
)
QR_OPTIONS = _string(
    "qr_options",
    None,
    "Appearance of the training codes: NAME=NUMBER,NAME=LOW:HIGH,... such as pitch (LR pixels per module), angle, blur "
    "or noise, see docs/qr.md.",
)
DATA_DIR = _string("data_dir", None, "A folder of HR images, searched recursively. Default: DIV2K.")
VALIDATION_DIR = _string(
    "validation_dir",
    None,
    "A folder of HR images for validation. Default: the validation images of DIV2K, or a twentieth of the images in "
    "--data_dir, which then are not trained on.",
)
LR_DIR = _string(
    "lr_dir",
    None,
    "A folder of LR images for those in --data_dir, with the same names, optionally ending in x4 or similar. Default: "
    "made from HR.",
)
VALIDATION_LR_DIR = _string("validation_lr_dir", None, "The same for --validation_dir.")
RUN_DIR = _string("run_dir", None, "Folder of the run. Default: runs/x4 for scale 4, runs/smoke_x4 with --smoke.")
INIT = _string("init", None, "The model from which the generator starts: a name or the path of a SavedModel.")
VGG_WEIGHTS = _string("vgg_weights", None, "The notop .h5 file of VGG19 from keras-applications. Default: download it.")
CACHE_DIR = _string(
    "cache_dir",
    None,
    "Folder for decoded images, 3.2 bytes per pixel at --scale 4. You may delete it at any time. Default: "
    "$XDG_CACHE_HOME/srgan_tf.",
)
DIV2K = _enum(
    "div2k",
    None,
    list(DIV2K_LR),
    "The LR of DIV2K to train on: downscaled bicubically, by an unknown filter, or as by a camera. Default: bicubic.",
)
TFDS_DIR = _string("tfds_dir", None, "Folder of TensorFlow Datasets for DIV2K. Default: ~/tensorflow_datasets.")


def _recipe_flag(field):
    """The flag of a recipe's field. It has no default: the value is that of --recipe."""
    description, limits = field.metadata["help"], field.metadata
    if "choices" in limits:
        return _enum(field.name, None, list(limits["choices"]), description)
    if field.type is str:
        return _string(field.name, None, description)
    define = _integer if field.type is int else _float
    return define(field.name, None, description, lower_bound=limits.get("low"), upper_bound=limits.get("high"))


OVERRIDES = {field.name: _recipe_flag(field) for field in dataclasses.fields(Recipe) if "help" in field.metadata}
JPEG = _integer("jpeg", None, "Deprecated, use --degradation jpeg=N:95.", lower_bound=0, upper_bound=95)

LOG_EVERY = _integer("log_every", 50, "Steps between lines of metrics.jsonl.", lower_bound=1)
VALIDATE_EVERY = _integer("validate_every", 1000, "Steps between validations.", lower_bound=1)
CHECKPOINT_EVERY = _integer("checkpoint_every", 1000, "Steps between checkpoints.", lower_bound=1)
CHECKPOINT_MINUTES = _float("checkpoint_minutes", 15.0, "Maximum minutes between checkpoints.", lower_bound=0.1)
EXPORT_MINUTES = _float(
    "export_minutes",
    15.0,
    "Minimum minutes between checkpoints that are also exported as SavedModels. The last and the best one always are.",
    lower_bound=0,
)
KEEP = _integer("keep", 3, "Number of recent checkpoints to keep.", lower_bound=1)
DISTRIBUTE = _enum(
    "distribute",
    None,
    ["mirrored", "multiworker"],
    "Split each batch over all GPUs of this machine, or over the machines in TF_CONFIG.",
)
XLA = _bool(
    "xla",
    None,
    "Compile the training step with XLA: the first step takes minutes, the others are faster on a GPU. Default: on a "
    "single GPU only.",
)
DETERMINISTIC = _bool("deterministic", False, "Reproduce the weights bit for bit; slower on a GPU.")

FOLDERS = (DATA_DIR, VALIDATION_DIR, LR_DIR, VALIDATION_LR_DIR)
RUN_FLAGS = (LOG_EVERY, VALIDATE_EVERY, CHECKPOINT_EVERY, CHECKPOINT_MINUTES, EXPORT_MINUTES, KEEP, DETERMINISTIC, XLA)
KEY_FLAGS = (SCALE, PHASE, VARIANT, RECIPE, DATA_DIR, VALIDATION_DIR, RUN_DIR, INIT, VGG_WEIGHTS, OVERRIDES["steps"])
OF_SRGAN = ("content", "shift", "pixel", "tv", "consistency", "grid")  # with both phases


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    from srgan_tf.training import run_config

    _check(argv)
    scale = int(SCALE.value)
    run_dir = Path(RUN_DIR.value or f"runs/{'smoke_' if SMOKE.value else ''}x{scale}")
    recipes = {phase: _recipe(phase, scale) for phase in _phases()}
    _check_recipes(recipes.values())
    if JPEG.value:
        print(f"warning: --jpeg is deprecated. Use --degradation jpeg={JPEG.value}:95.", file=sys.stderr)
    first = next(iter(recipes))
    begun = run_config.has_begun(run_dir / first)
    if INIT.value and not begun:
        zoo.resolve(INIT.value, flag="--init")
    if first == "srgan" and not INIT.value and not begun and not (run_dir / "srresnet" / "saved_model").is_dir():
        raise UserError(
            f"--phase srgan: no SRResNet in {run_dir} to start from. Train both phases, or give a model with --init."
        )
    checks.check_run_dir(run_dir, _given())
    source, validation = _sources(scale, run_dir)

    from srgan_tf.networks import losses
    from srgan_tf.training import distribution, trainer
    from srgan_tf.training.run_folder import RunFolder
    from srgan_tf.training.store import open_store

    endless = DATASET.value == "qr"
    cache_dir = CACHE_DIR.value or str(cache.default_folder())
    strategy = distribution.strategy(DISTRIBUTE.value)
    if SMOKE.value and not RUN_DIR.value and distribution.is_chief(strategy):  # a test of this machine, not continued
        for phase in recipes:
            RunFolder(run_dir / phase).clear()
    for recipe in recipes.values():
        distribution.check_replicas(recipe, strategy, XLA.value)
    store = None if endless else open_store(source, scale, cache_dir)
    validation_store = validation and open_store(validation, scale, cache_dir, optional=not VALIDATION_DIR.value)
    if len(recipes) == 2 and recipes["srgan"].content not in PIXEL_CONTENTS:  # fail before the hours of SRResNet
        losses.vgg_loss(recipes["srgan"].content, VGG_WEIGHTS.value or "imagenet")
    runs = []
    for phase, recipe in recipes.items():
        init = (INIT.value or "") if phase == first else ""
        if phase == "srgan" and not init:
            init = str(run_dir / "srresnet" / "saved_model")
        settings = trainer.Run(
            str(run_dir / phase),
            recipe,
            source.describe(),
            init,
            VGG_WEIGHTS.value or "" if recipe.content not in PIXEL_CONTENTS else "",
            **{flag.name: flag.value for flag in RUN_FLAGS},
        )
        runs.append((settings, source.batches(recipe) if endless else store))
    for settings, batches in runs[1:] if distribution.is_chief(strategy) else ():  # `train` checks the first one
        trainer.check(settings, batches, strategy)
    for (phase, recipe), (settings, batches) in zip(recipes.items(), runs):
        saved = trainer.train(settings, batches, validation_store, strategy=strategy)
        if distribution.is_chief(strategy):
            print(f"{phase}: saved in {saved}")
    if distribution.is_chief(strategy):
        folder = RunFolder(run_dir / phase)
        best = folder.saved_model(folder.best_step or recipe.steps)
        _print_next(best if best.is_dir() else saved, recipe)


def _print_next(model, recipe):
    """Print the commands that use the trained model: the best step on validation, or the last one."""
    upscale, evaluate = "python upscale.py", "python evaluate.py"
    if not sys.argv[0].endswith(".py"):
        upscale, evaluate = "srgan-upscale", "srgan-evaluate"
    model = shlex.quote(str(model))
    options = "" if recipe.scale == 4 else f" --scale {recipe.scale}"
    options += "" if recipe.degradation == "bicubic" else f" --degradation {recipe.degradation}"
    of = "--qr" if DATASET.value == "qr" else "--set5" if recipe.scale in (2, 4) else "--data_dir FOLDER"
    print("next:", f"{upscale} photo.jpg --model {model}", f"{evaluate} {of} --model {model}{options}", sep="\n  ")


def _check(argv):
    """Check flags without reading data or loading TensorFlow."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: not a flag. Give a folder of images with --data_dir.")
    if DATASET.value == "qr":
        from srgan_tf.qr import codes

        for flag in (DATA_DIR, VALIDATION_DIR, OVERRIDES["degradation"], OVERRIDES["augment"], JPEG):
            if flag.value is not None:
                raise UserError(
                    f"--{flag.name}: has no effect with --dataset qr, which generates codes. Omit one of them."
                )
        _code_options()
        codes.generator()
    elif QR_OPTIONS.value:
        raise UserError("--qr_options: has no effect without --dataset qr. Add it, or omit --qr_options.")
    for flag in (*FOLDERS, RUN_DIR, INIT, VGG_WEIGHTS, CACHE_DIR, TFDS_DIR, OVERRIDES["degradation"]):
        if flag.value == "":  # such as an unset shell variable
            raise UserError(f"--{flag.name}: empty. Give a value, or omit the flag.")
    checks.check_folders(_given())
    for flag in (TFDS_DIR, DIV2K):
        if flag.value and (DATA_DIR.value or SMOKE.value or DATASET.value == "qr"):
            raise UserError(f"--{flag.name}: has no effect without DIV2K as training data. Omit it.")
    if DIV2K.value and not DIV2K.value.endswith(f"x{SCALE.value}"):
        raise UserError(f"--div2k {DIV2K.value}: not of scale {SCALE.value}. Change it, or --scale.")
    checks.check_vgg_weights(VGG_WEIGHTS.value)
    for flag in (OVERRIDES["crop"], OVERRIDES["small_crop"]):
        if (flag.value or 0) % 16:
            raise UserError(f"--{flag.name} {flag.value}: not a multiple of 16, as the discriminator needs. Change it.")
    if VARIANT.value and OVERRIDES["content"].value:
        raise UserError("--variant and --content: both set the content loss. Omit one of them.")
    if VARIANT.value and VARIANTS[VARIANT.value][0] == "srresnet" and PHASE.value == "srgan":
        raise UserError(f"--variant {VARIANT.value}: has no phase srgan. Omit --phase srgan.")
    if VARIANT.value and VARIANTS[VARIANT.value][0] == "srgan" and PHASE.value == "srresnet":
        raise UserError(f"--variant {VARIANT.value}: needs the phase srgan. Omit --phase srresnet or --variant.")
    if JPEG.value is not None and OVERRIDES["degradation"].value is not None:
        raise UserError("--jpeg: --degradation replaces it. Remove --jpeg.")
    if OVERRIDES["degradation"].value is not None:
        from srgan_tf.images import degradation

        degradation.parse(OVERRIDES["degradation"].value)


def _check_recipes(recipes):
    """Check for flags without effect and for missing weights."""
    first = next(iter(recipes))
    for flag in (LR_DIR, DIV2K):
        if flag.value:
            checks.check_lr_is_used(flag.name, recipes)
    if first.phase == "srresnet":
        setting = "--freeze_norm start" if OVERRIDES["freeze_norm"].value else f"--recipe {RECIPE.value}"
        checks.check_start(first, INIT.value, setting)
    checks.check_crop_sizes(recipes)
    srgan = [recipe for recipe in recipes if recipe.phase == "srgan"]
    no_final, final, small = not any(map(final_start, srgan)), OVERRIDES["final_steps"], OVERRIDES["small_crop"]
    for name, is_ignored, why in (
        *((name, not srgan, "SRResNet has no discriminator. Choose another --phase") for name in OF_DISCRIMINATOR),
        ("final_steps", final.value and no_final, "there are not more --steps. Change --final_steps"),
        ("small_crop", small.value and no_final, "it is for the steps before the --final_steps. Change --final_steps"),
        ("small_crop", any(r.small_crop >= r.crop for r in srgan), "it is not below --crop. Change --small_crop"),
        (
            "discriminator_restart",
            any(r.discriminator_restart >= r.steps for r in srgan),
            "there are not more --steps. Change --discriminator_restart",
        ),
        ("hold", all(r.schedule != "cosine" for r in recipes), "it needs a decay. Add --schedule cosine"),
        ("pixel", all(r.content == "mse" for r in recipes), "the content loss is already the MSE. Change --content"),
        (
            "freeze_norm",
            first.freeze_norm == "decay" and all(r.schedule == "constant" for r in recipes),
            "the learning rate is constant. Add --schedule",
        ),
    ):
        if OVERRIDES[name].value is not None and is_ignored:
            raise UserError(f"--{name}: has no effect, as {why}, or omit --{name}.")


def _given():
    """The folders of images by the name of their flag."""
    return {flag.name: flag.value for flag in FOLDERS}


def _code_options():
    from srgan_tf.qr.options import parse_options

    return parse_options(QR_OPTIONS.value or "")


def _phases():
    if PHASE.value != "both":
        return (PHASE.value,)
    return ("srresnet",) if VARIANT.value and VARIANTS[VARIANT.value][0] == "srresnet" else PHASES


def _recipe(phase, scale):
    """The recipe of a phase. Flags override --smoke and the losses of --variant."""
    changes = {flag.name: flag.value for flag in OVERRIDES.values() if flag.value is not None}
    if JPEG.value:
        changes["degradation"] = f"jpeg={JPEG.value}:95"
    if phase == "srresnet" and len(_phases()) == 2:
        for name in (*OF_SRGAN, *OF_DISCRIMINATOR):
            changes.pop(name, None)
    if DATASET.value == "qr":
        changes["degradation"] = "bicubic"  # codes have their own
    if SMOKE.value:
        changes = {**SMOKE_CHANGES[phase], **changes}
        if VARIANT.value:
            changes.pop("content", None)  # VGG19 is part of what is to be tested
    try:
        return recipe_for(RECIPE.value, phase, scale, VARIANT.value, **changes)
    except UserError as error:  # of a flag whose parser accepts it, such as nan
        raise UserError(f"--{error}") from None


def _sources(scale, run_dir):
    """The data sets for training and for validation, which may be None."""
    if DATASET.value == "qr":
        from srgan_tf.qr import batches

        return batches.Endless(_code_options()), batches.Pictures(2 if SMOKE.value else 24, scale)
    from srgan_tf.training import datasets

    if DATA_DIR.value:
        source, validation = datasets.Folder(DATA_DIR.value, scale, LR_DIR.value), None
        if not VALIDATION_DIR.value:
            source, validation = datasets.hold_out(source, [run_dir / phase for phase in PHASES])
    elif SMOKE.value:
        source, validation = datasets.Waves(8, scale), datasets.Waves(2, scale)
    else:
        splits = ("train", "validation")
        source, validation = (datasets.Div2k(scale, split, TFDS_DIR.value, DIV2K.value) for split in splits)
    if VALIDATION_DIR.value:
        if DATA_DIR.value:
            datasets.check_trained_on_all(source, [run_dir / phase for phase in PHASES])
        validation = datasets.Folder(VALIDATION_DIR.value, scale, VALIDATION_LR_DIR.value)
    return source, validation
