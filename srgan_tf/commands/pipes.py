"""One picture from standard input, to standard output, or both: `cat a.png | upscale.py - > b.png`."""

import shutil
import sys
import tempfile
from pathlib import Path

from srgan_tf.commands import progress
from srgan_tf.errors import UserError, reason
from srgan_tf.upscaling import jobs, plans

NAME = "-"  # of standard input and standard output
_DEVICES = ("/dev/stdin", "/dev/stdout", "/dev/fd/", "/proc/self/fd/")


def asked_for(paths, output) -> bool:
    """Whether a command line names standard input or standard output."""
    return any(map(_is_pipe, paths)) or _is_pipe(output)


def run(paths, output, enlarger, *, format=None, overwrite=False, options):
    """Enlarge one picture through a pipe; messages go to standard error.

    Args:
        paths: one path, or `NAME`.
        output: a file, or `NAME`; None is `NAME`.
        enlarger, overwrite, options: see `jobs.run`.
        format: the format for standard output, a suffix without its dot; None is PNG.

    Returns:
        A `jobs.Outcome`.

    Raises:
        UserError: for several paths, for a terminal as standard output, or if standard input or output fails.
    """
    if len(paths) != 1:
        raise UserError(f"{NAME}: takes one picture, not {len(paths)} paths. Give a folder with --output for several.")
    to_pipe = output is None or _is_pipe(output)
    if to_pipe and sys.stdout.isatty():
        raise UserError(f"--output {NAME}: a picture cannot be shown on a terminal. Redirect it, or give a file.")
    with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
        source, target = Path(folder, "input"), Path(folder, f"output.{format or 'png'}")
        if _is_pipe(paths[0]):
            _copy(sys.stdin.buffer, open(source, "wb"), "standard input: cannot be read")
        else:
            source = paths[0]
        if not to_pipe:
            target = output
        with _Reporter(source, target) as reporter:
            outcome = jobs.run(
                [plans.Job(source, target)], enlarger, overwrite=overwrite, reporter=reporter, options=options
            )
        if to_pipe and outcome.done:
            _copy(open(target, "rb"), sys.stdout.buffer, "standard output: cannot be written")
        return outcome


class _Reporter(progress.Progress):
    """Writes everything to standard error, with `NAME` for temporary files."""

    def __init__(self, *files):
        super().__init__(1)
        self._names = [str(file) for file in files if isinstance(file, Path)]

    def result(self, line):
        self.note(self._renamed(line))

    def error(self, problem):
        super().error(self._renamed(str(problem)))

    def _renamed(self, line):
        for name in self._names:
            line = line.replace(name, NAME)
        return line


def _is_pipe(name):
    return name == NAME or str(name).startswith(_DEVICES)


def _copy(source, target, problem):
    try:
        shutil.copyfileobj(source, target)
        target.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{problem} ({reason(error)}). Give a file.") from None
    finally:
        for file in (source, target):
            if file not in (sys.stdin.buffer, sys.stdout.buffer):
                file.close()
