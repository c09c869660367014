"""What codes for training look like."""

import dataclasses

from srgan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """What codes for training look like.

    All is drawn evenly between nothing and what stands here. Of the crops that are `changed` six in ten are turned,
    as many blurred, as many noisy; three in ten are sheared, as many stretched, as many in perspective; one in four is
    compressed. The rest are upright and clean. All may lie on any of their four sides.
    """

    pitch: tuple = (0.8, 2.0)  # LR pixels a module
    hard: tuple = (0.92, 1.25)  # where clean codes are just about lost
    hard_changed: tuple = (1.0, 1.6)  # where changed ones are
    hard_share: float = 0.65  # of the codes
    changed: float = 0.5  # share of the crops that are not upright and clean
    angle: float = 40.0  # degrees, to either side
    shear: float = 0.15
    zoom: float = 0.1
    perspective: float = 0.2  # how much nearer the edge of a code may be than its middle
    contrast: float = 0.5  # the least part of the range from black to white between dark and light
    blur: float = 0.9  # sigma, LR pixels
    noise: float = 12.0  # sigma, grey levels
    jpeg: int = 50  # the lowest quality, up to 95; 0: none


ANY = (0, 100)
LIMITS = {  # what can be drawn and is still a code
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
        UserError: for an unknown name or a value of another form.
    """
    found = {}
    known = {field.name: field.default for field in dataclasses.fields(Options)}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise UserError(f"{name!r} is no option of codes, --qr_options, take some of: {', '.join(known)}")
        try:
            found[name] = _value(name, value, isinstance(known[name], tuple))
        except ValueError:
            form = "LOW:HIGH" if isinstance(known[name], tuple) else "NUMBER"
            low, high = LIMITS.get(name, ANY)
            raise UserError(
                f"{part!r} has no value that fits, --qr_options, write {name}={form} from {low:g} to {high:g}"
            ) from None
    return Options(**found)


def _value(name, text, is_range):
    """A number, or a range of two.

    Raises:
        ValueError: where it is neither, or beyond its limits.
    """
    values = tuple(map(float, text.split(":")))
    low, high = LIMITS.get(name, ANY)
    if len(values) != 1 + is_range or list(values) != sorted(values) or not all(low <= v <= high for v in values):
        raise ValueError(text)
    return values if is_range else int(values[0]) if name == "jpeg" else values[0]
