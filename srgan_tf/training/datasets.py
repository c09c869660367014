"""Sources of training pictures: DIV2K through TFDS, or a folder of HR pictures.

A source has `describe()`, which identifies its pictures independently of their folder, `count` (or None), `pictures()`,
an iterator of `Picture` in a fixed order, and `inputs`, the paths that it reads, if it reads files.
"""

import concurrent.futures
import copy
import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from srgan_tf.errors import UserError, reason
from srgan_tf.images import folders, formats, reading
from srgan_tf.resize import imresize
from srgan_tf.training import run_config
from srgan_tf.training.recipes import DIV2K_LR

HELD_OUT = 20  # one image in this many is held out for validation,
MOST_HELD_OUT = 100  # but not more than these, as many as in DIV2K: each validation scores all of them


@dataclasses.dataclass(frozen=True)
class Picture:
    """HR uint8 [sH, sW, 3] and its LR uint8 [H, W, 3]; or the error that prevents them."""

    name: str
    hr: np.ndarray | None = None
    lr: np.ndarray | None = None
    error: str | None = None


class Folder:
    """A folder of HR pictures, searched recursively.

    Args:
        folder: the folder.
        scale: the factor between LR and HR.
        lr_folder: a folder with an LR picture for each of them, of the same name with or without an ending such as x4
            or _LR, in the same subfolder; None makes LR by MATLAB's imresize.

    Raises:
        UserError: if a folder is missing or contains no pictures, or none of the LR pictures matches.
    """

    def __init__(self, folder, scale, lr_folder=None):
        self.folder, self.scale, self.lr_folder = Path(folder), scale, lr_folder and Path(lr_folder)
        if not os.path.isdir(folder):
            raise UserError(f"{folder}: not a folder. Give the folder of your HR pictures.")
        self._locked = []
        self.files, self._others = folders.pictures_below(folder, self._locked.append)
        if not self.files:
            raise UserError(f"{folder}: no pictures in this folder. Give a folder of HR pictures.")
        self._lr = self._matched() if lr_folder else {}

    @property
    def count(self):
        return len(self.files)

    @property
    def inputs(self):
        return [*self.files, *(self._lr[path] for path in self.files if path in self._lr)]

    def split(self):
        """Divide the pictures for training and validation.

        Their names decide, so that the same ones are held out every time and wherever the folder is.

        Returns:
            This folder without a twentieth of its pictures, at most 100, and a folder of these; None for it with
            fewer than 20.
        """
        count = min(len(self.files) // HELD_OUT, MOST_HELD_OUT)
        if not count:
            return self, None
        mixed = sorted(self.files, key=lambda path: hashlib.sha256(repr(self._name(path)).encode()).digest())
        train, held = copy.copy(self), copy.copy(self)
        train.files, held.files = sorted(mixed[count:]), sorted(mixed[:count])
        held._locked, held._others = [], {}  # reported with the others
        return train, held

    def describe(self):
        files = [(self._name(p), p.stat().st_size) for p in self.files]
        lr = [(p.name, p.stat().st_size) for p in self.inputs[len(files) :]]
        digest = hashlib.sha256(repr([*files, *lr]).encode()).hexdigest()[:16]
        return {"source": "folder with LR" if self.lr_folder else "folder", "files": len(files), "digest": digest}

    def pictures(self):
        for error in self._locked:
            yield Picture(
                error.filename, error=f"{error.filename}: cannot be read ({error.strerror}). Check its permissions."
            )
        if self._others:
            yield Picture(str(self.folder), error=f"{self.folder}: other files: {folders.summary(self._others)}")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            todo = iter(self.files)
            waiting = [pool.submit(self._picture, p) for p in itertools.islice(todo, 4)]
            while waiting:  # a window, not map(): decoded pictures must not accumulate
                yield waiting.pop(0).result()
                waiting += [pool.submit(self._picture, p) for p in itertools.islice(todo, 1)]

    def _picture(self, path):
        name, scale, lr_path = self._name(path), self.scale, self._lr.get(path)
        if self.lr_folder and not lr_path:
            return Picture(name, error=f"{path}: no image of that name in {self.lr_folder}. Add its LR.")
        try:
            hr = _opaque(reading.read(path))
            lr = _opaque(reading.read(lr_path)) if lr_path else None
        except UserError as error:
            return Picture(name, error=str(error))
        height, width = (side // scale for side in hr.shape[:2])
        if not height or not width:
            return Picture(name, error=f"{path}: smaller than {scale} pixels. Use larger pictures.")
        if lr is None:
            hr = hr[: scale * height, : scale * width]
            return Picture(name, hr, imresize(hr, 1 / scale))
        if any(n not in (large // scale, -(-large // scale)) for n, large in zip(lr.shape[:2], hr.shape[:2])):
            sizes = [f"{picture.shape[1]} x {picture.shape[0]}" for picture in (lr, hr)]
            return Picture(name, error=f"{lr_path}: {sizes[0]} pixels, but HR has {sizes[1]}. Use LR of scale {scale}.")
        return Picture(name, *_cropped(hr, lr, scale))

    def _matched(self):
        """The LR path of each HR path that has one."""
        if not os.path.isdir(self.lr_folder):
            raise UserError(f"{self.lr_folder}: not a folder. Give the folder of your LR pictures.")
        found, of_scale = {}, f"x{self.scale}"
        paths, _ = folders.pictures_below(self.lr_folder)
        for path in sorted(paths, key=lambda path: of_scale not in path.stem.lower()):
            for stem in folders.stems(path.stem.lower()):
                found.setdefault((path.parent.relative_to(self.lr_folder), stem), path)
        matched = {}
        for path in self.files:
            keys = [(path.parent.relative_to(self.folder), stem) for stem in folders.stems(path.stem.lower())]
            if match := next((found[key] for key in keys if key in found), None):
                matched[path] = match
        if not matched:
            raise UserError(
                f"{self.lr_folder}: none of its pictures has the name of one in {self.folder}. Name LR as HR, such as "
                f"{self.files[0].stem}.png or {self.files[0].stem}x{self.scale}.png."
            )
        return matched

    def _name(self, path):
        return path.relative_to(self.folder).as_posix()


def hold_out(source, runs):
    """Divide the pictures of a folder for training and validation.

    Args:
        source: a `Folder`.
        runs: folders of runs. If one of them was trained on all pictures, as by older versions or with other
            validation pictures, none are held out, so that it can be resumed.

    Returns:
        A `Folder` to train on and one to validate on, or None; and prints how many pictures are held out.
    """
    train, held = source.split()
    everything = source.describe()
    if held is None or any(run_config.trained_on(run) == everything for run in runs):
        return source, None
    print(
        f"held out for validation: {held.count} of {source.count} images in {source.folder}. To train on all, give "
        "others with --validation_dir."
    )
    return train, held


def check_trained_on_all(source, runs):
    """Raise a UserError if a run has held out pictures of a `Folder`: it cannot resume with others for validation."""
    train, held = source.split()
    for run in runs:
        if held and run_config.trained_on(run) == train.describe():
            raise UserError(
                f"--validation_dir: the run in {run} has held out {held.count} of its own images for validation. Omit "
                "the flag to resume it, or choose another --run_dir."
            )


def _cropped(hr, lr, scale):
    """A pair without the last row or column of LR that has fewer HR pixels than `scale`."""
    height, width = (min(large // scale, small) for large, small in zip(hr.shape, lr.shape[:2]))
    return hr[: scale * height, : scale * width], lr[:height, :width]


def _opaque(picture):
    """uint8 [H, W, 3], with transparency over white: the colours of transparent pixels are undefined."""
    pixels = formats.rounded(picture.pixels)
    if picture.alpha is None:
        return pixels
    share = formats.rounded(picture.alpha)[..., None] / np.float32(255)
    return np.rint(share * pixels + (1 - share) * 255).astype(np.uint8)


class Waves:
    """Generated pictures of 192 x 240 pixels, for a run that needs no data."""

    def __init__(self, count, scale):
        self.count, self.scale = count, scale

    def describe(self):
        return {"source": "waves", "count": self.count}

    def pictures(self):
        y, x = np.mgrid[:192, :240]
        for i in range(self.count):
            rng = np.random.default_rng(i)
            waves = [np.sin(x * f + y * g + p) for f, g, p in rng.uniform(-0.5, 0.5, (3, 3))]
            hr = np.rint(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)
            yield Picture(f"waves {i}", hr, imresize(hr, 1 / self.scale))


class Div2k:
    """DIV2K (Agustsson and Timofte 2017) with its own LR, downloaded by TFDS on first use (4 to 5 GB).

    Args:
        scale: 2, 4 or 8.
        split: "train" (800 pictures) or "validation" (100).
        data_dir: TFDS' folder; None is ~/tensorflow_datasets.
        lr: one of `recipes.DIV2K_LR`; None is bicubic LR of that scale.
    """

    def __init__(self, scale, split="train", data_dir=None, lr=None):
        lr = lr or f"bicubic_x{scale}"
        if lr not in DIV2K_LR or not lr.endswith(f"x{scale}"):
            raise UserError(f"--scale: DIV2K has no {lr} of scale {scale}. Use --scale 2, 4 or 8, or another --div2k.")
        self.scale, self.config, self.split, self.data_dir = scale, f"div2k/{lr}", split, data_dir
        self.count = {"train": 3200 if "wild" in lr else 800, "validation": 100}[split]  # "wild" has 4 LR of each HR

    def describe(self):
        return {"source": self.config, "split": self.split}

    def pictures(self):
        import tensorflow_datasets as tfds

        builder = tfds.builder(self.config, data_dir=self.data_dir, try_gcs=False)
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        except Exception as error:  # requests', urllib's or TFDS' own
            raise UserError(
                f"--tfds_dir: DIV2K cannot be downloaded ({reason(error)}). Put its zip files into "
                f"{Path(builder.data_path).parents[2] / 'downloads' / 'manual'}, or train on your own pictures with "
                "--data_dir FOLDER."
            ) from error
        for i, pair in enumerate(tfds.as_numpy(builder.as_dataset(split=self.split, shuffle_files=False))):
            # At scale 8 most sides are not a multiple of the scale.
            yield Picture(f"{self.split}/{i:04}", *_cropped(pair["hr"], pair["lr"], self.scale))
