"""What the person at the keyboard can mend."""


class UserError(Exception):
    """A wrong flag, file or environment: `WHAT, WHICH FILE OR FLAG, WHAT TO DO`, in one line.

    Commands print it as `error: ...` without a traceback; every other exception is a bug and shows one.
    """
