"""The memory that this process can still use."""

import math
from pathlib import Path, PurePosixPath

import numpy as np

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def available(swap: bool = False) -> int | None:
    """The minimum of the machine's free memory and the remainders of the control group, `ulimit -v` and `ulimit -d`.

    Args:
        swap: whether to include free swap space: it is slow, but exceeding it ends the process.

    Returns:
        Bytes; None if unknown. Cached files count as free.
    """
    machine = _fields(PROC / "meminfo")
    more = machine.get("SwapFree", 0) if swap else 0
    found = [None if n is None else n + more for n in (machine.get("MemAvailable"), _left_by_cgroup())]
    return min((max(0, n) for n in (*found, _left_by_limit()) if n is not None), default=None)


def empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """`np.empty` that fails immediately if there is not enough memory, instead of on first use.

    Raises:
        MemoryError: if memory is insufficient. The system would grant it and kill this process on use.
    """
    left = available(swap=True)
    if left is not None and math.prod(shape) * np.dtype(dtype).itemsize > left:
        raise MemoryError(f"not enough memory for {shape} of {np.dtype(dtype)}")
    return np.empty(shape, dtype)


def _left_by_cgroup():
    """The memory left by the control group of the process and its parents, of cgroups version 2 and 1."""
    found = []
    for line in _read(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        path = PurePosixPath(path.lstrip("/"))
        for folder in (path, *path.parents) if not controllers else ():
            found.append((CGROUP / folder, "memory.max", "memory.current", "inactive_file"))
        for folder in (path, *path.parents) if controllers == "memory" else ():
            found.append(
                (CGROUP / "memory" / folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            )
    left = []
    for folder, limit, usage, cache in found:
        most, now = _read(folder / limit).strip(), _read(folder / usage).strip()
        if most.isdecimal() and now.isdecimal():  # "max" is no limit
            stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
            left.append(int(most) - int(now) + int(stat.get(cache, 0)))
    return min(left, default=None)


def _left_by_limit():
    try:
        import resource
    except ImportError:  # not on Unix
        return None
    now = _fields(PROC / "self" / "status")
    limits = {"VmSize": resource.RLIMIT_AS, "VmData": resource.RLIMIT_DATA}
    left = {field: resource.getrlimit(limit)[0] for field, limit in limits.items()}
    return min(
        (most - now.get(field, 0) for field, most in left.items() if most != resource.RLIM_INFINITY), default=None
    )


def _fields(path):
    """Parse "Name:  123 kB" lines to bytes by name."""
    pairs = (line.split(":", 1) for line in _read(path).splitlines() if line.endswith(" kB"))
    return {name: 1024 * int(value.split()[0]) for name, value in pairs}


def _read(path):
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
