"""A checkpoint is complete or absent, and damage is detected."""

import shutil
import types

import numpy as np
import pytest

from srgan_tf.errors import UserError
from srgan_tf.training import checkpoints

ARRAYS = {"a/b": np.arange(12, dtype=np.float32).reshape(3, 4), "step": np.int64(7)}


def test_arrays_come_back_as_they_were(tmp_path):
    found = checkpoints.load(checkpoints.save(tmp_path, 5, ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_the_last_checkpoints_are_kept_and_one_of_each_mark(tmp_path):
    for step in (10, 20, 30, 40, 50, 60):
        marks = {20: ["hold"], 10: ["best"], 30: ["best"]}.get(step, [])
        checkpoints.save(tmp_path, step, ARRAYS, keep=2, marks=marks)
    assert [step for step, _ in checkpoints.found(tmp_path)] == [60, 50, 30, 20]
    assert [step for step, _ in checkpoints.found(tmp_path, last=45)] == [30, 20]


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10**6))
    with pytest.raises(UserError, match=f"{tmp_path}: 1 MB of disk space are left"):
        checkpoints.save(tmp_path, 1, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_does_not_count(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, ARRAYS)

    def full(file, **_):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError):
        checkpoints.save(tmp_path, 2, ARRAYS)
    assert [step for step, _ in checkpoints.found(tmp_path)] == [1]


def test_other_files_beside_the_checkpoints_are_kept_and_ignored(tmp_path):
    names = {"step-00000001 copy.npz", "step-mine.npz"}
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, ARRAYS, keep=1)
    assert {p.name for p in tmp_path.iterdir()} == {*names, "step-00000003.npz"}


def test_damaged_later_checkpoints_do_not_replace_good_ones(tmp_path):
    for step in (8, 9):
        checkpoints.save(tmp_path, step, ARRAYS)
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, ARRAYS, keep=2)
    assert [step for step, _ in checkpoints.found(tmp_path)] == [3, 2]


def encrypted(data):
    """One bit of the zip's directory changed."""
    flags = data.index(b"PK\1\2") + 8
    return data[:flags] + bytes([data[flags] | 1]) + data[flags + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:120] + b"\xff" + data[121:], encrypted],
)
def test_a_damaged_checkpoint_is_detected_and_named(tmp_path, damage):
    path = checkpoints.save(tmp_path, 1, ARRAYS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="step-00000001.npz is damaged"):
        checkpoints.load(path)


def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(tmp_path):
    path = checkpoints.path(tmp_path, 1)
    path.mkdir()
    with pytest.raises(UserError, match="step-00000001.npz: cannot be read .Is a directory.. Run the same command"):
        checkpoints.load(path)
