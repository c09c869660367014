"""Warmup requests, which TensorFlow Serving runs before it reports a model version as ready.

Without them the first request of each kind waits for graph optimisation and, on a GPU, for the selection of the
fastest algorithms.
"""

import io
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from srgan_tf.saved_models import serving_messages

FILE = Path("assets.extra", "tf_serving_warmup_requests")  # the file name that the server expects
SIDES = (64, 128, 256)  # squares, LR pixels; for larger ones, computing takes longer than the first request's overhead


def write(folder: str | os.PathLike, pixel_limit: int) -> None:
    """Write the requests into a SavedModel.

    Args:
        folder: the folder that contains `saved_model.pb`.
        pixel_limit: the most LR pixels per picture of the model. The server rejects a version that fails on one of
            the requests.
    """
    with tf.io.TFRecordWriter(str(Path(folder) / FILE)) as file:
        for log in _logs(pixel_limit):
            file.write(log.SerializeToString())


def _logs(pixel_limit):
    """PredictionLogs; the server fills in the model's name and version."""
    sides = [side for side in SIDES if side * side <= pixel_limit] or [1]
    for signature, chosen in (("serving_default", sides), ("bfloat16", sides[:1])):
        for side in chosen:
            yield _log(signature, {"image": _grey(side)})
    for side in sides[:1]:
        yield _log("serve_bytes", {"image_bytes": serving_messages.tensor([_png(side)])})


def _log(signature, inputs):
    log = serving_messages.PredictionLog()
    log.predict_log.request.CopyFrom(serving_messages.request("", signature, inputs))
    return log


def _grey(side):
    """A medium grey picture with one stored value: missing values of a tensor equal the last one."""
    tensor = serving_messages.tensor(np.full((1, 1, 1, 1), 100, np.uint8))
    del tensor.tensor_shape.dim[:]
    tensor.tensor_shape.dim.extend(serving_messages.Dimension(size=length) for length in (1, side, side, 3))
    tensor.int_val, tensor.tensor_content = bytes([100]), b""
    return tensor


def _png(side):
    file = io.BytesIO()
    Image.new("RGB", (side, side), (100, 100, 100)).save(file, "PNG")
    return file.getvalue()
