"""Warm-up requests can be read by TensorFlow Serving, and the model answers them."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import capi
from srgan_tf.networks import models
from srgan_tf.saved_models import export, warmup, zoo

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


def records(folder):
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(folder / warmup.FILE)).as_numpy_iterator()
    ]


def replay(folder, largest=2**21):
    """What the server does with them, and the shapes that are asked for, by signature; only those of so many pixels."""
    session, shapes = capi.Session(folder), []
    for record in records(folder):
        assert record.WhichOneof("log_type") == "predict_log"
        request = record.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        if all(np.prod(array.shape[:3]) <= largest for array in inputs.values()):
            session.run(inputs, request.model_spec.signature_name)
        shapes += [(request.model_spec.signature_name, array.shape) for array in inputs.values()]
    session.close()
    return shapes


def test_every_kind_of_request_is_warmed_up_and_answered(small_model):
    shapes = replay(small_model / "1")
    assert {signature for signature, _ in shapes} == {"serving_default", "bfloat16", "serve_bytes"}
    assert [shape for signature, shape in shapes if signature == "serving_default"] == [
        (1, side, side, 3) for side in (64, 128, 256)
    ]


def test_warm_up_requests_respect_the_pixel_limit(tmp_path):
    export.export(models.srresnet(2, blocks=1, features=4), tmp_path / "1", attributes={"pixel_limit": 5000})
    assert max(np.prod(shape) for _, shape in replay(tmp_path / "1")) == 64 * 64 * 3
    export.export(models.srresnet(2, blocks=1, features=4), tmp_path / "1", attributes={"pixel_limit": 10})
    assert len(replay(tmp_path / "1")) == 3


@pytest.mark.parametrize("name", sorted(zoo.shipped()))
def test_shipped_models_bring_warm_up_requests_that_they_answer(name):
    folder = zoo.shipped()[name]
    assert (folder / warmup.FILE).stat().st_size < 200_000
    assert 0 < len(replay(folder, largest=128 * 128)) <= 1000  # more, the server refuses
