"""TensorFlow Serving: the answers of a server of our models to its own messages."""

import base64
import concurrent.futures
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import serving
from srgan_tf.saved_models import zoo

grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)


@pytest.fixture(scope="module")
def local(small_model):
    return serving.Here(small_model)


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def picture(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def bomb():
    """A PNG that says it is 50,000 x 50,000."""
    start = png(picture(2, 2, 3))
    chunk = b"IHDR" + struct.pack(">II", 50000, 50000) + start[24:29]
    return start[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + start[33:]


def request(inputs, model="small", signature="serving_default", version=None):
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = model, signature
    if version is not None:
        message.model_spec.version.value = version
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def ask(channel, *args, **kwargs):
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(*args, **kwargs), 60)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def rest(url, content=None, method=None):
    """HTTP status and JSON of an answer."""
    body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def unb64(value):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(value["b64"]))))


def test_pixels_through_grpc(channel, local):
    batch = picture(2, 9, 12, 3)
    np.testing.assert_array_equal(ask(channel, {"image": batch})["image"], local(batch))


def test_encoded_pictures_of_several_sizes_through_grpc(channel, local):
    pictures = [picture(9, 12, 3), picture(5, 7, 3)]
    answers = ask(channel, {"image_bytes": [png(p) for p in pictures]}, signature="serve_bytes")["image_bytes"]
    for answer, small in zip(answers, pictures, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer))), local(small))


@pytest.mark.parametrize("row", [lambda content: content, lambda content: {"image_bytes": content}])
def test_encoded_pictures_of_several_sizes_through_rest_by_rows(server, local, row):
    pictures = [picture(9, 12, 3), picture(5, 7, 3)]
    status, answer = rest(
        server.url + ":predict", {"signature_name": "serve_bytes", "instances": [row(b64(png(p))) for p in pictures]}
    )
    assert status == 200
    for value, small in zip(answer["predictions"], pictures, strict=True):
        np.testing.assert_array_equal(unb64(value), local(small))


def test_encoded_pictures_through_rest_by_columns(server, local):
    status, answer = rest(
        server.url + "/versions/1:predict",
        {"signature_name": "serve_bytes", "inputs": {"image_bytes": [b64(png(picture(9, 12, 3)))]}},
    )
    assert status == 200
    np.testing.assert_array_equal(unb64(answer["outputs"][0]), local(picture(9, 12, 3)))


def test_pixels_through_rest(server, local):
    batch = picture(1, 3, 4, 3)
    for key, answered in (("instances", "predictions"), ("inputs", "outputs")):
        status, answer = rest(server.url + ":predict", {key: batch.tolist()})
        assert status == 200
        np.testing.assert_array_equal(answer[answered], local(batch))


def test_both_protocols_return_the_attributes(server, channel, small_model):
    facts = zoo.attributes(small_model / "1")
    assert json.loads(ask(channel, {"any": [b""]}, signature="attributes")["attributes"].item()) == facts
    status, answer = rest(server.url + ":predict", {"signature_name": "attributes", "instances": [""]})
    assert (status, json.loads(answer["predictions"][0])) == (200, facts)


def test_metadata_names_the_signatures(server, channel):
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "small"
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(asked, 60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "bfloat16", "serve_bytes", "attributes"} <= set(signatures.signature_def)
    status, answer = rest(server.url + "/metadata")
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert (status, answer["model_spec"]["version"]) == (200, "1")
    assert signature["inputs"]["image"]["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in signature["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "-1", "-1", "3"]


def test_the_status_of_the_model_is_available(server, channel):
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "small"
    [state] = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(asked, 60).model_version_status
    assert (state.version, get_model_status_pb2.ModelVersionStatus.State.Name(state.state)) == (1, "AVAILABLE")
    status, answer = rest(server.url)
    assert (status, answer["model_version_status"]) == (
        200,
        [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}],
    )


GOOD = {"image": picture(1, 3, 4, 3)}


