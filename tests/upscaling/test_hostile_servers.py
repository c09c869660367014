"""Servers that are broken or hostile: every failure is one line within the deadline, and the next server takes over."""

import base64
import contextlib
import io
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent import futures

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from srgan_tf.errors import UserError
from srgan_tf.upscaling.server import Remote

FACTS = {"scale": 4, "halo": 12, "pixel_limit": 2**20, "sha256": 64 * "0"}
PICTURE = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)
LARGE = PICTURE.repeat(4, axis=0).repeat(4, axis=1)
NESTED = b'{"outputs": ' + b"[" * 200_000


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def answer(*outputs):
    return json.dumps({"outputs": outputs}).encode()


def pictures(*files):
    return answer(*({"b64": base64.b64encode(file).decode()} for file in files))


def bomb(width, height):
    """A PNG file with a header of that size and hardly any pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


class Raw:
    """A server on loopback: `reply(request)` gives the bytes that are sent, in parts; None ends in silence."""

    def __init__(self, reply):
        self._reply, self._listening = reply, socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}/small"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            length = 0
            while (line := file.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            for part in self._reply(json.loads(file.read(length))):
                connection.sendall(part)


def http(body, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def after_the_attributes(*parts):
    """A server that gives good attributes and then the parts."""

    def reply(request):
        return [http(answer(json.dumps(FACTS)))] if request["signature_name"] == "attributes" else parts

    return reply


def endless(part, pause=0.0):
    while True:
        yield part
        time.sleep(pause)


GOOD = after_the_attributes(http(pictures(encoded(Image.fromarray(LARGE)))))


@pytest.mark.parametrize(
    "body",
    [
        pictures(bomb(50_000, 50_000)),
        pictures(bomb(28, 36)),
        pictures(encoded(Image.fromarray(LARGE), "JPEG")),
        pictures(encoded(Image.fromarray(LARGE).convert("RGBA"))),
        pictures(encoded(Image.fromarray(LARGE[:-1]))),
        pictures(encoded(Image.fromarray(LARGE), "EPS")),
        pictures(b""),
        answer({"b64": 3}),
        answer({"b64": "\u00e9"}),
        answer([[]]),
        answer(),
        NESTED,
        b'{"outputs": ' + b"9" * 10_000,
        b"\xff\xfe",
        b"",
    ],
    ids=range(15),
)
def test_an_answer_that_is_no_such_picture_is_one_line_and_the_next_server_takes_over(body):
    with Raw(after_the_attributes(http(body))) as bad, Raw(GOOD) as good:
        with pytest.raises(
            UserError, match=f"--server {bad.address}: not an answer from a model of srgan_tf"
        ) as refusal:
            Remote([bad.address])(PICTURE)
        assert "\n" not in str(refusal.value)
        np.testing.assert_array_equal(Remote([bad.address, good.address])(PICTURE), LARGE)


@pytest.mark.parametrize(
    "facts",
    [
        {**FACTS, "scale": 3},
        {**FACTS, "scale": "4"},
        {**FACTS, "scale": [4]},
        {**FACTS, "scale": 4.0},
        {**FACTS, "halo": -12},
        {**FACTS, "halo": None},
        {**FACTS, "halo": 10**40},
        {**FACTS, "pixel_limit": "all"},
        {**FACTS, "pixel_limit": -1},
        {**FACTS, "sha256": 0},
        {name: value for name, value in FACTS.items() if name != "sha256"},
        [],
        7,
        "x\x1b[31m",
    ],
    ids=str,
)
def test_attributes_of_wrong_types_or_ranges_are_one_line_and_the_next_server_takes_over(facts):
    for told in (json.dumps(facts), facts):
        with Raw(lambda request, told=told: [http(answer(told))]) as bad, Raw(GOOD) as good:
            with pytest.raises(UserError, match=f"--server {bad.address}: not an answer.*attributes") as refusal:
                Remote([bad.address])
            assert str(refusal.value).isprintable()
            np.testing.assert_array_equal(Remote([bad.address, good.address])(PICTURE), LARGE)


@pytest.mark.parametrize(
    "parts",
    [
        list,
        lambda: endless(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
        lambda: endless(b"H", 0.1),
        lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b" "] * 3],
        lambda: (part for some in ([b"HTTP/1.1 200 OK\r\n\r\n"], endless(b" ", 0.1)) for part in some),
        lambda: (part for some in ([b"HTTP/1.1 200 OK\r\n"], endless(b"X: y\r\n", 0.1)) for part in some),
        lambda: (part for some in ([b"HTTP/1.1 200 OK\r\n\r\n"], endless(bytes(2**16))) for part in some),
        lambda: [b"SSH-2.0-OpenSSH\r\n", b"x" * 10_000],
    ],
    ids=["closed", "100 for ever", "drips", "cut", "drips a body", "drips headers", "endless", "no HTTP"],
)
def test_no_server_holds_a_run_beyond_its_deadline_and_the_next_takes_over(monkeypatch, parts):
    monkeypatch.setattr("srgan_tf.upscaling.server.ATTEMPTS", 1)
    with Raw(lambda request: after_the_attributes(*parts())(request)) as bad, Raw(GOOD) as good:
        started = time.monotonic()
        with pytest.raises(UserError, match=f"--server {bad.address}: ") as refusal:
            Remote([bad.address], timeout=1.5)(PICTURE)
        assert "\n" not in str(refusal.value)
        np.testing.assert_array_equal(Remote([bad.address, good.address], timeout=1.5)(PICTURE), LARGE)
        assert time.monotonic() - started < 20


def hanging(requests):
    """A server that accepts connections and never answers; it counts its requests in the list."""
    return Raw(lambda request: (requests.append(request), endless(b"", 60))[1])


def one_by_one(remote, count):
    """Enlarge a batch with one request for each picture, as for the tiles of a large one."""
    remote._automatic = 7
    np.testing.assert_array_equal(remote(np.repeat(PICTURE[None], count, axis=0)), [LARGE] * count)


def test_a_server_that_hangs_does_not_delay_a_run_while_another_works(monkeypatch):
    monkeypatch.setattr("srgan_tf.upscaling.endpoints.CONNECT_TIMEOUT", 0.5)
    monkeypatch.setattr("srgan_tf.upscaling.server.PROBE", 0.1)
    monkeypatch.setattr("srgan_tf.upscaling.server.FIRST_PAUSE", 0.0)
    requests = []
    with hanging(requests) as bad, Raw(GOOD) as good:
        started = time.monotonic()
        for servers in ([bad.address, good.address], [good.address, bad.address]):
            remote = Remote(servers, timeout=20)
            one_by_one(remote, 20)
            before = len(requests)
            for _ in range(5):  # the other server is idle
                np.testing.assert_array_equal(remote(PICTURE), LARGE)
            assert len(requests) == before > 0
        assert time.monotonic() - started < 15


def test_the_other_servers_get_no_more_requests_at_a_time_when_one_fails(caplog):
    running, most = [], []

    def reply(request):
        running.append(request)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(request)
        return GOOD(request)

    with Raw(reply) as good:
        one_by_one(Remote([good.address, *(f"http://127.0.0.1:1/{name}" for name in "ab")]), 40)
    assert max(most) == 2
    assert "pool is full" not in caplog.text


@pytest.fixture
def grpc_server():
    """A function that starts a gRPC server which answers with such bytes, and gives its address."""
    grpc = pytest.importorskip("grpc")
    started = []

    def start(body):
        class Handler(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_unary_rpc_method_handler(lambda request, context: body)

        server = grpc.server(futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers([Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return f"grpc://127.0.0.1:{port}/small"

    yield start
    for server in started:
        server.stop(None)


RUN = """
import sys
from srgan_tf.commands import upscale
upscale.run()
"""


def command(folder, *arguments, **environment):
    Image.fromarray(PICTURE).save(folder / "a.png")
    return subprocess.run(
        [sys.executable, "-c", RUN, "a.png", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("body", [b"", b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f"])
def test_grpc_answers_that_are_no_messages_are_one_line_without_a_traceback_of_grpc(tmp_path, grpc_server, body):
    done = command(tmp_path, "--server", grpc_server(body))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --server grpc://") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("asked_for", [False, True])
def test_grpc_uses_a_proxy_of_the_environment_only_where_it_is_asked_to(tmp_path, grpc_server, asked_for):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.5)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        flags = ["--server_proxy", "--server_timeout", "2"] if asked_for else []
        environment = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), url)
        done = command(tmp_path, "--server", grpc_server(b"\xff"), *flags, **environment)
        assert done.stderr.count("\n") == 1
        assert ("not an answer from a model of srgan_tf" in done.stderr) == (not asked_for)
        with contextlib.nullcontext() if asked_for else pytest.raises(TimeoutError):
            proxy.accept()[0].close()


@pytest.mark.parametrize(
    "status, advice",
    [
        (
            "301 Moved\r\nLocation: https://host/m:predict",
            "Moved, https://host/m:predict). Give the address of the model",
        ),
        ("307 Moved\r\nLocation: \x1b[2J", "Moved, \\x1b[2J). Give the address of the model there, without :predict."),
        ("401 Unauthorized", "upscale.py cannot send a login: give an address that needs none."),
        ("403 Forbidden", "upscale.py cannot send a login: give an address that needs none."),
        ("413 Too Large", "Give a smaller --tile, or raise the proxy's limit."),
        ("500 Internal", "See the server's log."),
        ("400 Bad Request", "Serve a model that this version exported."),
    ],
)
def test_the_advice_suits_the_status_of_a_proxy_or_server(status, advice):
    with Raw(lambda request: [http(b"<html>", status)]) as proxy, pytest.raises(UserError) as refusal:
        Remote([proxy.address])
    assert f"the server refuses (HTTP {status[:3]} " in str(refusal.value) and advice in str(refusal.value)


def test_a_servers_message_cannot_steer_the_terminal():
    body = json.dumps({"error": "\x1b[2J\r\nerror: all is well \u202e" + "x" * 5000}).encode()
    with Raw(after_the_attributes(http(body, "400 Bad Request"))) as bad:
        with pytest.raises(UserError, match="the server refuses") as refusal:
            Remote([bad.address])(PICTURE)
        assert str(refusal.value).isprintable() and len(str(refusal.value)) < 600
