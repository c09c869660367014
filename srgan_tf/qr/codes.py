"""What the codes say and their modules: random URLs, texts and contacts, drawn by segno."""

import dataclasses
import string

import numpy as np

from srgan_tf.errors import UserError

VERSIONS = range(1, 7)  # 21 to 41 modules a side
LEVELS = "LMQH"  # of error correction: 7, 15, 25, 30 % of the codewords
QUIET = 4  # modules of light around a code, as the standard asks
BYTES = {  # the most a version holds in bytes, versions 1 to 6 (ISO/IEC 18004, table 7)
    "L": (17, 32, 53, 78, 106, 134),
    "M": (14, 26, 42, 62, 84, 106),
    "Q": (11, 20, 32, 46, 60, 74),
    "H": (7, 14, 24, 34, 44, 58),
}
PURPOSES = ("validation", "evaluation")
LETTERS, ALNUM = np.array([*string.ascii_lowercase]), np.array([*string.ascii_lowercase, *string.digits])
ENDS = (".com", ".org", ".net", ".de", ".io", ".fr", ".jp")


@dataclasses.dataclass(frozen=True)
class Code:
    """A text and its code: `modules` is bool [n, n], dark is True, without the quiet zone."""

    text: str
    modules: np.ndarray
    version: int
    level: str


def random_code(rng, *, mask=None):
    """A code of versions 1 to 6 and any level of error correction, filled with what people put into codes.

    Args:
        rng: a `numpy.random.Generator`; all that the code depends on.
        mask: one of the standard's eight patterns; None takes the one that the standard rates best, five times as
            slowly.

    Raises:
        UserError: where segno is not installed.
    """
    version, level = int(rng.choice(VERSIONS)), LEVELS[rng.integers(len(LEVELS))]
    least = BYTES[level][version - 2] if version > 1 else 4
    text = random_text(rng, int(rng.integers(least + 1, BYTES[level][version - 1] + 1)))
    return make_code(text, version, level, mask=mask)


def random_text(rng, length):
    """An URL, a contact or plain words of that many ASCII characters."""
    kind = rng.integers(4)
    if kind == 0 and length > 28:
        text = f"MECARD:N:{_word(rng, 5).title()},{_word(rng, 4).title()};TEL:+{_digits(rng, 6)}"
        text += f";EMAIL:{_word(rng, 6)}@{_word(rng, 5)}{rng.choice(ENDS)}" if length > 60 else ""
        return (text + ";NOTE:" + _words(rng, length))[: length - 2] + ";;"
    if kind == 1 and length > 75:
        name = f"{_word(rng, 5).title()};{_word(rng, 4).title()}"
        head = f"BEGIN:VCARD\nVERSION:3.0\nN:{name}\nTEL:{_digits(rng, 9)}\nNOTE:"
        return (head + _words(rng, length))[: length - 10] + "\nEND:VCARD"
    if kind < 3 and length > 14:
        path = "".join(rng.choice(ALNUM, length))
        return f"https://{_word(rng, 4)}{rng.choice(ENDS)}/{path}"[:length]
    return _words(rng, length)[:length]


def make_code(text, version=None, level="M", *, mask=None):
    """The code of a text; without a version, the smallest.

    Raises:
        UserError: where segno is not installed.
        ValueError: where the text does not fit.
    """
    drawn = generator().make(text, version=version, error=level, mask=mask, micro=False, boost_error=False)
    return Code(text, np.array(drawn.matrix, bool), drawn.version, level)


def held_back(purpose, number):
    """A random generator for code `number` of "validation" or "evaluation": none of training is in the same state."""
    return np.random.default_rng(np.random.SeedSequence(number, spawn_key=(PURPOSES.index(purpose),)))


def generator():
    """The module segno.

    Raises:
        UserError: where it is not installed.
    """
    try:
        import segno
    except ImportError as error:
        raise UserError("codes are drawn by segno, which is not installed: pip install 'srgan_tf[qr]'") from error
    return segno


def _word(rng, length):
    return "".join(rng.choice(LETTERS, length + rng.integers(3)))


def _words(rng, length):
    words = []
    while sum(map(len, words)) + len(words) <= length:
        words.append(_word(rng, int(rng.integers(1, 9))))
    return " ".join(words)


def _digits(rng, count):
    return "".join(map(str, rng.integers(0, 10, count)))
