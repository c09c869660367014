"""upscale.py --server: the same pictures, computed by servers that may be slow, wrong or killed."""

import base64
import concurrent.futures
import http.server
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, serving
from helpers.enlargers import Lines
from srgan_tf.commands import start, upscale
from srgan_tf.errors import UserError
from srgan_tf.networks import models
from srgan_tf.saved_models import export, zoo
from srgan_tf.upscaling import endpoints, jobs, places, plans
from srgan_tf.upscaling import server as server_module
from srgan_tf.upscaling.server import Remote

pytest.importorskip("tensorflow_serving")
NOBODY = "127.0.0.1:1"  # nothing listens there


def picture(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def local(small_model):
    return serving.Here(small_model, tile=40)


@pytest.fixture(scope="module")
def mortal(server, small_model):
    started = serving.Server(small_model, kind=server.kind)
    yield started
    started.kill()


@pytest.fixture
def second(mortal):
    """One more server, which may be killed."""
    if mortal.process.poll() is not None:
        mortal.start()
    return mortal.wait()


@pytest.fixture(params=["grpc", "rest"])
def protocol(request):
    return request.param


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command in this process, in a folder of its own: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(20, 30, 3)).save("a.png")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            start(upscale.main, ["upscale.py", *arguments])
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.mark.parametrize("shape", [(61, 83, 3), (61, 83), (61, 83, 4), (61, 83, 2), (2, 9, 7, 3), (1, 1, 3)])
def test_every_kind_of_picture_equals_the_local_result(server, local, protocol, shape):
    np.testing.assert_array_equal(Remote([getattr(server, protocol)], tile=40)(picture(*shape)), local(picture(*shape)))


@pytest.mark.parametrize("path", ["small", "v1/models/small", "small/versions/1", "v1/models/small/versions/1"])
def test_addresses_may_be_given_in_the_form_of_the_rest_api(server, local, protocol, path):
    address = getattr(server, protocol).replace("small", path)
    np.testing.assert_array_equal(Remote([address])(picture(5, 6, 3)), local(picture(5, 6, 3)))


def test_of_two_versions_behind_one_name_only_answers_of_the_first_are_accepted(server, local, monkeypatch):
    """As where a rolling update goes on behind a balancer."""
    versions, predict = itertools.cycle([1, 2]), endpoints.Grpc._predict
    remote = Remote([server.grpc], tile=40)
    monkeypatch.setattr(
        endpoints.Grpc,
        "_predict",
        lambda self, signature, *rest: (
            predict(self, signature, *rest)[0],
            1 if signature == "attributes" else next(versions),
        ),
    )
    heard = []
    monkeypatch.setattr(
        server_module._Server,
        "fail",
        lambda self, away, started, fail=server_module._Server.fail: (
            heard.append(str(away)),
            fail(self, away, started),
        ),
    )
    np.testing.assert_array_equal(remote(picture(9, 70, 3)), local(picture(9, 70, 3)))
    assert heard and set(heard) == {"version 2 answered instead of version 1"}


def test_a_server_may_fail_for_days():
    server = server_module._Server(endpoints.connect(endpoints.parse(f"http://{NOBODY}/small"), 1))
    for _ in range(2000):
        server.fail(endpoints.Away("nothing"), time.monotonic())
    assert server.pauses_until <= time.monotonic() + server_module.LONGEST_PAUSE


def test_a_batch_is_sent_in_parts(server, local, monkeypatch):
    remote, sent = Remote([server.grpc]), []
    remote._automatic, enlarge = 20, remote._servers.enlarge
    monkeypatch.setattr(
        remote._servers, "enlarge", lambda batch, *rest: (sent.append(len(batch)), enlarge(batch, *rest))[1]
    )
    np.testing.assert_array_equal(remote(picture(7, 10, 15, 3)), local(picture(7, 10, 15, 3)))
    assert sorted(sent) == [1, 2, 2, 2]


def test_a_picture_that_a_server_refuses_is_named(server, run):
    Image.fromarray(picture(5, 6).astype(np.uint16)).save("deep.png")
    status, _, err = run("a.png", "deep.png", "--server", server.grpc)
    assert status == 1 and err.startswith("error: deep.png: 16 bits a channel") and err.count("\n") == 1


def test_16_bits_are_refused_in_one_line(server):
    with pytest.raises(UserError, match="16 bits a channel; a server computes 8"):
        Remote([server.rest])(picture(5, 6, 3).astype(np.uint16))


def test_a_server_computes_in_bfloat16_on_request(server, small_model):
    here = serving.Here(small_model, precision="bfloat16")(picture(9, 7, 3))
    np.testing.assert_array_equal(Remote([server.grpc], precision="bfloat16")(picture(9, 7, 3)), here)


