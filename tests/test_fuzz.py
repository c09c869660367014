"""200 mutated model folders, runs and answers, with a fixed seed: no traceback, no silent wrong result, no hang."""

import base64
import dataclasses
import io
import json
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from helpers.runs import RECIPE
from srgan_tf.errors import UserError
from srgan_tf.saved_models import attributes, serving_messages, variables
from srgan_tf.training import checkpoints, run_config
from srgan_tf.training.run_folder import RunFolder
from srgan_tf.training.state import State
from srgan_tf.upscaling import endpoints, server

SEED, FOLDERS, RUNS, ANSWERS = 27, 80, 40, 80
HOSTILE = [
    None,
    True,
    0,
    -1,
    3,
    4.0,
    10**30,
    float("nan"),
    "",
    "4",
    "\x1b[31m\n",
    "x" * 5000,
    [],
    [4],
    {},
    {"scale": 4},
    "[" * 3000,
]

READ = """
import json, sys, time
from pathlib import Path
from srgan_tf.errors import UserError
from srgan_tf.saved_models import attributes, variables, zoo
for folder in sorted(Path(sys.argv[1]).iterdir()):
    started = time.monotonic()
    try:
        found = zoo.resolve(folder)
        weights = variables.read(found)
        outcome = [variables.checksum(weights), {k: attributes.read(found)[k] for k in ("scale", "halo", "features")}]
    except UserError as error:
        outcome = str(error)
    print(json.dumps([folder.name, outcome, time.monotonic() - started]), flush=True)
"""


def changed(data, rng):
    """Bytes with some of them flipped, cut, zeroed, repeated or replaced."""
    data, place = bytearray(data), rng.randrange(len(data))
    length = rng.choice([1, 2, 8, 100, 5000])
    kind = rng.choice(["flip", "flip", "cut", "zero", "repeat", "random", "insert", "empty"])
    if kind == "flip":
        data[place] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[place:]
    elif kind == "zero":
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == "repeat":
        data[place:place] = data[place : place + length]
    elif kind == "random":
        data[place : place + length] = rng.randbytes(length)
    elif kind == "insert":
        data[place:place] = rng.randbytes(length)
    else:
        data.clear()
    return bytes(data)


def mutate_folder(folder, other, rng):
    facts = json.loads((folder / attributes.FILE).read_text())
    kind = rng.choice(["fact", "fact", "fact", "bytes", "bytes", "variables", "variables", "swap", "missing"])
    if kind == "fact":
        name = rng.choice([*facts, "new"])
        facts[name] = rng.choice(HOSTILE)
        if rng.random() < 0.2:
            del facts[name]
        (folder / attributes.FILE).write_text(json.dumps(facts))
    elif kind == "bytes":
        (folder / attributes.FILE).write_bytes(changed((folder / attributes.FILE).read_bytes(), rng))
    elif kind == "variables":
        file = rng.choice(sorted((folder / "variables").iterdir()))
        file.write_bytes(changed(file.read_bytes(), rng))
    elif kind == "swap":
        part = rng.choice(["variables", "assets.extra"])
        shutil.copytree(other / part, folder / part, dirs_exist_ok=True)
    else:
        rng.choice(sorted(path for path in folder.rglob("*") if path.is_file())).unlink()


def test_a_mutated_model_folder_is_refused_in_one_line_or_read_as_it_was(small_model, tmp_path):
    rng, model = random.Random(SEED), small_model / "1"
    expected = variables.checksum(variables.read(model))
    known = {name: attributes.read(model)[name] for name in ("scale", "halo", "features")}
    shipped = ROOT / "weights" / "srgan_x4"
    other = next(path for path in shipped.iterdir() if path.is_dir())
    (tmp_path / "models").mkdir()
    for i in range(FOLDERS):
        folder = tmp_path / "models" / f"{i:03}"
        shutil.copytree(model, folder)
        mutate_folder(folder, other, rng)
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "models"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, len(rows)) == (0, FOLDERS), (rows[-1:], done.stderr[-2000:])
    for name, outcome, seconds in rows:
        if isinstance(outcome, str):
            assert outcome.isprintable() and name in outcome, outcome
        else:
            assert outcome == [expected, known], name
        assert seconds < 10
    assert FOLDERS // 2 < sum(isinstance(outcome, str) for _, outcome, _ in rows)


