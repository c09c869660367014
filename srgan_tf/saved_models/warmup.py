"""Requests that TensorFlow Serving makes to itself before it calls a version of a model ready.

Without them the first request of each kind waits for the graph to be optimised and, on a GPU, for the fastest
algorithms to be found.
"""

import io
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from srgan_tf.saved_models import serving_messages

FILE = Path("assets.extra", "tf_serving_warmup_requests")  # the name that the server looks for
SIDES = (64, 128, 256)  # LR pixels, squares; above, the answer takes longer than what the first one costs more


def write(folder: str | os.PathLike, pixel_limit: int | None = None) -> None:
    """Put the requests into a SavedModel.

    Args:
        folder: where its `saved_model.pb` is.
        pixel_limit: the most LR pixels that one of its pictures may have; the server refuses a version that fails on
            one of the requests.
    """
    with tf.io.TFRecordWriter(str(Path(folder) / FILE)) as file:
        for log in _logs(pixel_limit or SIDES[-1] ** 2):
            file.write(log.SerializeToString())


def _logs(pixel_limit):
    """PredictionLogs; the server fills in the model's name and version."""
    sides = [side for side in SIDES if side * side <= pixel_limit] or [1]
    for signature, some in (("serving_default", sides), ("bfloat16", sides[:1])):
        for side in some:
            yield _log(signature, {"image": _grey(side)})
    for side in sides[:1]:
        yield _log("serve_bytes", {"image_bytes": serving_messages.tensor([_png(side)])})


def _log(signature, inputs):
    log = serving_messages.PredictionLog()
    log.predict_log.request.CopyFrom(serving_messages.request("", signature, inputs))
    return log


def _grey(side):
    """One picture of middle grey: a tensor's missing values are equal to its last one."""
    tensor = serving_messages.tensor(np.full((1, 1, 1, 1), 100, np.uint8))
    del tensor.tensor_shape.dim[:]
    tensor.tensor_shape.dim.extend(serving_messages.Dimension(size=length) for length in (1, side, side, 3))
    tensor.int_val, tensor.tensor_content = bytes([100]), b""
    return tensor


def _png(side):
    file = io.BytesIO()
    Image.new("RGB", (side, side), (100, 100, 100)).save(file, "PNG")
    return file.getvalue()
