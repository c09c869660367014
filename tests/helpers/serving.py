"""Servers for tests: real processes on loopback, the stand-in or TensorFlow Serving itself where it is found."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import tensorflow as tf

from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import server

STAND_IN = [sys.executable, str(Path(__file__).parent / "servingserver.py")]
IMAGE = "tensorflow/serving"


def kinds():
    """What can be started here: names that `Server` takes."""
    found = ["stand-in"]
    if shutil.which("tensorflow_model_server"):
        found.append("tensorflow_model_server")
    inspect = ["docker", "image", "inspect", IMAGE]
    if shutil.which("docker") and subprocess.run(inspect, capture_output=True).returncode == 0:
        found.append("docker")
    return found


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """A server process of one model; `grpc` and `rest` are its addresses as `--server` takes them."""

    def __init__(self, base_path, *, kind="stand-in", name=None, ports=None):
        self.base_path, self.kind, self.name = Path(base_path), kind, name or Path(base_path).name
        self.port, self.rest_port = ports or (free_port(), free_port())
        self.grpc = f"grpc://127.0.0.1:{self.port}/{self.name}"
        self.rest = f"http://127.0.0.1:{self.rest_port}/{self.name}"
        self.url = f"http://127.0.0.1:{self.rest_port}/v1/models/{self.name}"
        self.start()

    def start(self):
        flags = [
            f"--port={self.port}",
            f"--rest_api_port={self.rest_port}",
            f"--model_name={self.name}",
            f"--model_base_path={self.base_path}",
            "--file_system_poll_wait_seconds=1",
        ]
        command = {
            "stand-in": STAND_IN,
            "tensorflow_model_server": ["tensorflow_model_server"],
            "docker": [
                "docker",
                "run",
                "--rm",
                "--network=host",
                f"--volume={self.base_path}:{self.base_path}:ro",
                "--entrypoint=tensorflow_model_server",
                IMAGE,
            ],
        }[self.kind]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=self.log)

    def wait(self, version=None, seconds=120):
        """Until it serves (that version)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.fate()
            with contextlib.suppress(OSError, urllib.error.URLError):
                with urllib.request.urlopen(self.url) as answer:
                    states = {int(v["version"]): v["state"] for v in json.load(answer)["model_version_status"]}
                if "AVAILABLE" in ([states.get(version)] if version else states.values()):
                    return self
            time.sleep(0.1)
        raise AssertionError(f"the server did not become ready: {self.fate()}")

    def fate(self):
        """The exit status of its process and the end of its standard error, for messages."""
        size = self.log.seek(0, 2)
        said = os.pread(self.log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace")
        return f"server {self.kind} at {self.port}, exit status {self.process.poll()}, stderr: {said}"

    def kill(self):
        self.process.kill()
        self.process.wait()


def difference(answer, expected):
    """None for equal pictures, else what differs, in words."""
    if answer.shape != expected.shape:
        return f"{answer.shape} instead of {expected.shape}"
    off = np.abs(answer.astype(int) - expected)
    if off.any():
        rows, columns, _ = np.nonzero(off)
        return (
            f"{len(rows)} values of {answer.shape} by up to {off.max()}, "
            f"rows {rows.min()} to {rows.max()}, columns {columns.min()} to {columns.max()}"
        )


class Here(server.Remote):
    """A SavedModel computed in this process, in the tiles that a server gets.

    `Upscaler` computes the same network in other parts, so it differs by 1 in one value of several 100,000.
    """

    def __init__(self, model, **options):
        self._folder = zoo.resolve(model)
        self._signature = tf.saved_model.load(str(self._folder)).signatures[
            "bfloat16" if options.get("precision") == "bfloat16" else "serving_default"
        ]
        super().__init__([], **options)

    def _ask(self, servers):
        return zoo.attributes(self._folder)

    def _enlarged(self, tiles):
        return (self._signature(image=tf.constant(tile))["image"].numpy() for tile in tiles)
