"""Results are complete or absent, also when a run is killed at any time or the disk is full."""

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from srgan_tf import atomic
from srgan_tf.images import animations, reading, writing
from srgan_tf.images.picture import Picture

# As upscale.py, with pixels repeated in place of a network: it starts in a moment, so it can be killed often.
REPEATING = """
import sys
from helpers.enlargers import Function
from srgan_tf.upscaling import jobs, plans
outcome = jobs.run(plans.plan([sys.argv[1]], sys.argv[2], label="x4"), Function())
print(outcome)
sys.exit(outcome.status)
"""


def noise(height, width, dtype=np.uint8):
    return np.random.default_rng(height).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype)


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def start(program, folder, **options):
    program = [sys.executable, ROOT / "upscale.py", "-n", program] if program else [sys.executable, "-c", REPEATING]
    flag = ["-o"] if len(program) == 4 else []
    return subprocess.Popen(
        [*program, "in", *flag, "out"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        **options,
    )


def parts(folder):
    return list(folder.glob(".*.part"))


def album(folder, side):
    """A folder of pictures in every format."""
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    for suffix in ("bmp", "jpg", "png", "tif", "webp", "gif"):
        Image.fromarray(noise(side, side + 1)).save(folder / "in" / f"{suffix}.{suffix}")
    bar, *others = (Image.fromarray(noise(side, side + i)[:, :side]) for i in range(3))
    bar.save(folder / "in" / "moving.gif", save_all=True, append_images=others, duration=100)
    writing.write(folder / "in" / "deep.tif", Picture.of(noise(side, side, np.uint16)))
    return folder


def assert_whole(folder):
    """Every file in a folder of results is complete, or hidden."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        with reading.opened(path) as file:
            found = animations.read(file)
            size = (found.height, found.width) if found else file.picture().pixels.shape[:2]
        with Image.open(folder.parent / "in" / path.name.replace("_x4", "")) as small:
            assert size == (4 * small.height, 4 * small.width)


def kill_when(process, condition):
    while not condition() and process.poll() is None:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("real", [False, True])
def test_a_killed_run_leaves_complete_results_only_and_the_next_run_resumes_and_cleans_up(tmp_path, small_model, real):
    folder = album(tmp_path, 100)
    out = folder / "out"
    program = small_model if real else None
    seen = 0
    for results in (4,) if real else range(8):
        process = start(program, folder)
        kill_when(process, lambda: len(list(out.glob("[!.]*"))) >= results and parts(out))
        assert process.returncode in (-signal.SIGKILL, 0)
        seen += len(parts(out))
        assert_whole(out)
        before = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert seen, "no run was killed while it wrote"
    process = start(program, folder)
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    assert len(list(out.iterdir())) == 8 and not parts(out)
    assert_whole(out)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_files_of_a_running_process_are_not_swept(tmp_path):
    program = (
        "import sys; from srgan_tf.atomic import whole_file\n"
        "with whole_file('x.png') as file:\n"
        "  file.write(b'half'); file.flush(); print('ready', flush=True); sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    atomic.sweep(tmp_path)
    assert len(parts(tmp_path)) == 1
    process.communicate("go on\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.png", b"half")]


def test_a_file_is_not_swept_before_it_is_renamed_nor_where_locks_need_writable_files(tmp_path, monkeypatch):
    flock, replace = fcntl.flock, os.replace

    def as_on_nfs(file, operation):
        if "+" not in file.mode and "x" not in file.mode:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, operation)

    def swept_first(part, path):
        atomic.sweep(tmp_path)
        replace(part, path)

    monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    monkeypatch.setattr(os, "replace", swept_first)
    with atomic.whole_file(tmp_path / "x.png") as file:
        file.write(b"whole")
        atomic.sweep(tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.png", b"whole")]


def test_only_the_files_of_killed_processes_are_swept(tmp_path):
    program = (
        "from srgan_tf.atomic import whole_file; import os, signal\n"
        "with whole_file('x.png') as file:\n  file.write(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**ENVIRONMENT, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    )
    for name in (".mine.part", "download.part", "y.png"):
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == 4
    atomic.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.part", "download.part", "y.png"]


@pytest.fixture
def full_disk(tmp_path):
    """An album whose folder of results is a disk of 20 KB."""
    folder = album(tmp_path, 100)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "none", folder / "out"], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", folder / "out"], check=True)


def assert_one_line_each(folder, process, problem):
    Image.fromarray(noise(4, 4)).save(folder / "in" / "tiny.png")
    stdout, stderr = process().communicate()
    lines = sorted(stderr.splitlines())
    names = sorted(path.name for path in (folder / "in").iterdir() if path.name != "tiny.png")
    assert len(lines) == len(names), stderr
    for name in names:
        target = "out/" + name.replace(".", "_x4.")
        assert any(line.startswith(f"error: {target}: ") and f"({problem})" in line for line in lines), lines
    assert [path.name for path in (folder / "out").iterdir()] == ["tiny_x4.png"]
    assert stdout.splitlines()[-1] == f"1 enlarged, 0 kept, {len(names)} failed"


def test_a_full_disk_is_one_line_for_each_picture_and_leaves_no_partial_files(full_disk):
    assert_one_line_each(full_disk, lambda: start(None, full_disk), "No space left on device")


def test_a_limit_of_the_file_size_is_one_line_for_each_picture(tmp_path):
    folder = album(tmp_path, 100)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    assert_one_line_each(folder, lambda: start(None, folder, preexec_fn=limit), "File too large")


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append(os.fstat(file).st_size), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("renamed"), replace(*paths)))
    with atomic.whole_file(tmp_path / "x") as file:
        file.write(b"whole")
    assert order == [5, "renamed"]


def test_a_folder_is_on_the_disk_before_it_gets_its_name_and_is_not_swept_before(tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda file: (order.append(os.fstat(file).st_size), fsync(file)))
    monkeypatch.setattr(os, "rename", lambda *paths: (order.append("renamed"), atomic.sweep(tmp_path), rename(*paths)))
    with atomic.whole_folder(tmp_path / "x") as part:
        atomic.sweep(tmp_path)
        (part / "y").write_bytes(b"whole")
    assert sorted(order[:-1]) == [0, 5] and order[-1] == "renamed"
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "y"]


def test_a_folder_that_exists_or_fails_leaves_nothing_behind(tmp_path):
    with atomic.whole_folder(tmp_path / "x") as first:
        (first / "y").write_bytes(b"first")
        with atomic.whole_folder(tmp_path / "x") as second:
            (second / "y").write_bytes(b"second")
    with pytest.raises(KeyError), atomic.whole_folder(tmp_path / "z") as part:
        (part / "y").write_bytes(b"half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["x"] and (tmp_path / "x" / "y").read_bytes() == b"second"


def test_a_claim_is_exclusive_and_ends_with_its_block(tmp_path):
    with atomic.claimed(tmp_path / "x.png") as mine, atomic.claimed(tmp_path / "y.png") as other:
        assert mine and other
        with atomic.claimed(tmp_path / "x.png") as again:
            assert not again
        atomic.sweep(tmp_path)
        with atomic.claimed(tmp_path / "x.png") as again:
            assert not again
    assert not list(tmp_path.iterdir())
    with atomic.claimed(tmp_path / "missing" / "x.png") as mine:
        assert mine is None
