"""Pictures from files to files: which becomes which, what is kept, and going on after a failure."""
import dataclasses
from pathlib import Path

from srgan_tf import images
from srgan_tf.errors import UserError

READABLE = {*images.FORMATS, ".gif"}  # suffixes that are picked from folders


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


def plan(paths, output=None, *, label):
    """Say what becomes of what, before anything is read.

    Args:
        paths: files, and folders, of which the pictures at their top are taken, but not earlier results of others.
        output: a picture's file name when `paths` is one file, else a folder; None writes `NAME_x4.png` beside
            `NAME.png`.
        label: "x4" in those names.

    Returns:
        A list of `Job`, in the order of the paths. A file that does not exist is among them: it fails alone.

    Raises:
        UserError: when there is no picture, two would get one name, or a result would replace a picture given.
    """
    sources = _sources(paths, label)
    output = None if output is None else Path(output)
    if output is None or output.is_dir() or output.suffix.lower() not in images.FORMATS:
        if output is not None and output.exists() and not output.is_dir():
            raise UserError(f"it is a file of an unknown format, --output {output}, give a picture's name or a folder")
        jobs = [Job(source, (output or source.parent) / _name(source, label)) for source in sources]
    elif len(sources) == 1 and not Path(paths[0]).is_dir():
        jobs = [Job(sources[0], output)]
    else:
        raise UserError(f"several pictures do not fit in one file, --output {output}, give a folder")
    _check_targets(jobs)
    return jobs


def run(jobs, enlarge, *, size, overwrite=False, tell=print, complain=print, step=lambda: None):
    """Read, enlarge and write one picture after the other.

    Args:
        jobs: as `plan` gives them.
        enlarge: a function of an `images.Picture` that returns a larger one. It is not called before a picture
            was read, so it may load its network when it is called.
        size: a function of a picture's height and width that gives those of its result: what the format cannot hold
            fails before it is computed.
        overwrite: whether results that exist are made again.
        tell: called with a line for each result; complain: with one for each failure; step: after each picture.

    Returns:
        An `Outcome`.
    """
    outcome = Outcome()
    for job in jobs:
        try:
            if job.target.exists() and not overwrite:
                outcome.kept += 1
                tell(f"kept {job.target}, --overwrite makes it again")
            else:
                tell(_do(job, enlarge, size))
                outcome.done += 1
        except UserError as error:
            outcome.failed += 1
            complain(f"error: {error}")
        step()
    return outcome


def _do(job, enlarge, size):
    images.check_suffix(job.target)
    small = images.read(job.source)
    height, width = size(*small.pixels.shape[:2])
    images.check_fits(job.target, height, width, small.alpha is not None)
    large = enlarge(small)
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made ({error.strerror}), {job.target.parent}, choose another") from None
    images.write(job.target, large)
    return "; ".join([f"{job.source} -> {job.target}, {width} x {height}", *large.notes])


def _sources(paths, label):
    sources = []
    for path in map(Path, paths):
        sources += _in_folder(path, label) if path.is_dir() else [path]
    return list(dict.fromkeys(sources))


def _in_folder(folder, label):
    try:
        found = sorted(child for child in folder.iterdir() if child.suffix.lower() in READABLE
                       and not child.name.startswith(".") and child.is_file())
    except OSError as error:
        raise UserError(f"the folder cannot be read ({error.strerror}), {folder}, check its permissions") from None
    results = {child.with_name(_name(child, label)) for child in found}
    found = [child for child in found if child not in results]
    if not found:
        raise UserError(f"the folder holds no pictures, {folder}, give one with {' '.join(sorted(READABLE))} files")
    return found


def _name(source, label):
    suffix = source.suffix if source.suffix.lower() in images.FORMATS else ".png"
    return f"{source.stem}_{label}{suffix}"


def _check_targets(jobs):
    sources = {job.source.resolve() for job in jobs}
    taken = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise UserError(f"the result would replace a picture given, {job.target}, choose another --output")
        if target in taken:
            raise UserError(f"{taken[target]} and {job.source} would get one name, {job.target}, enlarge them apart")
        taken[target] = job.source
