"""Conversion of Keras generators to files for other runtimes: Keras, ONNX Runtime and LiteRT.

The files contain the Keras network: float32 LR [B, H, W, 3] in [0, 1] -> float32 SR [B, scale H, scale W, 3] in
[-1, 1], any B, H and W. The graphs of `export` cannot be converted: they compute strips of the picture in loops.
"""

import importlib.util
import os
import re
import tempfile
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from srgan_tf import atomic
from srgan_tf.errors import UserError, reason, stderr_held_back

LITERT_SINCE = "3.13"  # the version of Keras that can export to LiteRT
INPUT, OUTPUT = "lr", "sr"


def convert(generator: keras.Model, path: str | os.PathLike, *, precision: str = "float32") -> None:
    """Write a generator to a file, atomically.

    Args:
        generator: a `models.srresnet`, as `srgan_tf.load` returns it.
        path: the file to write, which ends in .keras, .onnx or .tflite (LiteRT); an existing one is replaced.
        precision: of the stored weights, "float32"; or "float16" for LiteRT, which halves the file. The input and the
            output stay float32.

    Raises:
        UserError: if a package is missing, or the file cannot be written.
        ValueError: for another suffix, or a precision that the format does not have.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS or precision != "float32" and (suffix, precision) != (".tflite", "float16"):
        raise ValueError(f"There is no such format. Received: {suffix}, {precision}")
    check(suffix)
    try:
        with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
            made = Path(folder, f"model{suffix}")
            with warnings.catch_warnings(), stderr_held_back():
                warnings.simplefilter("ignore")  # of the converters, which users cannot act on
                _WRITERS[suffix](generator, made, precision)
            with atomic.whole_file(path) as file:
                file.write(made.read_bytes())
    except OSError as error:  # also of the temporary folder
        raise UserError(
            f"{path}: cannot be written ({reason(error)}). Free disk space, or choose another file."
        ) from None


def check(suffix: str) -> None:
    """Check that the packages for a kind of file are installed.

    Raises:
        UserError: naming the packages.
    """
    if suffix == ".onnx":
        for name in ("tf2onnx", "onnx"):
            if importlib.util.find_spec(name) is None:
                raise UserError(f"--format onnx: {name} is not installed. Run `pip install tf2onnx onnx`.")
    if suffix == ".tflite" and _version(keras.__version__) < _version(LITERT_SINCE):
        raise UserError(
            f"--format litert: needs Keras {LITERT_SINCE}, not {keras.__version__}. "
            f'Run `pip install "keras>={LITERT_SINCE}"`.'
        )


def _keras(generator, path, precision):
    generator.save(path)


def _onnx(generator, path, precision):
    generator.export(path, format="onnx", verbose=False, input_signature=_signature())

    import onnx

    model = onnx.load(path)
    [given], [made] = model.graph.input, model.graph.output
    for node in model.graph.node:  # tf2onnx numbers the names of outputs and dimensions
        node.output[:] = [OUTPUT if name == made.name else name for name in node.output]
        node.input[:] = [OUTPUT if name == made.name else name for name in node.input]
    made.name = OUTPUT
    for value, names in (given, ("batch", "height", "width")), (made, ("batch", "sr_height", "sr_width")):
        for dimension, name in zip(value.type.tensor_type.shape.dim, names):
            dimension.dim_param = name
    model.doc_string = "LR [B, H, W, 3] in [0, 1] -> SR in [-1, 1], RGB"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _litert(generator, path, precision):
    options = {}
    if precision == "float16":
        options = {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec": {"supported_types": [tf.float16]}}
    generator.export(path, format="litert", verbose=False, input_signature=_signature(), **options)


def _signature():
    return [tf.TensorSpec((None, None, None, 3), tf.float32, name=INPUT)]


def _version(text):
    return [int(number) for number in re.findall(r"\d+", text)[:2]]


_WRITERS = {".keras": _keras, ".onnx": _onnx, ".tflite": _litert}
