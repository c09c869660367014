"""The settings of a run, and the check whether it may resume with other settings."""

import contextlib
import dataclasses
import json
from pathlib import Path

from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo
from srgan_tf.training import checkpoints
from srgan_tf.training.recipes import OF_DISCRIMINATOR, Recipe, check_value

VGG19 = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"  # the file that Keras downloads
EXTENDABLE = ("steps",)  # recipe fields that may change when a run resumes

_PLAIN = (str, int, float, type(None))


@dataclasses.dataclass(frozen=True)
class Run:
    """The settings of a run. It resumes only with the same recipe, pictures and starting model.

    Attributes:
        folder: the folder of the run.
        recipe: the `recipes.Recipe`.
        train: the description of the training pictures, the `describe()` of their source.
        init: the model whose weights the generator starts from, a name or a path; "" for new weights.
        vgg: the file with the weights of VGG19; "" to download it.
        log_every, validate_every, checkpoint_every: intervals in steps.
        checkpoint_minutes: the longest time between two checkpoints.
        export_minutes: the shortest time between two checkpoints that are exported while the run trains.
        keep: how many checkpoints are kept.
        deterministic: compute the same weights in every run, bit for bit.
        xla: compile the training step with XLA; None: on a single GPU.

    Raises:
        UserError: for an interval or a number of checkpoints that is too small.
    """

    folder: str
    recipe: Recipe
    train: dict
    init: str = ""
    vgg: str = ""
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 15.0
    export_minutes: float = 15.0
    keep: int = 3
    deterministic: bool = False
    xla: bool | None = None

    def __post_init__(self):
        for name in ("log_every", "validate_every", "checkpoint_every", "keep"):
            check_value(name, getattr(self, name), int, low=1)
        for name in ("checkpoint_minutes", "export_minutes"):
            check_value(name, getattr(self, name), float, low=0)


def as_config(run: Run) -> dict:
    """The content of `config.json`: the run, and `start`, the attributes of its starting model for exports."""
    return {**json.loads(json.dumps(dataclasses.asdict(run))), "start": origin(run.init)}


def read(path: Path) -> dict:
    """Read the `config.json` of a run that has checkpoints; fields that are newer than the file get their defaults.

    Raises:
        UserError: if it is missing or damaged.
    """
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        problem = f"{path.parent}: there are checkpoints but no config.json"
    except OSError as error:
        problem = f"{path}: cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"{path}: damaged ({error})"
    raise UserError(f"{problem}. Restore it, or choose another --run_dir.")


def has_begun(folder) -> bool:
    """Whether a run has a checkpoint to resume from."""
    return bool(checkpoints.found(Path(folder) / "checkpoints"))


def trained_on(folder) -> dict | None:
    """The description of the pictures that a run was trained on; None if nothing was trained, or it is damaged."""
    with contextlib.suppress(UserError):
        if not has_begun(folder):
            return None
        return read(Path(folder) / "config.json")["train"]
    return None


def check_same(run: Run, old: dict, new: dict) -> None:
    """Compare the configuration that a run started with to the one for resuming it.

    Raises:
        UserError: if the run cannot resume with the new configuration.
    """
    for field in {**old["recipe"], **new["recipe"]}:
        if run.recipe.phase == "srresnet" and field in OF_DISCRIMINATOR:
            continue
        if field == "precision" and old["recipe"].get(field) == "auto":  # older runs do not record the actual precision
            continue
        if field not in EXTENDABLE:
            _check_field(run, field, old["recipe"].get(field), new["recipe"].get(field))
    if old["train"] != new["train"]:
        raise UserError(
            f"{run.folder}: this run was trained on other pictures ({_difference(old['train'], new['train'])}). "
            f"Restore them, or start another --run_dir with --init {run.folder}/saved_model."
        )
    if not old.get("start") or old["start"] != origin(run.init):  # the same model may have been moved
        _check_field(run, "init", old["init"], new["init"])
    _check_field(run, "vgg_weights", *(Path(config["vgg"] or VGG19).name for config in (old, new)))
    if old["recipe"]["steps"] > new["recipe"]["steps"]:
        raise UserError(
            f"--steps: {run.folder} contains a run of {old['recipe']['steps']} steps. "
            f"Use --steps {old['recipe']['steps']} or more, or another --run_dir."
        )


def origin(init: str) -> dict:
    """Export attributes that identify the starting model of the training: its checksum, if known."""
    with contextlib.suppress(UserError, KeyError):
        return {"start": zoo.attributes(zoo.resolve(init))["sha256"]} if init else {}
    return {}


def _parsed(text):
    """The configuration in the bytes of a file. Raises ValueError if a value is missing or has another type."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        raise ValueError("no valid JSON") from None
    if not isinstance(config, dict):
        raise ValueError("no JSON object")
    for name, kind in {"recipe": dict, "train": dict, "init": str, "vgg": str}.items():
        _check_type(name, config.get(name), kind)
    recipe = {**dataclasses.asdict(Recipe()), **config["recipe"]}
    for field in dataclasses.fields(Recipe):
        _check_type(field.name, recipe[field.name], field.type)
    for name, value in {**recipe, **config["train"]}.items():
        if not all(isinstance(v, _PLAIN) for v in (value if isinstance(value, list) else [value])):
            raise ValueError(f"{name!r} is nested")
    start = config.get("start", {})
    _check_type("start", start, dict)
    if start:
        _check_type("start", start.get("start") if len(start) == 1 else None, str)
    if lowest := recipe.pop("jpeg", 0):
        recipe["degradation"] = f"jpeg={lowest}:95"
    return {**config, "recipe": recipe}


def _check_type(name, value, kind):
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{name!r} is missing" if value is None else f"{name!r} is not of the type {kind.__name__}")


def _check_field(run, field, old, new):
    if old != new:
        raise UserError(
            f"{run.folder}: this run has another {field} ({_short(old)}, now {_short(new)}). "
            "Use its settings to resume it, or another --run_dir."
        )


def _difference(old, new):
    return ", ".join(f"{k} {old.get(k)}, now {new.get(k)}" for k in {**old, **new} if old.get(k) != new.get(k))


def _short(value):
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."
