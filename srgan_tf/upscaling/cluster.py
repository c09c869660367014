"""Pictures enlarged by a Ray cluster: the work of `jobs`, as a pipeline of Ray Data.

One task lists names, in blocks that Ray streams. A pool of actors, each with one loaded model, reads, enlarges and
writes the pictures of a block. Results are reported in blocks again. Only names travel through Ray: the machine that
computes a picture reads it and writes its result, and another machine repeats what a lost one was working on.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path

from srgan_tf import atomic
from srgan_tf.errors import UserError, masked, one_line
from srgan_tf.images.options import FileOptions
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import jobs, plans, ray_connection
from srgan_tf.upscaling.reporter import Reporter

SHARE, LARGEST_BLOCK = 64, 32  # an actor gets a 64th of the pictures that are listed so far at once, at most 32
SEGMENT, SECONDS = 10_000, 60  # rows of the manifest that are written together, and for how long they are collected
LIVES = 3  # processes that one picture may end, on one machine; then it fails


def run(
    paths,
    output=None,
    *,
    address,
    label,
    upscaler,
    recursive=False,
    format=None,
    suffix=None,
    overwrite=False,
    files=None,
    reporter=None,
    worker=None,
):
    """Enlarge pictures on a cluster, by the rules of `plans.plan` and `jobs.run`.

    Existing results are found by listing folders. A manifest is written to `manifest/` in the folder of the results:
    files of JSON lines with `source`, `result`, `state` ("made", "kept" or "failed"), `small` and `large` (width and
    height), `bytes` (of both files), `notes`, `seconds`, and `error`. A file is added every `SECONDS` and at the end.

    Two pictures that would get one name are noticed when their folder is listed; the second fails, the rest goes on.

    Args:
        paths, output, label, recursive, format, suffix: as `plans.Request.of` takes them.
        address: HOST:PORT of a cluster, "auto" for the one that this machine belongs to, "local" for one that is
            started for this run.
        upscaler: keyword arguments of `upscaler.Upscaler`; a model that is not shipped is a path that all machines
            see.
        files: a `options.FileOptions`.
        overwrite, reporter: as `jobs.run` takes them.
        worker: a class to take the place of `Worker`.

    Returns:
        A `jobs.Outcome`.

    Raises:
        UserError: when Ray is missing, there is no cluster at the address, or the model is not on its machines.
    """
    request = plans.Request.of(paths, output, label=label, recursive=recursive, format=format, suffix=suffix)
    reporter, outcome = reporter or Reporter(), jobs.Outcome()
    listing = _listing(request, reporter)
    with ray_connection.connected(address) as ray, _Manifest(request.result_folder() / "manifest") as manifest:
        for row in _rows(ray, listing, overwrite, worker or Worker, _portable(upscaler), files):
            if row["state"] == "note":
                reporter.note(row["line"])
                continue
            manifest.add(row)
            if row["state"] == "made":
                outcome.done += 1
                made = jobs.Made(row["small"], row["large"], row["notes"])
                reporter.result(made.line(plans.Job(row["source"], row["result"])))
            elif row["state"] == "kept":
                outcome.kept += 1
                reporter.result(jobs.kept_line(row["result"]))
            else:
                outcome.failed += 1
                reporter.error(one_line(row["error"]))
    return outcome


class Worker:
    """An actor with one loaded model. Called with a block of names, it makes their results.

    It stands in for its `Upscaler` where `jobs.make` takes one, so that reading and writing run beside it.
    """

    def __init__(self, upscaler, threads=1):
        """Load a model.

        Args:
            upscaler: keyword arguments of `Upscaler`.
            threads: how many TensorFlow uses within an operation.
        """
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow runs already: a second model in one process
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        from srgan_tf.upscaling.upscaler import Upscaler

        self._upscaler, self._one_at_a_time = Upscaler(**upscaler), threading.Lock()

    def __call__(self, block, run, files):
        for rows in block["rows"]:
            yield {"rows": [json.dumps([self._made(row, run, files) for row in json.loads(rows)])]}

    @property
    def size(self):
        return self._upscaler.size

    def picture(self, picture, step):
        with self._one_at_a_time:  # while other threads, if there are any, read and write
            return self._upscaler.picture(picture, step)

    def _made(self, row, run, files):
        if row["state"] == "todo":
            started = time.monotonic()
            try:
                with _deaths_counted(row["source"], run):
                    made = jobs.make(plans.Job(row["source"], row["result"]), self, options=files)
                row |= {"state": "made", **dataclasses.asdict(made)}
            except UserError as error:
                row |= {"state": "failed", "error": str(error)}
            row["seconds"] = round(time.monotonic() - started, 3)
        return row


@contextlib.contextmanager
def _deaths_counted(source, run):
    """Count on this machine how many processes a picture has ended: Ray starts another each time, without end.

    Raises:
        UserError: when `LIVES` processes have ended before they could remove their mark.
    """
    name = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:32]
    marks, begun = Path(tempfile.gettempdir(), f"srgan_tf-{run}-{name}"), 0
    with contextlib.suppress(OSError), open(marks, "ab") as file:  # where it cannot be written, nothing is counted
        begun = file.tell()
        file.write(b".")
    try:
        if begun >= LIVES:
            raise UserError(
                f"{source}: each of {begun} processes ended while it computed this picture or one beside it. "
                "Try it alone, with a smaller --tile."
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            marks.unlink()


def _rows(ray, listing, overwrite, worker, upscaler, files):
    """A row for every picture, as it is done."""
    context = ray.data.DataContext.get_current()
    context.execution_no_progress_timeout_s = -1  # a large picture or a clip may take hours
    context.target_max_block_size = 1  # blocks as they are: names listed together are computed together
    context.enable_progress_bars = sys.stderr.isatty()
    machines = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    cpus, gpus = map(sum, zip(*machines))
    # Without a GPU, an actor a core: TensorFlow's threads within a picture gain less. With some, an actor each, and
    # the cores beside it decode and encode for it: as many as each machine with GPUs has, one with less gets no actor.
    threads = min((max(1, cores // own) for cores, own in machines if own), default=1)
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        initial_size=max(1, gpus or cpus),
        max_concurrent_calls_per_actor=threads,
        enable_true_multi_threading=threads > 1,
    )
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}  # without this machine the run ends anyway
    names = ray.data.from_items([None]).map_batches(
        lambda _: _blocks(_listed(listing, overwrite)), batch_size=None, num_cpus=0, label_selector=here
    )
    made = names.map_batches(
        worker,
        fn_constructor_args=(upscaler, threads),
        fn_kwargs={"run": secrets.token_hex(8), "files": files or FileOptions()},
        compute=pool,
        batch_size=1,
        num_cpus=threads,
        num_gpus=1 if gpus else 0,
    )
    for block in made.iter_batches(batch_size=None, prefetch_batches=0):
        for rows in block["rows"]:
            yield from json.loads(rows)


def _blocks(rows):
    """Rows together: few at first, so that all actors have some, then more, so that Ray has less to think of."""
    block, listed = [], 0
    for row in rows:
        block.append(row)
        listed += 1
        if len(block) >= min(LARGEST_BLOCK, listed // SHARE):
            yield {"rows": [json.dumps(block)]}
            block = []
    if block:
        yield {"rows": [json.dumps(block)]}


def _listed(listing, overwrite):
    """A row for each picture, whether it is to be done, is there already or cannot be done; and for each note."""

    def row(state, job=None, **more):
        source = str(job.source) if job else None
        result = str(job.target) if job and job.target else None
        return {"source": source, "result": result, "state": state, **more}

    there, notes = {}, _Notes()
    try:
        for part in listing(notes):
            todo, clashes = plans.checked(part)
            for job, problem in clashes.items():
                yield row("failed", job, error=one_line(problem))
            there = {
                folder: there[folder] if folder in there else _there(folder)
                for folder in {job.target.parent for job in todo}
            }
            for job in todo:
                names, problem = there[job.target.parent]
                if problem:
                    yield row("failed", job, error=problem)
                else:
                    yield row("kept" if job.target.name in names and not overwrite else "todo", job)
        for line in notes.lines:
            yield row("note", line=line)
    except UserError as error:
        yield row("failed", error=str(error))


class _Notes(Reporter):
    """Keeps notes, which travel as rows to the machine with the user."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def _there(folder):
    """Names of the files in a folder of results, where what killed runs left half-written is removed; or a problem."""
    try:
        if folder.kind() is None:
            return frozenset(), None
        folder.sweep()
        return frozenset(folder.children()[1]), None
    except UserError as error:
        return frozenset(), str(error)


