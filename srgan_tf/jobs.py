"""Pictures from files to files: which becomes which, what is kept, and going on after a failure."""
import contextlib
import dataclasses
import glob
import os
import re
import sys
from pathlib import Path

from srgan_tf import animations, atomic, images, video
from srgan_tf.errors import UserError, one_line

RESULT = re.compile(r"(.+)_(x[\d.]+|w\d+|h\d+|\d+x\d+)")  # the stem of a picture's result


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to read and the file to write it to."""

    source: Path
    target: Path


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


def plan(paths, output=None, *, label, recursive=False, format=None):
    """Say what becomes of what, before anything is read.

    Args:
        paths: pictures and clips; folders, of which the pictures at their top are taken, but no clips, no hidden ones
            and no earlier results of others; and patterns such as `*.png` that no file has as its name.
        output: a picture's file name when `paths` is one file, else a folder; None writes `NAME_x4.png` beside
            `NAME.png`.
        label: "x4" in those names.
        recursive: whether pictures in sub-folders are taken, too; below `output` they keep their sub-folders.
        format: a suffix without its dot, for all results; None keeps each picture's own.

    Returns:
        A list of `Job`, in the order of the paths. A file that does not exist is among them: it fails alone.

    Raises:
        UserError: when there is no picture, two would get one name, or a result would replace a picture given.
    """
    output = None if output is None else Path(output)
    sources, alone = _sources(paths, recursive, output)
    if output is None or output.is_dir() or output.suffix.lower() not in {*images.FORMATS, *video.CONTAINERS}:
        if output is not None and output.exists() and not output.is_dir():
            raise UserError(f"it is a file of an unknown format, --output {output}, give a picture's name or a folder")
        jobs = [Job(source, (output / below if output else source.parent) / _name(source, label, format))
                for source, below in sources.items()]
        jobs = _without_results(jobs)
    elif not alone:
        raise UserError(f"several pictures do not fit in one file, --output {output}, give a folder")
    elif format and images.check_suffix(output) != images.FORMATS["." + format]:
        raise UserError(f"its name means another format, --output {output} --format {format}, leave one of them out")
    else:
        jobs = [Job(*sources, output)]
    _check_targets(jobs)
    return jobs


def run(jobs, enlarge, *, size, overwrite=False, tell=print, complain=print, step=lambda: None,
        frame=lambda done, count: None):
    """Read, enlarge and write one picture after the other; of an animation, one frame after the other.

    What killed runs left half-written beside the results is removed.

    Args:
        jobs: as `plan` gives them.
        enlarge: a function of an `images.Picture` that returns a larger one. It is not called before a picture
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
            if _exists(job.target) and not overwrite:
                outcome.kept += 1
                tell(one_line(f"kept {job.target}, --overwrite makes it again"))
            else:
                if job.target.parent not in swept:
                    atomic.sweep(job.target.parent)
                    swept.add(job.target.parent)
                tell(one_line((_do_clip if video.is_clip(job.source) else _do)(job, enlarge, size, frame)))
                outcome.done += 1
        except UserError as error:
            outcome.failed += 1
            complain(f"error: {error}")
        step()
    return outcome


def _do(job, enlarge, size, frame):
    """Make one result; the line that tells of it."""
    kind = images.check_suffix(job.target)
    try:
        with _quiet_libraries():
            animation = animations.read(job.source)
            small = None if animation else images.read(job.source)
        if animation:
            height, width = size(animation.height, animation.width)
            animations.check_fits(job.target, animation, height, width)
            _make_folder(job.target.parent)
            larger = _enlarged(animation, enlarge, frame)
            notes = (f"{animation.count} frames", *animations.write(job.target, animation, larger))
        else:
            height, width = size(*small.pixels.shape[:2])
            images.check_fits(job.target, height, width, small.alpha)
            _make_folder(job.target.parent)
            if kind not in images.WITH_ALPHA:
                small = dataclasses.replace(small, alpha=None)  # it is opaque
            large = enlarge(small)
            notes = large.notes + images.write(job.target, large)
    except MemoryError:
        raise UserError(f"there is not enough memory, {job.source}, cut it into parts") from None
    return "; ".join([f"{job.source} -> {job.target}, {width} x {height}", *notes])


