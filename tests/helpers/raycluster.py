"""A real Ray cluster on loopback: a head without CPUs and nodes with one CPU, each a tree of processes."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers import ROOT
from srgan_tf.upscaling import cluster
from srgan_tf.upscaling.sizes import Size

RAY = Path(sys.executable).with_name("ray")
SET_BY_COMMANDS = {"TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in SET_BY_COMMANDS}
ENVIRONMENT |= {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}  # others must not run code in it


class Copying(cluster.Worker):
    """A worker without a network: results are copies."""

    size = Size(1)

    def __init__(self, upscaler, key, threads):
        self.key, self.log = key, upscaler.get("log")

    def picture(self, picture, step):
        return picture


class Slow(Copying):
    def picture(self, picture, step):
        time.sleep(3)
        return picture


class Mortal(Copying):
    """Its process ends at a white picture."""

    def picture(self, picture, step):
        if picture.pixels.min() == 255:
            os.kill(os.getpid(), signal.SIGKILL)
        return picture


class Stopping(Copying):
    """Counts pictures in the file `log`. Its process ends at the 110th."""

    def picture(self, picture, step):
        with open(self.log, "ab") as file:
            file.write(b".")
        if os.path.getsize(self.log) == 110:
            os.kill(os.getpid(), signal.SIGKILL)
        return picture


class Cluster:
    """`address` is its own; `node()` adds one and gives its session, which `kill` kills."""

    def __init__(self, nodes, environment=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self.folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short: sockets lie in it
        self._sessions = []
        try:
            self._start(
                "--head",
                "--port",
                self.address.split(":")[1],
                "--num-cpus",
                "0",
                "--temp-dir",
                self.folder,
                "--include-dashboard",
                "false",
            )
            self.nodes = [self.node() for _ in range(nodes)]
        except BaseException:
            self.close()
            raise

    def node(self, cpu=None, gpus=0):
        pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
        return self._start("--address", self.address, "--num-cpus", "1", "--num-gpus", str(gpus), pin=pin)

    def kill(self, session):
        for pid in _processes(session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        for session in reversed(self._sessions):
            self.kill(session)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *arguments, pin=()):
        process = subprocess.Popen(
            [*pin, RAY, "start", "--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._sessions.append(process.pid)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return process.pid


def _processes(session):
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    yield int(entry.name)
