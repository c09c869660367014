"""Damaged crops are drawn by processes, and nothing depends on them but the speed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.sources import SIZES, Source
from srgan_tf.errors import UserError
from srgan_tf.images.degradation import PRESETS
from srgan_tf.qr.batches import Codes
from srgan_tf.training.batches import Crops
from srgan_tf.training.store import Store, open_store


@pytest.fixture
def crops(tmp_path):
    crops = Crops(open_store(Source(SIZES), 4, tmp_path), crop=48, batch=4, seed=7, degradation=PRESETS["photo"])
    yield crops
    crops.close()


def children(parent=None):
    """The processes of a program, by default this one, that draw batches, without those that have ended."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs Linux, whose /proc tells the processes of a program")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, owner = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if int(owner) == (parent or os.getpid()) and state != "Z" and b"training import workers" in command:
            found.append(int(folder.name))
    return found


def assert_same(dataset, batches, start, count):
    for n, drawn in zip(range(start, start + count), dataset):
        for got, expected in zip(drawn, batches(n)):
            np.testing.assert_array_equal(got, expected)


def test_processes_draw_what_a_call_draws(crops):
    assert_same(crops.dataset(start=3), crops, 3, 20)
    codes = Codes(crop=48, batch=2)
    assert_same(codes.dataset(), codes, 0, 3)
    codes.close()


def test_the_shares_of_replicas_are_drawn_by_processes_too(crops):
    shares = crops.dataset(2, replicas=2, here=range(1, 2))
    for n, (_, hr) in zip((2, 3), shares):
        np.testing.assert_array_equal(hr, crops(n)[1][2:])


def test_processes_end_with_the_batches(crops):
    others = children()
    dataset = crops.dataset()
    next(iter(dataset))
    assert set(children()) > set(others)
    crops.close()
    assert set(children()) <= set(others)
    assert_same(dataset, crops, 0, 2)  # still right, if slower


def test_killed_processes_cost_no_batch_and_are_reported(crops, capfd):
    dataset = iter(crops.dataset())
    next(dataset)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    assert_same(dataset, crops, 1, 40)
    assert "a process that prepares crops has ended. The others go on." in capfd.readouterr().err


def test_without_processes_batches_are_drawn_by_the_program_itself(crops, monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert_same(crops.dataset(), crops, 0, 5)
    assert "no other can be started" in capfd.readouterr().err


def test_a_damaged_picture_is_reported_as_without_processes(tmp_path):
    folder = open_store(Source([(60, 60)]), 4, tmp_path).folder
    with open(folder / "hr.bin", "r+b") as file:
        file.write(b"\xff" * 99)
    crops = Crops(Store(folder), crop=96, batch=1, degradation=PRESETS["photo"])
    with pytest.raises(Exception, match="are damaged"):
        next(iter(crops.dataset()))
    assert isinstance(crops.failure, UserError)
    crops.close()


PROGRAM = """
import sys
from pathlib import Path
from srgan_tf.qr.batches import Codes
for _ in Codes(crop=48, batch=2).dataset():
    print("drawn", flush=True)
"""


def test_processes_do_not_outlive_a_killed_program(tmp_path):
    path = tmp_path / "program.py"  # not guarded by __name__ == "__main__"
    path.write_text(PROGRAM)
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True, env=paths)
    assert program.stdout.readline() == "drawn\n"
    listed = children(program.pid)
    assert len(listed) >= 2
    program.kill()
    program.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in listed):
        assert time.monotonic() < deadline
        time.sleep(0.05)
