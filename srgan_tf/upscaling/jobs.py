"""Pictures from files to files: what is kept, and going on after a failure."""

import contextlib
import dataclasses
import os
import sys
import threading
from pathlib import Path

from srgan_tf import atomic
from srgan_tf.errors import UserError, one_line
from srgan_tf.images import animations, clip_names, clips, formats, reading, writing
from srgan_tf.images.picture import Picture
from srgan_tf.upscaling import memory, places
from srgan_tf.upscaling.plans import Job


class _Hush:
    """Standard error, while some of this process' threads want it held back."""

    lock, wanted, stderr = threading.Lock(), 0, None


_HUSH = _Hush()


@dataclasses.dataclass(frozen=True)
class Made:
    """What is known of a result.

    small, large: (width, height) before and after; None for a clip.
    notes: what is worth telling.
    bytes: of the two files.
    """

    small: tuple[int, int] | None
    large: tuple[int, int] | None
    notes: tuple[str, ...] = ()
    bytes: tuple[int, int] | None = None

    def line(self, job):
        size = ", {} x {}".format(*self.large) if self.large else ""
        return one_line("; ".join([f"{job.source} -> {job.target}{size}", *self.notes]))


@dataclasses.dataclass
class Outcome:
    """How many pictures were done, kept because their result exists, and failed."""

    done: int = 0
    kept: int = 0
    failed: int = 0

    @property
    def status(self):
        """0: all is well; 1: some failed; 2: nothing could be done."""
        return 0 if not self.failed else 1 if self.done or self.kept else 2

    def __str__(self):
        return f"{self.done} enlarged, {self.kept} kept, {self.failed} failed"


def run(
    jobs,
    enlarge,
    *,
    size,
    overwrite=False,
    tell=print,
    complain=print,
    step=lambda: None,
    frame=lambda done, count: None,
):
    """Read, enlarge and write one picture after the other; of an animation, one frame after the other.

    What killed runs left half-written beside the results is removed.

    Args:
        jobs: as `plans.plan` gives them.
        enlarge: a function of a `picture.Picture` that returns a larger one. It is not called before a picture
            was read, so it may load its network when it is called.
        size: a function of a picture's height and width that gives those of its result: what the format cannot hold
            fails before it is computed.
        overwrite: whether results that exist are made again.
        tell: called with a line for each result; complain: with one for each failure; step: after each picture.
        frame: called with the number of frames of an animation that are done and that there are.

    Returns:
        An `Outcome`.
    """
    outcome = Outcome()
    swept = set()
    for job in jobs:
        try:
            if job.problem:
                raise UserError(job.problem)
            if _exists(job.target) and not overwrite:
                outcome.kept += 1
                tell(one_line(f"kept {job.target}, --overwrite makes it again"))
            else:
                if job.target.parent not in swept:
                    sweep(job.target.parent)
                    swept.add(job.target.parent)
                tell(make(job, enlarge, size, frame).line(job))
                outcome.done += 1
        except UserError as error:
            outcome.failed += 1
            complain(f"error: {error}")
        step()
    return outcome


def sweep(folder):
    """Remove what killed runs left half-written in a folder of this machine."""
    if isinstance(folder, Path):
        atomic.sweep(folder)


def make(job, enlarge, size, frame=lambda done, count: None):
    """Make one result, at once or not at all, with the functions that `run` is given.

    Returns:
        What was `Made`.

    Raises:
        UserError: when the picture cannot be read or enlarged, or its result cannot be written.
    """

    def named(picture):
        try:
            return enlarge(picture)
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from None

    with places.fetched(job.source) as source, places.stored(job.target) as target:
        before = 0
        with contextlib.suppress(OSError):  # told when it is read
            before = os.path.getsize(source)  # now: it may be gone when the result is there
        try:
            made = (_do_clip if clip_names.is_clip(source) else _do)(Job(source, target), named, size, frame)
        except MemoryError:
            raise UserError(f"there is not enough memory, {job.source}, make it smaller or cut it into parts") from None
        return dataclasses.replace(made, bytes=(before, os.path.getsize(target)))


