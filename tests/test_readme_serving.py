"""The commands in the pages about serving, run as printed; where Docker cannot run, the stand-in takes its place."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, serving
from srgan_tf.saved_models import zoo

pytest.importorskip("tensorflow_serving")
pytest.importorskip("yaml")

DOCKER = """#!{python}
'''`docker run` and `docker compose up` of tensorflow/serving, as far as the pages use them, without a container.'''
import argparse, os, re, sys, tempfile, yaml
from pathlib import Path

parser = argparse.ArgumentParser()
if sys.argv[1] == "run":
    parser.add_argument("-p", action="append")
    parser.add_argument("-v", action="append")
    parser.add_argument("-e", action="append")
    parser.add_argument("image")
    given, flags = parser.parse_known_args(sys.argv[2:])
    name = dict(variable.split("=") for variable in given.e)["MODEL_NAME"]
    flags += [f"--model_name={{name}}", f"--model_base_path=/models/{{name}}"]
    volumes, ports, image = given.v, given.p, given.image
else:
    parser.add_argument("-f")
    parser.add_argument("verb", choices=["up"])
    file = Path(parser.parse_args(sys.argv[2:]).f).absolute()
    service = yaml.safe_load(file.read_text())["services"]["serving"]
    os.chdir(file.parent)
    volumes, ports, image, flags = service["volumes"], service["ports"], service["image"], service["command"]
assert image.split(":")[0] == "tensorflow/serving"
inside = {{volume.split(":")[1]: os.path.realpath(volume.split(":")[0]) for volume in volumes}}

def outside(text):
    for path, real in inside.items():
        text = re.sub(f"{{path}}(?=[/\\"]|$)", real, text)
    return text

flags = [outside(flag) for flag in flags]
for i, flag in enumerate(flags):
    if flag.startswith("--model_config_file="):
        with tempfile.NamedTemporaryFile("w", delete=False) as config:
            config.write(outside(Path(flag.split("=")[1]).read_text()))
        flags[i] = f"--model_config_file={{config.name}}"
grpc, rest = (next(port.split(":")[-2] for port in ports if port.endswith(f":{{own}}")) for own in (8500, 8501))
os.execv(sys.executable, [*{stand_in!r}, f"--port={{grpc}}", f"--rest_api_port={{rest}}", *flags])
"""


def blocks():
    """(language, text) of each command in the pages, in their order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [
        re.search(r"^## Serve\n(.*?)^## ", readme, re.DOTALL | re.MULTILINE)[1],
        (ROOT / "docs" / "serving.md").read_text(encoding="utf-8"),
    ]
    return [list(re.findall(r"^```(sh|python)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)) for page in pages]


@pytest.fixture
def place(tmp_path, small_model):
    """A checkout with small models to work in, and the environment in which `docker` is found there."""
    for name in ("docs", "upscale.py", "srgan_tf"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "serving", tmp_path / "serving")
    for name in zoo.shipped():
        shutil.copytree(small_model, tmp_path / "weights" / name)
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER.format(python=sys.executable, stand_in=serving.STAND_IN))
    docker.chmod(0o755)
    first = (
        f"{docker.parent}:{Path(sys.executable).parent}"
        if "docker" not in serving.kinds()
        else str(Path(sys.executable).parent)
    )
    return tmp_path, {**os.environ, "PATH": f"{first}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def wait(process, port):
    for _ in range(3000):  # three models, on a busy machine
        assert process.poll() is None, f"it ended with status {process.returncode}"
        try:
            return urllib.request.urlopen(f"http://localhost:{port}/v1/models/srresnet_x4").close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not become ready")


def free(port):
    import socket

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.long
@pytest.mark.parametrize("page", [0, 1], ids=["README.md", "docs/serving.md"])
@pytest.mark.skipif(not shutil.which("curl"), reason="the pages use curl")
@pytest.mark.skipif(not all(map(free, (8500, 8501, 8510, 8511))), reason="the ports that the pages name are in use")
def test_every_command_about_serving_works_as_printed(place, small_model, page):
    folder, environment = place
    image = np.asarray(Image.open(ROOT / "docs" / "parrots.png"))
    expected = {tile: serving.Here(small_model, tile=tile)(image) for tile in (0, 96)}
    servers = []
    try:
        for language, text in blocks()[page]:
            if text.startswith("docker"):
                if "compose" in text:
                    stop(servers)
                port = re.search(r":(\d+):8501", text)
                servers.append(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {text}"], cwd=folder, env=environment, stdout=subprocess.DEVNULL
                    )
                )
                wait(servers[-1], port[1] if port else 8501)
                continue
            before = (folder / "large.png").stat().st_mtime_ns if (folder / "large.png").exists() else None
            shell = [sys.executable] if language == "python" else ["bash", "-e", "-o", "pipefail"]
            done = subprocess.run(
                [*shell, "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr
            if "large.png" in text:
                assert (folder / "large.png").stat().st_mtime_ns != before, f"{text} says {done.stdout}"
                np.testing.assert_array_equal(
                    np.asarray(Image.open(folder / "large.png")), expected[96 if "-t 96" in text else 0], err_msg=text
                )
            else:
                assert "AVAILABLE" in done.stdout
    finally:
        stop(servers)


def stop(servers):
    while servers:
        server = servers.pop()
        server.kill()
        server.wait()