def test_the_command_writes_the_same_file_without_tensorflow(server, small_model, run, protocol):
    program = (
        "import sys; from srgan_tf.commands import upscale\n"
        "try:\n  upscale.run()\nfinally:\n  assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "a.png", "-o", "there.png", "--server", getattr(server, protocol)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.png -> there.png, 120 x 80\n", "")
    there = np.asarray(Image.open("there.png"))
    np.testing.assert_array_equal(there, serving.Here(small_model)(picture(20, 30, 3)))
    assert run("a.png", "-o", "here.png", "--model", str(small_model), "--precision", "float32")[0] == 0
    np.testing.assert_allclose(np.asarray(Image.open("here.png")).astype(int), there, atol=1)


@pytest.mark.long
def test_no_picture_of_16_clients_is_lost_when_one_of_two_servers_is_killed(server, second, local):
    pictures = [picture(35 + k, 60 - 2 * k, 3) for k in range(10)]  # one tile and two
    expected = [local(small) for small in pictures]
    done = threading.Semaphore(0)

    def one(i):
        addresses = [server.grpc, second.grpc] if i % 2 else [second.rest, server.rest]
        try:
            off = serving.difference(remotes[addresses[0]](pictures[i % 10]), expected[i % 10])
            return off and f"request {i}, {addresses}: {off}"
        finally:
            done.release()

    remotes = {
        servers[0]: Remote(servers, tile=40) for servers in ([server.grpc, second.grpc], [second.rest, server.rest])
    }
    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        wrong = clients.map(one, range(200))
        for _ in range(60):
            done.acquire()
        second.process.send_signal(signal.SIGKILL)
        assert [found for found in wrong if found] == [], server.fate()
    assert second.process.wait() == -signal.SIGKILL


@pytest.mark.long
def test_another_server_takes_over_from_one_that_hangs(server, second, local, protocol):
    remote = Remote([getattr(second, protocol), getattr(server, protocol)], tile=40, timeout=2)
    second.process.send_signal(signal.SIGSTOP)
    try:
        np.testing.assert_array_equal(remote(picture(61, 83, 3)), local(picture(61, 83, 3)))
    finally:
        second.process.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_a_server_that_comes_back_is_asked_again_and_one_that_does_not_is_reported(second, local, monkeypatch):
    remotes = [Remote([address], tile=40) for address in (second.grpc, second.rest)]
    monkeypatch.setattr(server_module, "LONGEST_PAUSE", 0.5)
    monkeypatch.setattr(server_module, "ATTEMPTS", 3)
    second.kill()
    for remote in remotes:
        with pytest.raises(UserError, match="--server .*: stopped answering .*(refused|closed|reset)"):
            remote(picture(61, 83, 3))
    monkeypatch.setattr(server_module, "ATTEMPTS", 1000)
    with concurrent.futures.ThreadPoolExecutor(2) as waiting:
        answers = [waiting.submit(remote, picture(61, 83, 3)) for remote in remotes]
        second.start()
        for answer in answers:
            np.testing.assert_array_equal(answer.result(), local(picture(61, 83, 3)))


def test_servers_that_are_away_at_the_start_are_not_needed(server, local):
    for servers in ([f"grpc://{NOBODY}/small", server.grpc], [server.rest, f"http://{NOBODY}/small"]):
        np.testing.assert_array_equal(Remote(servers, tile=40)(picture(61, 83, 3)), local(picture(61, 83, 3)))


