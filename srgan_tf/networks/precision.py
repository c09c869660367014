"""The precisions that a device supports natively."""

from pathlib import Path

import tensorflow as tf

from srgan_tf.networks import onednn

CPUINFO = Path("/proc/cpuinfo")


def computes_bfloat16():
    """Whether this machine supports bfloat16 convolutions natively: a GPU since Ampere, or a CPU with the flag.

    Without oneDNN, TensorFlow emulates it on the CPU, slower than float32.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    try:
        flags = set(CPUINFO.read_text(encoding="ascii", errors="replace").split())
    except OSError:  # not Linux
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"}) and not onednn.is_disabled()