def mutate_run(folder, rng):
    """Damage one file of a run. Returns the kind of damage and the file."""
    kind = rng.choice(["setting", "setting", "bytes", "bytes", "bytes", "values", "line", "name", "missing"])
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    config, newest = folder / "config.json", folder / "checkpoints" / "step-00000004.npz"
    if kind == "setting":
        path, settings = config, json.loads(config.read_text())
        place = rng.choice([settings, settings["recipe"], settings["train"], settings["start"]])
        name = rng.choice([*place, "new"])
        place[name] = rng.choice(HOSTILE)
        if rng.random() < 0.2:
            del place[name]
        path.write_text(json.dumps(settings))
    elif kind == "bytes":
        path.write_bytes(changed(path.read_bytes(), rng))
    elif kind == "values":
        path, arrays = newest, checkpoints.load(newest)
        name = rng.choice(sorted(arrays))
        np.savez(path, **{**arrays, name: rng.choice(WRONG)(arrays[name])})
    elif kind == "line":
        path = folder / "metrics.jsonl"
        with open(path, "a") as file:
            line = {"step": 4, "validation_psnr": 1.0} | {rng.choice(["step", "validation_psnr"]): rng.choice(HOSTILE)}
            file.write(rng.choice([json.dumps(line), "[" * 3000]) + "\n")
    elif kind == "name":
        path = newest
        newest.rename(newest.with_name(rng.choice(["step-99999999.npz", "step-x.npz", "step-.npz", "best.mark"])))
    else:
        path.unlink()
    return kind, path


WRONG = [  # for every array of a state
    lambda array: np.full(array.shape, np.nan),
    lambda array: np.full(array.shape, np.inf),
    lambda array: array.astype(str),
    lambda array: array.astype(complex),
    lambda array: np.stack([array, array]),
    lambda array: np.zeros((0, *array.shape), array.dtype),
    lambda array: np.array([{}], object),
]


class Runs:
    """`good`, a run with checkpoints of the steps 2 and 4, and copies of it that are resumed."""

    def __init__(self, folder, capsys):
        self._settings = run_config.Run(str(folder / "run"), RECIPE, {"source": "waves", "count": 2})
        self._copies, self._capsys, self.state = folder / "copies", capsys, State(RECIPE)
        self.good, self.known = RunFolder(self._settings.folder), {}
        self.good.path.mkdir()
        self.good.configure(self._settings)
        for step in (2, 4):
            first = self.state.networks["generator"].variables[0]
            first.assign_add(np.ones_like(first))
            self.known[step] = self.state.arrays()
            checkpoints.save(self.good.path / "checkpoints", step, self.known[step], marks=["best"] * (step == 2))
            self.good.journal(step).write(step, {"validation_psnr": 20.0 + step})

    def copy(self):
        return shutil.copytree(self.good.path, self._copies / str(time.monotonic_ns()))

    def resume(self, path):
        """Resume a copy: the step, the best PSNR, what it started from, and the warnings, or raise its UserError.

        What is always so is checked: the weights are those of that step, and messages are printable lines.
        """
        folder, started = RunFolder(path), time.monotonic()
        try:
            with folder.locked():
                folder.configure(dataclasses.replace(self._settings, folder=str(path)))
                step = folder.restore(self.state)
                best = folder.journal(step).best("validation_psnr", lower=False)
                found = self.state.arrays()
                checkpoints.save(path / "checkpoints", 4, found)
        except UserError as error:
            assert str(error).isprintable() and str(path) in str(error), error
            raise
        finally:
            warnings = self._capsys.readouterr().err.splitlines()
            assert all(line.startswith("warning: ") and line.isprintable() for line in warnings), warnings
            assert time.monotonic() - started < 10
        assert all(np.array_equal(value, self.known[step][name]) for name, value in found.items())
        return step, best, folder.origin, warnings


@pytest.fixture
def runs(tmp_path, capsys):
    return Runs(tmp_path, capsys)


def recorded_steps(path):
    """The steps in a configuration that may be damaged; another number than that of the run extends it."""
    try:
        return json.loads((path / "config.json").read_bytes())["recipe"]["steps"]
    except (ValueError, LookupError, TypeError, OSError, RecursionError):
        return None


def test_a_mutated_run_is_refused_in_one_line_or_resumes_from_what_it_was(runs):
    """From its last step, or with a warning from the one before; only a damaged configuration is refused."""
    rng, warned = random.Random(SEED), 0
    assert runs.resume(runs.copy()) == (4, 24.0, {}, [])
    for i in range(RUNS):
        path = runs.copy()
        kind, file = mutate_run(path, rng)
        newest = (path / "checkpoints" / "step-00000004.npz").exists()
        extended = recorded_steps(path) not in (None, RECIPE.steps)
        try:
            step, best, origin, warnings = runs.resume(path)
        except UserError:
            assert file.name == "config.json", (i, file)
            continue
        warned += bool(warnings)
        assert step == (4 if newest and not warnings else 2) or extended, (i, file)
        assert warnings or kind != "values", i
        assert not warnings or file.name == "step-00000004.npz", (i, file, warnings)
        if file.name == "metrics.jsonl":
            assert best is None or abs(best) < np.inf, i
        else:
            assert best == 20 + step, (i, file)
        assert origin == {} or file.name == "config.json" and [*map(type, origin.values())] == [str], (i, origin)
    assert warned


def test_a_setting_of_another_kind_is_refused_whatever_its_name(runs):
    settings = json.loads((runs.good.path / "config.json").read_text())
    checked = [("recipe", name) for name in settings["recipe"]] + [("train", name) for name in settings["train"]]
    for place, name in [*checked, ("recipe", None), ("train", None)]:
        path = runs.copy()
        nested = {"other": [1]}
        value = {**settings[place], name: nested} if name else [settings[place]]
        (path / "config.json").write_text(json.dumps({**settings, place: value}))
        with pytest.raises(UserError, match="config.json: damaged"):
            runs.resume(path)


