"""The pictures that a run is validated on: centres, LR and HR."""

import sys

import numpy as np

from srgan_tf.evaluation import metrics
from srgan_tf.training.run_folder import Run  # noqa: F401 what `train` takes
from srgan_tf.training.store import as_rgb

VALIDATION_CROP = 256  # HR side of the centre that is scored, pixels
MOST = 100.0  # dB that a picture counts in a mean: a flat one, whose error is none, would make it infinite
BICUBIC_REACH = 2  # LR pixels at a centre's edge that were made of HR outside of it


def centres(store, degradations):
    """The centre of every picture with each kind of damage, at most 256 HR pixels a side.

    Args:
        store: a `store.Store`.
        degradations: an `images.degradation.Degradation`, of whose `examples()` each kind is made.

    Returns:
        A list of (kind, LR uint8 [h, w, 3], HR uint8 [s h, s w, 3]), kind by kind. The damages are the same in
        every call.
    """
    side = VALIDATION_CROP // store.scale
    pairs, least = [], max(metrics.SSIM_WINDOW + 2 * store.scale, (2 * BICUBIC_REACH + 1) * store.scale)
    for i in range(len(store)):
        if store.scale * min(store.sizes[i]) < least:
            print(f"left out of the validation: {store.names[i]} has less than {least} pixels a side", file=sys.stderr)
            continue
        y, x = (max(0, (n - side) // 2) for n in store.sizes[i])
        lr, hr = store.pair(i)
        s = store.scale
        small, large = (
            as_rgb(lr[y : y + side, x : x + side]),
            as_rgb(hr[y * s : (y + side) * s, x * s : (x + side) * s]),
        )
        pairs.append((small, large))
    return [
        (kind, damage.apply(hr, store.scale, np.random.default_rng(i)) if damage else lr, hr)
        for kind, damage in degradations.examples().items()
        for i, (lr, hr) in enumerate(pairs)
    ]
