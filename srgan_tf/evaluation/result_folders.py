"""SR files of other programs, scored as a method beside the models."""

import concurrent.futures
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets, paper_table
from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.images import folders


class ResultFolder:
    """The SR files of one method.

    Files are matched by name: the name of the image, of its HR file or of its LR file, with or without an ending such
    as `_x4`, `_SR` or `_out`. If `folder` has a subfolder with the name of a set, such as `Set5`, the files of the set
    are taken from it.
    """

    def __init__(
        self, name: str, folder: str | Path, sets: Mapping[str, Sequence[benchmark_sets.Pair]], scale: int = 4
    ):
        """Match the files.

        Args:
            name: the name of the method.
            folder: the folder of its files.
            sets: a mapping of names to lists of `benchmark_sets.Pair`.
            scale: the scale of the sets.

        Raises:
            UserError: if the folder or a file is missing, or two files match one image.
        """
        self.name, self.folder, self.scale = name, Path(folder), scale
        self.paths: dict[tuple[str, str], Path] = {}
        self.unmatched: dict[str, list[Path]] = {}
        if not folders.is_folder(self.folder):
            raise UserError(f"--results {name}: {folder} is not a folder. Give the folder of the images of {name}.")
        for set_name, pairs in sets.items():
            self._match(set_name, pairs, alone=len(sets) == 1)

    def check(self, sets: Mapping[str, Sequence[benchmark_sets.Pair]]) -> None:
        """Read all files and compare their sizes with HR, so that errors are reported before anything is computed.

        Raises:
            UserError: for a file that cannot be read or has the wrong size.
        """
        pairs = [(set_name, pair) for set_name, pairs in sets.items() for pair in pairs]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda key: self.read(*key), pairs))

    def read(self, set_name: str, pair: benchmark_sets.Pair) -> np.ndarray:
        """SR of a pair, uint8 [H, W, 3].

        Raises:
            UserError: for a file that cannot be read or has the wrong size.
        """
        path = self.paths[set_name, pair.name]
        sr = as_rgb(benchmark_sets.read_image(path))
        expected = benchmark_sets.read_hr(pair, self.scale).shape[:2]
        if sr.shape[:2] != expected:
            raise UserError(f"{path}: {_difference(sr.shape[:2], expected, self.scale)}")
        return sr

    def digest(self) -> str:
        """SHA-256 of all matched files, to identify the results."""
        contents = (path.read_bytes() for path in self.paths.values())
        return benchmark_sets.digest_of("\n".join(map(benchmark_sets.digest_of, contents)).encode())

    def warnings(self) -> list[str]:
        """One line for each set with files that match none of its images."""
        return [
            f"{paths[0].parent}: {len(paths)} {'image matches' if len(paths) == 1 else 'images match'} nothing in "
            f"{paper_table.set_title(set_name)}, such as {paths[0].name}, and {'is' if len(paths) == 1 else 'are'} "
            "ignored."
            for set_name, paths in self.unmatched.items()
        ]

    def _match(self, set_name, pairs, alone):
        title = paper_table.set_title(set_name)
        folder = self.folder / title
        if alone and not folders.is_folder(folder):  # a set of the user's own that is named like a benchmark set
            folder = self.folder / title.removesuffix(benchmark_sets.OWN)
        if not folders.is_folder(folder):
            if not alone:
                raise UserError(
                    f"--results {self.name}: no folder {folder}. With several sets, put the images of each into a "
                    "folder with the name of the set."
                )
            folder = self.folder
        exact = {
            stem: pair
            for pair in pairs
            for stem in (pair.name, pair.hr_path.stem, pair.lr_path.stem if pair.lr_path else pair.name)
        }
        lower = {stem.lower(): pair for stem, pair in exact.items()}
        files = benchmark_sets.picture_files(folder)
        for path in files:
            found = (exact.get(stem) or lower.get(stem.lower()) for stem in folders.stems(path.stem))
            pair = next(filter(None, found), None)
            if pair is None:
                self.unmatched.setdefault(set_name, []).append(path)
                continue
            other = self.paths.setdefault((set_name, pair.name), path)
            if other is not path:
                raise UserError(f"{other}: matches {pair.name} of {title}, as does {path.name}. Remove one of them.")
        missing = [pair.name for pair in pairs if (set_name, pair.name) not in self.paths]
        if len(missing) == len(pairs):
            problem = f"none of its images ({len(files)}) matches {title}" if files else "no images"
            raise UserError(
                f"{folder}: {problem}. Name them as the LR files, such as "
                f"{(pairs[0].lr_path or pairs[0].hr_path).stem}.png or {pairs[0].name}_x{self.scale}.png."
            )
        if missing:
            raise UserError(
                f"{folder}: no image for {missing[0]} ({len(missing)} of the {len(pairs)} in {title} lack one). Add "
                "the missing ones: the mean over fewer images is not the figure of the set."
            )


def named(texts: Iterable[str]) -> dict[str, str]:
    """The folders of `--results` by name.

    Args:
        texts: each NAME=FOLDER.

    Raises:
        UserError: for a text without a name or a folder, and for a name that is given twice.
    """
    found = {}
    for text in texts:
        name, separator, folder = text.partition("=")
        if not (name and separator and folder):
            raise UserError(f"--results {text}: no name or no folder. Write NAME=FOLDER.")
        if name in found:
            raise UserError(f"--results {text}: the name {name} is given twice. Give each folder its own.")
        found[name] = folder
    return found


def _difference(found, expected, scale):
    """Why the size of an SR file is wrong, and what to do."""
    text = f"{benchmark_sets.sides(found)} pixels instead of {benchmark_sets.sides(expected)}"
    factors = {scale * a / b for a, b in zip(found, expected)}
    cropped = {b - a for a, b in zip(found, expected)}
    if len(factors) == 1 and (factor := factors.pop()) != scale and factor == int(factor):
        return f"{text}: scale {factor:g}, not {scale}. Upscale the LR image by {scale}."
    if len(cropped) == 1 and (border := cropped.pop()) % 2 == 0 and 0 < border <= 8 * scale:
        return f"{text}: {border // 2} pixels are missing at each side. Keep the border; it is cropped when scored."
    return f"{text}. Upscale the LR image of this pair again."