def _listing(request, reporter):
    """A function of a `Reporter` that gives the jobs, a folder at a time, on any machine."""
    files, folders, anywhere = request.files, request.folders, request.anywhere()
    if not folders:
        planned = plans.planned(request, reporter)
        return lambda _: [[plans.Job(job.source.normalised(), job.target.normalised()) for job in planned]]
    if request.output is not None and len(files) + len(folders) > 1:
        raise UserError(
            f"--output: with {folders[0]} and others, a cluster does not see whether pictures of several folders "
            "would get one name. Enlarge them one after the other."
        )
    for folder in folders:
        for place in [*files, *(folders if request.recursive else [])]:
            if _is_in(place, folder, request.recursive):
                raise UserError(f"{place}: is in {folder}, which is enlarged anyway. Leave one of them out.")
    return anywhere.parts


def _is_in(place, folder, deeply):
    parents = place.normalised().parents
    return folder.normalised() in (parents if deeply else parents[:1])


def _portable(upscaler):
    """Arguments of an `Upscaler` that mean the same on other machines."""
    model = upscaler.get("model")
    if model is None or zoo.resolve(model, upscaler.get("scale")) in zoo.shipped().values():
        return upscaler
    return {**upscaler, "model": os.path.abspath(os.path.expanduser(model))}


class _Manifest:
    """Rows written beside the results, some thousand together, at the latest when the block ends."""

    def __init__(self, folder):
        self._folder, self._count, self._rows, self._since = folder, 0, [], time.monotonic()
        self._run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._write()

    def add(self, row):
        self._rows.append({key: masked(value) if isinstance(value, str) else value for key, value in row.items()})
        if len(self._rows) >= SEGMENT or time.monotonic() - self._since >= SECONDS:
            self._write()

    def _write(self):
        rows, self._rows, self._since = self._rows, [], time.monotonic()
        if not rows:
            return
        self._count += 1
        place = self._folder / f"{self._run}-{self._count:05}.jsonl"
        try:
            with place.stored() as path:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic.whole_file(path) as file:
                    file.write("".join(f"{json.dumps(row)}\n" for row in rows).encode())
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({error.strerror}). Choose another --output.") from None
