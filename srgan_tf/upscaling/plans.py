"""Which picture becomes which file, before anything is read."""

import dataclasses
import glob
import os
import re
from pathlib import Path

from srgan_tf.errors import UserError, one_line
from srgan_tf.images import clip_names, formats
from srgan_tf.upscaling import places

RESULT = re.compile(r"(.+)_(x[\d.]+|w\d+|h\d+|\d+x\d+)")  # the stem of a picture's result

LISTED = 500  # pictures of a folder that are planned together


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to read and the file to write it to: places, as `places.of` gives them.

    problem: why nothing can be done; a folder that cannot be read is a job with a problem and without a target.
    """

    source: object
    target: object
    problem: str | None = None


def plan(paths, output=None, *, label, recursive=False, format=None, tell=lambda line: None):
    """Say what becomes of what, before anything is read.

    Args:
        paths: pictures and clips; folders, of which the pictures at their top are taken, but no clips, no hidden ones
            and no earlier results of others; and patterns such as `*.png` that no file has as its name.
        output: a picture's file name when `paths` is one file, else a folder; None writes `NAME_x4.png` beside
            `NAME.png`.
        label: "x4" in those names.
        recursive: whether pictures in sub-folders are taken, too; below `output` they keep their sub-folders.
        format: a suffix without its dot, for the results of pictures; None keeps each picture's own.
        tell: called with a line for each folder whose clips or earlier results are left out.

    Returns:
        A list of `Job`: files, then folders, in the order of the paths. A file that does not exist is among them, and
        at the end folders that cannot be read: they fail alone.

    Raises:
        UserError: when there is no picture, two would get one name, a result would replace a picture given, or a clip
            is to get the format of a picture.
    """
    planned = parts(paths, output, label=label, recursive=recursive, format=format, tell=tell)
    good, wrong = checked([job for part in planned for job in part])
    for job, problem in wrong.items():
        if not job.problem:
            raise UserError(problem)
    return [*good, *wrong]


def parts(paths, output=None, *, label, recursive=False, format=None, tell=lambda line: None):
    """What `plan` gives, some hundred at a time and unchecked: a generator of lists of `Job`.

    What `checked` says of each list is all there is to say if only one folder is given: the results of a folder's
    pictures lie in a folder of their own, and those that could get one name are in one list.
    """
    output = None if output is None else places.of(output, flag="--output")
    files, folders = split(paths)
    if format and (clips := [file for file in files if clip_names.is_clip(file.name)]):
        raise UserError(f"a clip becomes a clip, {clips[0]} --format {format}, leave one of them out")
    if output is None or is_folder(output):
        if output is not None and places.exists(output) and not places.is_dir(output):
            raise UserError(f"it is a file of an unknown format, --output {output}, give a picture's name or a folder")
        named = output is not None and (clip_names.is_clip(output.name) or formats.is_picture(output.name))
        if named and not places.exists(output):
            raise UserError(
                f"the format of the result is unknown, --output {output}, choose one of "
                f"{' '.join([*formats.FORMATS, *clip_names.CONTAINERS])}"
            )

        def job(picture, below=""):
            return Job(picture, (output / below if output else picture.parent) / _name(picture, label, format))

        if files:
            yield [job(picture) for picture in _without_namesakes(files, tell)]
        for folder in folders:
            yield from _in_folder(folder, recursive, output, job, tell)
    elif folders or len(files) > 1:
        raise UserError(f"several pictures do not fit in one file, --output {output}, give a folder")
    elif format and formats.check_suffix(output) != formats.FORMATS["." + format]:
        raise UserError(f"its name means another format, --output {output} --format {format}, leave one of them out")
    else:
        yield [Job(*files, output)]


def split(paths):
    """The files and the folders that paths mean: two lists of places, each once."""
    given = {_absolute(found): found for path in paths for found in _matches(path)}.values()
    folders = [found for found in given if places.is_dir(found)]
    return [found for found in given if found not in folders], folders


def is_folder(output):
    """Whether results go into a folder of that name: there is one, or it is not the name of a picture or a clip."""
    return places.is_dir(output) or output.suffix.lower() not in {*formats.FORMATS, *clip_names.CONTAINERS}


def checked(jobs):
    """Which of some jobs can be done: each picture once, no earlier results, and no two that get one name.

    Returns:
        A list of `Job`, and by job what is wrong with the others.
    """
    wrong = {job: job.problem for job in jobs if job.problem}
    jobs = [job for job in jobs if not job.problem]
    jobs = _without_results(list({_absolute(job.source): job for job in reversed(jobs)}.values())[::-1])
    clashes = _clashes(jobs)
    return [job for job in jobs if job not in clashes], {**clashes, **wrong}


def _matches(path):
    """The files that a path means: a pattern that the shell left is a pattern where no file has that name."""
    place = places.of(path)
    if isinstance(place, Path) and glob.has_magic(str(path)) and not os.path.lexists(path):
        return [Path(found) for found in sorted(glob.glob(str(path), recursive=True))] or [place]
    return [place]


def _in_folder(folder, recursive, output, job, tell):
    """Lists of the jobs in a folder and those below it; `job(picture, below)` makes one of a path below it."""
    own = None if output is None else places.identity(output)
    pending, empty, clips, results = [""], True, 0, 0
    while pending:
        below = pending.pop()
        try:
            folders, files = places.children(folder / below)
        except UserError as error:
            empty = False
            yield [Job(folder / below, None, str(error))]
            continue
        if recursive:
            pending += [
                os.path.join(below, child)
                for child in sorted(folders, reverse=True)
                if not child.startswith(".") and places.identity(folder / below / child) != own
            ]
        clips += len(_originals(files, clip_names.is_clip)[0])
        pictures, earlier = _originals(files, _is_ours)
        results += earlier
        if pictures:
            empty = False
            for some in _together(pictures):
                yield [job(folder / below / name, below) for name in some]
    if clips:
        tell(one_line(f"clips in {folder} are left out: {clips}; name them to enlarge them"))
    if results:
        tell(one_line(f"earlier results in {folder} are left out: {results}; name them to enlarge them"))
    if empty:
        raise UserError(
            f"the folder holds no pictures, {folder}, give one with {' '.join(sorted(formats.FORMATS))} "
            "files" + ("" if recursive else ", or --recursive")
        )


def _originals(names, wanted):
    """Those of a folder's names that are wanted, but no hidden ones and no results of others; how many results."""
    found = [name for name in names if wanted(name) and name[0] != "."]
    stems = {_stem(name) for name in found}
    own = [name for name in found if not ((result := RESULT.fullmatch(_stem(name))) and result[1] in stems)]
    return sorted(own, key=lambda name: (_stem(name), name)), len(found) - len(own)


