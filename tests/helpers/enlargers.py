"""Enlargers without a network, and a reporter that keeps what it is told."""

import dataclasses

from srgan_tf.upscaling.reporter import Reporter
from srgan_tf.upscaling.sizes import Size


class Function:
    """Enlarges by a function of a picture; results are planned to be `factor` times as large, or a fixed size.

    Args:
        function: of a `Picture`; by default pixels are repeated.
        factor: of each side.
        height, width: of all results instead.
    """

    def __init__(self, function=None, factor=4, height=None, width=None):
        self.size = Size(factor, width, height)
        self._function = function or self._repeated

    def picture(self, picture, step=None):
        return self._function(picture)

    def _repeated(self, picture):
        factor = round(self.size.factor)
        return dataclasses.replace(picture, pixels=picture.pixels.repeat(factor, 0).repeat(factor, 1))


class Lines(Reporter):
    """Keeps lines: `notes`, `results` and `errors`."""

    def __init__(self):
        self.notes, self.results, self.errors = [], [], []

    def note(self, line):
        self.notes.append(line)

    def result(self, line):
        self.results.append(line)

    def error(self, problem):
        self.errors.append(str(problem))