def _do(job, enlarge, size, frame):
    kind = formats.check_suffix(job.target)
    with contextlib.ExitStack() as stack:
        with quiet_libraries():
            file = stack.enter_context(reading.opened(job.source))
            animation = animations.read(file)
            small = None if animation else file.picture()
        if animation:
            return _enlarge_animation(job, kind, animation, enlarge, size, frame)
    return _enlarge_picture(job, kind, small, enlarge, size)


def _enlarge_picture(job, kind, small, enlarge, size):
    height, width = size(*small.pixels.shape[:2])
    formats.check_fits(job.target, height, width, small)
    if kind not in formats.WITH_ALPHA:
        small = dataclasses.replace(small, alpha=None)  # it is opaque
    _check_memory(job.source, height, width, formats.channels(small) * small.pixels.itemsize + 4)
    _make_folder(job.target.parent)
    large = enlarge(small)
    notes = large.notes + writing.write(job.target, large)
    return Made(small.pixels.shape[1::-1], (width, height), tuple(notes))


def _enlarge_animation(job, kind, animation, enlarge, size, frame):
    height, width = size(animation.height, animation.width)
    animations.check_fits(job.target, animation, height, width)
    # Pillow keeps a GIF file's frames, and of a PNG file two of each.
    kept = {"GIF": 1, "PNG": 8}.get(kind, 0) * animation.count
    _check_memory(job.source, height, width, 4 + kept)
    _make_folder(job.target.parent)
    larger = _enlarged(animation, enlarge, frame)
    notes = (f"{animation.count} frames", *animations.write(job.target, animation, larger))
    return Made((animation.width, animation.height), (width, height), tuple(notes))


def _do_clip(job, enlarge, size, frame):
    def larger(rgb):
        height, width = size(*rgb.shape[:2])
        if max(height, width) > clips.LONGEST:
            raise UserError(
                f"a clip has at most {clips.LONGEST} pixels a side, {job.source} would have {width} x "
                f"{height}, give --outscale or --width"
            )
        return enlarge(Picture(rgb)).pixels

    if not os.path.isfile(job.source):
        raise UserError(f"no such file, {job.source}, check its name")
    _make_folder(job.target.parent)
    notes = clips.enlarge(job.source, job.target, larger, frame=frame)
    return Made(None, None, tuple(notes))


@contextlib.contextmanager
def quiet_libraries():
    """Hold back what libtiff prints about a damaged file: what counts of it becomes one line, ours."""
    with _HUSH.lock:
        _HUSH.wanted += 1
        if _HUSH.wanted == 1:
            sys.stderr.flush()
            _HUSH.stderr = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
    try:
        yield
    finally:
        with _HUSH.lock:
            _HUSH.wanted -= 1
            if not _HUSH.wanted:
                os.dup2(_HUSH.stderr, 2)
                os.close(_HUSH.stderr)


def _enlarged(animation, enlarge, frame):
    for i, picture in enumerate(animation.frames()):
        frame(i, animation.count)
        yield enlarge(picture)


def _check_memory(path, height, width, depth):
    """Refuse a result that the memory does not hold: else the system may end this process, without a word.

    Counted are so many bytes a pixel, which it takes at least: its own and the copies of them that Pillow writes.
    """
    left = memory.available(swap=True)
    if left is not None and height * width * depth > left:
        raise UserError(
            f"there is not enough memory for a result of {width} x {height} pixels, {path}, make it "
            "smaller or cut the picture into parts"
        )


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made ({error.strerror}), {folder}, choose another") from None
    if not os.access(folder, os.W_OK | os.X_OK):  # now, not after minutes
        raise UserError(f"the folder may not be written, {folder}, choose another with --output")


def _exists(path):
    try:
        if isinstance(path, Path) and path.is_dir():
            raise UserError(f"a folder has the name of the result, {path}, choose another with --output")
        return path.exists()
    except OSError as error:  # such as a name that is too long
        raise UserError(
            f"the result cannot be written ({error.strerror}), {path}, choose another name with --output"
        ) from None
