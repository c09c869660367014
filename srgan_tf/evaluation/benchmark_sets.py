"""Benchmark sets: pairs of HR and LR files, as in their public release or in a folder of the user's own.

The release has `Set5/image_SRF_4/img_001_SRF_4_HR.png`, `..._LR.png` and so on (github.com/jbhuang0604/SelfExSR). Its
LR files are used as they are: published figures were measured on them.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation import cache
from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.measures import check_size
from srgan_tf.evaluation.ssim import WINDOW
from srgan_tf.images import degradation, folders, reading
from srgan_tf.resize import imresize

BENCHMARKS = {
    "set5": ("Set5", 5),
    "set14": ("Set14", 14),
    "bsd100": ("BSD100", 100),
    "urban100": ("Urban100", 100),
}  # folder, number of images
OWN = " (folder)"  # added to the name of a user's own set that has the name of a benchmark set


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image of a set. Without an LR file, LR is made from HR: by imresize, or according to `damage`."""

    name: str
    hr_path: pathlib.Path
    lr_path: pathlib.Path | None
    damage: degradation.Damage | None = None
    seed: tuple[int, ...] = ()  # of the noise in `damage`


def load_pairs(name: str, data_dir: str | pathlib.Path, scale: int = 4) -> list[Pair]:
    """Find the files of a benchmark set, without opening them.

    Args:
        name: a key of BENCHMARKS.
        data_dir: the folder that contains the sets' folders.
        scale: 2, 4 or 8.

    Returns:
        All pairs of the set, in the order of their numbers.

    Raises:
        UserError: if the folder or a file is missing: a mean over fewer images is not comparable.
    """
    title, count = BENCHMARKS[name]
    folder = pathlib.Path(data_dir) / title / f"image_SRF_{scale}"
    if not folders.is_folder(folder):
        raise UserError(
            f"{folder}: no such folder, {title} at scale {scale} is missing. Give a --data_dir FOLDER that contains "
            f"{title}/image_SRF_{scale}/img_001_SRF_{scale}_HR.png and so on, or omit --data_dir to download the set."
        )
    pairs = released_pairs(name, data_dir, scale)
    missing = [path for pair in pairs for path in (pair.hr_path, pair.lr_path) if not folders.is_file(path)]
    if missing:
        raise UserError(
            f"{missing[0]}: missing ({len(missing)} of the {2 * count} files of {title} are). Copy the complete set "
            "there, or give another --data_dir."
        )
    return pairs


def load_folder(folder: str | pathlib.Path, scale: int = 4) -> tuple[str, list[Pair]]:
    """Find the pairs of a folder: `HR/` and, if it exists, `LR/` with files of the same names; none is opened.

    The extensions may differ, and the names of LR files may have an ending such as `x4`, as DIV2K's do, or `_LR`.

    Returns:
        (name, pairs): the name of the folder, and its pairs, sorted.

    Raises:
        UserError: for a folder without images, for an image without its counterpart or with two, and for a folder that
            cannot be read.
    """
    folder = pathlib.Path(folder)
    hr = _pictures(folder / "HR")
    if not hr:
        raise UserError(f"{folder / 'HR'}: no images. Put HR images there.")
    name = folder.resolve().name
    name = f"{name}{OWN}" if name.lower() in BENCHMARKS else name
    if not folders.is_folder(folder / "LR"):
        return name, [Pair(stem, path, None) for stem, path in hr.items()]
    lr = {}
    for stem, path in _pictures(folder / "LR").items():
        match = next((shorter for shorter in folders.stems(stem) if shorter in hr), stem)
        if lr.setdefault(match, path) is not path:
            raise UserError(f"{lr[match]}: matches {hr[match].name}, as does {path.name}. Remove one of them.")
    for kind, one, other in (("LR", hr, lr), ("HR", lr, hr)):
        if unpaired := [path for stem, path in one.items() if stem not in other]:
            raise UserError(
                f"{unpaired[0]}: no {kind} image of that name ({len(unpaired)} of {len(one)} have none). Add it to "
                f"{folder / kind}, or remove {folder / 'LR'} to have LR made from HR."
            )
    return name, [Pair(stem, path, lr[stem]) for stem, path in hr.items()]


