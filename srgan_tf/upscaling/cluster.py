"""The same pictures, computed by a Ray cluster: `jobs` as a pipeline of Ray Data's own parts.

Names are listed by one task, in blocks that Ray streams; an actor pool, each with one loaded model, reads, enlarges
and writes the pictures of a block; what became of them comes back, in blocks again. Only names travel through Ray:
a picture is read and its result is written once, by the machine that computes it, and what a lost machine was at is
made again by another.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from srgan_tf import atomic
from srgan_tf.errors import UserError, one_line
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import jobs, places, plans

SHARE, MOST = 64, 32  # an actor gets a 64th of the pictures that are listed so far at once, at most 32
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
    overwrite=False,
    tell=print,
    complain=print,
    worker=None,
):
    """Enlarge what paths mean on a cluster, by the rules of `plans.plan` and `jobs.run`.

    What is there already is found by listing folders. A manifest is left in `manifest/` in the folder of the results:
    files of JSON lines with `source`, `result`, `state` ("made", "kept" or "failed"), `small` and `large` (width and
    height), `bytes` (of both files), `notes`, `seconds`, and `error`; one appears with the first row that comes
    `SECONDS` after the last, and at the end.

    Two pictures that would get one name are noticed when their folder is listed; the second fails, the rest goes on.

    Args:
        paths, output, label, recursive, format: as `plans.plan` takes them.
        address: HOST:PORT of a cluster, "auto" for the one that this machine belongs to, "local" for one that is
            started for this run.
        upscaler: keyword arguments of `upscaler.Upscaler`; a model that is not shipped is a path that all machines
            see.
        overwrite, tell, complain: as `jobs.run` takes them.
        worker: what stands in for `Worker`.

    Returns:
        A `jobs.Outcome`.

    Raises:
        UserError: when Ray is missing, there is no cluster at the address, or the model is not on its machines.
    """
    source = _source(paths, output, tell, label=label, recursive=recursive, format=format)
    with _connected(address) as ray, _Manifest(_beside(paths, output)) as manifest:
        outcome = jobs.Outcome()
        for row in _rows(ray, source, overwrite, worker or Worker, _portable(upscaler)):
            if row["state"] == "told":
                tell(row["line"])
                continue
            manifest.add(json.dumps(row))
            if row["state"] == "made":
                outcome.done += 1
                tell(jobs.Made(row["small"], row["large"], row["notes"]).line(plans.Job(row["source"], row["result"])))
            elif row["state"] == "kept":
                outcome.kept += 1
                tell(one_line(f"kept {row['result']}, --overwrite makes it again"))
            else:
                outcome.failed += 1
                complain(f"error: {row['error']}")
    return outcome


class Worker:
    """What an actor holds: one loaded model. Called with a block of names, it makes their results."""

    def __init__(self, upscaler, threads=1):
        """Load a model, with so many threads of TensorFlow's own."""
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow runs already: a second model in one process
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        from srgan_tf.upscaling.upscaler import Upscaler

        self._upscaler, self._one_at_a_time = Upscaler(**upscaler), threading.Lock()

    def __call__(self, block, run):
        for rows in block["rows"]:
            yield {"rows": [json.dumps([self._made(row, run) for row in json.loads(rows)])]}

    def enlarge(self, picture):
        with self._one_at_a_time:  # while other threads, if there are any, read and write
            return self._upscaler.picture(picture)

    def size(self, height, width):
        return self._upscaler.size.of(height, width)

    def _made(self, row, run):
        if row["state"] == "todo":
            started = time.monotonic()
            job = plans.Job(places.of(row["source"]), places.of(row["result"]))
            try:
                with _lived_through(row["source"], run):
                    made = jobs.make(job, self.enlarge, self.size)
                row |= {"state": "made", **dataclasses.asdict(made)}
            except UserError as error:
                row |= {"state": "failed", "error": str(error)}
            row["seconds"] = round(time.monotonic() - started, 3)
        return row


