"""The benchmark sets: pairs of HR and LR files, in a folder of one's own or downloaded from their public release.

`data_dir/Set5/image_SRF_4/img_001_SRF_4_HR.png` and `..._LR.png`, and so on (github.com/jbhuang0604/SelfExSR).
The LR files are scored, not made anew: the published rows come from them.
"""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
from dataclasses import dataclass

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation.metrics import SSIM_WINDOW
from srgan_tf.images import formats, reading
from srgan_tf.resize import imresize

BENCHMARKS = {
    "set5": ("Set5", 5),
    "set14": ("Set14", 14),
    "bsd100": ("BSD100", 100),
    "urban100": ("Urban100", 100),
}  # folder, pictures


@dataclass(frozen=True)
class Pair:
    """One picture of a set; without an LR file, LR is made by imresize."""

    name: str
    hr_path: pathlib.Path
    lr_path: pathlib.Path | None


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
        raise UserError(
            f"{title} at scale {scale} is missing, no folder {folder}, pass --data_dir FOLDER with "
            f"FOLDER/{title}/image_SRF_{scale}/img_001_SRF_{scale}_HR.png in it, or leave --data_dir out "
            "to download it"
        )
    pairs = released_pairs(name, data_dir, scale)
    missing = [path for pair in pairs for path in (pair.hr_path, pair.lr_path) if not path.is_file()]
    if missing:
        raise UserError(
            f"{title} is incomplete, {len(missing)} of its {2 * count} files are missing, the first is "
            f"{missing[0]}, put it there or pass another --data_dir FOLDER"
        )
    return pairs


def load_folder(folder, scale=4):
    """Find the pairs of anybody's folder: `HR/` and, if it is there, `LR/` with files of the same names.

    A name may differ in its suffix, and an LR file's may end in `x4`, as DIV2K's do. None is opened yet.

    Returns:
        (name, pairs): the folder's name and a list of Pair, sorted.

    Raises:
        UserError: for an empty set, and for a picture that has no partner.
    """
    folder = pathlib.Path(folder)
    hr = _pictures(folder / "HR")
    if not hr:
        raise UserError(f"the set is empty, {folder / 'HR'}, put HR pictures there ({' '.join(formats.OF_SETS)})")
    name = folder.resolve().name
    name = f"{name} (folder)" if name.lower() in BENCHMARKS else name  # the paper's figures are not this folder's
    if not (folder / "LR").is_dir():
        return name, [Pair(stem, path, None) for stem, path in hr.items()]
    lr = {
        stem.removesuffix(f"x{scale}") if stem not in hr else stem: path
        for stem, path in _pictures(folder / "LR").items()
    }
    for kind, one, other in (("LR", hr, lr), ("HR", lr, hr)):
        if lonely := [path for stem, path in one.items() if stem not in other]:
            raise UserError(
                f"there is no {kind} picture for {len(lonely)} of {len(one)}, the first is {lonely[0]}, "
                f"put it into {folder / kind} under the same name, or remove {folder / 'LR'} "
                "to have LR made"
            )
    return name, [Pair(stem, path, lr[stem]) for stem, path in hr.items()]


def read_pair(pair, scale=4):
    """Read both pictures of a pair; without an LR file HR is cut to a multiple of the scale and shrunk.

    It is shrunk as the sets' own LR files were, the edge pixel repeated outside the picture: `lr_consistency` brings
    results back to LR in the same way, so that of the original itself is infinite.

    Returns:
        (hr, lr): uint8 [scale h, scale w, 3] and [h, w, 3]; a grey file stays [H, W].

    Raises:
        UserError: naming the file that cannot be read, has more than 8 bits or transparency, is of the wrong size
            or too small to be scored.
    """
    hr, lr = _files(pair, scale)
    return hr, imresize(hr, 1 / scale, edge="repeat") if lr is None else lr


def check(pairs, scale=4):
    """Read all pictures, so that a bad one is named before minutes have gone into those before it.

    Raises:
        UserError: as `read_pair`.
    """

    def read(pair):
        _files(pair, scale)  # and keep nothing

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, pairs))


def fingerprint(pairs):
    """What tells whether another run scored the same files: a dict of plain values.

    `pictures` is their number, `sha256` is of the files' own sums in their order, `released` whether all have the
    sums of the release, None where those are not known.
    """
    files = [path for pair in pairs for path in (pair.hr_path, pair.lr_path) if path]
    sums = [sha256(path) for path in files]
    known = [released_sums().get(place(path)) for path in files]
    return {
        "pictures": len(pairs),
        "sha256": hashlib.sha256("\n".join(sums).encode()).hexdigest(),
        "released": sums == known if all(known) else None,
    }


@functools.cache
def released_sums():
    """SHA-256 by `Set5/image_SRF_4/img_001_SRF_4_HR.png` and so on: Set5, Set14 and BSD100 at scale 4."""
    lines = pathlib.Path(__file__).with_name("benchmarks.sha256").read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def default_data_dir():
    """Where the sets are kept when no folder is given: `$XDG_CACHE_HOME/srgan_tf/benchmarks`."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "srgan_tf" / "benchmarks"


def released_pairs(name, data_dir, scale):
    title, count = BENCHMARKS[name]
    folder = pathlib.Path(data_dir) / title / f"image_SRF_{scale}"
    stems = [f"img_{number:03}" for number in range(1, count + 1)]
    return [Pair(stem, *(folder / f"{stem}_SRF_{scale}_{kind}.png" for kind in ("HR", "LR"))) for stem in stems]


def place(path):
    return "/".join(path.parts[-3:])


def _files(pair, scale):
    """What the files of a pair hold; LR is None where there is no file of it."""
    hr = _read(pair.hr_path)
    if pair.lr_path is None:
        hr = hr[: len(hr) // scale * scale, : hr.shape[1] // scale * scale]
    if min(hr.shape[:2]) < SSIM_WINDOW + 2 * scale:
        raise UserError(f"{_sides(hr.shape)} pixels are too few for SSIM, {pair.hr_path}, leave it out")
    if pair.lr_path is None:
        return hr, None
    lr = _read(pair.lr_path)
    expected = tuple(scale * side for side in lr.shape[:2])
    if hr.shape[:2] != expected:
        raise UserError(
            f"HR is {_sides(hr.shape)} pixels but {scale} times its LR is {_sides(expected)}, "
            f"{pair.hr_path}, replace it or {pair.lr_path.name} with the set's file"
        )
    return hr, lr


def _pictures(folder):
    """The picture files of a folder by their stems, sorted; none when the folder is missing."""
    if not folder.is_dir():
        return {}
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in formats.OF_SETS and not p.name.startswith("."))
    found = {}
    for path in files:
        if path.stem in found:
            raise UserError(f"two pictures have the same name, {found[path.stem]} and {path.name}, rename one")
        found[path.stem] = path
    return found


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path):
    picture = reading.read(path)
    if picture.alpha is not None and picture.alpha.min() < 255:
        raise UserError(f"the picture has transparent parts, {path}, flatten it or leave it out")
    if picture.pixels.dtype != np.uint8:
        raise UserError(f"the picture has more than 8 bits a channel, {path}, save it with 8")
    return np.ascontiguousarray(picture.pixels[..., 0]) if picture.grey else picture.pixels


def _sides(shape):
    return f"{shape[1]} x {shape[0]}"
