"""Enlarging files one by one: existing results are kept, and a failure does not end the run."""

import contextlib
import dataclasses
import math
import os
import time

from srgan_tf.errors import ModelError, UserError, one_line, stderr_held_back
from srgan_tf.images import animations, clip_names, clips, formats, reading, writing
from srgan_tf.images.options import FileOptions
from srgan_tf.images.picture import Picture
from srgan_tf.upscaling import memory
from srgan_tf.upscaling.plans import Job
from srgan_tf.upscaling.reporter import Reporter

PAUSE = 0.5  # seconds between checks of files that other processes are making
HARMLESS_PIXELS = 2**23  # up to this size there is no limit on pixels per byte
PIXELS_PER_BYTE = 1000  # above the ratio of a white picture in PNG and JPEG
_DEFAULT = FileOptions()


@dataclasses.dataclass(frozen=True)
class Made:
    """Facts about a result.

    small, large: (width, height) before and after; None for a clip.
    notes: notes for the user.
    bytes: the sizes of the two files, 0 for one that was taken away at once.
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
    """The numbers of pictures that were made, kept because their result exists, and failed."""

    done: int = 0
    kept: int = 0
    failed: int = 0

    @property
    def status(self):
        """0: no failures; 1: some failed; 2: all failed."""
        return 0 if not self.failed else 1 if self.done or self.kept else 2

    def __str__(self):
        return f"{self.done} enlarged, {self.kept} kept, {self.failed} failed"


def run(
    jobs, enlarger, *, overwrite: bool = False, reporter: Reporter | None = None, options: FileOptions = _DEFAULT
) -> Outcome:
    """Read, enlarge and write pictures one by one, and animations frame by frame.

    Two runs on one folder share the work: a result that another process is making is skipped, and made at the end if
    that process ended without it. Unfinished files of killed runs are removed.

    Args:
        jobs: jobs as returned by `plans.plan`.
        enlarger: an `enlarger.Enlarger`, or an object with its `size` and `picture(picture, step)`. If it has a `key`
            that identifies what it computes, interrupted clips are resumed. `picture` is first called after a picture
            was read, so it may load the network.
        overwrite: whether existing results are made again.
        reporter: a `reporter.Reporter`.
        options: an `options.FileOptions`.

    Returns:
        An `Outcome`.

    Raises:
        ModelError: if the enlarger cannot load its model.
    """
    run = _Run(enlarger, overwrite, reporter or Reporter(), options)
    others = [job for job in jobs if not run.make(job)]
    if others:
        run.reporter.note(f"results that another run is making: {len(others)}. Waiting for it.")
    while others:
        before, others = others, [job for job in others if not run.make(job, overwrite=False)]
        if len(others) == len(before):
            time.sleep(PAUSE)
    return run.outcome


class _Taken(Exception):
    """Another process began to make the same result in a new folder at the same time."""


def _nothing():
    pass


class _Run:
    """The state of a run over several jobs."""

    def __init__(self, enlarger, overwrite, reporter, options):
        self._enlarger, self._overwrite, self.reporter, self._options = enlarger, overwrite, reporter, options
        self._swept, self.outcome = set(), Outcome()

    def make(self, job, overwrite=True):
        """Make, keep or fail one job; False where another process is making it."""
        try:
            if job.problem:
                raise UserError(job.problem)
            keep = not (overwrite and self._overwrite)
            if keep and _exists(job.target):
                self._keep(job)
                return True
            if job.target.parent not in self._swept:
                job.target.parent.sweep()
                self._swept.add(job.target.parent)
            with contextlib.ExitStack() as claims:
                mine = claims.enter_context(job.target.claimed())
                if mine is False:
                    return False
                if _exists(job.target) and keep:  # another process has made it in the meantime
                    self._keep(job)
                    return True

                def claim():
                    if claims.enter_context(job.target.claimed()) is False or keep and _exists(job.target):
                        raise _Taken

                made = make(job, self._enlarger, self.reporter, self._options, _nothing if mine else claim)
            self.reporter.result(made.line(job))
            self.outcome.done += 1
        except _Taken:
            return False
        except ModelError:
            raise
        except UserError as error:
            self.outcome.failed += 1
            self.reporter.error(error)
        self.reporter.picture()
        return True

    def _keep(self, job):
        self.outcome.kept += 1
        self.reporter.result(kept_line(job.target))
        self.reporter.picture()


def kept_line(target) -> str:
    return one_line(f"kept {target}; --overwrite replaces it")


def make(job: Job, enlarger, reporter: Reporter | None = None, options: FileOptions = _DEFAULT, claim=_nothing) -> Made:
    """Make one result atomically.

    Args:
        job, enlarger, reporter, options: see `run`.
        claim: a function that is called when the folder of the result exists, before anything is computed.

    Returns:
        A `Made`.

    Raises:
        UserError: if the picture cannot be read or enlarged, or its result cannot be written.
    """
    with job.source.fetched() as source, job.target.stored() as target:
        status = _status(source)  # now: the file may be gone when the result is finished
        reporter = reporter or Reporter()
        task = _Task(Job(source, target), job.source, enlarger, reporter, options, claim)
        try:
            made = task.clip() if clip_names.is_clip(source) else task.picture_or_animation()
        except MemoryError:
            raise UserError(f"{job.source}: not enough memory. Make it smaller or cut it into parts.") from None
        except KeyboardInterrupt:
            segments = clip_names.segments_of(target)
            if target is job.target and segments.is_dir():  # those of a remote result are gone
                reporter.note(one_line(f"{target}: the same command resumes it. If you do not, delete {segments}."))
            raise
        if options.keep_times and status:
            with contextlib.suppress(OSError):
                os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        sizes = tuple(one.st_size if one else 0 for one in (status, _status(target)))
        return dataclasses.replace(made, bytes=sizes)


def _status(path):
    """`os.stat`, or None for a file that another program has taken away; a missing source is reported when read."""
    try:
        return os.stat(path)
    except OSError:
        return None


class _Task:
    """One local file to read and one to write."""

    def __init__(self, job, name, enlarger, reporter, options, claim):
        self._source, self._target, self._name, self._claim = job.source, job.target, name, claim
        self._enlarger, self._reporter, self._options = enlarger, reporter, options
        self._frame_notes = {}  # in their order

    def picture_or_animation(self):
        formats.check_suffix(self._target)
        with contextlib.ExitStack() as stack:
            with stderr_held_back():  # libtiff's warnings about damaged files
                file = stack.enter_context(reading.opened(self._source, keep_damaged=self._options.keep_damaged))
                self._check_weight(file)
                animation = animations.read(file)
                small = None if animation else file.picture()
            if animation:
                return self._animation(animation)
        return self._picture(small)

    def clip(self):
        if not os.path.isfile(self._source):
            raise UserError(f"{self._source}: no such file. Check its name.")
        self._begin()
        notes = clips.enlarge(
            self._source,
            self._target,
            self._larger_frame,
            frame=self._reporter.frame,
            keep_interlaced=self._options.keep_interlaced,
            key=getattr(self._enlarger, "key", None),
        )
        return Made(None, None, (*self._frame_notes, *notes))

    def _begin(self):
        self._target.parent.make_writable_folder()
        self._claim()

    def _picture(self, small):
        height, width = self._enlarger.size.of(*small.pixels.shape[:2])
        kind = formats.check_fits(self._target, height, width, small)
        if kind not in formats.WITH_ALPHA:
            small = dataclasses.replace(small, alpha=None)  # it is opaque
        self._check_memory(height, width, formats.channels(small) * small.pixels.itemsize + 4)
        self._begin()
        large = self._larger(small)
        notes = large.notes + writing.write(self._target, large, self._options)
        return Made(small.pixels.shape[1::-1], (width, height), tuple(notes))

    def _animation(self, animation):
        height, width = self._enlarger.size.of(animation.height, animation.width)
        animations.check_fits(self._target, animation, height, width)
        # Pillow keeps all frames of a GIF file in memory, and two copies of each frame of a PNG file.
        kept = {"GIF": 1, "PNG": 8}.get(formats.check_suffix(self._target), 0) * animation.count
        self._check_memory(height, width, 4 + kept)
        self._begin()
        notes = (
            f"{animation.count} frames",
            *animations.write(self._target, animation, self._larger_frames(animation), self._options),
        )
        return Made((animation.width, animation.height), (width, height), tuple(notes))

    def _larger_frames(self, animation):
        for i, picture in enumerate(animation.frames()):
            self._reporter.frame(i, animation.count)
            yield self._larger(picture)

    def _larger_frame(self, rgb):
        height, width = self._enlarger.size.of(*rgb.shape[:2])
        if max(height, width) > clips.LONGEST:
            raise UserError(
                f"{self._source}: the result would have {width} x {height} pixels, a video has at most "
                f"{clips.LONGEST} a side. Give --outscale or --width."
            )
        large = self._larger(Picture(rgb, lossy=True))
        self._frame_notes |= dict.fromkeys(large.notes)
        return large.pixels

    def _larger(self, picture):
        try:
            return self._enlarger.picture(picture, self._reporter.tile)
        except ModelError:
            raise
        except UserError as error:
            raise UserError(f"{self._name}: {error}") from None

    def _check_weight(self, file):
        """Reject a small file with a huge picture, which may be crafted to exhaust memory and time."""
        pixels, size = math.prod(file.image.size) if file.image else 0, os.path.getsize(self._source)
        if not self._options.large and pixels > max(HARMLESS_PIXELS, PIXELS_PER_BYTE * size):
            width, height = file.image.size
            raise UserError(f"{self._source}: {width} x {height} pixels in {size} bytes. Give --large to accept it.")

    def _check_memory(self, height, width, bytes_per_pixel):
        """Reject a result that does not fit into memory: otherwise the system may kill this process silently.

        `bytes_per_pixel` is a lower bound: the pixel itself and the copies that Pillow writes.
        """
        left = memory.available(swap=True)
        if left is not None and height * width * bytes_per_pixel > left:
            raise UserError(
                f"{self._source}: not enough memory for a result of {width} x {height} pixels. Make it smaller, or "
                "cut the picture into parts."
            )


def _exists(target):
    if (kind := target.kind()) == "folder":
        raise UserError(f"{target}: a folder has the name of the result. Choose another --output.")
    if kind is None:
        target.check_name()
    return kind is not None
