"""The benchmark sets: pairs of HR and LR files in the layout of their public release.

`data_dir/Set5/image_SRF_4/img_001_SRF_4_HR.png` and `..._LR.png`, and so on (github.com/jbhuang0604/SelfExSR).
The LR files are scored, not made anew: the published rows come from them.
"""
import os
import pathlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError

BENCHMARKS = {"set5": ("Set5", 5), "set14": ("Set14", 14), "bsd100": ("BSD100", 100)}  # folder, pictures
GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # and I;16 with its kin: more than 8 bits a channel


@dataclass(frozen=True)
class Pair:
    """One picture of a benchmark set."""

    name: str
    hr_path: pathlib.Path
    lr_path: pathlib.Path


def load_pairs(name, data_dir, scale=4):
    """Find the files of a benchmark set; none is opened yet.

    Args:
        name: a key of BENCHMARKS.
        data_dir: the folder that holds the sets' folders.
        scale: 2, 4 or 8.

    Returns:
        A list of Pair in the order of their numbers, as many as the set has: the mean of fewer pictures is not
        the set's figure.

    Raises:
        UserError: when the folder or a file is missing, naming the first one.
    """
    title, count = BENCHMARKS[name]
    folder = pathlib.Path(data_dir) / title / f"image_SRF_{scale}"
    if not folder.is_dir():
        raise UserError(f"{title} at scale {scale} is missing, no folder {folder}, pass --data_dir FOLDER with "
                        f"FOLDER/{title}/image_SRF_{scale}/img_001_SRF_{scale}_HR.png in it")
    stems = [f"img_{number:03}" for number in range(1, count + 1)]
    pairs = [Pair(stem, *(folder / f"{stem}_SRF_{scale}_{kind}.png" for kind in ("HR", "LR"))) for stem in stems]
    missing = [path for pair in pairs for path in (pair.hr_path, pair.lr_path) if not path.is_file()]
    if missing:
        raise UserError(f"{title} is incomplete, {len(missing)} of its {2 * count} files are missing, the first is "
                        f"{missing[0]}, put it there or pass another --data_dir FOLDER")
    return pairs


def read_pair(pair, scale=4):
    """Read both pictures of a pair.

    Returns:
        (hr, lr): uint8 [scale h, scale w, 3] and [h, w, 3]; a grey file stays [H, W].

    Raises:
        UserError: naming the file that cannot be read, has more than 8 bits or is of the wrong size.
    """
    hr, lr = _read(pair.hr_path), _read(pair.lr_path)
    expected = tuple(scale * side for side in lr.shape[:2])
    if hr.shape[:2] != expected:
        raise UserError(f"HR is {_sides(hr.shape)} pixels but {scale} times its LR is {_sides(expected)}, "
                        f"{pair.hr_path}, replace it or {pair.lr_path.name} with the set's file")
    return hr, lr


def default_data_dir():
    """Where the sets are looked for when no folder is given: `$XDG_CACHE_HOME/srgan_tf/benchmarks`."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "srgan_tf" / "benchmarks"


def _read(path):
    try:
        with Image.open(path) as image:
            if image.mode.split(";")[0] in DEEP_MODES:
                raise UserError(f"the picture has more than 8 bits a channel, {path}, replace it with the set's file")
            return np.asarray(image.convert("L" if image.mode in GREY_MODES else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken PNG chunks
        raise UserError(f"the picture cannot be read, {path}, replace it with the set's file") from error


def _sides(shape):
    return f"{shape[1]} x {shape[0]}"

