"""Checks before training that train.py and `srgan_tf.train` share.

`given` are the folders by name, with None for those that are not given: data_dir, validation_dir, lr_dir and
validation_lr_dir. `dashes` precede a name in messages: "--" for flags, "" for arguments of a function.
"""

import itertools
import os
from pathlib import Path

from srgan_tf.errors import UserError


def check_folders(given, dashes="--"):
    """Check that the folders exist, and that none is part of another."""
    for name, folder in given.items():
        if folder is not None and not os.path.isdir(folder):
            raise UserError(f"{dashes}{name} {folder}: not a folder. Give a folder of images.")
    for inner, outer in itertools.permutations(("validation_dir", "data_dir")):
        if given[inner] and given[outer] and _is_inside(given[inner], given[outer]):
            raise UserError(
                f"{dashes}{inner} {given[inner]}: inside {dashes}{outer}, so that images would be both trained on and "
                "validated on. Use two folders."
            )
    for hr, lr in (("data_dir", "lr_dir"), ("validation_dir", "validation_lr_dir")):
        if given[lr] and not given[hr]:
            raise UserError(f"{dashes}{lr}: has no effect without {dashes}{hr}. Give both, or omit it.")
        if given[lr] and _is_inside(given[lr], given[hr]):
            raise UserError(f"{dashes}{lr} {given[lr]}: inside {dashes}{hr}, where all images are HR. Use two folders.")
    if given["data_dir"] and given["validation_dir"] and bool(given["lr_dir"]) != bool(given["validation_lr_dir"]):
        raise UserError(
            f"{dashes}lr_dir: with {dashes}validation_dir it needs {dashes}validation_lr_dir, and the reverse. Give "
            "both."
        )


def check_vgg_weights(path, dashes="--"):
    """Check that the file of VGG19 exists, if one is given."""
    if path and not os.path.isfile(path):
        raise UserError(f"{dashes}vgg_weights {path}: no such file. Give VGG19's notop .h5 file.")


def check_lr_is_used(name, recipes, dashes="--"):
    """Check that the recipes take LR as it is given by a flag or argument, instead of making it from HR."""
    if any(recipe.degradation != "bicubic" for recipe in recipes):
        raise UserError(
            f"{dashes}{name}: not used, as {dashes}degradation {next(iter(recipes)).degradation} makes LR from HR. Add "
            f"{dashes}degradation bicubic, or omit {dashes}{name}."
        )


def check_crop_sizes(recipes, dashes="--"):
    """Check that the discriminator accepts crops of two sizes, if there are some."""
    if any(recipe.small_crop and recipe.discriminator == "paper" and recipe.phase == "srgan" for recipe in recipes):
        raise UserError(f"{dashes}discriminator paper: it accepts crops of one size only. Add {dashes}small_crop 0.")


def check_start(recipe, init, setting, dashes="--"):
    """Check that there are trained weights for a recipe that starts from some; `setting` is what asks for them."""
    if recipe.freeze_norm == "start" and not init:
        raise UserError(
            f"{setting}: it starts from trained weights. Give some with {dashes}init, such as {dashes}init srresnet."
        )


def check_run_dir(run_dir, given, dashes="--"):
    """Check that the run can be written, and that its folder is not part of the data."""
    for name, data in (("data_dir", "training"), ("validation_dir", "validation")):
        if given[name] and _is_inside(run_dir, given[name]):
            raise UserError(
                f"{dashes}run_dir {run_dir}: inside {dashes}{name}, so its samples would become {data} data. Choose "
                "another folder."
            )
    there = next(folder for folder in (run_dir.absolute(), *run_dir.absolute().parents) if os.path.lexists(folder))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{dashes}run_dir {run_dir}: cannot write to {there}. Choose another folder.")


def _is_inside(folder, other):
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(other))
