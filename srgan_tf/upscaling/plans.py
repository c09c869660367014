"""Plans the result file of each picture before anything is read."""

import collections
import dataclasses
import functools
import os
import re

from srgan_tf.errors import UserError, one_line
from srgan_tf.images import clip_names, folders, formats
from srgan_tf.upscaling import places
from srgan_tf.upscaling.reporter import Reporter

RESULT = re.compile(r"(.+)_(x[\d.]+|w\d+|h\d+|\d+x\d+)")  # the stem of a picture's result
LISTED = 500  # pictures of a folder that are planned together


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to read and the file to write: places, or arguments of `places.of`.

    problem: why the job cannot be done. An unreadable folder is a job with a problem and without a target.
    """

    source: object
    target: object
    problem: str | None = None

    def __post_init__(self):
        for field in ("source", "target"):
            if (place := getattr(self, field)) is not None:
                object.__setattr__(self, field, places.of(place))


def plan(paths, output=None, *, reporter: Reporter | None = None, **options) -> list[Job]:
    """Plan the results of pictures before anything is read.

    Args:
        paths, output, options: see `Request.of`.
        reporter: a `reporter.Reporter`, which gets the numbers of skipped clips and earlier results of each folder.

    Returns:
        A list of `Job`: files, then folders, in the order of the paths. Missing files are included. Unreadable folders
        follow at the end and, if a folder is given, pictures whose result would get the name of another result or
        replace an input picture; each of them fails without affecting the others.

    Raises:
        UserError: if there is no picture, results of files would get the same name or replace an input picture, or a
            picture format is requested for a clip.
    """
    return planned(Request.of(paths, output, **options), reporter)


def planned(request: "Request", reporter: Reporter | None = None) -> list[Job]:
    """The result of `plan` for a `Request`."""
    good, wrong = checked([job for part in request.parts(reporter) for job in part])
    for job, problem in wrong.items():
        if not job.problem and not (request.folders and good):
            raise UserError(problem)
    return [*good, *(dataclasses.replace(job, problem=problem) for job, problem in wrong.items())]


@dataclasses.dataclass(frozen=True)
class Request:
    """The user's request: pictures to enlarge and where to write the results.

    files, folders: places without duplicates.
    output: a place, or None to write beside each picture.
    label, recursive, format, suffix: see `of`.
    into_folder: whether the output is named as a folder, with a slash at the end.
    """

    files: tuple
    folders: tuple
    output: object
    label: str
    recursive: bool
    format: str | None
    suffix: str | None = None
    into_folder: bool = False

    @classmethod
    def of(cls, paths, output=None, *, label, recursive=False, format=None, suffix=None):
        """Sort paths into files and folders, with one look at the file system.

        Args:
            paths: pictures and clips; folders, whose direct pictures are used except clips, hidden files and results
                of other pictures; and patterns such as `*.png`, unless a file has that name.
            output: a file name if `paths` is one file, otherwise a folder, as is every name that ends in `/`; None
                writes `NAME_x4.png` beside `NAME.png`.
            label: "x4" in these names.
            recursive: whether to include pictures in sub-folders; the sub-folders are recreated below `output`.
            format: the suffix, without its dot, of the results of pictures; None keeps the format of each picture.
            suffix: the text appended to the names of results; None is "_" and the label.
        """
        if suffix and (os.sep in suffix or "\0" in suffix):
            raise UserError(f"--suffix {suffix}: part of a path. Give what is appended to names, such as _large.")
        found = {place.normalised(): place for path in paths for place in places.of(path).matches()}.values()
        folders = [place for place in found if place.kind() == "folder"]
        files = tuple(place for place in found if place not in set(folders))
        into_folder = str(output).endswith(("/", os.sep))  # a place has no slash at its end
        output = None if output is None else places.of(output, flag="--output")
        return cls(files, tuple(folders), output, label, recursive, format, suffix, into_folder)

    def anywhere(self):
        """The same request, independent of the working directory."""
        files, folders = (tuple(place.normalised() for place in some) for some in (self.files, self.folders))
        output = self.output and self.output.normalised()
        return dataclasses.replace(self, files=files, folders=folders, output=output)

    def result_folder(self):
        """The folder for all results, or for those of the first path."""
        if self.output is not None:
            return self.output if self._output_is_folder() else self.output.parent
        return self.folders[0] if self.folders else self.files[0].parent

    def parts(self, reporter=None):
        """Yield lists of several hundred `Job`s, which are not yet checked.

        `checked` must be called for each list. If only one folder is given, this is sufficient: the results of each
        folder are in a separate folder, and pictures with possibly equal result names are in one list.

        Raises:
            UserError: as `plan`.
        """
        reporter, output, format = reporter or Reporter(), self.output, self.format
        if format and (clips := [file for file in self.files if clip_names.is_clip(file.name)]):
            raise UserError(f"--format {format}: cannot store a video, such as {clips[0]}. Omit one of them.")
        if output is None or self._output_is_folder():
            self._check_output()
            if self.files:
                yield [self._job(picture) for picture in _without_namesakes(self.files, self.suffix, reporter)]
            for folder in self.folders:
                yield from self._in_folder(folder, reporter)
        elif self.folders or len(self.files) > 1:
            raise UserError(f"--output {output}: several pictures do not fit in one file. Give a folder.")
        else:
            formats.check_same(format, output)
            yield [Job(*self.files, output)]

    @functools.cached_property
    def _output_kind(self):
        return self.output and self.output.kind()

    def _output_is_folder(self):
        """Whether `output` is a folder: it is named or exists as one, or has no suffix of a picture or clip."""
        known = {*formats.FORMATS, *clip_names.CONTAINERS}
        return self.into_folder or self._output_kind == "folder" or self.output.suffix.lower() not in known

    def _check_output(self):
        output = self.output
        if self._output_kind == "file" and self.into_folder:
            raise UserError(f"--output {output}/: a file, not a folder. Choose another name.")
        if self._output_kind == "file":
            raise UserError(f"--output {output}: a file of an unsupported format. Give a picture's name or a folder.")
        named = output is not None and (clip_names.is_clip(output.name) or formats.is_picture(output.name))
        if named and self._output_kind is None and not self.into_folder:
            supported = " ".join([*formats.FORMATS, *clip_names.CONTAINERS])
            raise UserError(f"--output {output}: a format that cannot be written. Supported: {supported}.")

    def _job(self, picture, below=""):
        name = _name(picture, f"_{self.label}" if self.suffix is None else self.suffix, self.format)
        return Job(picture, (self.output / below if self.output else picture.parent) / name)

    def _in_folder(self, folder, reporter):
        """Yield lists of the jobs in a folder and its sub-folders."""
        own = None if self.output is None else self.output.target_identity()
        pending, empty, clips, results, others = [""], True, 0, 0, collections.Counter()
        above = {parent.target_identity() for parent in folder.normalised().parents}
        seen = {own, folder.target_identity(), *above}
        while pending:
            below = pending.pop()
            try:
                children, files = (folder / below).children()
            except UserError as error:
                empty = False
                yield [Job(folder / below, None, str(error))]
                continue
            if self.recursive:
                deeper = []
                for child in sorted(name for name in children if not name.startswith(".")):
                    place = (folder / below / child).target_identity()
                    if place not in seen:  # a linked folder is followed once
                        seen.add(place)
                        deeper.append(os.path.join(below, child))
                pending += deeper[::-1]
            kinds = {name: folders.kind(name) for name in files}
            clips += len(_originals([name for name in files if kinds[name] == "clip"], self.suffix)[0])
            others.update(kind for kind in kinds.values() if kind not in ("picture", "clip", "hidden"))
            pictures, earlier = _originals([name for name in files if kinds[name] == "picture"], self.suffix)
            results += earlier
            if pictures:
                empty = False
                for some in _together(pictures):
                    yield [self._job(folder / below / name, below) for name in some]
        for count, what in ((clips, "videos"), (results, "earlier results")):
            if count:
                reporter.note(one_line(f"{folder}: {what} skipped: {count}. Name them to enlarge them."))
        if others:
            reporter.note(one_line(f"{folder}: other files skipped: {folders.summary(others)}."))
        if empty:
            suffixes, deeper = " ".join(sorted(formats.FORMATS)), "" if self.recursive else ", or --recursive"
            raise UserError(f"{folder}: no pictures in this folder. Give one with {suffixes} files{deeper}.")


def checked(jobs):
    """Select the jobs that can be done: each picture once, no earlier results, and unique result names.

    Returns:
        A list of `Job`, and a dict of the problems of the others by job.
    """
    wrong = {job: job.problem for job in jobs if job.problem}
    jobs = [job for job in jobs if not job.problem]
    once = {job.source.normalised(): job for job in reversed(jobs)}
    jobs = _without_results(list(once.values())[::-1])
    clashes = _clashes(jobs)
    return [job for job in jobs if job not in clashes], {**clashes, **wrong}


def _originals(names, suffix):
    """The sorted names of a folder without results of other pictures, and the number of results."""
    stems = {_stem(name) for name in names}
    own = [name for name in names if not stems.intersection(_origins(_stem(name), suffix))]
    return sorted(own, key=lambda name: (_stem(name), name)), len(names) - len(own)


def _origins(stem, suffix):
    """The stems of the pictures that a result with this stem may come from."""
    result = RESULT.fullmatch(stem)
    named = [stem.removesuffix(suffix)] if suffix and stem.endswith(suffix) else []
    return [result[1], *named] if result else named


def _together(names):
    """Split sorted names into lists of about `LISTED`; names of one stem, whose results could clash, stay together."""
    some = []
    for name in names:
        if len(some) >= LISTED and _stem(name) != _stem(some[-1]):
            yield some
            some = []
        some.append(name)
    yield some


def _stem(name):
    return os.path.splitext(name)[0]


def _name(source, suffix, format):
    if clip_names.is_clip(source.name):
        return f"{source.stem}{suffix}{clip_names.suffix_for(source.name)}"
    return f"{source.stem}{suffix}{'.' + format if format else formats.suffix_for(source.name)}"


def _without_namesakes(files, suffix, reporter):
    """Remove files that are earlier results of others, at any scale, which a shell's `*.png` includes."""

    def key(file, stem):
        return file.parent.normalised(), stem, clip_names.is_clip(file.name)

    originals = {key(file, file.stem) for file in files}
    own = [file for file in files if not any(key(file, stem) in originals for stem in _origins(file.stem, suffix))]
    if len(own) < len(files):
        reporter.note(f"earlier results skipped: {len(files) - len(own)}. Name them alone to enlarge them.")
    return own


def _without_results(jobs):
    """Remove jobs whose picture is the result of another job: it was given in addition to the original's folder."""
    targets = {job.target.normalised(): job for job in jobs}
    return [job for job in jobs if targets.get(job.source.normalised(), job) is job]


def _clashes(jobs):
    """Problems by job: results that would replace an input picture or each other."""
    sources, taken, clashes = {job.source.identity() for job in jobs}, {}, {}
    for job in jobs:
        target = job.target.target_identity()
        if job.target.identity() in sources:
            clashes[job] = f"{job.target}: the result would replace a picture given. Choose another --output."
        elif target in taken:
            both = f"{taken[target]} and {job.source} would both be written to it"
            clashes[job] = f"{job.target}: {both}. Enlarge one with another --suffix or --output."
        else:
            taken[target] = job.source
    return clashes
