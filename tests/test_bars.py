"""Progress bars are visible in terminals of any size."""

import contextlib
import io
import os
import sys

import pytest

from srgan_tf import bars
from srgan_tf.commands.progress import Progress


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.parametrize("columns", [0, 60], ids=["docker run -t", "60 columns"])
def test_a_bar_is_drawn_in_a_terminal_with_and_without_a_size(monkeypatch, columns):
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", columns // 3, columns, 0, 0))
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with bars.bar(total=2, desc="work", disable=None) as bar:
            bar.update(2)
    shown = ""
    with contextlib.suppress(OSError):  # at the end
        while part := os.read(ours, 10_000).decode():
            shown += part
    os.close(ours)
    assert "work: 100%" in shown and "2/2" in shown


@pytest.mark.parametrize("total, shown", [(1, "1 of 1 picture "), (2, "1 of 2 pictures ")])
def test_the_pictures_of_a_run_are_counted(monkeypatch, total, shown):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(total) as progress:
        progress.note("redraws it")
    assert shown in terminal.getvalue()
