"""The free memory: of the machine, of the control group, and within limits."""

import subprocess
import sys

import pytest

from srgan_tf.upscaling import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Files as Linux has them, in a folder of the test: memory.available() reads them from there."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write({"proc/meminfo": "MemTotal:  9000 kB\nMemAvailable:   4000 kB\n"})
    return write


def test_without_limits_the_machines_free_memory_counts(machine):
    assert memory.available() == 4000 * 1024


def test_free_swap_counts_on_request(machine):
    machine({"proc/meminfo": "MemAvailable:   4000 kB\nSwapTotal:  9000 kB\nSwapFree:  1000 kB\n"})
    assert (memory.available(), memory.available(swap=True)) == (4000 * 1024, 5000 * 1024)
    machine({"proc/self/cgroup": "0::/a\n", "cgroup/a/memory.max": "2000000\n", "cgroup/a/memory.current": "500000\n"})
    assert (memory.available(), memory.available(swap=True)) == (1500000, 1500000 + 1000 * 1024)


def test_the_limit_of_a_control_group_counts(machine):
    machine(
        {
            "proc/self/cgroup": "0::/a/b\n",
            "cgroup/a/b/memory.max": "2000000\n",
            "cgroup/a/b/memory.current": "1500000\n",
            "cgroup/a/b/memory.stat": "inactive_file 100000\n",
        }
    )
    assert memory.available() == 600000
    machine({"cgroup/a/b/memory.max": "max\n"})
    assert memory.available() == 4000 * 1024


def test_the_limit_of_a_group_around_it_counts(machine):
    """As in a job of Slurm or a user's slice, where the process' own group has no limit."""
    machine(
        {
            "proc/self/cgroup": "0::/job/step/task\n",
            "cgroup/job/memory.max": "2000000\n",
            "cgroup/job/memory.current": "1500000\n",
            "cgroup/job/step/task/memory.max": "max\n",
        }
    )
    assert memory.available() == 500000
    machine(
        {
            "proc/self/cgroup": "3:memory:/job/step\n",
            "cgroup/memory/job/memory.limit_in_bytes": "3000000\n",
            "cgroup/memory/job/memory.usage_in_bytes": "1000000\n",
        }
    )
    assert memory.available() == 2000000


def test_the_limit_of_a_control_group_of_version_1_counts(machine):
    machine(
        {
            "proc/self/cgroup": "4:cpu:/x\n3:memory:/x\n",
            "cgroup/memory/memory.limit_in_bytes": "3000000\n",
            "cgroup/memory/memory.usage_in_bytes": "1000000\n",
            "cgroup/memory/memory.stat": "cache 5\n",
        }
    )
    assert memory.available() == 2000000


def test_the_free_memory_of_a_system_without_these_files_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() is None


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_count(limit):
    code = (
        "import resource; from srgan_tf.upscaling import memory; before = memory.available();"
        f"resource.setrlimit(resource.{limit}, (2 ** 29, -1));"
        "assert 2 ** 28 < memory.available() < 2 ** 29 < before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
