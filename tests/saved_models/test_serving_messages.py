"""The messages for TensorFlow Serving equal those of TensorFlow Serving's own package."""

import numpy as np
import pytest

from srgan_tf.saved_models import serving_messages

tf = pytest.importorskip("tensorflow")
apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")


def theirs(name):
    from google.protobuf import wrappers_pb2
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
    from tensorflow_serving.apis import model_pb2

    places = {
        "Int64Value": wrappers_pb2,
        "TensorProto": tensor_pb2,
        "TensorShapeProto": tensor_shape_pb2,
        "ModelSpec": model_pb2,
        "PredictLog": apis,
        "PredictionLog": apis,
    }
    if name == "Dimension":
        return tensor_shape_pb2.TensorShapeProto.Dim.DESCRIPTOR
    return getattr(places.get(name, predict_pb2), name).DESCRIPTOR


@pytest.mark.parametrize("name", serving_messages._MESSAGES)
def test_fields_have_the_numbers_and_types_of_the_api(name):
    packed = {"int_val", "float_val"}  # repeated numbers, read as the bytes that they are packed in
    known = theirs(name).fields_by_name
    for field in getattr(serving_messages, name).DESCRIPTOR.fields:
        other = known[field.name]
        assert field.number == other.number
        if field.name in packed:
            assert other.is_packed
        elif other.name == "dtype":  # an enumeration is a whole number
            assert field.type == field.TYPE_INT32 and other.type == other.TYPE_ENUM
        else:
            assert (field.type, field.is_repeated) == (other.type, other.is_repeated)


@pytest.mark.parametrize("shape", [(1, 3, 4, 3), (0, 2, 2, 3), ()])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_survives_both_ways(shape, dtype):
    array = np.random.default_rng(1).integers(0, 256, shape).astype(dtype)
    request = serving_messages.request("m", "s", {"image": serving_messages.tensor(array)}, version=3)
    received = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    spec = received.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "s", 3)
    np.testing.assert_array_equal(tf.make_ndarray(received.inputs["image"]), array)
    response = predict_pb2.PredictResponse(outputs={"image": received.inputs["image"]})
    answer = serving_messages.array(
        serving_messages.PredictResponse.FromString(response.SerializeToString()).outputs["image"]
    )
    np.testing.assert_array_equal(answer, array)
    assert answer.dtype == dtype


def test_numbers_are_read_in_the_encoding_of_a_server():
    """`Tensor::AsProtoField`, which the server uses unless told otherwise, puts each number into a field."""
    array = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for field, values in (("int_val", array), ("float_val", array.astype(np.float32) / 3)):
        proto = tf.make_tensor_proto(values)
        proto.tensor_content = b""
        getattr(proto, field).extend(values.ravel())
        received = serving_messages.TensorProto.FromString(proto.SerializeToString())
        np.testing.assert_array_equal(serving_messages.array(received), values)


def test_strings_survive_both_ways():
    received = serving_messages.tensor([b"", b"\x00\xff"]).SerializeToString()
    assert list(tf.make_ndarray(type(tf.make_tensor_proto(0)).FromString(received))) == [b"", b"\x00\xff"]
    assert serving_messages.array(serving_messages.TensorProto.FromString(received)) == [b"", b"\x00\xff"]


@pytest.mark.parametrize(
    "wrong",
    [
        dict(dtype=4, tensor_content=b"abc", tensor_shape=dict(dim=[dict(size=4)])),
        dict(dtype=4, int_val=b"abc", tensor_shape=dict(dim=[dict(size=4)])),
        dict(dtype=1, float_val=b"abc", tensor_shape=dict(dim=[dict(size=1)])),
        dict(dtype=7, string_val=[b"abc"], tensor_shape=dict(dim=[dict(size=2)])),
        dict(dtype=9, tensor_shape=dict(dim=[dict(size=1)])),
    ],
)
def test_an_invalid_tensor_is_refused(wrong):
    with pytest.raises(ValueError):
        serving_messages.array(serving_messages.TensorProto(**wrong))
