"""Checkpoints as .npz files: every array of a run's state by name. A file is complete or absent."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np

from srgan_tf import atomic
from srgan_tf.errors import UserError, reason

RESERVE = 64 * 2**20  # bytes that remain free after a checkpoint, for its SavedModel and the logs


def save(folder, step, arrays, *, keep=3, marks=()):
    """Write the checkpoint of a step, and remove those that are no longer kept.

    Args:
        folder: the folder with the checkpoints of a run.
        step: the number of steps trained.
        arrays: the arrays to write, by name.
        keep: how many of the last checkpoints are kept.
        marks: names that this checkpoint takes over, such as "best". The checkpoint that has a name is kept.

    Raises:
        UserError: if there is not enough disk space. Nothing is written then.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    size, free = sum(a.nbytes for a in arrays.values()), shutil.disk_usage(folder).free
    if free < size + RESERVE:
        raise UserError(
            f"{folder}: {free / 1e6:.0f} MB of disk space are left, a checkpoint needs {(size + RESERVE) / 1e6:.0f} "
            "MB. Free disk space and run the same command again."
        )
    target = path(folder, step)
    with atomic.whole_file(target) as file:
        np.savez(file, **arrays)
        for mark in marks:  # before the checkpoint exists: without its mark it would be removed
            with atomic.whole_file(folder / f"{mark}.mark") as marked:
                marked.write(target.name.encode())
    kept = {p for _, p in found(folder, step)[:keep]}  # later ones are damaged, or the run would have resumed from them
    kept |= {folder / os.fsdecode(mark.read_bytes()) for mark in folder.glob("*.mark")}
    for _, old in found(folder):
        if old not in kept:
            old.unlink()
    return target


def marked(folder, mark):
    """The step of the checkpoint with a mark; None if there is none."""
    try:
        return int(Path((Path(folder) / f"{mark}.mark").read_text()).stem[5:])
    except (OSError, ValueError):
        return None


def unmark(folder, mark):
    """Remove a mark, whose checkpoint is gone."""
    (Path(folder) / f"{mark}.mark").unlink(missing_ok=True)


def path(folder, step):
    """The path of the checkpoint of a step."""
    return Path(folder) / f"step-{step:08}.npz"


def found(folder, last=None):
    """The checkpoints of a folder as (step, path), newest first, up to the step `last`."""
    steps = [(int(p.stem[5:]), p) for p in Path(folder).glob("step-*.npz") if p.stem[5:].isdecimal()]
    return sorted(((s, p) for s, p in steps if last is None or s <= last), reverse=True)


def load(path):
    """The arrays of a checkpoint by name. All are checked: CRC-32 of the zip entries, and finite numbers.

    Raises:
        ValueError: if the file is missing or damaged.
        UserError: if it cannot be read for another reason, which may pass: it must not be replaced by an older one.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # an offset in a damaged file
            raise ValueError(f"{path} is damaged") from error
        raise UserError(f"{path}: cannot be read ({reason(error)}). Run the same command again when it can.") from error
    except Exception as error:  # depends on where it is damaged; NumPy's text may advise to run code from the file
        raise ValueError(f"{path} is damaged") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"{path} is damaged: {name} contains values that are not finite numbers")
    return arrays
