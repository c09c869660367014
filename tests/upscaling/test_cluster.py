"""upscale.py --cluster on a real Ray cluster that loses machines, and pictures in buckets."""

import concurrent.futures
import contextlib
import http.server
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest.mock
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from helpers.enlargers import Function
from helpers.raycluster import ENVIRONMENT, Cluster
from srgan_tf import atomic
from srgan_tf.commands import upscale
from srgan_tf.errors import UserError
from srgan_tf.images import writing
from srgan_tf.images.picture import Picture
from srgan_tf.upscaling import cluster as cluster_module
from srgan_tf.upscaling import jobs, places, plans, ray_connection

PICTURES = 300


@pytest.fixture(scope="module")
def cluster(bucket):
    cluster = Cluster(2, bucket)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def bucket():
    """The environment for an S3 server on loopback with the bucket `photos`."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    environment = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="photos")
    yield environment
    server.stop()


@pytest.fixture(scope="module")
def album(tmp_path_factory, small_model):
    """A folder `in` with pictures and a text file, and `local` with the results of a local run."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "in").mkdir()
    rng = np.random.default_rng(1)
    for i in range(PICTURES):
        suffix = ("png", "jpg", "webp")[i % 3]
        pixels = rng.integers(0, 256, (rng.integers(8, 32), rng.integers(8, 32), 3), dtype=np.uint8)
        writing.write(folder / "in" / f"{i:03}.{suffix}", Picture.of(pixels))
    (folder / "in" / "text.png").write_text("no picture")
    # In a process of its own: after other computations, TensorFlow rounded one of 300 pictures differently.
    status, said, err = run(folder / "in", "-o", folder / "local", "-n", small_model)
    assert status == 1 and said.splitlines()[-1] == f"{PICTURES} enlarged, 0 kept, 1 failed", err
    return folder


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, ROOT / "upscale.py", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, **environment},
    )


def run(*arguments, **environment):
    process = start(*arguments, **environment)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def results(folder):
    """The files by name, without the unfinished ones of killed machines, which the next run removes."""
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".part"}


def manifest(folder):
    return [json.loads(line) for path in sorted((folder / "manifest").iterdir()) for line in path.open()]


