"""Validation: scores of a generator on the centres of pictures."""

import sys

import numpy as np
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.evaluation import metrics, perceptual
from srgan_tf.evaluation.ssim import WINDOW
from srgan_tf.images import degradation
from srgan_tf.images.degradation import Degradation
from srgan_tf.networks import models
from srgan_tf.networks.pixels import to_hr, to_lr, to_uint8
from srgan_tf.resize import imresize
from srgan_tf.training.state import State
from srgan_tf.training.store import Store, as_rgb

CENTRE = 256  # HR side of the part of a picture that is scored, pixels
PSNR_LIMIT = 100.0  # dB; the infinite PSNR of an exact result would make the mean infinite
BICUBIC_REACH = 2  # LR pixels at a centre's edge that depend on HR pixels outside of it


class Validator:
    """Scores the generator of a state in float32, with its averaged weights if there are any.

    Args:
        state: the `State` that is trained.
        store: the `store.Store` of the validation pictures.
        degradation: the `images.degradation.Degradation` of the training pictures, see `centres`.
        distance: a perceptual distance, a function of HR and SR, uint8 [H, W, 3], such as `perceptual.Lpips`.
        name: of that distance in the figures.

    Attributes:
        images: an integer that identifies the pictures, the `fingerprint` of their store.
        criterion: the figure that decides which step is the best, and whether lower is better. PSNR prefers smooth
            pictures, so that for SRGAN it is the perceptual distance if there is one.
    """

    def __init__(self, state: State, store: Store, degradation: Degradation, distance=None, name="lpips"):
        self.state, self.pictures, self.images = state, centres(store, degradation), store.fingerprint
        self.generator = state.exported()
        self.distance, self.name = distance, name
        perceptual = distance and state.recipe.phase == "srgan"
        self.criterion = (f"validation_{name}", True) if perceptual else ("validation_psnr", False)

    def __call__(self):
        """Score the generator as it is now.

        Returns:
            - figures by name: `validation_psnr`, `validation_ssim` (both bt601), `validation_consistency` and, as
              `validation_lpips`, the distance, means over the pictures and then over the kinds of damage; with
              several kinds, PSNR and distance of each.
            - by kind of damage, (LR, SR, HR) of the first picture.
        """
        models.load_named_weights(self.generator, self.state.export_weights())
        return self._score(lambda lr, hr: self._upscale(lr[None])[0].numpy(), "validation")

    def bicubic(self):
        """The figures of bicubic, `bicubic_psnr` and so on."""
        return self._score(lambda lr, hr: imresize(lr, size=hr.shape[:2]), "bicubic")[0]

    def _score(self, upscale, prefix):
        scores, samples = {}, {}
        for kind, lr, hr in self.pictures:
            sr = upscale(lr, hr)
            psnr, ssim = metrics.score(hr, sr, "bt601", border=hr.shape[0] // lr.shape[0])
            consistency = metrics.lr_consistency(lr, sr, border=BICUBIC_REACH)
            samples.setdefault(kind, (lr, sr, hr))
            found = {"psnr": min(psnr, PSNR_LIMIT), "ssim": ssim, "consistency": min(consistency, PSNR_LIMIT)}
            if self.distance:
                found[self.name] = float(self.distance(hr, sr))
            scores.setdefault(kind, []).append(found)
        means = {kind: _means(found) for kind, found in scores.items()}
        figures = {f"{prefix}_{name}": value for name, value in _means([*means.values()]).items()}
        for kind, mean in means.items() if len(means) > 1 else ():
            figures |= {f"{prefix}_{name}_{kind}": mean[name] for name in ("psnr", self.name) if name in mean}
        return figures, samples

    @tf.function(reduce_retracing=True)
    def _upscale(self, lr):
        return to_uint8(self.generator(to_lr(lr), training=False))


def validation_of(run, state: State, store: Store | None, content_loss, before: str | None) -> Validator | None:
    """The `Validator` of a run; None, with a line that says so, if there is nothing to validate on.

    SRGAN is validated by LPIPS, or without its weights by the content loss. A run that resumes keeps its measure: the
    best step is one of all that the run has done.

    Args:
        run: the `run_config.Run`.
        state: its `State`.
        store: the `store.Store` of the validation pictures, or None.
        content_loss: the content loss of `trainer.train`, or None.
        before: the name of the distance in earlier validations of the run, "" for none; None without earlier ones.

    Raises:
        UserError: if LPIPS was the measure, and its weights are missing now.
    """
    if store is None:
        print("no validation: the best step stays unknown. Give images that are not trained on with --validation_dir.")
        return None
    if run.recipe.phase != "srgan":  # its criterion is PSNR
        before = None
    validator = Validator(
        state, store, degradation.parse(run.recipe.degradation), *_distance(run, content_loss, before)
    )
    if not validator.pictures:
        print("no validation: all images are too small. Give larger ones with --validation_dir.")
        return None
    return validator


def _distance(run, content_loss, before):
    """The perceptual distance of validation and its name; nothing for PSNR alone."""
    if before in (None, "lpips"):
        try:
            return perceptual.Lpips(), "lpips"
        except UserError as error:
            if before:
                raise UserError(f"{run.folder}: the best step of this run is determined by LPIPS. {error}") from error
            if content_loss is not None:
                print(f"validation: without LPIPS. {error}", file=sys.stderr)
    if before == "" or content_loss is None:
        return ()

    def distance(hr, sr):
        return content_loss(*(to_hr(picture[None]) for picture in (hr, sr)))

    return distance, "content"


def centres(store: Store, degradation: Degradation) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The centre of every picture with each kind of damage, at most 256 HR pixels per side.

    Args:
        store: a `store.Store`.
        degradation: an `images.degradation.Degradation`, of whose `examples()` each kind is made.

    Returns:
        A list of (kind, LR uint8 [h, w, 3], HR uint8 [s h, s w, 3]), kind by kind. Every call makes the same damage.
    """
    scale = store.scale
    side = CENTRE // scale
    smallest = max(WINDOW + 2 * scale, (2 * BICUBIC_REACH + 1) * scale, perceptual.SMALLEST)
    pairs = []
    for i in range(len(store)):
        if scale * min(store.sizes[i]) < smallest:
            print(f"skipped in validation: {store.names[i]} has less than {smallest} pixels a side", file=sys.stderr)
            continue
        y, x = (max(0, (n - side) // 2) for n in store.sizes[i])
        lr, hr = store.pair(i)
        pairs.append(
            (
                as_rgb(lr[y : y + side, x : x + side]),
                as_rgb(hr[scale * y : scale * (y + side), scale * x : scale * (x + side)]),
            )
        )
    return [
        (kind, damage.apply(hr, scale, np.random.default_rng(i)) if damage else lr, hr)
        for kind, damage in degradation.examples().items()
        for i, (lr, hr) in enumerate(pairs)
    ]


def _means(figures):
    return {name: float(np.mean([found[name] for found in figures])) for name in figures[0]}
