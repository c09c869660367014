"""The folder for downloads and decoded images."""

import os
from pathlib import Path

from srgan_tf.errors import UserError


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/srgan_tf`, where the variable is ~/.cache by default.

    Raises:
        UserError: when there is no home directory, as in a container with a user of its own.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        raise UserError("XDG_CACHE_HOME: not set, and there is no home directory. Set it, or give --cache_dir FOLDER.")
    return Path(base, "srgan_tf")