@contextlib.contextmanager
def _lived_through(source, run):
    """Note on this machine that a run is at a picture: what ends a process, Ray tries again in another, without end.

    Raises:
        UserError: when `LIVES` processes were not there any more to remove the note.
    """
    name = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:32]
    note, begun = Path(tempfile.gettempdir(), f"srgan_tf-{run}-{name}"), 0
    with contextlib.suppress(OSError), open(note, "ab") as file:  # without a place for it, nothing is noted
        begun = file.tell()
        file.write(b".")
    try:
        if begun >= LIVES:
            raise UserError(
                f"each of {begun} processes ended while it computed this one or one beside it, {source}, "
                "try it alone, with a smaller --tile"
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink()


def _rows(ray, source, overwrite, worker, upscaler):
    """A row for every picture, as it is done."""
    context = ray.data.DataContext.get_current()
    context.execution_no_progress_timeout_s = -1  # a large picture or a clip may take hours
    context.target_max_block_size = 1  # as they are: what is listed together is computed together
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
        lambda _: _blocks(_listed(source, overwrite)), batch_size=None, num_cpus=0, label_selector=here
    )
    made = names.map_batches(
        worker,
        fn_constructor_args=(upscaler, threads),
        fn_kwargs={"run": secrets.token_hex(8)},
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
        if len(block) >= min(MOST, listed // SHARE):
            yield {"rows": [json.dumps(block)]}
            block = []
    if block:
        yield {"rows": [json.dumps(block)]}


def _listed(source, overwrite):
    """A row for each picture: what is to be done, what is there already, and what cannot be done; and for each line
    that is told."""

    def row(state, job=None, **more):
        source = str(job.source) if job else None
        result = str(job.target) if job and job.target else None
        return {"source": source, "result": result, "state": state, **more}

    there, lines = {}, []
    try:
        for part in source(lines.append):
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
        for line in lines:
            yield row("told", line=line)
    except UserError as error:
        yield row("failed", error=str(error))


def _there(folder):
    """Names of the files in a folder of results, where what killed runs left half-written is removed; or a problem."""
    try:
        if not places.exists(folder):
            return frozenset(), None
        jobs.sweep(folder)
        return frozenset(places.children(folder)[1]), None
    except UserError as error:
        return frozenset(), str(error)


def _source(paths, output, tell, **options):
    """A function of `tell` that gives the jobs, a folder at a time, on whatever machine."""
    files, folders = plans.split(paths)
    if not folders:
        planned = plans.plan(paths, output, tell=tell, **options)
        return lambda tell: [[plans.Job(_absolute(job.source), _absolute(job.target)) for job in planned]]
    if output is not None and len(files) + len(folders) > 1:
        raise UserError(
            "a cluster does not see whether pictures of several folders would get one name, --output with "
            f"{folders[0]} and others, enlarge them one after the other"
        )
    for folder in folders:
        for place in [*files, *(folders if options["recursive"] else [])]:
            if _lies_in(place, folder, options["recursive"]):
                raise UserError(f"{place} lies in {folder}, which a cluster enlarges anyway, leave one of them out")
    given = [str(_absolute(place)) for place in [*files, *folders]]
    output = None if output is None else str(_absolute(places.of(output, flag="--output")))
    return lambda tell: plans.parts(given, output, tell=tell, **options)


def _lies_in(place, folder, deeply):
    place, folder = _absolute(place), _absolute(folder)
    if isinstance(place, Path):
        return folder in (place.parents if deeply else [place.parent])
    above = place.path.parents if deeply else [place.path.parent]
    return place.root == getattr(folder, "root", None) and place != folder and folder.path in above


def _absolute(place):
    return Path(os.path.abspath(place)) if isinstance(place, Path) else place


def _portable(upscaler):
    """Arguments of an `Upscaler` that mean the same on other machines."""
    model = upscaler.get("model")
    if model is None or zoo.resolve(model, upscaler.get("scale")) in zoo.shipped().values():
        return upscaler
    return {**upscaler, "model": os.path.abspath(os.path.expanduser(model))}


def _beside(paths, output):
    files, folders = plans.split(paths)
    if output is None:
        return (folders[0] if folders else files[0].parent) / "manifest"
    output = places.of(output)
    return (output if plans.is_folder(output) else output.parent) / "manifest"


class _Manifest:
    """Rows that are written beside the results, some thousand together, at the latest when the block ends."""

    def __init__(self, folder):
        self._folder, self._count, self._rows, self._since = folder, 0, [], time.monotonic()
        self._run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._write()

    def add(self, row):
        self._rows.append(row)
        if len(self._rows) >= SEGMENT or time.monotonic() - self._since >= SECONDS:
            self._write()

    def _write(self):
        rows, self._rows, self._since = self._rows, [], time.monotonic()
        if not rows:
            return
        self._count += 1
        place = self._folder / f"{self._run}-{self._count:05}.jsonl"
        try:
            with places.stored(place) as path:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic.whole_file(path) as file:
                    file.write("".join(f"{row}\n" for row in rows).encode())
        except OSError as error:
            raise UserError(
                f"the manifest cannot be written ({error.strerror}), {place}, choose another --output"
            ) from None


@contextlib.contextmanager
def _connected(address):
    """Ray, connected to a cluster as long as the block lasts."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of what it will do one day
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("Ray is missing, --cluster, pip install 'srgan_tf[cluster]'") from None
    for name in ("ray", "ray.data"):  # what goes wrong is raised, too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        place = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
        if place not in ("auto", "local"):
            _knock(place)
        with jobs.quiet_libraries():
            ray.init(
                place,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **({"include_dashboard": False} if place == "local" else {}),
            )
    except ray.exceptions.RayError as error:
        raise UserError(
            f"the cluster does not let this program in ({_reason(error)}), --cluster {address}, set "
            "RAY_AUTH_TOKEN to the one that its machines have"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        if "Version mismatch" in str(error):
            raise UserError(
                f"the cluster has another Python or Ray ({' '.join(str(error).split())}), --cluster "
                f"{address}, install the same on all machines"
            ) from None
        raise UserError(
            f"there is no cluster ({_reason(error)}), --cluster {address}, start one with ray start "
            "--head, or take local"
        ) from None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        if problem := _user_error(error):
            raise UserError(problem) from None
        raise
    finally:
        ray.shutdown()


def _reason(error):
    return str(error).partition("\n")[0].split(". ")[0] or type(error).__name__


def _knock(address):
    """Raise OSError at once where Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("its address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=10).close()


def _user_error(error):
    """What an actor or task said that the user can mend, if it did."""
    for line in str(error).splitlines():
        _, found, problem = line.partition(f"{UserError.__name__}: ")
        if found:
            return problem
