"""Reads the variables of a SavedModel as arrays by name, without loading its graphs: 40 ms instead of a second.

They are checked against the model's attributes to detect damaged and mixed-up files. Graphs are never executed, so
an untrusted SavedModel can only provide numbers.
"""

import contextlib
import glob
import hashlib
import math
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from srgan_tf.errors import UserError, reason
from srgan_tf.saved_models import attributes

LARGEST = 2**32  # maximum bytes of the variables


def read(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read all variables of a SavedModel written by `export`, and check them against its attributes.

    Args:
        folder: the folder that contains `saved_model.pb`.

    Returns:
        float32 arrays by "layer/variable", as in `models.named_weights`.

    Raises:
        UserError: naming the folder, if the variables are missing or damaged, do not match the checksum in the
            attributes, or belong to another network than the attributes describe.
    """
    facts = attributes.read(folder)
    try:
        found = _read(folder)
    except Exception as error:  # TensorFlow's and protobuf's, of many kinds, for crafted files
        raise UserError(
            f"{folder}: the variables of the model cannot be read ({reason(error, 120)}). Export or copy it again."
        ) from None
    try:
        network = architecture(found)
        if checksum(found) != facts["sha256"]:
            raise ValueError("the variables do not match their checksum")
        for name, value in network.items():
            if facts[name] != value:
                raise ValueError(f"its network has {name} {value}, its attributes say {facts[name]}")
    except ValueError as error:
        raise UserError(f"{folder}: not a valid model: {error}. Export or copy it again.") from None
    return found


def architecture(weights: dict[str, np.ndarray]) -> dict[str, int]:
    """Determine the network that some variables belong to.

    Args:
        weights: arrays by "layer/variable".

    Returns:
        A dict of scale, blocks, features and halo, the radius of the receptive field in LR pixels.

    Raises:
        ValueError: if the variables are not those of a `models.srresnet`, or contain invalid values.
    """
    layers = {name.partition("/")[0] for name in weights}
    blocks = sum(bool(re.fullmatch(r"block\d+_conv1", name)) for name in layers)
    stages = sum(bool(re.fullmatch(r"up\d+_conv", name)) for name in layers)
    head = weights.get("head_conv/kernel", np.empty(0))
    features = head.shape[-1] if head.ndim == 4 else 0
    if stages not in (1, 2, 3) or not features:
        raise ValueError("its variables are not those of an srresnet")
    expected = _shapes(stages, blocks, features)
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights or weights[name].shape != expected.get(name):
            raise ValueError(f"{name} is not as in an srresnet of {blocks} blocks and {features} features")
        if not np.isfinite(weights[name]).all() or name.endswith("variance") and (weights[name] < 0).any():
            raise ValueError(f"{name} holds values that are not valid numbers")
    # 9 x 9 at both ends, 3 x 3 in between. After each depth to space a kernel spans half as many LR pixels.
    reach = 4 + 2 * blocks + 1 + sum(2.0**-k for k in range(stages)) + 4 / 2**stages
    return {"scale": 2**stages, "blocks": blocks, "features": features, "halo": math.ceil(reach)}


def checksum(weights: dict[str, np.ndarray]) -> str:
    """SHA-256 of arrays in hexadecimal digits: names, shapes and float32 values, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        digest.update(weights[name].astype("<f4").tobytes())
    return digest.hexdigest()


def blend(first: dict[str, np.ndarray], second: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Network interpolation: share * first + (1 - share) * second for each variable.

    Raises:
        ValueError: if they are not variables of the same network.
    """
    if {name: v.shape for name, v in first.items()} != {name: v.shape for name, v in second.items()}:
        raise ValueError("two networks of different layers cannot be blended")
    return {name: (share * v + (1 - share) * second[name]).astype(v.dtype) for name, v in first.items()}


def layer_and_variable(name):
    """ "scope/head_conv/kernel:0" -> "head_conv/kernel"."""
    return "/".join(name.split(":")[0].split("/")[-2:])


def _shapes(stages, blocks, features):
    """The shapes of the variables of `models.srresnet(2**stages, ...)` by "layer/variable"."""
    shapes = {}

    def conv(name, side, inputs, outputs, bias):
        shapes[f"{name}/kernel"] = (side, side, inputs, outputs)
        if bias:
            shapes[f"{name}/bias"] = (outputs,)

    def normalisation(name):
        for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
            shapes[f"{name}/{variable}"] = (features,)

    conv("head_conv", 9, 3, features, bias=True)
    prelus = ["head_prelu"]
    for block in (f"block{i:02}" for i in range(1, blocks + 1)):
        for i in (1, 2):
            conv(f"{block}_conv{i}", 3, features, features, bias=False)
            normalisation(f"{block}_bn{i}")
        prelus.append(f"{block}_prelu")
    conv("trunk_conv", 3, features, features, bias=False)
    normalisation("trunk_bn")
    for k in range(1, stages + 1):
        conv(f"up{k}_conv", 3, features, 4 * features, bias=True)
        prelus.append(f"up{k}_prelu")
    conv("tail_conv", 9, features, 3, bias=True)
    return shapes | {f"{name}/alpha": (1, 1, features) for name in prelus}


def _read(folder):
    with _readable(Path(folder) / "variables") as variables:
        if not all(path.is_file() for path in variables.glob("variables.*")):  # reading a pipe would wait for ever
            raise ValueError("not all are files")
        reader = tf.train.load_checkpoint(str(variables / "variables"))
        _check_sizes(reader, variables)
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        entries = [entry for node in graph.nodes for entry in node.attributes if "/" in entry.full_name]
        if len({entry.checkpoint_key for entry in entries}) < len(entries):  # a small file could fill the memory
            raise ValueError("two names have the same tensor")
        found = {layer_and_variable(entry.full_name): reader.get_tensor(entry.checkpoint_key) for entry in entries}
    for name, value in found.items():
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            raise ValueError(f"{name} is not float32")
    return found


@contextlib.contextmanager
def _readable(folder):
    """A path to the folder that TensorFlow can read: it interprets [ ] * ? and backslashes as a pattern."""
    if not glob.has_magic(str(folder)) and "\\" not in str(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="srgan_tf-") as temporary:
        link = Path(temporary, "variables")
        os.symlink(os.path.abspath(folder), link, target_is_directory=True)
        yield link


def _check_sizes(reader, folder):
    """Reject an index with more bytes than the files have: TensorFlow would allocate memory for them first."""
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    there = sum(path.stat().st_size for path in folder.iterdir())
    if there > LARGEST:
        raise ValueError(f"they have more than {LARGEST} bytes")
    for name, shape in shapes.items():
        if types[name] == tf.string and math.prod(shape) > 1000:
            raise ValueError(f"{name[:80]} is too large")
    if sum(math.prod(shape) * types[name].size for name, shape in shapes.items() if types[name] != tf.string) > there:
        raise ValueError("the variables are larger than their files")