def _do_clip(job, enlarge, size, frame):
    """Make one clip; the line that tells of it."""
    if not job.source.is_file():
        raise UserError(f"no such file, {job.source}, check its name")
    _make_folder(job.target.parent)
    try:
        notes = video.enlarge(job.source, job.target, lambda rgb: enlarge(images.Picture(rgb)).pixels, frame=frame)
    except MemoryError:
        raise UserError(f"there is not enough memory, {job.source}, take a smaller --tile") from None
    return "; ".join([f"{job.source} -> {job.target}", *notes])


@contextlib.contextmanager
def _quiet_libraries():
    """Hold back what libtiff prints about a damaged file: what counts of it becomes one line, ours."""
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere, os.fdopen(os.dup(2), "w") as stderr:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr.fileno(), 2)


def _enlarged(animation, enlarge, frame):
    for i, picture in enumerate(animation.frames()):
        frame(i, animation.count)
        yield enlarge(picture)


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made ({error.strerror}), {folder}, choose another") from None


def _exists(path):
    try:
        if path.is_dir():
            raise UserError(f"a folder has the name of the result, {path}, choose another with --output")
        return path.exists()
    except OSError as error:  # such as a name that is too long
        raise UserError(f"the result cannot be written ({error.strerror}), {path}, choose another name with "
                        "--output") from None


def _sources(paths, recursive, output):
    """The pictures that are meant, each with its folder below the one that was given; whether it is one alone."""
    sources, folders = {}, False
    for path in paths:
        for found in _matches(path):
            if not found.is_dir():
                sources.setdefault(os.path.abspath(found), (found, Path()))
                continue
            folders = True
            for child in _in_folder(found, recursive, output):
                sources.setdefault(os.path.abspath(child), (child, child.parent.relative_to(found)))
    return dict(sources.values()), len(sources) == 1 and not folders


def _matches(path):
    """The files that a path means: a pattern that the shell left is a pattern where no file has that name."""
    if glob.has_magic(str(path)) and not os.path.lexists(path):
        return [Path(found) for found in sorted(glob.glob(str(path), recursive=True))] or [Path(path)]
    return [Path(path)]


def _in_folder(folder, recursive, output):
    def fail(error):
        raise UserError(f"the folder cannot be read ({error.strerror}), {error.filename}, check its permissions")

    found = []
    own = None if output is None else os.path.realpath(output)
    for name, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(child for child in folders if recursive and not child.startswith(".")
                            and os.path.realpath(os.path.join(name, child)) != own)
        pictures = {Path(name, child) for child in files
                    if Path(child).suffix.lower() in images.FORMATS and not child.startswith(".")}
        stems = {picture.stem for picture in pictures}
        found += sorted(picture for picture in pictures
                        if not ((result := RESULT.fullmatch(picture.stem)) and result[1] in stems))
    if not found:
        raise UserError(f"the folder holds no pictures, {folder}, give one with {' '.join(sorted(images.FORMATS))} "
                        "files" + ("" if recursive else ", or --recursive"))
    return found


def _name(source, label, format):
    if video.is_clip(source):
        return f"{source.stem}_{label}{video.suffix_for(source)}"
    own = source.suffix if source.suffix.lower() in images.FORMATS else ".png"
    return f"{source.stem}_{label}{'.' + format if format else own}"


def _without_results(jobs):
    """A shell's `*.png` names the results of an earlier run, too: they are not enlarged again."""
    targets = {os.path.abspath(job.target) for job in jobs}
    return [job for job in jobs if os.path.abspath(job.source) not in targets]


def _check_targets(jobs):
    sources = {_identity(job.source) for job in jobs}
    taken = {}
    for job in jobs:
        target = os.path.realpath(job.target)
        if _identity(job.target) in sources:
            raise UserError(f"the result would replace a picture given, {job.target}, choose another --output")
        if target in taken:
            raise UserError(f"{taken[target]} and {job.source} would get one name, {job.target}, enlarge them apart")
        taken[target] = job.source


def _identity(path):
    """What is the same for all names of a file, be they links or, where case does not count, a.png and A.PNG."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
