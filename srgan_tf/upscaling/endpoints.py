"""Clients of one model on one TensorFlow Serving server, over REST and gRPC.

The server is not trusted: every request has a total deadline, responses have a size limit, and their types and
shapes are checked. Both clients have `enlarge(batch, scale, precision, timeout)` and `attributes(timeout)`. They raise
`Away` for temporary failures and `Refused` for permanent ones.
"""

import base64
import dataclasses
import http.client
import io
import itertools
import json
import os
import queue
import re
import threading
import urllib.parse

import numpy as np

from srgan_tf.errors import UserError, one_line, reason
from srgan_tf.saved_models import attributes, serving_messages

CONNECT_TIMEOUT = 10  # seconds; a response may take longer than connecting
LONGEST_ANSWER = 2**30  # bytes over gRPC
SIGNATURES = {"float32": "serving_default", "bfloat16": "bfloat16"}
_PORTS = {"grpc": 8500, "http": 8501, "https": 443}
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_PATH = re.compile(r"/(?:v1/models/)?(?P<model>[^/:]+)(?:/versions/(?P<version>\d{1,18}))?/?")


class Away(Exception):
    """The server did not respond; a retry may succeed."""


class Refused(UserError):
    """The server rejects the request, or its response is invalid. A retry would fail; another server may succeed."""


@dataclasses.dataclass(frozen=True)
class Address:
    """`grpc://HOST:8500/MODEL` or `http://HOST:8501/MODEL`, optionally `/v1/models/MODEL` and `MODEL/versions/N`."""

    text: str
    scheme: str
    host: str
    port: int
    model: str
    version: int | None

    def __str__(self):
        return self.text


def parse(text: str) -> Address:
    """Parse an `Address`.

    Raises:
        UserError: if the text is not a valid address.
    """
    try:
        url = urllib.parse.urlsplit(text.strip())
        port = url.port
        host = (url.hostname or "").encode("idna").decode()
    except ValueError:  # for example a non-numeric port, or a host with two consecutive dots
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
    ):  # user names and passwords are not supported
        raise UserError(
            f"--server {text}: not the address of a model on a server. Give grpc://HOST:8500/MODEL or "
            "http://HOST:8501/MODEL."
        )
    return Address(
        text.strip(),
        url.scheme,
        url.hostname,
        port or _PORTS[url.scheme],
        path["model"],
        int(path["version"]) if path["version"] else None,
    )


def connect(address: Address, connections: int, proxy: bool = False) -> "Rest | Grpc":
    """Create the client for an `Address`; nothing is sent yet.

    Args:
        connections: the number of concurrent requests.
        proxy: whether gRPC uses the proxy in `http_proxy`, `https_proxy` or `grpc_proxy`. It would also use it for
            localhost.
    """
    return Grpc(address, connections, proxy) if address.scheme == "grpc" else Rest(address, connections)


