"""Checkpoints as .npz files: every array of a run's state by name, whole or not there at all."""
import os
import re
import zipfile
from pathlib import Path

import numpy as np


def save(folder, step, arrays, *, keep=3, hold=False):
    """Write the checkpoint of a step and remove all but the last `keep`; one with `hold` is never removed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{'hold' if hold else 'step'}-{step:08}.npz"
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    for old in sorted(folder.glob("step-*.npz"))[:-keep]:
        old.unlink()
    return path


def found(folder, last=None):
    """The checkpoints of a folder as (step, path), the newest first; none after the step `last`."""
    steps = [(int(re.search(r"\d+", path.stem)[0]), path) for path in Path(folder).glob("*-*.npz")]
    return sorted(((s, p) for s, p in steps if last is None or s <= last), reverse=True)


def load(path):
    """The arrays of a checkpoint, every one checked (CRC-32 of the zip entries).

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
