"""One model on one TensorFlow Serving server: its address, and the two protocols it is asked through.

Both endpoints have `enlarge(batch, precision, timeout)` and `attributes(timeout)`, and raise `Away` for what may pass
and `UserError` for what will not.
"""

import base64
import contextlib
import dataclasses
import http.client
import io
import itertools
import json
import re
import socket
import urllib.parse

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.saved_models import serving_messages

CONNECT_TIMEOUT = 10  # seconds; an answer may take longer than to be let in
SIGNATURES = {"float32": "serving_default", "bfloat16": "bfloat16"}
_PORTS = {"grpc": 8500, "http": 8501, "https": 443}
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_PATH = re.compile(r"/(?:v1/models/)?(?P<model>[^/:]+)(?:/versions/(?P<version>\d+))?/?")


class Away(Exception):
    """The server did not answer this time, for a reason that another try may not meet."""


@dataclasses.dataclass(frozen=True)
class Address:
    """`grpc://HOST:8500/MODEL`, `http://HOST:8501/MODEL`, or with `/versions/N`; `/v1/models/` may precede MODEL."""

    text: str
    scheme: str
    host: str
    port: int
    model: str
    version: int | None

    def __str__(self):
        return self.text


def parse(text):
    """An `Address`.

    Raises:
        UserError: when it is none.
    """
    try:
        url = urllib.parse.urlsplit(text.strip())
        port = url.port
        host = (url.hostname or "").encode("idna").decode()
    except ValueError:  # such as a port of letters, or a host with two dots in a row
        url = port = host = None
    path = url and _PATH.fullmatch(url.path)
    if (
        not path
        or not host
        or _BLANK.search(host)
        or url.scheme not in _PORTS
        or url.query
        or url.fragment
        or "@" in url.netloc
    ):  # a name and a password are not sent
        raise UserError(
            f"it is no address of a model on a server, --server {text}, write grpc://HOST:8500/MODEL or "
            "http://HOST:8501/MODEL"
        )
    return Address(
        text.strip(),
        url.scheme,
        url.hostname,
        port or _PORTS[url.scheme],
        path["model"],
        int(path["version"]) if path["version"] else None,
    )


def connect(address, connections):
    """The endpoint at an `Address`; nothing is sent yet.

    Args:
        connections: how many requests will be on their way at once.
    """
    return Grpc(address, connections) if address.scheme == "grpc" else Rest(address)


