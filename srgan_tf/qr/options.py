"""Options of the codes for training."""

import dataclasses

from srgan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the codes for training.

    Values are drawn uniformly from these ranges, or from zero to these limits. Of the `changed` crops, 60 % are
    rotated, 60 % blurred and 60 % noisy; 30 % are sheared, 30 % stretched and 30 % in perspective; 25 % are compressed.
    All others are upright and clean. All are turned by a random multiple of 90 degrees.
    """

    pitch: tuple = (0.8, 2.0)  # LR pixels per module
    hard: tuple = (0.92, 1.25)  # around the limit of legibility of clean codes
    hard_changed: tuple = (1.0, 1.6)  # and of changed ones
    hard_share: float = 0.65  # share of the codes with `hard` pitch
    changed: float = 0.5  # share of the crops
    angle: float = 40.0  # degrees, to either side
    shear: float = 0.15
    zoom: float = 0.1
    perspective: float = 0.2  # difference of nearness between the edge and the centre
    contrast: float = 0.5  # smallest difference of dark and light, as a part of that of black and white
    blur: float = 0.9  # sigma, LR pixels
    noise: float = 12.0  # sigma, grey levels
    jpeg: int = 50  # lowest quality, up to 95; 0 disables JPEG


ANY = (0, 100)
LIMITS = {  # beyond these limits the image would not be a code
    "pitch": (0.5, 16),
    "hard": (0.5, 16),
    "hard_changed": (0.5, 16),
    "hard_share": (0, 1),
    "changed": (0, 1),
    "angle": (0, 180),
    "shear": (0, 0.5),
    "zoom": (0, 0.5),
    "perspective": (0, 0.4),
    "contrast": (0.1, 1),
    "blur": (0, 1),
    "jpeg": (0, 95),
}


def parse_options(text):
    """Options from "name=value,name=low:high".

    Raises:
        UserError: for an unknown name or an invalid value.
    """
    found = {}
    known = {field.name: field.default for field in dataclasses.fields(Options)}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise UserError(f"--qr_options: {name!r} is unknown. Choose from: {', '.join(known)}.")
        try:
            found[name] = _value(name, value, isinstance(known[name], tuple))
        except ValueError:
            form = "LOW:HIGH" if isinstance(known[name], tuple) else "NUMBER"
            low, high = LIMITS.get(name, ANY)
            raise UserError(
                f"--qr_options: {part!r} has no valid value. Write {name}={form}, from {low:g} to {high:g}."
            ) from None
    return Options(**found)


def _value(name, text, is_range):
    """A number, or a range of two.

    Raises:
        ValueError: if it is neither, or beyond the limits.
    """
    values = tuple(map(float, text.split(":")))
    low, high = LIMITS.get(name, ANY)
    if len(values) != 1 + is_range or list(values) != sorted(values) or not all(low <= v <= high for v in values):
        raise ValueError(text)
    return values if is_range else int(values[0]) if name == "jpeg" else values[0]
