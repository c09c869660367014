"""Results of an evaluation as files, with the facts needed to repeat it."""

import csv
import datetime
import hashlib
import importlib.metadata
import io
import json
import math
import pathlib
import platform
import shlex
import sys
import tempfile

from PIL import Image

from srgan_tf import atomic
from srgan_tf.errors import UserError, masked
from srgan_tf.evaluation import benchmark_sets, tables
from srgan_tf.evaluation.measures import METRICS
from srgan_tf.evaluation.paper_table import set_title
from srgan_tf.saved_models import zoo

PACKAGES = ("srgan_tf", "tensorflow", "keras", "numpy", "pillow")


def command_line():
    """The command line of this process, without the passwords in URLs: files and pages are passed on."""
    program = pathlib.Path(sys.argv[0]).name
    return masked(shlex.join([*(["python"] if program.endswith(".py") else []), program, *sys.argv[1:]]))


def provenance(command, models, sets, vgg_weights=None, folders=None):
    """The facts needed to repeat an evaluation, as a dict of plain values to merge into its results.

    Args:
        command: the command line.
        models: a mapping of method names to the folders of their networks; None for methods that have none.
        sets: a mapping of names to lists of `benchmark_sets.Pair`.
        vgg_weights: the file of VGG19's weights, if it was used.
        folders: a mapping of method names to `result_folders.ResultFolder`.
    """
    facts = {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": platform.platform(),
        "models": {name: zoo.attributes(folder) if folder else {} for name, folder in models.items()}
        | {name: {"folder": str(folder.folder), "sha256": folder.digest()} for name, folder in (folders or {}).items()},
        "files": {name: benchmark_sets.fingerprint(pairs) for name, pairs in sets.items()},
    }
    if vgg_weights:
        facts["vgg_weights_sha256"] = hashlib.sha256(pathlib.Path(vgg_weights).read_bytes()).hexdigest()
    return facts


def claim(folder):
    """Create the output folder and check that it is writable, before anything is computed.

    Raises:
        UserError: if it is not.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(_unwritable(error, folder)) from error


def write_results(results, folder, flag="--output"):
    """Write `results.json`, all results, and `results.csv`, a row for each image and method.

    Infinite figures, which JSON cannot represent, are null. Both files are complete before either replaces an earlier
    one, so that a full disk leaves an earlier pair as it is.

    Args:
        results: from `evaluate.evaluate`.
        folder: is created.
        flag: the flag that named the folder, for error messages.

    Raises:
        UserError: if they cannot be written.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            atomic.whole_file(folder / "results.json") as json_file,
            atomic.whole_file(folder / "results.csv") as csv_file,
        ):
            for file, text in ((json_file, _json(results)), (csv_file, _csv(results))):
                file.write(_encoded(text))
                file.flush()
    except OSError as error:
        raise UserError(_unwritable(error, folder, flag)) from error


def write_json(value, path):
    """Write plain values as strict JSON, atomically; the folder is created.

    Raises:
        UserError: if it cannot be written.
    """
    write_text(pathlib.Path(path), _json(value))


def write_text(path, text):
    """Write a text file in UTF-8, see `write`. Bytes of names that are not UTF-8 are escaped."""
    write(path, _encoded(text))


def write(path, content):
    """Write the bytes of a file, atomically; its folder is created.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(_unwritable(error, path)) from error


class LrFiles:
    """Writes LR of scored images as PNG files, `lr/SET/NAME.png`, so that other programs can upscale them."""

    def __init__(self, folder: str | pathlib.Path):
        self.folder = pathlib.Path(folder) / "lr"

    def add(self, set_name, name, hr, lr, srs):
        """Write one file; the arguments are those of `seen` of `evaluate.evaluate`.

        Raises:
            UserError: if it cannot be written.
        """
        content = io.BytesIO()
        Image.fromarray(lr).save(content, "PNG")
        write(self.folder / set_title(set_name) / f"{name}.png", content.getvalue())


def finite(value):
    """Replace infinite and undefined numbers, which JSON cannot represent, by None in plain values."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value):
    return json.dumps(finite(value), indent=1, allow_nan=False) + "\n"


def _encoded(text):
    return text.encode(errors="backslashreplace")


def _csv(results):
    heads = tables.columns(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [(f"{protocol}_" if protocol else "") + METRICS[metric].key for protocol, metric in heads]
    writer.writerow(["set", "picture", "method", *keys])
    for name, found in results["sets"].items():
        for picture in found["pictures"]:
            for method, figures in picture["figures"].items():
                cells = [tables.figure(figures, *head) for head in heads]
                writer.writerow([name, picture["name"], method, *cells])
    return text.getvalue()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "checkout" if package == "srgan_tf" else None


def _unwritable(error, path, flag="--output"):
    return f"{path}: cannot be written ({error.strerror}). Give another folder with {flag}."
