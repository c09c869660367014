"""The TensorFlow Serving API messages used by this package, and conversion of arrays to and from tensors.

They are declared with protobuf only: the package `tensorflow-serving-api` declares the same messages, but requires a
specific version of TensorFlow and takes seconds to load it. The field numbers are part of the API and never change;
`tests/saved_models/test_serving_messages.py` compares them with those of that package.
"""

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError  # noqa: F401  what `FromString` raises

STRING = 7  # DataType.DT_STRING
_DTYPES = {1: np.float32, 4: np.uint8}  # DataType -> NumPy types of this project's models, except strings

# name: {field: (number, type)}; [x]: repeated, {x}: a map from strings. `float_val` and `int_val` are packed repeated
# numbers, declared as bytes: NumPy decodes them faster than protobuf by more than a second per tile.
_MESSAGES = {
    "Int64Value": {"value": (1, "int64")},
    "Dimension": {"size": (1, "int64")},
    "TensorShapeProto": {"dim": (2, ["Dimension"])},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "bytes"),
        "int_val": (7, "bytes"),
        "string_val": (8, ["bytes"]),
    },
    "ModelSpec": {"name": (1, "string"), "version": (2, "Int64Value"), "signature_name": (3, "string")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, {"TensorProto"})},
    "PredictResponse": {"outputs": (1, {"TensorProto"}), "model_spec": (2, "ModelSpec")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}


def request(name, signature, inputs, version=None):
    """A PredictRequest.

    Args:
        name, version: the name and version of the model; None requests the newest version.
        signature: the name of the signature.
        inputs: TensorProtos by name.
    """
    message = PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = name, signature
    if version is not None:
        message.model_spec.version.value = version
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(value)
    return message


def tensor(array):
    """A TensorProto of a uint8 or float32 array, or of a list of bytes."""
    if isinstance(array, list):
        message = TensorProto(dtype=STRING, string_val=array)
        shape = (len(array),)
    else:
        dtype = next(number for number, dtype in _DTYPES.items() if dtype == array.dtype)
        message = TensorProto(dtype=dtype, tensor_content=array.tobytes())
        shape = array.shape
    message.tensor_shape.dim.extend(Dimension(size=side) for side in shape)
    return message


def array(message):
    """The array, or list of bytes, in a TensorProto.

    Raises:
        ValueError: for another type, or if the number of values does not match the shape.
    """
    shape = [dim.size for dim in message.tensor_shape.dim]
    if message.dtype == STRING:
        if len(shape) != 1 or shape[0] != len(message.string_val):
            raise ValueError(f"{len(message.string_val)} strings of shape {shape}")
        return list(message.string_val)
    if message.dtype not in _DTYPES:
        raise ValueError(f"a tensor of type {message.dtype}")
    dtype = _DTYPES[message.dtype]
    if dtype == np.uint8 and message.int_val:  # the encoding that servers prefer
        return _whole_numbers(message.int_val).reshape(shape)
    return np.frombuffer(message.float_val or message.tensor_content, dtype).reshape(shape)


def _whole_numbers(packed):
    """Decode protobuf's packed varints to uint8: values from 128 on have a second byte, which is redundant."""
    packed = np.frombuffer(packed, np.uint8)
    return packed[np.concatenate([[True], packed[:-1] < 128])]


def _declare():
    """Create a class for each of `_MESSAGES`, in a separate pool: TensorFlow uses the same names in the default one."""
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


def _add_field(message, name, number, kind):
    repeated = not isinstance(kind, str)
    [base] = kind if repeated else [kind]
    if isinstance(kind, set):  # a map is encoded as a repeated pair
        entry = message.nested_type.add(name=name.title() + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, base)
        base = f"{message.name}.{entry.name}"
    field = message.field.add(name=name, number=number, label=3 if repeated else 1)
    if hasattr(field, f"TYPE_{base.upper()}"):
        field.type = getattr(field, f"TYPE_{base.upper()}")
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{base}"


_CLASSES = _declare()
Int64Value = _CLASSES["Int64Value"]
Dimension = _CLASSES["Dimension"]
TensorShapeProto = _CLASSES["TensorShapeProto"]
TensorProto = _CLASSES["TensorProto"]
ModelSpec = _CLASSES["ModelSpec"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
PredictLog = _CLASSES["PredictLog"]
PredictionLog = _CLASSES["PredictionLog"]
