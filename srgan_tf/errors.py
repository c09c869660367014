"""What the person at the keyboard can mend."""

import unicodedata


class UserError(Exception):
    """A wrong flag, file or environment: `WHAT, WHICH FILE OR FLAG, WHAT TO DO`, in one line.

    Commands print it as `error: ...` without a traceback; every other exception is a bug and shows one.
    """

    def __str__(self):
        return one_line(super().__str__())


def one_line(text):
    r"""Text with what would break a line or steer a terminal spelt out (`\n`): file names may hold anything."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in text
    )