def wait_for(count, folder, process):
    while not folder.exists() or len(os.listdir(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_results_equal_a_local_run_when_a_machine_is_lost(cluster, album, small_model):
    out = album / "out"
    process = start(album / "in", "-o", out, "-n", small_model, "--cluster", cluster.address)
    wait_for(PICTURES // 3, out, process)
    cluster.kill(cluster.nodes.pop())
    said, err = process.communicate(timeout=240)
    cluster.nodes.append(cluster.node())
    assert (process.returncode, err.count("\n")) == (1, 1), err
    assert "text.png: not an image" in err and said.splitlines()[-1] == f"{PICTURES} enlarged, 0 kept, 1 failed"
    assert results(out) == results(album / "local")
    rows = manifest(out)
    assert sorted(Path(row["source"]).name for row in rows) == sorted(os.listdir(album / "in"))
    for row in rows:
        if row["state"] == "made":
            assert [4 * side for side in row["small"]] == row["large"] and row["seconds"] > 0
            assert row["bytes"] == [os.path.getsize(row["source"]), os.path.getsize(row["result"])]
        else:
            assert row["state"] == "failed" and row["error"] in err
    atomic.sweep(out)  # what the lost machine was writing, as the next run does
    assert not list(out.glob(".*"))


@pytest.mark.long
def test_after_the_driver_was_killed_only_the_remaining_pictures_are_computed(cluster, album, small_model):
    out = album / "again"
    arguments = album / "in", "-o", out, "-n", small_model, "--cluster", cluster.address
    process = start(*arguments)
    wait_for(PICTURES // 3, out, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(10)  # Ray ends what the driver had started
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.suffix and path.name[0] != "."}
    assert PICTURES // 3 <= len(before) < PICTURES
    status, said, _ = run(*arguments)
    assert status == 1
    assert said.splitlines()[-1] == f"{PICTURES - len(before)} enlarged, {len(before)} kept, 1 failed"
    assert results(out) == results(album / "local")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert {Path(row["result"]).name: row["state"] for row in manifest(out)} == {
        **dict.fromkeys(results(out), "made"),
        **dict.fromkeys(before, "kept"),
        "text_x4.png": "failed",
    }


def fill(environment, folder, album):
    """Store four pictures, a text file and a picture in a sub-folder below s3://photos/folder."""
    client = client_of(environment)
    for name in ("000.png", "001.jpg", "002.webp", "003.png", "text.png"):
        client.upload_file(album / "in" / name, "photos", f"{folder}/{name}")
    client.upload_file(album / "in" / "006.png", "photos", f"{folder}/deep er/006#?.png")
    return client


def client_of(environment):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


def objects(client, folder):
    found = client.list_objects_v2(Bucket="photos", Prefix=f"{folder}/").get("Contents", [])
    return {
        item["Key"].removeprefix(f"{folder}/"): client.get_object(Bucket="photos", Key=item["Key"])["Body"].read()
        for item in found
    }


@pytest.mark.parametrize("where", ["here", pytest.param("cluster", marks=pytest.mark.long)])
def test_pictures_of_a_bucket_are_enlarged_into_a_bucket_and_unreadable_ones_are_listed(
    bucket, album, small_model, where, request
):
    client = fill(bucket, where, album)
    flags = [] if where == "here" else ["--cluster", request.getfixturevalue("cluster").address]
    arguments = [f"s3://photos/{where}", "-o", f"s3://photos/{where}_x4", "-n", small_model, "-r", *flags]
    client.put_object(Bucket="photos", Key=f"{where}_x4/001_x4.jpg", Body=b"mine")
    status, out, err = run(*arguments, **bucket)
    assert (status, err.count("\n")) == (1, 1), err
    assert f"s3://photos/{where}/text.png" in err and out.splitlines()[-1] == "4 enlarged, 1 kept, 1 failed"
    found = objects(client, f"{where}_x4")
    expected = {name: (album / "local" / name).read_bytes() for name in ("000_x4.png", "002_x4.webp", "003_x4.png")}
    expected |= {"001_x4.jpg": b"mine", "deep er/006#?_x4.png": (album / "local" / "006_x4.png").read_bytes()}
    rows = [json.loads(line) for name in found if name.startswith("manifest/") for line in found[name].splitlines()]
    assert {name: body for name, body in found.items() if not name.startswith("manifest/")} == expected
    assert sorted(row["state"] for row in rows) == (["failed", "kept"] + 4 * ["made"] if flags else [])


def test_objects_that_vanish_fail_alone(bucket, album, small_model):
    client = fill(bucket, "vanishing", album)
    code = (
        "import sys; from srgan_tf.upscaling import plans; from srgan_tf.commands import start, upscale\n"
        "plan = plans.plan\n"
        "def slow(*a, **b):\n  found = plan(*a, **b); print('listed', flush=True); sys.stdin.readline()\n"
        "  return found\n"
        "plans.plan = slow; start(upscale.main)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "s3://photos/vanishing", "-n", small_model],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **bucket},
    )
    assert process.stdout.readline() == "listed\n"
    client.delete_object(Bucket="photos", Key="vanishing/002.webp")
    out, err = process.communicate("\n", timeout=120)
    assert process.returncode == 1 and out.splitlines()[-1] == "3 enlarged, 0 kept, 2 failed"
    assert "error: s3://photos/vanishing/002.webp: no such file. Check its name." in err.splitlines()
    assert "003_x4.png" in objects(client, "vanishing")


def test_a_missing_bucket_for_results_is_found_before_a_picture_is_computed(bucket, tmp_path, monkeypatch):
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a.png").write_text("no picture, which would be the error of the computation")
    job = plans.Job(places.of(tmp_path / "a.png"), places.of("s3://nothing/a.png"))
    with pytest.raises(UserError, match="s3://nothing: no such bucket. Choose another --output."):
        jobs.make(job, Function())


def test_a_bucket_that_may_not_be_looked_at_may_accept_results(monkeypatch):
    system = unittest.mock.Mock(type_name="s3", get_file_info=unittest.mock.Mock(side_effect=PermissionError))
    monkeypatch.setattr(places, "_system", lambda root: (system, "locked"))
    assert not places._is_missing("s3://locked")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is set for x86 processors only")
def test_workers_enable_onednn_as_commands_do(small_model, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")
    cluster_module.Worker({"model": small_model})
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["s3://nothing/photos", "-o", "out"], "s3://nothing/photos"),
        (["s3://photos/nothing.png", "-o", "out"], "s3://photos/nothing.png: no such file"),
        (["in", "-o", "nonsense://host/out"], "nonsense://host"),
        (["in", "--cluster", "auto"], "--cluster auto"),
        (["in", "--cluster", "127.0.0.1:{free}"], "--cluster 127.0.0.1"),
        (["in", "--cluster", "nonsense"], "--cluster nonsense"),
        (["in", "s3://photos", "-o", "out", "--cluster", "auto"], "one after the other"),
    ],
)
def test_a_missing_place_or_cluster_is_one_line(bucket, small_model, tmp_path, monkeypatch, arguments, problem):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    status, out, err = run(
        *[argument.format(free=free) for argument in arguments],
        "-n",
        small_model,
        **bucket,
        RAY_ADDRESS=f"127.0.0.1:{free}",
    )
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and problem in err and err.count("\n") == 1, err


@pytest.mark.parametrize("kind", ["silent", "HTTP", "gRPC"])
def test_an_address_that_is_not_ray_is_one_line_within_seconds(small_model, tmp_path, kind):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with contextlib.ExitStack() as stack:
        if kind == "gRPC":
            grpc = pytest.importorskip("grpc")
            server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            stack.callback(server.stop, None)
        elif kind == "HTTP":
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
            server.RequestHandlerClass.log_message = lambda *_: None
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            port = server.server_port
        else:
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        started = time.monotonic()
        status, out, err = run(tmp_path / "a.png", "-n", small_model, "--cluster", f"127.0.0.1:{port}")
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"error: --cluster 127.0.0.1:{port}: no cluster there (")
        assert time.monotonic() - started < 60


