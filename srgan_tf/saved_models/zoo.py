"""Which SavedModel a name means, without loading TensorFlow."""

import os
from pathlib import Path

from srgan_tf.errors import UserError, reason
from srgan_tf.saved_models.attributes import FILE as ATTRIBUTES
from srgan_tf.saved_models.attributes import read as attributes

DEFAULT_MODEL = "srgan"
DEFAULT_SCALE = 4

_PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = (_PACKAGE.parent / "weights", _PACKAGE / "weights")  # in a checkout; in an installed wheel


def resolve(model: str | os.PathLike, scale: int | None = None, *, flag: str = "--model") -> Path:
    """The folder of the SavedModel that a `--model` means.

    Args:
        model: a shipped model (`srgan`, `srresnet`, or with its scale: `srgan_x4`), the path of a SavedModel, or
            the path of a folder with a SavedModel for each version, of which the largest is taken.
        scale: the scale it must have; None takes any, and of a shipped model's scales `DEFAULT_SCALE`.
        flag: what an error names.

    Raises:
        UserError: listing the shipped models, when it is none of these; when its attributes are not valid; or when it
            has another scale.
    """
    folder = _find(str(model), scale, flag)
    if scale is not None and (own := attributes(folder)["scale"]) != scale:
        raise UserError(f"--scale {scale}: {folder} enlarges {own} times. Leave --scale out or give another model.")
    return folder


def fidelity_models(fidelity: float, model=None, scale: int | None = None) -> tuple[Path, Path]:
    """The folders of the two models that a fidelity blends: the `srresnet` that `srgan` was trained from, and `srgan`.

    Raises:
        UserError: when a model is given, too, or one of the two is not shipped at that scale.
        ValueError: for a fidelity outside of [0, 1].
    """
    if not 0 <= fidelity <= 1:
        raise ValueError(f"fidelity must be in [0, 1]. Received: {fidelity}")
    if model is not None:
        raise UserError(
            f"--fidelity {fidelity:g}: blends the shipped srresnet and srgan, not --model {model}. "
            "Leave one of them out."
        )
    vivid = resolve("srgan", scale)
    return origin(vivid), vivid


def origin(folder: Path) -> Path:
    """The folder of the shipped `srresnet` that a model was trained from; the newest one where that is not known.

    A newer `srresnet` has moved elsewhere in the space of weights: a blend with it would be worse than either.
    """
    facts = attributes(folder)
    newest, start = resolve("srresnet", facts["scale"]), facts.get("start")
    versions = [child for child in newest.parent.iterdir() if (child / ATTRIBUTES).is_file()]
    return next((child for child in versions if start and attributes(child)["sha256"] == start), newest)


def shipped() -> dict[str, Path]:
    """The folder of each shipped model's newest version by the name of the model, scale included."""
    found = {}
    for weights in reversed(WEIGHTS):
        for folder in weights.glob("*_x*"):
            if newest := _saved_model(folder):
                found[folder.name] = newest
    return found


def _find(model, scale, flag):
    models = shipped()
    wanted = f"{model}_x{scale or DEFAULT_SCALE}"
    for name in (wanted, model):
        if name in models:
            return models[name]
    try:
        path = Path(model).expanduser()
        if found := _saved_model(path):
            return found
        problem = "holds no SavedModel" if path.exists() else "neither a shipped model nor a folder"
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ and no name of a person
        problem = f"cannot be read ({reason(error)})"
    names = ", ".join(sorted(models)) or "none"
    if any(name.startswith(f"{model}_x") for name in models):
        raise UserError(f"{flag} {model}: no such model of scale {scale or DEFAULT_SCALE}. Choose one of: {names}.")
    raise UserError(f"{flag} {model}: {problem}. Give the path of a SavedModel or one of: {names}.")


def _saved_model(folder):
    """The folder itself if it is a SavedModel, its largest version if it has some, else None."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [child for child in folder.iterdir() if child.name.isdecimal()] if folder.is_dir() else []
    versions = [child for child in versions if (child / "saved_model.pb").is_file()]
    return max(versions, key=lambda child: int(child.name), default=None)