@pytest.mark.parametrize(
    "inputs, where, code, message",
    [
        ({"image": np.zeros((1, 3, 4, 3), np.float32)}, {}, "INVALID_ARGUMENT", "to be uint8 but float is provided"),
        ({"image": picture(3, 4, 3)}, {}, "INVALID_ARGUMENT", r"\[3,4,3\] is not compatible with expected shape"),
        ({"image": picture(1, 3, 4, 4)}, {}, "INVALID_ARGUMENT", r"\[1,3,4,4\] is not compatible with expected shape"),
        ({"image": np.zeros((0, 3, 4, 3), np.uint8)}, {}, "INVALID_ARGUMENT", "image has no pixels"),
        ({"image": np.zeros((1, 0, 4, 3), np.uint8)}, {}, "INVALID_ARGUMENT", "image has no pixels"),
        (
            {"image": np.zeros((1, 1, 2**21 + 1, 3), np.uint8)},
            {},
            "INVALID_ARGUMENT",
            "has 2097153 x 1 pixels, the limit",
        ),
        (
            {"image_bytes": [bomb()]},
            {"signature": "serve_bytes"},
            "INVALID_ARGUMENT",
            "has 50000 x 50000 pixels, the limit",
        ),
        (
            {"image_bytes": [png(picture(9, 9, 3)), png(picture(9, 9, 3))[:-60]]},
            {"signature": "serve_bytes"},
            "INVALID_ARGUMENT",
            r"image_bytes\[1\] is broken",
        ),
        ({"image_bytes": [b""]}, {"signature": "serve_bytes"}, "INVALID_ARGUMENT", r"image_bytes\[0\] is broken"),
        ({"image_bytes": GOOD["image"]}, {"signature": "serve_bytes"}, "INVALID_ARGUMENT", "to be string but uint8 is"),
        (GOOD, {"signature": "larger"}, "FAILED_PRECONDITION", 'Serving signature key "larger" not found.'),
        (GOOD, {"model": "large"}, "NOT_FOUND", r"Servable not found for request: Latest\(large\)"),
        (GOOD, {"version": 9}, "NOT_FOUND", r"Servable not found for request: Specific\(small, 9\)"),
        (
            {"photo": GOOD["image"]},
            {},
            "INVALID_ARGUMENT",
            r"Signature input alias: image\(feed name: .*\) not found in requ",
        ),
        (
            {"image": GOOD["image"], "mask": GOOD["image"]},
            {},
            "INVALID_ARGUMENT",
            r"input size does not match signature: 2!=1 len\({image,mask}\) != len\({image}\). Sent extra: {mask}.",
        ),
        ({}, {}, "INVALID_ARGUMENT", r"input size does not match signature: 0!=1 .* Missing but required: {image}."),
    ],
)
def test_a_bad_request_through_grpc_has_a_code_and_a_reason_and_the_next_is_answered(
    channel, local, inputs, where, code, message
):
    with pytest.raises(grpc.RpcError) as refusal:
        ask(channel, inputs, **where)
    assert refusal.value.code().name == code
    assert re.search(message, refusal.value.details())
    np.testing.assert_array_equal(ask(channel, GOOD)["image"], local(GOOD["image"]))


def test_numbers_beyond_a_byte_are_taken_modulo_256_as_tensorflow_does(server, local):
    image = GOOD["image"].astype(int) + 256
    status, content = rest(server.url + ":predict", {"instances": image.tolist()})
    assert status == 200
    np.testing.assert_array_equal(content["predictions"], local(GOOD["image"]))


def predict(signature, **content):
    return lambda url: rest(url + ":predict", {"signature_name": signature, **content})


