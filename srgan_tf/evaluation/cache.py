"""The folder for downloads and decoded images."""

import os
from pathlib import Path

from srgan_tf.errors import UserError


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/srgan_tf`; the variable defaults to ~/.cache.

    Raises:
        UserError: if there is no home directory, as for a user that only exists in a container.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        raise UserError("XDG_CACHE_HOME: not set, and there is no home directory. Set it to a folder.")
    return Path(base, "srgan_tf")