def test_a_wrong_value_in_any_array_of_a_checkpoint_is_a_warning_and_the_one_before_it_is_used(runs, capsys):
    folder = RunFolder(runs.copy())
    for i, (name, array) in enumerate(runs.known[4].items()):
        arrays = {**runs.known[4], name: WRONG[i % len(WRONG)](array)}
        if i % (len(WRONG) + 1) == 0:
            del arrays[name]
        np.savez(folder.path / "checkpoints" / "step-00000004.npz", **arrays)
        assert folder.restore(runs.state) == 2, name
        [warning] = capsys.readouterr().err.splitlines()
        assert "step-00000004.npz is " in warning, warning


PICTURE = np.random.default_rng(SEED).integers(0, 256, (9, 7, 3), dtype=np.uint8)
LARGE = PICTURE.repeat(4, axis=0).repeat(4, axis=1)
FACTS = {"scale": 4, "halo": 12, "pixel_limit": 2**20, "sha256": 64 * "0"}


def png():
    file = io.BytesIO()
    Image.fromarray(LARGE).save(file, "PNG")
    return file.getvalue()


def rest_answer(signature, rng=None):
    """The body of an HTTP answer, with something changed where there is a `rng`."""
    kind = rng and rng.choice(["bytes", "file", "value", "fact"])
    facts, file = dict(FACTS), png()
    if kind == "fact":
        facts[rng.choice(list(facts))] = rng.choice(HOSTILE)
    if kind == "file":
        file = changed(file, rng)
    value = json.dumps(facts) if signature == "attributes" else {"b64": base64.b64encode(file).decode()}
    outputs = [value]
    if kind == "value":
        outputs = rng.choice([HOSTILE, [rng.choice(HOSTILE)], rng.choice(HOSTILE), [value, value]])
    body = json.dumps({"outputs": outputs}).encode()
    return changed(body, rng) if kind == "bytes" else body


def grpc_answer(signature, rng=None):
    """A PredictResponse; with another shape, type, name or encoding where there is a `rng`, never with other pixels."""
    kind = rng and rng.choice(["shape", "type", "name", "cut", "more", "fact"])
    name = "attributes" if signature == "attributes" else "image"
    tensor = serving_messages.tensor([json.dumps(FACTS).encode()] if signature == "attributes" else LARGE[None])
    if kind == "shape":
        del tensor.tensor_shape.dim[:]
        sizes = [rng.choice([-1, 0, 1, 3, 28, 36, 2**40, 2**62]) for _ in range(rng.randrange(6))]
        tensor.tensor_shape.dim.extend(serving_messages.Dimension(size=size) for size in sizes)
    elif kind == "type":
        tensor.dtype = rng.choice([0, 1, 3, 7, 99, -5])
    elif kind == "name":
        name = rng.choice(["", "x", "images"])
    elif kind == "fact" and signature == "attributes":
        tensor.string_val[0] = changed(tensor.string_val[0], rng)
    response = serving_messages.PredictResponse()
    response.outputs[name].CopyFrom(tensor)
    body = response.SerializeToString()
    if kind == "cut":
        body = body[: rng.randrange(len(body))]
    return rng.randbytes(rng.randrange(1, 20)) + body if kind == "more" else body


class Channel:
    """Stands in for gRPC's: `answer(signature)` gives bytes."""

    def __init__(self, answer):
        self._answer = answer

    def unary_unary(self, method, request_serializer):
        return lambda request, timeout: self._answer(request.model_spec.signature_name)

    def close(self):
        pass


@pytest.mark.parametrize("protocol, make", [("http", rest_answer), ("grpc", grpc_answer)])
def test_a_mutated_answer_of_a_server_is_refused_in_one_line_or_changes_nothing(monkeypatch, protocol, make):
    grpc = pytest.importorskip("grpc")
    monkeypatch.setattr(server, "ATTEMPTS", 1)
    rng, refused = random.Random(SEED), 0
    for i in range(ANSWERS // 2):
        mutated = ["serving_default", "serve_bytes"] if i % 2 else ["attributes"]

        def answer(signature, mutated=mutated):
            return make(signature, rng if signature in mutated else None)

        monkeypatch.setattr(grpc, "insecure_channel", lambda *_, answer=answer: Channel(answer))
        monkeypatch.setattr(
            endpoints.Rest,
            "_post",
            lambda self, content, *_, answer=answer: (200, "OK", answer(content["signature_name"])),
        )
        started = time.monotonic()
        try:
            np.testing.assert_array_equal(server.Remote([f"{protocol}://127.0.0.1:1/small"])(PICTURE), LARGE)
        except UserError as error:
            refused += 1
            assert str(error).isprintable() and "--server" in str(error)
        assert time.monotonic() - started < 10
    assert refused > ANSWERS // 5
