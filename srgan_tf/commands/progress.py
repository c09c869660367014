"""How far the pictures, the tiles of one picture, or the frames of a clip are."""

import sys
import time

import tqdm

EVERY = 60  # seconds between lines where there is no terminal


class Progress:
    """A bar with the time left on a terminal; elsewhere a line a minute, if it takes that long.

    It counts what is enlarged, in shares: `advance` adds a part of one, `finish` rounds up to the whole.
    """

    def __init__(self, total, unit="pictures"):
        self._total, self._unit, self._done, self._share, self._part = total, unit, 0, 0.0, 1.0
        self._started = self._told = time.monotonic()
        form = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
        self._bar = tqdm.tqdm(total=total, leave=False, bar_format=form, disable=not sys.stderr.isatty())
        self._show()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def advance(self, share):
        self._share = min(1.0, self._share + share * self._part)
        self._show()

    def frame(self, done, count):
        """From now on `advance` tells of one frame of a picture that has so many."""
        self._share, self._part = done / count, 1 / count
        self._show()

    def finish(self):
        self._done, self._share, self._part = self._done + 1, 0.0, 1.0
        self._show()

    def tell(self, line, file=None):
        """Print a line above the bar."""
        self._bar.write(line, file=file or sys.stdout)

    def _show(self):
        done = self._done + self._share
        number = min(self._done + 1, self._total)
        self._bar.set_description_str(f"{number} of {self._total} {self._unit}", refresh=False)
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._told >= EVERY and done < self._total:
            self._told = now
            left = (now - self._started) * (self._total - done) / done if done else None
            rest = f", about {tqdm.tqdm.format_interval(left)} left" if left else ""
            what = f" of {self._total} {self._unit}" if self._total > 1 else ""
            print(f"{100 * done / self._total:.0f} %{what} done{rest}", file=sys.stderr, flush=True)
