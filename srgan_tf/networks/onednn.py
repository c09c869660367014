"""oneDNN, the library with which TensorFlow computes convolutions on x86 processors."""

import os
import platform

_SETTING = "TF_ENABLE_ONEDNN_OPTS"


def enable():
    """Enable oneDNN in this process, unless the user has set it otherwise. Call this before TensorFlow is imported.

    TensorFlow alone enables it only on processors with instructions such as AVX-512 VNNI. It is also faster with AVX2.
    """
    if platform.machine() in ("x86_64", "AMD64") and not os.environ.get(_SETTING):
        os.environ[_SETTING] = "1"


def is_disabled():
    """Whether the user has disabled oneDNN."""
    return os.environ.get(_SETTING, "").lower() in ("0", "false")