class Rest:
    """A client over HTTP (REST).

    Pictures are sent as PNG to `serve_bytes`: lossless, and about a tenth of the size of JSON numbers.
    """

    def __init__(self, address, connections):
        import urllib3

        kind = urllib3.HTTPSConnectionPool if address.scheme == "https" else urllib3.HTTPConnectionPool
        self.address, self._pool, self._waiting = address, kind(address.host, address.port, maxsize=connections), set()
        self._path = f"/v1/models/{urllib.parse.quote(urllib.parse.unquote(address.model))}"
        if address.version is not None:
            self._path += f"/versions/{address.version}"

    def attributes(self, timeout):
        """The model's attributes; timeout in seconds."""
        [answer] = self._strings("attributes", [""], 1, timeout, 4 * attributes.LONGEST)
        return _facts(answer, self.address)

    def enlarge(self, batch, scale, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3]; timeout in seconds."""
        if precision != "float32":
            raise UserError(
                f"--server {self.address}: only gRPC supports --precision {precision}. Give grpc:// or leave "
                "--precision out."
            )
        encoded = [{"b64": base64.b64encode(_png(image)).decode()} for image in batch]
        longest = 2**20 + 2 * scale**2 * batch.size  # PNG and base64 add little to pixels that do not compress
        answers = self._strings("serve_bytes", encoded, len(batch), timeout, longest)
        size = scale * batch.shape[1], scale * batch.shape[2]
        try:
            return np.stack([_pixels(base64.b64decode(answer["b64"], validate=True), size) for answer in answers])
        except Exception as error:  # Pillow's, of many kinds
            raise _invalid(self.address, f"no pictures: {reason(error)}") from None

    def close(self):
        """Give up all requests."""
        for answer in list(self._waiting):
            answer.put(Away("closed"))
        self._pool.close()

    def _strings(self, signature, inputs, count, timeout, longest):
        status, phrase, body = self._post({"signature_name": signature, "inputs": inputs}, timeout, longest)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status != 200:
            message = answer.get("error") if isinstance(answer, dict) else None
            advice = _HTTP_ADVICE.get(status, _HTTP_ADVICE["3xx"] if 300 <= status < 400 else _ADVICE)
            _raise_for(_HTTP_STATUS.get(status, "INTERNAL"), message or phrase, self.address, advice)
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, list) or len(outputs) != count:
            raise _invalid(self.address, "no outputs as TensorFlow Serving gives them")
        return outputs

    def _post(self, content, timeout, longest):
        """Post JSON; returns the status, a description of it and the body.

        The request runs in a thread that is abandoned at the deadline: socket timeouts apply between two bytes, so a
        server that sends slowly could block the run.
        """
        answer = queue.SimpleQueue()
        self._waiting.add(answer)
        threading.Thread(target=self._post_now, args=(content, timeout, longest, answer), daemon=True).start()
        try:
            found = answer.get(timeout=timeout)
        except queue.Empty:
            raise Away(f"no answer within {timeout:g} s") from None
        finally:
            self._waiting.discard(answer)
        if isinstance(found, Exception):
            raise found
        return found

    def _post_now(self, content, timeout, longest, answer):
        import urllib3

        try:
            response = self._pool.request(
                "POST",
                f"{self._path}:predict",
                body=json.dumps(content),
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            body = response.read(longest + 1)
            if len(body) > longest:
                response.close()
                raise _invalid(self.address, f"it is longer than {longest} bytes")
            phrase = f"HTTP {response.status} {response.reason}"
            if location := response.headers.get("Location"):
                phrase += f", {location}"
            answer.put((response.status, phrase, body))
        except urllib3.exceptions.NewConnectionError as error:
            answer.put(Away(reason(_innermost(error))))
        except urllib3.exceptions.ConnectTimeoutError:
            answer.put(Away(f"no connection within {min(CONNECT_TIMEOUT, timeout):g} s"))
        except urllib3.exceptions.ReadTimeoutError:
            answer.put(Away(f"no answer within {timeout:g} s"))
        except Exception as error:
            cause = _innermost(error)
            if isinstance(cause, Refused):
                answer.put(cause)
            elif isinstance(cause, http.client.RemoteDisconnected):
                answer.put(Away("the connection was closed"))
            elif isinstance(cause, (http.client.BadStatusLine, http.client.UnknownProtocol, http.client.LineTooLong)):
                answer.put(_invalid(self.address, "no HTTP"))
            else:
                answer.put(Away(reason(cause)))


class Grpc:
    """A client over gRPC with several connections, because load balancers distribute connections.

    Pictures are sent as tensors. A host name may resolve to several servers. Only responses of the model version whose
    attributes were requested last are accepted, so that no picture mixes versions.
    """

    def __init__(self, address, connections, proxy=False):
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # failures are reported in one line
        try:
            import grpc
        except ModuleNotFoundError:
            raise UserError(
                f"--server {address}: grpcio is not installed. Run pip install grpcio or give http://HOST:8501/MODEL."
            ) from None
        self.address, self._error, self._version = address, grpc.RpcError, None
        host = f"[{address.host}]" if ":" in address.host else address.host
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", LONGEST_ANSWER),
            ("grpc.enable_http_proxy", int(proxy)),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.min_reconnect_backoff_ms", 1000 * CONNECT_TIMEOUT),  # also limits the time for connecting
            ("grpc.lb_policy_name", "round_robin"),  # a host name may resolve to several servers
        ]
        self._channels = [grpc.insecure_channel(f"{host}:{address.port}", options) for _ in range(connections)]
        self._calls = itertools.cycle(
            [
                # Receive raw bytes: gRPC would print a traceback for an invalid message.
                channel.unary_unary(
                    "/tensorflow.serving.PredictionService/Predict",
                    request_serializer=serving_messages.PredictRequest.SerializeToString,
                )
                for channel in self._channels
            ]
        )

    def attributes(self, timeout):
        """The model's attributes; timeout in seconds."""
        answer, self._version = self._predict(
            "attributes", "any", serving_messages.tensor([b""]), "attributes", timeout
        )
        if not isinstance(answer, list) or len(answer) != 1:
            raise _invalid(self.address, "no attributes")
        return _facts(answer[0], self.address)

    def enlarge(self, batch, scale, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3]; timeout in seconds."""
        tensor = serving_messages.tensor(np.ascontiguousarray(batch))
        large, version = self._predict(SIGNATURES[precision], "image", tensor, "image", timeout)
        if version != self._version:
            raise Away(f"version {version} answered instead of version {self._version}")
        return large

    def close(self):
        """Give up all requests."""
        for channel in self._channels:
            channel.close()

    def _predict(self, signature, key, tensor, output, timeout):
        address = self.address
        request = serving_messages.request(
            urllib.parse.unquote(address.model), signature, {key: tensor}, address.version
        )
        try:
            body = next(self._calls)(request, timeout=timeout)
        except self._error as error:
            message = (error.details() or error.code().name).split("last error: ")[-1]
            _raise_for(error.code().name, message, address)
        try:
            response = serving_messages.PredictResponse.FromString(body)
            if output not in response.outputs:
                raise ValueError(f"no output {output!r}")
            return serving_messages.array(response.outputs[output]), response.model_spec.version.value
        except (serving_messages.DecodeError, ValueError, MemoryError) as error:
            raise _invalid(address, reason(error)) from None


# gRPC codes by HTTP status.
_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


_ADVICE = "Serve a model that this version exported."
_LOGIN = "upscale.py cannot send a login: give an address that needs none."
_HTTP_ADVICE = {  # these statuses are of a proxy, or of an error in the server
    "3xx": "Give the address of the model there, without :predict.",
    401: _LOGIN,
    403: _LOGIN,
    413: "Give a smaller --tile, or raise the proxy's limit.",
    500: "See the server's log.",
}


def _raise_for(code, message, address, advice=_ADVICE):
    message = " ".join(str(message)[:1000].split())
    message = one_line(message if len(message) <= 300 else message[:300] + "...")
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"):
        raise Away(message)
    if code == "NOT_FOUND":
        raise Refused(f"--server {address}: the server has no such model ({message}). Name one that it serves.")
    if code == "RESOURCE_EXHAUSTED" and "batching queue" in message:  # the request waited there for too long
        raise Away(message)
    if code == "RESOURCE_EXHAUSTED":
        raise Refused(f"--server {address}: the server is short of memory ({message}). Give a smaller --tile.")
    raise Refused(f"--server {address}: the server refuses ({message}). {advice}")


def _invalid(address, what):
    return Refused(f"--server {address}: not an answer from a model of srgan_tf ({what}). Check the address.")


def _facts(text, address):
    try:
        if not isinstance(text, (str, bytes)):
            raise ValueError("not a string")
        return attributes.parse(text)
    except ValueError as error:
        raise _invalid(address, f"its attributes: {error}") from None


def _innermost(error):
    """The exception that a library has wrapped."""
    while inner := next(
        (arg for arg in error.args if isinstance(arg, Exception)), error.__cause__ or error.__context__
    ):
        error = inner
    return error


def _png(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _pixels(encoded, size):
    """Decode a PNG file to uint8 [H, W, 3]; its header must have the requested size, (height, width)."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
        if (image.height, image.width) != size or image.mode != "RGB":
            raise ValueError(f"{image.mode}, {image.width} x {image.height} instead of RGB, {size[1]} x {size[0]}")
        return np.asarray(image)