def read_pair(pair: Pair, scale: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Read both images of a pair; without an LR file HR is cropped to a multiple of the scale and downscaled.

    LR is made in the same way as the LR of the sets, with the edge pixel repeated outside the image. `lr_consistency`
    does the same, so that it is infinite for HR itself.

    Returns:
        (hr, lr): uint8 [scale h, scale w, 3] and [h, w, 3]; a grey file stays [H, W].

    Raises:
        UserError: for a file that cannot be read, has more than 8 bits per channel or transparency, has the wrong
            size, or is too small to be scored.
    """
    hr, lr = _files(pair, scale)
    if lr is None and pair.damage:
        lr = pair.damage.apply(as_rgb(hr), scale, np.random.default_rng(pair.seed))
    elif lr is None:
        lr = imresize(hr, 1 / scale, edge="repeat")
    return hr, lr


def degraded(pairs: Iterable[Pair], kind: degradation.Degradation, seed: int = 0) -> list[Pair]:
    """The same pairs with degraded LR made from HR; the seed and the position in the set decide how."""
    return [
        dataclasses.replace(pair, lr_path=None, damage=kind.draw(np.random.default_rng([seed, i])), seed=(seed, i, 1))
        for i, pair in enumerate(pairs)
    ]


def read_hr(pair: Pair, scale: int = 4) -> np.ndarray:
    """HR of a pair, as `read_pair` returns it."""
    hr = read_image(pair.hr_path)
    if pair.lr_path is None:
        hr = hr[: len(hr) // scale * scale, : hr.shape[1] // scale * scale]
    return hr


def check(pairs: Iterable[Pair], scale: int = 4, metrics: tuple[str, ...] = ()) -> None:
    """Read all images, to report unusable ones before anything is computed.

    Args:
        pairs, scale: as for `read_pair`.
        metrics: keys of `measures.METRICS`, some of which need larger images than others.

    Raises:
        UserError: as `read_pair`.
    """

    def read(pair):
        hr, _ = _files(pair, scale)
        check_size(pair.hr_path, *hr.shape[:2], metrics, scale)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, pairs))


def fingerprint(pairs):
    """Identifies the files of a set, as a dict of plain values.

    `pictures` is the number of pairs, `sha256` the digest of the files' digests in their order, and `released` whether
    all match the release; None if its checksums are unknown.
    """
    files = [path for pair in pairs for path in (pair.hr_path, pair.lr_path) if path]
    sums = [digest_of(path.read_bytes()) for path in files]
    known = [released_sums().get(release_path(path)) for path in files]
    return {
        "pictures": len(pairs),
        "sha256": hashlib.sha256("\n".join(sums).encode()).hexdigest(),
        "released": sums == known if all(known) else None,
    }


@functools.cache
def released_sums():
    """SHA-256 of the released files by `release_path`: Set5, Set14 and BSD100 at scale 4."""
    lines = pathlib.Path(__file__).with_name("benchmarks.sha256").read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def default_data_dir():
    """The default folder of downloaded sets: `$XDG_CACHE_HOME/srgan_tf/benchmarks`."""
    return cache.default_folder() / "benchmarks"


def released_pairs(name: str, data_dir: str | pathlib.Path, scale: int) -> list[Pair]:
    """The pairs of a set under the names of the release, whether the files exist or not."""
    title, count = BENCHMARKS[name]
    folder = pathlib.Path(data_dir) / title / f"image_SRF_{scale}"
    stems = [f"img_{number:03}" for number in range(1, count + 1)]
    return [Pair(stem, *(folder / f"{stem}_SRF_{scale}_{kind}.png" for kind in ("HR", "LR"))) for stem in stems]


def release_path(path: pathlib.Path) -> str:
    """The path of a file within the release: `Set5/image_SRF_4/img_001_SRF_4_HR.png`."""
    return "/".join(path.parts[-3:])


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_image(path: pathlib.Path) -> np.ndarray:
    """Read a file to be scored: uint8 [H, W, 3], or [H, W] if it is grey.

    Raises:
        UserError: for a file that cannot be read, has transparent parts or more than 8 bits per channel.
    """
    picture = reading.read(path)
    if picture.alpha is not None and picture.alpha.min() < 255:
        raise UserError(f"{path}: has transparent parts. Flatten or remove it.")
    if picture.pixels.dtype != np.uint8:
        raise UserError(f"{path}: has more than 8 bits a channel. Save it with 8.")
    return np.ascontiguousarray(picture.pixels[..., 0]) if picture.grey else picture.pixels


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The image files of a folder, sorted.

    Raises:
        UserError: if the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if folders.kind(path.name) == "picture")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}). Check its permissions.") from None


def sides(shape: tuple[int, ...]) -> str:
    """Width and height of an array as text: `640 x 480`."""
    return f"{shape[1]} x {shape[0]}"


def _files(pair, scale):
    """HR and LR as stored; LR is None without an LR file."""
    hr = read_hr(pair, scale)
    if min(hr.shape[:2]) < WINDOW + 2 * scale:
        side = -(-(WINDOW + 2 * scale) // scale) * scale  # of a multiple of the scale, to which HR is cropped
        raise UserError(f"{pair.hr_path}: too small, fewer than {side} x {side} pixels. Remove it from the set.")
    if pair.lr_path is None:
        return hr, None
    lr = read_image(pair.lr_path)
    expected = tuple(scale * side for side in lr.shape[:2])
    if hr.shape[:2] != expected:
        raise UserError(
            f"{pair.hr_path}: {sides(hr.shape)} pixels, but {scale} times {pair.lr_path.name} is {sides(expected)}. "
            "Replace one of them."
        )
    return hr, lr


def _pictures(folder):
    """The image files of a folder by their stems, sorted; none if there is no folder."""
    if not folders.is_folder(folder):
        return {}
    found = {}
    for path in picture_files(folder):
        if path.stem in found:
            raise UserError(f"{found[path.stem]}: the same name as {path.name}. Rename or remove one of them.")
        found[path.stem] = path
    return found