def test_a_cluster_of_this_machine_that_was_killed_is_one_line_within_seconds(tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    program = (
        "import functools, ray; from srgan_tf.upscaling import ray_connection\n"
        "ray._private.services.find_gcs_addresses = functools.cache(set)  # not those of other tests\n"
        "with ray_connection.connected('auto'): pass"
    )
    environment = {**ENVIRONMENT, "RAY_TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert "UserError: --cluster auto: no cluster there ([Errno 111] Connection refused)" in done.stderr


def test_a_machine_without_a_package_is_one_line_that_names_it(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    told = "--cluster local: a machine has no Python package srgan_tf. Install the same on all machines."
    with pytest.raises(UserError, match=told), ray_connection.connected("local"):
        raise ray.exceptions.RaySystemError("System error: No module named 'srgan_tf'\ntraceback: Traceback")


def test_a_cluster_without_cpus_is_reported_before_the_wait_for_them():
    ray = unittest.mock.MagicMock()
    for cpus, reported in (({}, True), ({"CPU": 2.0}, False)):
        ray.nodes.return_value = [{"Alive": True, "Resources": resources} for resources in ({"memory": 1.0}, cpus)]
        notes = list(cluster_module._rows(ray, lambda _: [], False, None, ({}, None), None))
        assert any("no machine has CPUs yet. Waiting" in note["line"] for note in notes) == reported


def test_a_cluster_that_requires_a_token_is_one_line(cluster, small_model, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    status, out, err = run(
        tmp_path / "a.png", "-n", small_model, "--cluster", cluster.address, HOME=str(tmp_path), RAY_AUTH_TOKEN=""
    )
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert (
        err.startswith(f"error: --cluster {cluster.address}: the cluster refuses this program (Token")
        and "RAY_AUTH_TOKEN" in err
    )


@pytest.mark.parametrize(
    "module, arguments, problem",
    [
        ("ray", ["in", "--cluster", "auto"], "--cluster: Ray is missing. Run pip install 'ray[data]'."),
        ("pyarrow", ["s3://photos/x.png"], "s3://photos: pyarrow is missing. Run pip install pyarrow."),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(small_model, tmp_path, module, arguments, problem):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "in" / "a.png")
    code = (
        f"import sys; sys.modules[{module!r}] = None\nfrom srgan_tf.commands import start, upscale; start(upscale.main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "-n", small_model],
        cwd=tmp_path,
        text=True,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, f"error: {problem}\n")


def test_a_video_on_a_machine_that_is_lost_continues_after_its_last_finished_segment(cluster, tmp_path):
    from helpers.clips import make

    make(tmp_path / "clip.mp4", frames=120)
    arguments = tmp_path / "clip.mp4", tmp_path / "large.mp4", cluster, {"log": str(tmp_path / "log")}
    assert run_with("Stopping", *arguments) == (0, [1, 0, 0], "")
    assert (tmp_path / "log").stat().st_size == 110 + 20


def test_a_cluster_gets_what_identifies_a_video_to_resume(run_command, monkeypatch, small_model):
    found = []
    monkeypatch.setattr(cluster_module, "run", lambda *_, key, **__: found.append(key) or jobs.Outcome())
    for arguments in ([], [], ["--tile", "40"]):
        run_command(upscale, "clip.mp4", "-n", small_model, "--cluster", "auto", *arguments)
    assert found[0] == found[1] != found[2]


def run_with(worker, source, target, cluster, upscaler=None, **environment):
    """Run with a worker of `raycluster`; returns its status, `[done, kept, failed]` if there is one, and stderr."""
    program = f"""
import json, sys
from helpers import raycluster
from helpers.enlargers import Lines
from srgan_tf import commands
from srgan_tf.upscaling import cluster
def main(argv):
    class Errors(Lines):
        def error(self, problem):
            print(f"error: {{problem}}", file=sys.stderr)
    outcome = cluster.run([argv[1]], argv[2], address=argv[3], label="x1", upscaler={upscaler or {}}, reporter=Errors(),
                          worker=raycluster.{worker}, key="key")
    print(json.dumps([outcome.done, outcome.kept, outcome.failed]))
commands.start(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, source, target, cluster.address],
        text=True,
        capture_output=True,
        env={**ENVIRONMENT, **environment},
        timeout=100,
    )
    return done.returncode, done.stdout and json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture
def photos(tmp_path):
    """A folder with ten pictures, black but for one."""
    (tmp_path / "in").mkdir()
    for i in range(10):
        Image.new("RGB", (2, 2), "white" if i == 4 else "black").save(tmp_path / "in" / f"{i}.bmp")
    return tmp_path / "in"


@pytest.mark.long
def test_a_picture_may_take_longer_than_rays_timeout_for_progress(cluster, photos):
    for path in sorted(photos.iterdir())[2:]:
        path.unlink()
    assert run_with("Slow", photos, photos.parent / "out", cluster, RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S="1") == (
        0,
        [2, 0, 0],
        "",
    )


def test_machines_with_gpus_need_no_more_cores_than_they_have(photos):
    cluster = Cluster(1)
    try:
        cluster.node(gpus=1)  # of one core; both machines together have two
        assert run_with("Copying", photos, photos.parent / "out", cluster) == (0, [10, 0, 0], "")
    finally:
        cluster.close()


@pytest.mark.long
def test_a_picture_that_kills_its_process_repeatedly_fails_alone(cluster, photos):
    status, outcome, err = run_with("Mortal", photos, photos.parent / "out", cluster)
    assert (status, outcome, err.count("\n")) == (0, [9, 0, 1], 1), err
    assert err.startswith(f"error: {photos / '4.bmp'}: each of 3 processes ended") and "Try it alone" in err
    assert sorted(results(photos.parent / "out")) == [f"{i}_x1.bmp" for i in range(10) if i != 4]


def test_an_unreadable_folder_of_results_fails_alone():
    pytest.importorskip("pyarrow")
    names, problem = cluster_module._existing(places.of("nonsense://host/out"))
    assert not names and "nonsense://host" in problem


@pytest.mark.long
def test_the_drivers_memory_does_not_grow_with_the_number_of_pictures(cluster, tmp_path):
    count, folder = 100_000, tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "a.bmp")
    content = (tmp_path / "a.bmp").read_bytes()
    for i in range(count):
        (folder / f"{i:06}.bmp").write_bytes(content)
    program = """
import json, sys
from helpers.enlargers import Lines
from helpers.raycluster import Copying
from srgan_tf.upscaling import cluster
memory = []
class Measure(Lines):
    done = 0
    def result(self, line):
        self.done += 1
        if self.done % 5000 == 0:
            memory.append(int(next(x for x in open("/proc/self/status") if x.startswith("VmRSS")).split()[1]) / 1024)
outcome = cluster.run([sys.argv[1]], sys.argv[2], address=sys.argv[3], label="x1", upscaler={}, reporter=Measure(),
                      worker=Copying)
print(json.dumps([outcome.done, memory]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "out", cluster.address],
        text=True,
        capture_output=True,
        env=ENVIRONMENT,
        check=True,
    )
    made, memory = json.loads(done.stdout.splitlines()[-1])
    print("MB of the driver every 5,000 pictures:", memory)
    assert made == count == len(os.listdir(tmp_path / "out")) - 1
    assert memory[-1] - memory[3] < 0.1 * memory[3]
