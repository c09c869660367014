"""The attributes of an exported model: JSON in the SavedModel's folder or a server's response, which is validated."""

import json
import os
import re
import stat
from pathlib import Path

from srgan_tf.errors import UserError

FILE = Path("assets.extra", "attributes.json")  # a folder that loaders and servers ignore
LONGEST = 2**20  # bytes

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGES = {  # ranges of integers
    "scale": (2, 8),
    "blocks": (0, 999),
    "features": (1, 4096),
    "halo": (0, 9999),
    "pixel_limit": (1, 2**40),
}
_SERVED = ("scale", "halo", "pixel_limit", "sha256")  # required by clients of a server


def read(folder: str | os.PathLike) -> dict:
    """Read the attributes of a SavedModel.

    Args:
        folder: the folder that contains `saved_model.pb`.

    Returns:
        A dict: `network`, "srresnet"; `scale`; `blocks`; `features`; `halo`, the radius of the receptive field in LR
        pixels; `pixel_limit`, the most LR pixels per picture on a server; `sha256` of the variables; and more, such
        as `step`.

    Raises:
        UserError: naming the folder, if the attributes are missing or not valid for a model of this package.
    """
    path = Path(folder) / FILE
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a file")
        with open(path, "rb") as file:
            return parse(file.read(LONGEST + 1), required=("network", *_RANGES, "sha256"))
    except OSError as error:
        problem = error.strerror
    except ValueError as error:
        problem = str(error)
    raise UserError(f"{folder}: not a model of srgan_tf: {FILE}: {problem}. Export the model with srgan_tf.")


def parse(text: str | bytes, required: tuple[str, ...] = _SERVED) -> dict:
    """Parse attributes from untrusted JSON: types and ranges are checked, unknown names are kept.

    Args:
        text: str or bytes.
        required: names that must be present.

    Raises:
        ValueError: with a description of the problem.
    """
    if len(text) > LONGEST:
        raise ValueError(f"more than {LONGEST} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        raise ValueError("no valid JSON") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    for name in required:
        if name not in found:
            raise ValueError(f"no {name!r}")
    for name, (least, most) in _RANGES.items():
        if name in found and not (type(found[name]) is int and least <= found[name] <= most):
            raise ValueError(f"{name!r} is not a whole number from {least} to {most}")
    if found["scale"] not in (2, 4, 8):
        raise ValueError("'scale' is not 2, 4 or 8")
    if "network" in found and found["network"] != "srresnet":
        raise ValueError("'network' is not 'srresnet'")
    if not isinstance(found["sha256"], str) or not _SHA256.fullmatch(found["sha256"]):
        raise ValueError("'sha256' is not 64 hexadecimal digits")
    return found