@pytest.mark.parametrize(
    "send, status, message",
    [
        (predict("serving_default", instances=[[[[0.5] * 3]]]), 400, "is not of expected type: uint8"),
        (predict("serving_default", instances=[[[1, 2, 3]]]), 400, "not compatible with expected shape"),
        (predict("serving_default", instances=[[[[1, 2, 3, 4]]]]), 400, "not compatible with expected shape"),
        (predict("serving_default", instances=[[[[1, 2, 3]]], [[[1, 2, 3], [4, 5, 6]]]]), 400, "(?i)expect"),
        (predict("serving_default", instances=[]), 400, "No values in 'instances' array"),
        (predict("serving_default", inputs=[]), 400, "expected shape|no pixels"),
        (predict("serving_default", inputs=[[]]), 400, "expected shape|no pixels"),
        (predict("serving_default"), 400, "Missing 'inputs' or 'instances' key"),
        (predict("serving_default", inputs=[], instances=[[1]]), 400, "expecting only one of 'inputs' or 'instances'"),
        (predict("serve_bytes", instances=[b64(bomb())]), 400, "has 50000 x 50000 pixels, the limit"),
        (predict("serve_bytes", instances=[b64(png(picture(9, 9, 3))[:-60])]), 400, r"image_bytes\[0\] is broken"),
        (predict("serve_bytes", instances=[{"b64": "*"}]), 400, "Unable to base64 decode"),
        (predict("larger", instances=[1]), 400, 'Serving signature name: "larger" not found in signature def'),
        (lambda url: rest(url + ":predict", b"{"), 400, "JSON Parse error: "),
        (lambda url: rest(url + ":predict", b""), 400, "JSON Parse error: The document is empty"),
        (lambda url: rest(url + ":predict", [1]), 400, "Is not object"),
        (
            lambda url: rest(url + ":enlarge", {"instances": [1]}),
            400,
            "Malformed request: POST /v1/models/small:enlarge",
        ),
        (lambda url: rest(url + ":predict", method="GET"), 400, "Malformed request: GET /v1/models/small:predict"),
        (
            lambda url: rest(url + "er:predict", {"instances": [1]}),
            404,
            r"Servable not found for request: Latest\(smaller\)",
        ),
        (lambda url: rest(url + "/versions/9:predict", {"instances": [1]}), 404, r"Specific\(small, 9\)"),
        (lambda url: rest(url + f"/versions/{10**20}:predict", {"instances": [1]}), 400, "Failed to convert version"),
        (predict("serving_default", instances=[[[[2**31] * 3]]]), 400, "is not of expected type: uint8"),
        (lambda url: rest(url + ":predict", b'{"instances": ' + b"[" * 100_000), 400, "JSON Parse error"),
        (lambda url: rest(url + ":predict", b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}"), 400, "."),
        (lambda url: rest(url + ":predict", b'{"instances": ' + b"9" * 10_000 + b"}"), 400, "."),
        (lambda url: rest(url + "er"), 404, "Could not find any versions of model smaller"),
        (lambda url: rest(url + "/versions/9"), 404, "Could not find version 9 of model small"),
        (lambda url: rest(url + "er/metadata"), 404, r"Servable not found for request: Latest\(smaller\)"),
    ],
)
def test_a_bad_request_through_rest_has_a_status_and_a_reason_and_the_next_is_answered(
    server, local, send, status, message
):
    answered, content = send(server.url)
    assert (answered, list(content)) == (status, ["error"])
    assert re.search(message, content["error"])
    status, content = rest(server.url + ":predict", {"instances": GOOD["image"].tolist()})
    assert status == 200
    np.testing.assert_array_equal(content["predictions"], local(GOOD["image"]))


def memory(process):
    """Bytes of a process that lie in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test_200_requests_of_16_clients_equal_local_results_and_memory_does_not_grow(server, channel, local):
    pictures = [picture(8 + 5 * k, 40 - 3 * k, 3) for k in range(10)]
    expected = [local(small) for small in pictures]

    def one(i):
        small, large = pictures[i % 10], expected[i % 10]
        if i % 3:
            answer = ask(channel, {"image": small[None]})["image"][0]
        else:
            status, content = rest(
                server.url + ":predict", {"signature_name": "serve_bytes", "instances": [b64(png(small))]}
            )
            assert status == 200
            answer = unb64(content["predictions"][0])
        off = serving.difference(answer, large)
        return off and f"request {i}, {'gRPC' if i % 3 else 'REST'}: {off}"

    used = []
    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        for _ in range(3):
            assert [wrong for wrong in clients.map(one, range(200)) if wrong] == [], server.fate()
            used.append(memory(server.process))
    if server.kind == "docker":
        pytest.skip("the memory of a container is not that of the process that started it")
    assert used[2] < 1.05 * used[1]


@pytest.mark.long
def test_a_new_version_is_loaded_while_requests_continue(small_model, server, tmp_path, local):
    model = tmp_path / "growing"
    shutil.copytree(small_model / "1", model / "00000001")
    growing = serving.Server(model, kind=server.kind).wait(1)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as clients:
            stop = []
            answers = clients.submit(
                lambda: [
                    rest(growing.url + ":predict", {"instances": GOOD["image"].tolist()})
                    for _ in iter(lambda: not stop, False)
                ]
            )
            shutil.copytree(small_model / "1", model / ".2.part")
            os.rename(model / ".2.part", model / "2")
            growing.wait(2)
            time.sleep(0.5)
            stop.append(True)
        assert {status for status, _ in answers.result()} == {200}
        assert all(np.array_equal(content["predictions"], local(GOOD["image"])) for _, content in answers.result())
        assert rest(growing.url + "/metadata")[1]["model_spec"]["version"] == "2"
    finally:
        growing.kill()


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(zoo.shipped()))
def test_saved_model_cli_shows_and_runs_the_shipped_models(name, tmp_path):
    def cli(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    folder = str(zoo.shipped()[name])
    shown = cli("show", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default")
    assert "inputs['image']" in shown and "shape: (-1, -1, -1, 3)" in shown and "tensorflow/serving/predict" in shown
    np.save(tmp_path / "small.npy", picture(1, 8, 9, 3))
    cli(
        "run",
        "--dir",
        folder,
        "--tag_set",
        "serve",
        "--signature_def",
        "serving_default",
        "--inputs",
        f"image={tmp_path}/small.npy",
        "--outdir",
        str(tmp_path),
    )
    here = serving.Here(folder)(picture(1, 8, 9, 3)).astype(int)
    difference = np.abs(np.load(tmp_path / "image.npy") - here)  # its session orders sums otherwise
    assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3