class Scripted:
    """A server on loopback that answers what `answer(asked)` gives, a status and the body: asked is what was posted."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                status, content = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/small"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Canned(Scripted):
    """One that gives one answer to whatever is posted after the attributes."""

    def __init__(self, status, body, attributes):
        super().__init__(
            lambda asked: (200, told(attributes)) if asked["signature_name"] == "attributes" else (status, body)
        )


def told(attributes):
    return json.dumps({"outputs": [json.dumps(attributes)]}).encode()


def doubled_twice(asked):
    """An answer to `serve_bytes`: the pictures, each pixel 4 times as wide and high."""
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded["b64"])))) for encoded in asked["inputs"]]
    encoded = [endpoints._png(image.repeat(4, axis=0).repeat(4, axis=1)) for image in images]
    return json.dumps({"outputs": [{"b64": base64.b64encode(one).decode()} for one in encoded]}).encode()


@pytest.mark.parametrize(
    "status, body, problem",
    [
        (200, b"<html>welcome</html>", "no outputs as TensorFlow Serving gives them"),
        (200, b'{"outputs": 3}', "no outputs"),
        (200, b'{"outputs": [3]}', "no pictures"),
        (200, b'{"outputs": [{"b64": "AAAA"}]}', "no pictures"),
        (200, json.dumps({"outputs": ["x"]}).encode(), "no pictures"),
        (404, b'{"error": "Servable not found for request: Latest(small)"}', "no such model .Servable not found"),
        (404, b"<html>not found</html>", "no such model .HTTP 404 Not Found"),
        (429, b'{"error": "OOM when allocating"}', "short of memory .OOM when allocating"),
        (400, b'{"error": "image has\\n no pixels"}', "refuses .image has no pixels"),
        (500, b"", "refuses .HTTP 500"),
    ],
)
def test_an_answer_that_would_not_change_is_reported_at_once(small_model, status, body, problem):
    with Canned(status, body, zoo.attributes(small_model / "1")) as server:
        remote = Remote([server.address])
        with pytest.raises(UserError, match=f"--server {server.address}: .*{problem}") as refusal:
            remote(picture(9, 7, 3))
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "status, busy",
    [
        (503, "The batch scheduling queue to which this task was submitted is full"),
        (429, "Run() timeout exceeded while waiting in batching queue"),
    ],
)
def test_a_server_that_is_too_busy_is_asked_again(small_model, monkeypatch, status, busy):
    monkeypatch.setattr(server_module, "ATTEMPTS", 3)
    with Canned(status, json.dumps({"error": busy}).encode(), zoo.attributes(small_model / "1")) as server:
        with pytest.raises(UserError, match="stopped answering .*queue"):
            Remote([server.address])(picture(9, 7, 3))


def test_a_server_that_failed_for_one_picture_is_retried_for_the_next(small_model, monkeypatch):
    """It is out of order for longer than one picture waits for it: the rest of a folder must not fail at once."""
    monkeypatch.setattr(server_module, "ATTEMPTS", 2)
    facts, tries = zoo.attributes(small_model / "1"), itertools.count()

    def answer(asked):
        if asked["signature_name"] == "attributes":
            return 200, told(facts)
        return (503, b"") if next(tries) < 3 else (200, doubled_twice(asked))

    with Scripted(answer) as server:
        remote = Remote([server.address])
        with pytest.raises(UserError, match="stopped answering"):
            remote(picture(9, 7, 3))
        assert remote(picture(9, 7, 3)).shape == (36, 28, 3)


def test_the_first_answer_of_a_server_may_take_longer_than_the_connection(small_model, monkeypatch):
    monkeypatch.setattr(endpoints, "CONNECT_TIMEOUT", 0.3)
    slow = []

    def answer(asked):
        slow.append(time.sleep(1))
        return 200, told(zoo.attributes(small_model / "1"))

    with Scripted(answer) as server:
        assert Remote([server.address]).scale == 4
    assert slow


@pytest.mark.parametrize("width", [7, 70], ids=["one tile", "tiles"])
def test_a_picture_is_not_a_mixture_of_two_versions_of_a_model(small_model, width):
    """The server takes another after the first tile, by itself: nothing that it answers shows it."""
    facts, tiles = zoo.attributes(small_model / "1"), []

    def answer(asked):
        if asked["signature_name"] == "attributes":
            return 200, told({**facts, "sha256": "0" * 64} if tiles else facts)
        tiles.append(1)
        return 200, doubled_twice(asked)

    with Scripted(answer) as server:
        remote = Remote([server.address], tile=40)
        for _ in range(2):  # nor is the next one
            with pytest.raises(UserError, match="--server .*: loaded another version of the model.*/versions/N"):
                remote(picture(9, width, 3))


@pytest.mark.long
def test_a_picture_is_not_a_mixture_when_a_server_loads_a_new_version(server, small_model, protocol, tmp_path):
    shutil.copytree(small_model / "1", tmp_path / "growing" / "1")
    other = export.restore(small_model / "1")
    models.start_as_interpolation(other)
    growing = serving.Server(tmp_path / "growing", kind=server.kind).wait(1)

    def step(share):
        if not (tmp_path / "growing" / "2").exists():
            export.export(other, tmp_path / "growing" / "2")
            growing.wait(2)

    try:
        remote = Remote([getattr(growing, protocol)], tile=40)
        with pytest.raises(UserError, match="loaded another version of the model"):
            remote(picture(61, 283, 3), step)
    finally:
        growing.kill()


def test_after_a_picture_was_interrupted_the_next_one_is_enlarged(server, local, protocol):
    remote = Remote([getattr(server, protocol)], tile=40)

    def step(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote(picture(61, 83, 3), step)
    np.testing.assert_array_equal(remote(picture(61, 83, 3)), local(picture(61, 83, 3)))


def test_an_interrupted_video_continues_after_its_last_finished_segment(small_model, tmp_path, monkeypatch):
    from helpers.clips import make

    for module in ("clip_segments", "clip_writing"):
        monkeypatch.setattr(f"srgan_tf.images.{module}.LENGTH", 10)
    facts, asked_for = zoo.attributes(small_model / "1"), []

    def answer(asked):
        if asked["signature_name"] == "attributes":
            return 200, told(facts)
        asked_for.append(1)
        return 200, doubled_twice(asked)

    class Stopping(Lines):
        def frame(self, done, count):
            if done == 22:
                raise KeyboardInterrupt

    job = plans.Job(places.of(make(tmp_path / "clip.mp4", frames=25)), places.of(tmp_path / "large.mp4"))
    with Scripted(answer) as server:
        lines = Stopping()
        with pytest.raises(KeyboardInterrupt):
            jobs.make(job, Remote([server.address]), lines)
        [segments] = tmp_path.glob(".*.segments")
        assert lines.notes == [f"{job.target}: the same command resumes it. If you do not, delete {segments}."]
        before = len(asked_for)
        jobs.make(job, Remote([server.address]))
    assert before >= 20 and len(asked_for) - before == 5


def test_a_negative_tile_is_refused(server):
    with pytest.raises(ValueError, match="tile must be 0 or positive"):
        Remote([server.rest], tile=-1)


def test_an_answer_of_another_size_is_refused(small_model, server):
    """A model of scale 4 whose attributes say 2."""
    facts = {**zoo.attributes(small_model / "1"), "scale": 2}
    status, body = (
        200,
        json.dumps({"outputs": [{"b64": base64.b64encode(endpoints._png(picture(36, 28, 3))).decode()}]}).encode(),
    )
    with Canned(status, body, facts) as canned, pytest.raises(UserError, match="RGB, 28 x 36 instead of RGB, 14 x 18"):
        Remote([canned.address])(picture(9, 7, 3))


def test_different_models_are_not_mixed(server, small_model):
    with Canned(200, b"", {**zoo.attributes(small_model / "1"), "sha256": "0" * 64}) as other:
        with pytest.raises(UserError, match="--server .*: has another model"):
            Remote([server.rest, other.address])


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (
            ["--server", f"http://{NOBODY}/small"],
            "--server http://127.0.0.1:1/small: does not answer (Connection refused)",
        ),
        (["--server", f"grpc://{NOBODY}/small"], "--server grpc://127.0.0.1:1/small: does not answer ("),
        (
            ["--server", f"http://{NOBODY}/a,grpc://{NOBODY}/a"],
            "--server: none of the servers answers: http://127.0.0.1:1/a (Conn",
        ),
        (["--server", "{grpc}er"], "the server has no such model (Servable not found for request: Latest(smaller))"),
        (["--server", "{rest}er"], "the server has no such model (Servable not found for request: Latest(smaller))"),
        (["--server", "{rest}/versions/9"], "no such model (Servable not found for request: Specific(small, 9))"),
        (["--server", "http://127.0.0.1:{port}/small"], "no HTTP"),
        (["--server", "grpc://127.0.0.1:{rest_port}/small"], "does not answer"),
        (["--server", "{rest}", "--precision", "bfloat16"], "only gRPC supports --precision bfloat16"),
        (
            ["--server", "{grpc}", "--precision", "float16"],
            "--precision float16: servers compute in float32 or bfloat16",
        ),
        (["--server", "{rest}", "--scale", "2"], "--scale 2"),
        (["--server", "{rest}", "--model", "srgan"], "--model: "),
        (["--server", "ftp://127.0.0.1/small"], "not the address of a model"),
        (["--server", "127.0.0.1:8501"], "not the address of a model"),
        (["--server", "http://127.0.0.1:x/small"], "not the address of a model"),
        (["--server", "http://127.0.0.1:8501"], "not the address of a model"),
        (["--server", "http://127.0.0.1/v1/models/small:predict"], "not the address of a model"),
        (["--server", "http://my server:8501/small"], "not the address of a model"),
        (["--server", "http://my..server:8501/small"], "not the address of a model"),
        (["--server", "https://name:password@server/small"], "not the address of a model"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(server, run, arguments, problem):
    places = dict(grpc=server.grpc, rest=server.rest, port=server.port, rest_port=server.rest_port)
    status, out, err = run("a.png", *[argument.format(**places) for argument in arguments])
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and problem in err and err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["a.png"]
