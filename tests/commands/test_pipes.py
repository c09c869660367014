"""Pictures through standard input and output."""

import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT


def png(height=5, width=6):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def upscale(small_model, tmp_path):
    def upscale(*arguments, stdin=b""):
        command = [sys.executable, ROOT / "upscale.py", "--model", small_model, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, cwd=tmp_path, timeout=120)
        return done.returncode, done.stdout, done.stderr.decode()

    return upscale


def test_a_picture_goes_through_a_pipe(upscale, tmp_path):
    status, out, err = upscale("-", "-o", "-", "-f", "webp", stdin=png())
    assert (status, err) == (0, "- -> -, 24 x 20\n")
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == ("WEBP", (24, 20))
    assert not list(tmp_path.iterdir())


def test_one_end_may_be_a_file(upscale, tmp_path):
    assert upscale("/dev/stdin", "-o", "large.jpg", stdin=png())[::2] == (0, "- -> large.jpg, 24 x 20\n")
    with Image.open(tmp_path / "large.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (24, 20))
    (tmp_path / "a.png").write_bytes(png())
    status, out, err = upscale("a.png", "-o", "-")
    assert (status, err) == (0, "a.png -> -, 24 x 20\n")
    assert Image.open(io.BytesIO(out)).format == "PNG"


def test_process_substitution_reads_and_writes_the_files_of_the_shell(tmp_path, small_model):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "other.png").write_bytes(png(9, 9))
    command = f"{sys.executable} {ROOT / 'upscale.py'} --model {small_model}"
    script = f"{command} <(cat a.png) -o >(cat > part && mv part large.png) < other.png"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"")
    deadline = time.monotonic() + 30  # the shell does not wait for the second cat
    while not (tmp_path / "large.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert Image.open(tmp_path / "large.png").size == (24, 20)


def test_closed_standard_input_is_an_empty_one_and_closed_standard_output_is_refused(tmp_path, small_model):
    (tmp_path / "a.png").write_bytes(png())
    command = f"{sys.executable} {ROOT / 'upscale.py'} --model {small_model}"
    done = subprocess.run(["bash", "-c", f"{command} a.png -o - <&-"], cwd=tmp_path, capture_output=True, timeout=120)
    assert Image.open(io.BytesIO(done.stdout)).size == (24, 20)
    done = subprocess.run(["bash", "-c", f"{command} - <&-"], cwd=tmp_path, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: -: standard input is empty. Give a picture.\n"
    for null, status in ((">&-", 2), ("> /dev/null", 0)):
        done = subprocess.run(["bash", "-c", f"{command} a.png -o - {null}"], cwd=tmp_path, capture_output=True)
        assert (done.returncode, b"standard output is closed" in done.stderr) == (status, status == 2)


def test_an_existing_file_is_kept(upscale, tmp_path):
    (tmp_path / "large.png").write_bytes(b"mine")
    status, _, err = upscale("-", "-o", "large.png", stdin=png())
    assert (status, err) == (0, "kept large.png; --overwrite replaces it\n")
    assert (tmp_path / "large.png").read_bytes() == b"mine"
    assert upscale("-", "-o", "large.png", "--overwrite", stdin=png())[0] == 0
    assert Image.open(tmp_path / "large.png").size == (24, 20)


def test_a_mistake_is_one_line_and_nothing_is_written(upscale):
    status, out, err = upscale("-", stdin=b"no picture")
    assert (status, out) == (2, b"") and err.startswith("error: -: not an image.") and err.count("\n") == 1
    status, out, err = upscale("-", "a.png", stdin=png())
    assert (status, out) == (2, b"") and err.startswith("error: -: takes one picture") and err.count("\n") == 1
    status, out, err = upscale("-", "-o", "large.png", "--format", "jpg", stdin=png())
    assert (status, out) == (2, b"") and "--format jpg: --output large.png has another format" in err
    status, out, err = upscale("clip.mp4", "-o", "-")
    assert (status, out) == (2, b"") and "--output -: videos cannot be written to a pipe" in err
    status, out, err = upscale("-", "--cluster", "local", stdin=png())
    assert (status, out) == (2, b"") and "cannot be used with --cluster" in err
