"""Upscaling on a Ray cluster: the work of `jobs` as a Ray Data pipeline.

One task lists names in blocks, which Ray streams. A pool of actors, each with one loaded model, reads, enlarges and
writes the pictures of a block and returns a block of reports. Only names are sent through Ray: the machine that
computes a picture also reads it and writes its result. If a machine is lost, another one repeats its work.
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
from srgan_tf.networks import onednn
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import by_file, jobs, plans, ray_connection
from srgan_tf.upscaling.reporter import Reporter

SHARE, LARGEST_BLOCK = 64, 32  # a block has 1/64 of the pictures listed so far, at most 32
SEGMENT, SECONDS = 10_000, 60  # maximum rows per manifest file, and seconds between files
MAX_CRASHES = 3  # process crashes per picture and machine after which the picture fails


def run(
    paths,
    output=None,
    *,
    address,
    label,
    upscaler,
    key=None,
    recursive=False,
    format=None,
    suffix=None,
    overwrite=False,
    files=None,
    reporter=None,
    worker=None,
):
    """Enlarge pictures on a cluster, by the rules of `plans.plan` and `jobs.run`.

    Existing results are found by listing folders. A manifest is written to `manifest/` in the result folder: files
    of JSON lines with `source`, `result`, `state` ("made", "kept" or "failed"), `small` and `large` (width and
    height), `bytes` (of both files), `notes`, `seconds`, and `error`. A file is added every `SECONDS` and at the end.

    Two pictures with the same result name are detected when their folder is listed; the second fails, and the run
    continues.

    Args:
        paths, output, label, recursive, format, suffix: see `plans.Request.of`.
        address: HOST:PORT of a cluster, "auto" for the cluster of this machine, or "local" to start one for this run.
        upscaler: arguments of `by_file.load`; a model that is not shipped must be a path that is
            accessible from all machines.
        key: see `jobs.run`.
        files: an `options.FileOptions`.
        overwrite, reporter: see `jobs.run`.
        worker: a class to use instead of `Worker`.

    Returns:
        A `jobs.Outcome`.

    Raises:
        UserError: if Ray is missing, there is no cluster at the address, or its machines do not have the model.
    """
    request = plans.Request.of(paths, output, label=label, recursive=recursive, format=format, suffix=suffix)
    reporter, outcome = reporter or Reporter(), jobs.Outcome()
    listing = _listing(request, reporter)
    with ray_connection.connected(address) as ray, _Manifest(request.result_folder() / "manifest") as manifest:
        for row in _rows(ray, listing, overwrite, worker or Worker, (_portable(upscaler), key), files):
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
    """An actor with one loaded model, which processes blocks of names.

    It takes the place of its upscaler in `jobs.make`, so that files are read and written during computation.
    """

    def __init__(self, upscaler, key=None, threads=1):
        """Load a model.

        Args:
            upscaler: arguments of `by_file.load`.
            key: see `jobs.run`.
            threads: the number of threads of TensorFlow within an operation.
        """
        onednn.enable()  # Ray starts processes with the environment of its own server
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow is already initialised by a model in this process
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        self._upscaler, self.key, self._one_at_a_time = by_file.load(**upscaler), key, threading.Lock()

    def __call__(self, block, run, files):
        for rows in block["rows"]:
            yield {"rows": [json.dumps([self._made(row, run, files) for row in json.loads(rows)])]}

    @property
    def size(self):
        return self._upscaler.size

    def picture(self, picture, step):
        with self._one_at_a_time:  # other threads may read and write meanwhile
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
    """Count on this machine how many processes a picture has crashed: Ray would restart them indefinitely.

    Raises:
        UserError: if `MAX_CRASHES` processes have ended before they could remove their mark.
    """
    name = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:32]
    marks, begun = Path(tempfile.gettempdir(), f"srgan_tf-{run}-{name}"), 0
    with contextlib.suppress(OSError), open(marks, "ab") as file:  # if the file cannot be written, nothing is counted
        begun = file.tell()
        file.write(b".")
    try:
        if begun >= MAX_CRASHES:
            raise UserError(
                f"{source}: each of {begun} processes ended while it computed this picture or one beside it. "
                "Try it alone, with a smaller --tile."
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            marks.unlink()


def _rows(ray, listing, overwrite, worker, arguments, files):
    """Yield a row for every picture as soon as it is processed."""
    context = ray.data.DataContext.get_current()
    context.execution_no_progress_timeout_s = -1  # a large picture or a clip may take hours
    context.target_max_block_size = 1  # no merging: names listed together are processed together
    context.enable_progress_bars = sys.stderr.isatty()
    machines = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    cpus, gpus = map(sum, zip(*machines))
    if not cpus:  # Ray would wait without a word
        line = "--cluster: no machine has CPUs yet. Waiting for one: start it with ray start --address HEAD:PORT."
        yield {"state": "note", "line": line}
    # Without GPUs, one actor per core: TensorFlow's threads within a picture gain less. With GPUs, one actor per GPU,
    # and the other cores decode and encode for it: as many as each machine with GPUs has; with fewer, it gets no actor.
    threads = min((max(1, cores // own) for cores, own in machines if own), default=1)
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        initial_size=max(1, gpus or cpus),
        max_concurrent_calls_per_actor=threads,
        enable_true_multi_threading=threads > 1,
    )
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}  # if this machine fails, the run ends anyway
    names = ray.data.from_items([None]).map_batches(
        lambda _: _blocks(_listed(listing, overwrite)), batch_size=None, num_cpus=0, label_selector=here
    )
    made = names.map_batches(
        worker,
        fn_constructor_args=(*arguments, threads),
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
    """Group rows into blocks: small at first, to keep all actors busy, then larger, to reduce Ray's overhead."""
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
    """Yield a row for each picture, whether it is to be made, exists or cannot be made, and for each note."""

    def row(state, job=None, **more):
        source = str(job.source) if job else None
        result = str(job.target) if job and job.target else None
        return {"source": source, "result": result, "state": state, **more}

    known, notes = {}, _Notes()
    try:
        for part in listing(notes):
            todo, clashes = plans.checked(part)
            for job, problem in clashes.items():
                yield row("failed", job, error=one_line(problem))
            known = {
                folder: known[folder] if folder in known else _existing(folder)
                for folder in {job.target.parent for job in todo}
            }
            for job in todo:
                names, problem = known[job.target.parent]
                if problem:
                    yield row("failed", job, error=problem)
                else:
                    yield row("kept" if job.target.name in names and not overwrite else "todo", job)
        for line in notes.lines:
            yield row("note", line=line)
    except UserError as error:
        yield row("failed", error=str(error))


class _Notes(Reporter):
    """Collects notes, which are sent as rows to the user's machine."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def _existing(folder):
    """Remove unfinished files of killed runs from a result folder. Returns the names of its files, or a problem."""
    try:
        if folder.kind() is None:
            return frozenset(), None
        folder.sweep()
        return frozenset(folder.children()[1]), None
    except UserError as error:
        return frozenset(), str(error)


def _listing(request, reporter):
    """A function of a `Reporter` that lists the jobs, folder by folder, on any machine."""
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
                raise UserError(f"{place}: is in {folder}, which is also given. Omit one of them.")
    return anywhere.parts


def _is_in(place, folder, deeply):
    parents = place.normalised().parents
    return folder.normalised() in (parents if deeply else parents[:1])


def _portable(upscaler):
    """Arguments of an `Upscaler` that are valid on other machines, too."""
    model = upscaler.get("model")
    if model is None or zoo.resolve(model, upscaler.get("scale")) in zoo.shipped().values():
        return upscaler
    return {**upscaler, "model": os.path.abspath(os.path.expanduser(model))}


class _Manifest:
    """Writes rows beside the results, several thousand per file, at the latest when the `with` block ends."""

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