class Rest:
    """Asks over HTTP, a connection for each request.

    Pictures travel as PNG through `serve_bytes`: lossless, and there and back about a tenth of the bytes that JSON
    makes of numbers.
    """

    def __init__(self, address):
        self.address, self._open = address, set()
        self._path = f"/v1/models/{urllib.parse.quote(urllib.parse.unquote(address.model))}"
        if address.version is not None:
            self._path += f"/versions/{address.version}"

    def attributes(self, timeout):
        """The JSON object of the model's attributes."""
        [answer] = self._strings("attributes", [""], 1, timeout)
        return _facts(answer, self.address)

    def enlarge(self, batch, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3]; timeout in seconds."""
        if precision != "float32":
            raise UserError(
                f"only gRPC asks for {precision}, --precision and --server {self.address}, write grpc:// "
                "or leave --precision out"
            )
        encoded = [{"b64": base64.b64encode(_png(image)).decode()} for image in batch]
        answers = self._strings("serve_bytes", encoded, len(batch), timeout)
        try:
            return np.stack([_pixels(base64.b64decode(answer["b64"], validate=True)) for answer in answers])
        except (TypeError, LookupError, ValueError, OSError, SyntaxError) as error:  # Pillow's, among others
            raise _garbage(self.address, f"no pictures: {error}") from None

    def close(self):
        """Ends what is on its way."""
        for connection in list(self._open):
            with contextlib.suppress(OSError, AttributeError):  # it may have ended meanwhile
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _strings(self, signature, inputs, count, timeout):
        status, reason, body = self._post({"signature_name": signature, "inputs": inputs}, timeout)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status != 200:
            message = answer.get("error") if isinstance(answer, dict) else None
            _raise_for(_HTTP_STATUS.get(status, "INTERNAL"), message or f"HTTP {status} {reason}", self.address)
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, list) or len(outputs) != count:
            raise _garbage(self.address, "no outputs as TensorFlow Serving gives them")
        return outputs

    def _post(self, content, timeout):
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.address.host, self.address.port, timeout=min(CONNECT_TIMEOUT, timeout))
        self._open.add(connection)
        try:
            try:
                connection.connect()
            except TimeoutError:
                raise Away(f"no connection within {connection.timeout:g} s") from None
            connection.sock.settimeout(timeout)
            connection.request(
                "POST", f"{self._path}:predict", json.dumps(content), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            return response.status, response.reason, response.read()
        except TimeoutError:
            raise Away(f"no answer within {timeout:g} s") from None
        except http.client.BadStatusLine as error:
            if isinstance(error, http.client.RemoteDisconnected):
                raise Away("the connection was closed") from None
            raise _garbage(self.address, "no HTTP") from None
        except (OSError, http.client.HTTPException) as error:
            raise Away(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
        finally:
            self._open.discard(connection)
            connection.close()


class Grpc:
    """Asks over gRPC, on several connections: what balances load between servers does so by connection.

    Pictures travel as tensors. A name may stand for several servers: only the version whose attributes were asked last
    is listened to, so that no picture is a mixture.
    """

    def __init__(self, address, connections):
        try:
            import grpc
        except ModuleNotFoundError:
            raise UserError(
                f"grpcio is not installed, --server {address}, pip install 'srgan_tf[serving]' or write "
                "http://HOST:8501/MODEL"
            ) from None
        self.address, self._error, self._version = address, grpc.RpcError, None
        host = f"[{address.host}]" if ":" in address.host else address.host
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.min_reconnect_backoff_ms", 1000 * CONNECT_TIMEOUT),  # what it takes to connect at most
            ("grpc.lb_policy_name", "round_robin"),
        ]  # a name may stand for several servers
        self._channels = [grpc.insecure_channel(f"{host}:{address.port}", options) for _ in range(connections)]
        self._calls = itertools.cycle(
            [
                channel.unary_unary(
                    "/tensorflow.serving.PredictionService/Predict",
                    request_serializer=serving_messages.PredictRequest.SerializeToString,
                    response_deserializer=serving_messages.PredictResponse.FromString,
                )
                for channel in self._channels
            ]
        )

    def attributes(self, timeout):
        """The JSON object of the model's attributes."""
        answer, self._version = self._predict(
            "attributes", "any", serving_messages.tensor([b""]), "attributes", timeout
        )
        if not isinstance(answer, list) or len(answer) != 1:
            raise _garbage(self.address, "no attributes")
        return _facts(answer[0], self.address)

    def enlarge(self, batch, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3]; timeout in seconds."""
        tensor = serving_messages.tensor(np.ascontiguousarray(batch))
        large, version = self._predict(SIGNATURES[precision], "image", tensor, "image", timeout)
        if version != self._version:
            raise Away(f"version {version} has answered, and not version {self._version}")
        return large

    def close(self):
        """Ends what is on its way."""
        for channel in self._channels:
            channel.close()

    def _predict(self, signature, key, tensor, output, timeout):
        address = self.address
        request = serving_messages.request(
            urllib.parse.unquote(address.model), signature, {key: tensor}, address.version
        )
        try:
            response = next(self._calls)(request, timeout=timeout)
        except self._error as error:
            message = (error.details() or error.code().name).split("last error: ")[-1]
            _raise_for(error.code().name, message, address)
        if output not in response.outputs:
            raise _garbage(address, f"no output {output!r}")
        try:
            return serving_messages.array(response.outputs[output]), response.model_spec.version.value
        except ValueError as error:
            raise _garbage(address, str(error)) from None


# What a server answers over HTTP, as the code that it has for gRPC.
_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _raise_for(code, message, address):
    message = " ".join(str(message).split())
    message = message if len(message) <= 300 else message[:300] + "..."
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"):
        raise Away(message)
    if code == "NOT_FOUND":
        raise UserError(f"the server has no such model ({message}), --server {address}, name one that it serves")
    if code == "RESOURCE_EXHAUSTED" and "batching queue" in message:  # it waited there for too long
        raise Away(message)
    if code == "RESOURCE_EXHAUSTED":
        raise UserError(f"the server is short of memory ({message}), --server {address}, give a smaller --tile")
    raise UserError(
        f"the server refuses ({message}), --server {address}, serve a model that this version of srgan_tf exported"
    )


def _garbage(address, what):
    return UserError(f"the answer is not one of such a model ({what}), --server {address}, check the address")


def _facts(text, address):
    try:
        facts = json.loads(text)
        if {"scale", "halo", "pixel_limit", "sha256"} <= facts.keys():
            return facts
    except (ValueError, TypeError, AttributeError):
        pass
    raise _garbage(address, "no attributes")


def _png(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _pixels(encoded):
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))
