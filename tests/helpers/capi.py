"""A SavedModel executed through TensorFlow's C API: the loader that TF Serving uses, without Python's or Keras'.

session = Session("weights/srresnet_x4/3")
large = session.run({"image": small})["image"]
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

_STRING = 7  # TF_STRING
_STRING_SIZE = 24  # bytes of a TF_TString


class Error(Exception):
    """What TensorFlow answers: `code` is its status code, 3 for an invalid argument."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Session:
    """A SavedModel, tag `serve`, and its signatures by name: `signatures[name].inputs`, `.outputs`."""

    def __init__(self, folder):
        self._api = _library()
        self._graph = self._api.TF_NewGraph()
        options = self._api.TF_NewSessionOptions()
        buffer = self._api.TF_NewBuffer()
        tags = (c_char_p * 1)(b"serve")
        try:
            with _Status(self._api) as status:
                self._session = self._api.TF_LoadSessionFromSavedModel(
                    options, None, str(folder).encode(), tags, 1, self._graph, buffer, status
                )
            content = buffer.contents
            meta_graph = meta_graph_pb2.MetaGraphDef.FromString(ctypes.string_at(content.data, content.length))
        finally:
            self._api.TF_DeleteBuffer(buffer)
            self._api.TF_DeleteSessionOptions(options)
        self.signatures = dict(meta_graph.signature_def)

    def run(self, inputs, signature="serving_default"):
        """Arrays by name -> arrays by name; strings are arrays of bytes, of type object.

        Raises:
            KeyError: for an input or a signature that the model does not have.
            Error: for what TensorFlow refuses.
        """
        ends = self.signatures[signature]
        names = list(ends.outputs)
        feeds = (_Output * len(inputs))(*[self._end(ends.inputs[name].name) for name in inputs])
        fetches = (_Output * len(names))(*[self._end(ends.outputs[name].name) for name in names])
        given = (c_void_p * len(inputs))(*[self._tensor(np.asarray(array)) for array in inputs.values()])
        results = (c_void_p * len(names))()
        try:
            with _Status(self._api) as status:
                self._api.TF_SessionRun(
                    self._session, None, feeds, given, len(inputs), fetches, results, len(names), None, 0, None, status
                )
            return {name: self._array(tensor) for name, tensor in zip(names, results)}
        finally:
            for tensor in [*given, *results]:
                self._api.TF_DeleteTensor(tensor)

    def close(self):
        with _Status(self._api) as status:
            self._api.TF_CloseSession(self._session, status)
        with _Status(self._api) as status:
            self._api.TF_DeleteSession(self._session, status)
        self._api.TF_DeleteGraph(self._graph)

    def _end(self, tensor_name):
        operation, index = tensor_name.split(":")
        return _Output(self._api.TF_GraphOperationByName(self._graph, operation.encode()), int(index))

    def _tensor(self, array):
        shape = (c_int64 * array.ndim)(*array.shape)
        if array.dtype.kind in "OS":
            tensor = self._api.TF_AllocateTensor(_STRING, shape, array.ndim, _STRING_SIZE * array.size)
            start = self._api.TF_TensorData(tensor)
            for i, string in enumerate(array.flat):
                self._api.TF_StringInit(start + i * _STRING_SIZE)
                self._api.TF_StringCopy(start + i * _STRING_SIZE, bytes(string), len(string))
            return tensor
        array = np.ascontiguousarray(array)
        dtype = tf.as_dtype(array.dtype).as_datatype_enum
        tensor = self._api.TF_AllocateTensor(dtype, shape, array.ndim, array.nbytes)
        ctypes.memmove(self._api.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _array(self, tensor):
        shape = [self._api.TF_Dim(tensor, i) for i in range(self._api.TF_NumDims(tensor))]
        start = self._api.TF_TensorData(tensor)
        dtype = self._api.TF_TensorType(tensor)
        if dtype == _STRING:
            strings = [start + i * _STRING_SIZE for i in range(int(np.prod(shape)))]
            array = np.empty(len(strings), object)
            array[:] = [
                ctypes.string_at(self._api.TF_StringGetDataPointer(at), self._api.TF_StringGetSize(at))
                for at in strings
            ]
            return array.reshape(shape)
        content = ctypes.string_at(start, self._api.TF_TensorByteSize(tensor))
        return np.frombuffer(content, tf.as_dtype(dtype).as_numpy_dtype).reshape(shape)


class _Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Buffer(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


class _Status:
    """A TF_Status that raises `Error` at the end of its block."""

    def __init__(self, api):
        self._api = api

    def __enter__(self):
        self._status = self._api.TF_NewStatus()
        return self._status

    def __exit__(self, *_):
        code, message = self._api.TF_GetCode(self._status), self._api.TF_Message(self._status).decode()
        self._api.TF_DeleteStatus(self._status)
        if code:
            raise Error(code, message)


_FUNCTIONS = {  # name: result, arguments
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_NewBuffer": (POINTER(_Buffer), []),
    "TF_DeleteBuffer": (None, [POINTER(_Buffer)]),
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(_Buffer), c_void_p],
    ),
    "TF_SessionRun": (
        None,
        [
            c_void_p,
            c_void_p,
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            c_void_p,
            c_int,
            c_void_p,
            c_void_p,
        ],
    ),
    "TF_CloseSession": (None, [c_void_p, c_void_p]),
    "TF_DeleteSession": (None, [c_void_p, c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_StringInit": (None, [c_void_p]),
    "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
}


def _library():
    """The C API in TensorFlow's wheel."""
    api = ctypes.CDLL(str(next(Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.*"))))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(api, name)
        function.restype, function.argtypes = result, arguments
    return api