def _is_ours(name):
    return os.path.splitext(name)[1].lower() in formats.FORMATS


def _together(names):
    """Sorted names in lists of `LISTED` or a few more: those of one stem, whose results could have one name, in one."""
    some = []
    for name in names:
        if len(some) >= LISTED and _stem(name) != _stem(some[-1]):
            yield some
            some = []
        some.append(name)
    yield some


def _stem(name):
    return os.path.splitext(name)[0]


def _name(source, label, format):
    if clip_names.is_clip(source.name):
        return f"{source.stem}_{label}{clip_names.suffix_for(source.name)}"
    own = source.suffix if source.suffix.lower() in formats.FORMATS else ".png"
    return f"{source.stem}_{label}{'.' + format if format else own}"


def _without_namesakes(files, tell):
    """A shell's `*.png` names the results of earlier runs, too, of whatever size: they are not enlarged again."""

    def key(file, stem):
        return _absolute(file.parent), stem, clip_names.is_clip(file.name)

    originals = {key(file, file.stem) for file in files}
    own = [
        file for file in files if not ((result := RESULT.fullmatch(file.stem)) and key(file, result[1]) in originals)
    ]
    if len(own) < len(files):
        tell(f"earlier results are left out: {len(files) - len(own)}; name them alone to enlarge them")
    return own


def _without_results(jobs):
    """A result that is named beside the folder of its picture is not enlarged again."""
    targets = {_absolute(job.target): job for job in jobs}
    return [job for job in jobs if targets.get(_absolute(job.source), job) is job]


def _clashes(jobs):
    """What is wrong with jobs, by job: their results would replace a picture given or each other."""
    sources, taken, clashes = {_identity(job.source) for job in jobs}, {}, {}
    for job in jobs:
        target = places.identity(job.target)
        if _identity(job.target) in sources:
            clashes[job] = f"the result would replace a picture given, {job.target}, choose another --output"
        elif target in taken:
            clashes[job] = f"{taken[target]} and {job.source} would get one name, {job.target}, enlarge them apart"
        else:
            taken[target] = job.source
    return clashes


def _absolute(place):
    return os.path.abspath(place) if isinstance(place, Path) else str(place)


def _identity(path):
    """What is the same for all names of a file, be they links or, where case does not count, a.png and A.PNG."""
    try:
        status = path.stat() if isinstance(path, Path) else None
    except OSError:
        status = None
    return (status.st_dev, status.st_ino) if status else places.identity(path)
