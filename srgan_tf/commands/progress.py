"""Progress over images, the tiles of an image and the frames of a clip."""

import sys
import time

import tqdm

from srgan_tf import bars
from srgan_tf.upscaling.reporter import Reporter

EVERY = 60  # seconds between lines without a terminal


class Progress(Reporter):
    """A progress bar with the remaining time on a terminal; elsewhere one line per minute.

    It counts enlarged images, and fractions of the current one.
    """

    def __init__(self, total):
        self._total, self._done, self._share, self._part = total, 0, 0.0, 1.0
        self._started = self._shown = time.monotonic()
        form = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
        self._bar = bars.bar(total=total, leave=False, bar_format=form, disable=not sys.stderr.isatty())
        self._show()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def note(self, line):
        self._bar.write(line, file=sys.stderr)

    def result(self, line):
        self._bar.write(line, file=sys.stdout)

    def error(self, problem):
        self._bar.write(f"error: {problem}", file=sys.stderr)

    def tile(self, share):
        self._share = min(1.0, self._share + share * self._part)
        self._show()

    def frame(self, done, count):
        self._share, self._part = done / count, 1 / count
        self._show()

    def picture(self):
        self._done, self._share, self._part = self._done + 1, 0.0, 1.0
        self._show()

    def _show(self):
        done = self._done + self._share
        number = min(self._done + 1, self._total)
        pictures = "pictures" if self._total > 1 else "picture"
        self._bar.set_description_str(f"{number} of {self._total} {pictures}", refresh=False)
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._shown >= EVERY and done < self._total:
            self._shown = now
            left = (now - self._started) * (self._total - done) / done if done else None
            rest = f", about {tqdm.tqdm.format_interval(left)} left" if left else ""
            what = f" of {self._total} pictures" if self._total > 1 else ""
            print(f"{100 * done / self._total:.0f} %{what} done{rest}", file=sys.stderr, flush=True)
