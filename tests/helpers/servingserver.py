"""A stand-in for `tensorflow_model_server` where it is not installed: its flags, protocols and messages.

    python tests/helpers/servingserver.py --port=8500 --rest_api_port=8501 --model_name=small --model_base_path=/models

It listens on loopback only. Models are executed through the C API, as in the server. Status codes and messages are
those in the sources of TensorFlow Serving: predict_util.cc, get_model_status_impl.cc, http_rest_api_util.cc,
json_tensor.cc, http_server.cc.
"""

import argparse
import base64
import binascii
import contextlib
import http.server
import json
import re
import threading
import time
from concurrent import futures
from pathlib import Path

import capi
import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

CODES = {code.value[0]: code for code in grpc.StatusCode}
HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
State = get_model_status_pb2.ModelVersionStatus.State
PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:(classify|regress|predict)", re.IGNORECASE)
STATUS = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+))?(?:/(metadata))?", re.IGNORECASE)


class Refusal(Exception):
    """An answer that is an error: a status code's name and a message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Version:
    """One version of a model, loaded and warmed up; unloaded when its last request is answered."""

    def __init__(self, folder):
        self.number = int(folder.name)
        self.session = capi.Session(folder)
        self.users = 0
        warmup = folder / "assets.extra" / "tf_serving_warmup_requests"
        if warmup.exists():
            for record in tf.data.TFRecordDataset(str(warmup)).as_numpy_iterator():
                self.predict(prediction_log_pb2.PredictionLog.FromString(record).predict_log.request)

    def predict(self, request):
        name = request.model_spec.signature_name or "serving_default"
        if name not in self.session.signatures:
            raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        ends = self.session.signatures[name]
        given, wanted = set(request.inputs), set(ends.inputs)
        if len(given) != len(wanted):
            raise Refusal(
                "INVALID_ARGUMENT",
                f"input size does not match signature: {len(given)}!={len(wanted)} "
                f"len({_braces(given)}) != len({_braces(wanted)}). Sent extra: {_braces(given - wanted)}. "
                f"Missing but required: {_braces(wanted - given)}.",
            )
        inputs = {}
        for alias in sorted(wanted):
            if alias not in given:
                raise Refusal(
                    "INVALID_ARGUMENT",
                    f"Signature input alias: {alias}"
                    f"(feed name: {ends.inputs[alias].name}) not found in request and no default value "
                    f"provided. Inputs expected to be in the request {_braces(given)}, or default input "
                    "alias set: ",
                )
            try:
                inputs[alias] = tf.make_ndarray(_wrapped(request.inputs[alias]))
            except (ValueError, TypeError):
                raise Refusal("INVALID_ARGUMENT", f"tensor parsing error: {alias}") from None
        for alias in request.output_filter:
            if alias not in ends.outputs:
                raise Refusal(
                    "INVALID_ARGUMENT",
                    f"output tensor alias not found in signature: {alias} Outputs "
                    f"expected to be in the set {_braces(ends.outputs)}.",
                )
        try:
            outputs = self.session.run(inputs, name)
        except capi.Error as error:
            raise Refusal(CODES[error.code].name, str(error)) from None
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = request.model_spec.name, name
        response.model_spec.version.value = self.number
        for alias, array in outputs.items():
            if not request.output_filter or alias in request.output_filter:
                _fill(response.outputs[alias], array)
        return response


class Model:
    """The newest version in a folder that is polled."""

    def __init__(self, name, base_path):
        self.name, self.base_path = name, Path(base_path)
        self.lock, self.states, self.current = threading.Lock(), {}, None

    def poll(self):
        found = [child for child in self.base_path.iterdir() if child.is_dir() and child.name.isdecimal()]
        newest = max(found, key=lambda child: int(child.name), default=None)
        if newest is None or int(newest.name) in self.states:
            return
        number = int(newest.name)
        self.states[number] = (State.LOADING, "")
        try:
            loaded = Version(newest)
        except (Refusal, capi.Error) as error:
            self.states[number] = (State.END, str(error))
            return
        with self.lock:
            before, self.current = self.current, loaded
            self.states[number] = (State.AVAILABLE, "")
        if before:
            self.states[before.number] = (State.UNLOADING, "")
            while before.users:
                time.sleep(0.01)
            before.session.close()
            self.states[before.number] = (State.END, "")

    @contextlib.contextmanager
    def version(self, spec):
        with self.lock:
            version = self.current
            if version is None or spec.HasField("version") and spec.version.value != version.number:
                raise _not_found(spec)
            version.users += 1
        try:
            yield version
        finally:
            with self.lock:
                version.users -= 1


class Core:
    """All models, and the requests that they answer."""

    def __init__(self, models):
        self.models = models

    def version(self, spec):
        if not spec.name:
            raise Refusal("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        if spec.name not in self.models:
            raise _not_found(spec)
        return self.models[spec.name].version(spec)

    def predict(self, request):
        if not request.HasField("model_spec"):
            raise Refusal("INVALID_ARGUMENT", "Missing ModelSpec")
        with self.version(request.model_spec) as version:
            return version.predict(request)

    def metadata(self, request):
        if not request.HasField("model_spec"):
            raise Refusal("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise Refusal("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise Refusal("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.version(request.model_spec) as version:
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=version.session.signatures)
            response.model_spec.name, response.model_spec.version.value = request.model_spec.name, version.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request):
        spec = request.model_spec
        states = dict(self.models[spec.name].states) if spec.name in self.models else {}
        if spec.HasField("version"):
            if spec.version.value not in states:
                raise Refusal("NOT_FOUND", f"Could not find version {spec.version.value} of model {spec.name}")
            states = {spec.version.value: states[spec.version.value]}
        if not states:
            raise Refusal("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number in sorted(states, reverse=True):
            state, error = states[number]
            status = response.model_version_status.add(version=number, state=state)
            status.status.error_code, status.status.error_message = 2 if error else 0, error
        return response


def _not_found(spec):
    asked = f"Specific({spec.name}, {spec.version.value})" if spec.HasField("version") else f"Latest({spec.name})"
    return Refusal("NOT_FOUND", f"Servable not found for request: {asked}")


def _braces(names):
    return "{" + ",".join(sorted(names)) + "}"


def _wrapped(proto):
    """As `Tensor::FromProto`: numbers that do not fit into uint8 lose their upper bits."""
    if proto.dtype == types_pb2.DT_UINT8 and len(proto.int_val):
        proto.int_val[:] = [value & 255 for value in proto.int_val]
    return proto


def _fill(proto, array):
    """As `Tensor::AsProtoField`: numbers in a field of their type, not as bytes."""
    for side in array.shape:
        proto.tensor_shape.dim.add(size=side)
    if array.dtype == object:
        proto.dtype = types_pb2.DT_STRING
        proto.string_val.extend(array.flat)
    elif array.dtype == np.float32:
        proto.dtype = types_pb2.DT_FLOAT
        proto.float_val.extend(array.ravel())
    else:
        proto.dtype = types_pb2.DT_UINT8
        proto.int_val.extend(array.ravel())


class Services(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core):
        self.core = core

    def Predict(self, request, context):  # noqa: N802  the API's names
        return self._answer(self.core.predict, request, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        return self._answer(self.core.metadata, request, context)

    def GetModelStatus(self, request, context):  # noqa: N802
        return self._answer(self.core.status, request, context)

    @staticmethod
    def _answer(function, request, context):
        try:
            return function(request)
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.code], str(refusal))


def json_request(core, spec, body):
    """A PredictRequest of a JSON body, and whether it is by rows; as json_tensor.cc."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise Refusal("INVALID_ARGUMENT", "JSON Parse error: nested too deeply") from None
    except ValueError as error:
        what = f"Invalid value. at offset: {getattr(error, 'pos', 0)}" if body else "The document is empty"
        raise Refusal("INVALID_ARGUMENT", f"JSON Parse error: {what}") from None
    if not isinstance(document, dict):
        raise Refusal("INVALID_ARGUMENT", f"JSON Value: {json.dumps(document)} Is not object")
    name = document.get("signature_name") or "serving_default"
    with core.version(spec) as version:
        signature = version.session.signatures.get(name)
    if signature is None:
        raise Refusal("INVALID_ARGUMENT", f'Serving signature name: "{name}" not found in signature def')
    if not signature.inputs:
        raise Refusal("INVALID_ARGUMENT", f"Failed to get input map for signature: {name}")
    request = predict_pb2.PredictRequest(model_spec=spec)
    request.model_spec.signature_name = name
    rows = "instances" in document
    if not rows and "inputs" not in document:
        raise Refusal("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    if rows and "inputs" in document:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"JSON Value: {json.dumps(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist ",
        )
    content = document["instances" if rows else "inputs"]
    if rows and not isinstance(content, list):
        raise Refusal(
            "INVALID_ARGUMENT", f"JSON Value: {json.dumps(document)} Excepting 'instances' to be an list/array"
        )
    if rows and not content:
        raise Refusal("INVALID_ARGUMENT", f"JSON Value: {json.dumps(document)} No values in 'instances' array")
    [(alias, info)] = signature.inputs.items()  # every signature of ours has one
    if rows and _is_named(content[0]):
        content = [
            _named(
                row,
                alias,
                f"Failed to process element: {i} of 'instances' list. JSON object: "
                f"{json.dumps(row)} keys must be equal to: {alias}",
            )
            for i, row in enumerate(content)
        ]
    elif not rows and _is_named(content):
        content = _named(content, alias, f"Missing named input: {alias} in 'inputs' object.")
    tensor = request.inputs[alias]
    tensor.dtype = info.dtype
    shape, level = [], content
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    for side in shape:
        tensor.tensor_shape.dim.add(size=side)
    _fill_values(content, 0, shape, tensor)
    return request, rows


def _is_named(value):
    return isinstance(value, dict) and set(value) != {"b64"}


def _named(value, alias, otherwise):
    if not isinstance(value, dict) or alias not in value:
        raise Refusal("INVALID_ARGUMENT", otherwise)
    return value[alias]


def _fill_values(value, level, shape, tensor):
    if isinstance(value, list):
        if level >= len(shape):
            raise Refusal("INVALID_ARGUMENT", f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise Refusal(
                "INVALID_ARGUMENT",
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}",
            )
        for item in value:
            _fill_values(item, level + 1, shape, tensor)
        return
    if level != len(shape):
        raise Refusal(
            "INVALID_ARGUMENT",
            f"JSON Value: {json.dumps(value)} found at incorrect level: {level + 1} in "
            f"the JSON DOM. Expected at level: {len(shape)}",
        )
    if tensor.dtype == types_pb2.DT_STRING and isinstance(value, dict):
        try:
            tensor.string_val.append(base64.b64decode(value["b64"], validate=True))
        except (binascii.Error, TypeError):
            raise Refusal("INVALID_ARGUMENT", "Unable to base64 decode") from None
    elif tensor.dtype == types_pb2.DT_STRING and isinstance(value, str):
        tensor.string_val.append(value.encode())
    elif tensor.dtype == types_pb2.DT_UINT8 and type(value) is int and -(2**31) <= value < 2**31:
        tensor.int_val.append(value)
    else:
        kind = {dict: "Object", str: "String", bool: "True", type(None): "Null"}.get(type(value), "Number")
        raise Refusal(
            "INVALID_ARGUMENT",
            f"JSON Value: {json.dumps(value)} Type: {kind} is not of expected type: {tf.as_dtype(tensor.dtype).name}",
        )


def json_answer(response, rows):
    """The JSON of a PredictResponse; every signature of ours has one output."""
    [(alias, proto)] = response.outputs.items()
    array = tf.make_ndarray(proto)
    if array.dtype == object:
        encode = (lambda b: {"b64": base64.b64encode(b).decode()}) if alias.endswith("_bytes") else bytes.decode
        values = [encode(string) for string in array]
    else:
        values = array.tolist()
    if rows and not values:
        raise Refusal("INVALID_ARGUMENT", f"Tensor name: {alias} has invalid batch size: 0")
    return {"predictions" if rows else "outputs": values}


def handler(core):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # noqa: N802
            self._reply(self._get)

        def do_POST(self):  # noqa: N802
            self._reply(self._post)

        do_PUT = do_DELETE = do_POST

        def _get(self, _):
            match = STATUS.fullmatch(self.path)
            if not match:
                raise Refusal("INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}")
            name, version, metadata = match.groups()
            if not name:
                raise Refusal("INVALID_ARGUMENT", "Missing model name in request.")
            if not metadata:
                request = get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(name, version))
                return json_format.MessageToDict(
                    core.status(request), always_print_fields_with_no_presence=True, preserving_proto_field_name=True
                )
            answer = core.metadata(
                get_model_metadata_pb2.GetModelMetadataRequest(
                    model_spec=_spec(name, version), metadata_field=["signature_def"]
                )
            )
            return json_format.MessageToDict(
                answer, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
            )

        def _post(self, body):
            match = PREDICT.fullmatch(self.path)
            if self.command != "POST" or not match or match[3].lower() != "predict":
                raise Refusal("INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}")
            request, rows = json_request(core, _spec(*match.groups()[:2]), body)
            return json_answer(core.predict(request), rows)

        def _reply(self, function):
            length = self.headers.get("Content-Length", "0")
            body = self.rfile.read(int(length)) if length.isdecimal() and int(length) < 2**30 else b""
            if not self.path.lower().startswith("/v1/"):
                status, content = 404, b""
            else:
                try:
                    status, answer = 200, function(body)
                except Refusal as refusal:
                    status, answer = HTTP.get(refusal.code, 500), {"error": str(refusal)}
                except RecursionError:
                    status, answer = 400, {"error": "JSON Value: nested too deeply"}
                content = json.dumps(answer, indent=4).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler


def _spec(name, version):
    spec = predict_pb2.PredictRequest().model_spec
    spec.name = name
    if version is not None:
        if len(version) > 18:
            raise Refusal("INVALID_ARGUMENT", f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    return spec


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8500)
    parser.add_argument("--rest_api_port", type=int, default=8501)
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--model_base_path")
    parser.add_argument("--model_config_file")
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1)
    given, _ = parser.parse_known_args()  # such as those for batching, which it does not do
    named = {given.model_name: given.model_base_path}
    if given.model_config_file:
        text = Path(given.model_config_file).read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        named = {model.name: model.base_path for model in config.model_config_list.config}
    models = {name: Model(name, path) for name, path in named.items()}
    for model in models.values():  # nothing is listened to before all are ready
        model.poll()
    core = Core(models)
    server = grpc.server(
        futures.ThreadPoolExecutor(32),
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Services(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Services(core), server)
    server.add_insecure_port(f"127.0.0.1:{given.port}")
    server.start()
    http.server.ThreadingHTTPServer.request_queue_size = 128
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", given.rest_api_port), handler(core))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    while True:
        time.sleep(given.file_system_poll_wait_seconds)
        for model in models.values():
            model.poll()


if __name__ == "__main__":
    main()
