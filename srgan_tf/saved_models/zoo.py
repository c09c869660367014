"""Finds the SavedModel for a model name, without loading TensorFlow."""

import os
from pathlib import Path

from srgan_tf.errors import UserError, reason
from srgan_tf.saved_models.attributes import FILE as ATTRIBUTES
from srgan_tf.saved_models.attributes import read as attributes

DEFAULT_MODEL = "srgan"
PHOTO_MODEL = "photo"  # upscale.py's default for files that were compressed with loss
BY_FILE = PHOTO_MODEL, DEFAULT_MODEL
DEFAULT_SCALE = 4

_PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = (_PACKAGE.parent / "weights", _PACKAGE / "weights")  # in a checkout; in an installed wheel


def resolve(model: str | os.PathLike, scale: int | None = None, *, flag: str = "--model") -> Path:
    """Return the folder of the SavedModel for a value of `--model`.

    Args:
        model: a shipped model (`photo`, `srgan`, `srresnet`, or with its scale: `srgan_x4`), the path of a
            SavedModel, or the path of a folder with one SavedModel per version, of which the highest is used.
        scale: the required scale; None accepts any, and selects `DEFAULT_SCALE` for a shipped model.
        flag: the flag that error messages name.

    Raises:
        UserError: if there is no such model (the message lists the shipped ones), its attributes are not valid, or
            it has another scale.
    """
    folder = _find(str(model), scale, flag)
    if scale is not None and (own := attributes(folder)["scale"]) != scale:
        raise UserError(f"--scale {scale}: {folder} enlarges {own} times. Omit --scale, or give another model.")
    return folder


def fidelity_models(fidelity: float, model=None, scale: int | None = None) -> tuple[Path, Path]:
    """The folders of the two models blended by a fidelity: a `srresnet`, and `srgan` (the default) or `photo`.

    The `srresnet` is the version from which the other one was trained.

    Raises:
        UserError: for another model, or if one of the two is not shipped at that scale.
        ValueError: for a fidelity outside of [0, 1].
    """
    if not 0 <= fidelity <= 1:
        raise ValueError(f"fidelity must be in [0, 1]. Received: {fidelity}")
    vivid = resolve(model or "srgan", scale)
    if vivid not in (folder for name, folder in shipped().items() if name.split("_x")[0] in BY_FILE):
        raise UserError(
            f"--fidelity {fidelity:g}: blends the shipped srresnet with srgan or photo, not with --model {model}. "
            "Omit one of them."
        )
    return origin(vivid), vivid


def origin(folder: Path) -> Path:
    """The folder of the shipped `srresnet` that a model was trained from; the newest one if unknown.

    The weights of another `srresnet` have diverged: a blend with it would be worse than either model. `start`, the
    checksum of the first model in a run, names it; in shipped models also if versions of the model lie between.
    """
    facts = attributes(folder)
    newest, start = resolve("srresnet", facts["scale"]), facts.get("start")
    versions = [child for child in newest.parent.iterdir() if (child / ATTRIBUTES).is_file()]
    return next((child for child in versions if start and attributes(child)["sha256"] == start), newest)


def shipped() -> dict[str, Path]:
    """The folders of the newest versions of the shipped models, by name including the scale."""
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
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ with an unknown user
        problem = f"cannot be read ({reason(error)})"
    names = ", ".join(sorted(models)) or "none"
    if any(name.startswith(f"{model}_x") for name in models):
        raise UserError(f"{flag} {model}: no such model of scale {scale or DEFAULT_SCALE}. Choose one of: {names}.")
    names = ", ".join(sorted(name.removesuffix(f"_x{scale or DEFAULT_SCALE}") for name in models)) or "none"
    raise UserError(f"{flag} {model}: {problem}. Give the path of a SavedModel or one of: {names}.")


def _saved_model(folder):
    """The folder itself if it is a SavedModel, its highest version if it has versions, else None."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [child for child in folder.iterdir() if child.name.isdecimal()] if folder.is_dir() else []
    versions = [child for child in versions if (child / "saved_model.pb").is_file()]
    return max(versions, key=lambda child: int(child.name), default=None)
