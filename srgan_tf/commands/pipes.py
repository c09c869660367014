"""One picture from standard input, to standard output, or both: `cat a.png | upscale.py - > b.png`."""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from srgan_tf.commands import progress
from srgan_tf.errors import UserError, reason
from srgan_tf.images import clip_names, formats
from srgan_tf.upscaling import jobs, plans

NAME = "-"  # of standard input and standard output
_STDIN = (NAME, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_STDOUT = (NAME, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_DEVICES = ("/dev/stdin", "/dev/stdout", "/dev/fd/", "/proc/self/fd/")  # also of a shell's process substitution


def asked_for(paths, output) -> bool:
    """Whether a command line names standard input or standard output."""
    return any(map(_is_pipe, paths)) or _is_pipe(output)


def run(paths, output, enlarger, *, format=None, overwrite=False, options):
    """Enlarge one picture through a pipe; messages go to standard error.

    Args:
        paths: one path, `NAME`, or an open file such as /dev/fd/63.
        output: a file, `NAME`, or an open file; None is `NAME`.
        enlarger, overwrite, options: see `jobs.run`.
        format: the format for standard output, a suffix without its dot; None is PNG.

    Returns:
        A `jobs.Outcome`.

    Raises:
        UserError: for several paths, for a terminal or nothing as standard output, for an empty standard input, for a
            video, for two formats, or if reading or writing the pipe fails.
    """
    if len(paths) != 1:
        several = "To enlarge several, give files and a folder as --output."
        raise UserError(f"{NAME}: takes one picture, not {len(paths)} paths. {several}")
    if clip_names.is_clip(paths[0]):
        raise UserError(f"--output {output}: videos cannot be written to a pipe. Give a file.")
    output = NAME if output is None else output
    if output in _STDOUT and sys.stdout.isatty():
        raise UserError(f"--output {NAME}: a picture cannot be shown on a terminal. Redirect it, or give a file.")
    if output in _STDOUT and getattr(sys.stdout, "name", None) == os.devnull:  # opened by `start` in place of it
        raise UserError(f"--output {NAME}: standard output is closed. Redirect it, or give a file.")
    if not _is_pipe(output):
        formats.check_same(format, output)
    with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
        source, target = Path(folder, "input"), Path(folder, f"output.{format or 'png'}")
        names = {str(source): _shown(paths[0]), str(target): _shown(output)}
        if _is_pipe(paths[0]):
            _read(paths[0], source)
        else:
            source = paths[0]
        if not _is_pipe(output):
            target = output
        with _Reporter(names) as reporter:
            outcome = jobs.run(
                [plans.Job(source, target)], enlarger, overwrite=overwrite, reporter=reporter, options=options
            )
        if _is_pipe(output) and outcome.done:
            _write(target, output)
        return outcome


class _Reporter(progress.Progress):
    """Writes everything to standard error, with the user's names for temporary files."""

    def __init__(self, names):
        super().__init__(1)
        self._names = names

    def result(self, line):
        self.note(self._renamed(line))

    def error(self, problem):
        super().error(self._renamed(str(problem)))

    def _renamed(self, line):
        for file, name in self._names.items():
            line = line.replace(file, name)
        return line


def _shown(name):
    return NAME if name in (*_STDIN, *_STDOUT) else name


def _is_pipe(name):
    return name == NAME or str(name).startswith(_DEVICES)


def _read(name, path):
    with _problems("standard input" if name in _STDIN else name, "read"):
        with _opened(name, _STDIN, sys.stdin, "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
    if name in _STDIN and not os.path.getsize(path):
        raise UserError(f"{NAME}: standard input is empty. Give a picture.")


def _write(path, name):
    with _problems("standard output" if name in _STDOUT else name, "written"):
        with open(path, "rb") as source, _opened(name, _STDOUT, sys.stdout, "wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()


def _opened(name, standard, stream, mode):
    return contextlib.nullcontext(stream.buffer) if name in standard else open(name, mode)


@contextlib.contextmanager
def _problems(name, action):
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{name}: cannot be {action} ({reason(error)}). Give a file.") from None
