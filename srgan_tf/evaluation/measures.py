"""The metrics of `evaluate.py --metrics`: their names, formats and requirements."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.evaluation import niqe as niqe_metric
from srgan_tf.evaluation.metrics import crop_border


@dataclasses.dataclass(frozen=True)
class Metric:
    """The storage and display settings of a metric.

    Attributes:
        key: its name in `results.json` and `results.csv`.
        title: head of its column.
        unit: second line of the head.
        digits: after the decimal point.
        lower: whether lower is better.
        by_protocol: whether there is a figure for each protocol.
    """

    key: str
    title: str
    unit: str
    digits: int
    lower: bool = False
    by_protocol: bool = False


METRICS = {
    "psnr": Metric("psnr", "PSNR", "dB", 2, by_protocol=True),
    "ssim": Metric("ssim", "SSIM", "", 4, by_protocol=True),
    "lpips": Metric("lpips", "LPIPS", "distance", 4, lower=True),
    "niqe": Metric("niqe", "NIQE", "distance", 3, lower=True),
    "vgg54": Metric("vgg54", "VGG54", "distance", 4, lower=True),
    "consistency": Metric("lr_consistency", "LR consistency", "PSNR", 2),
}
DEFAULT = ("psnr", "ssim", "consistency")

# HR -> (SR -> figure), images uint8 [H, W, 3]: values that depend only on HR are computed once.
Measure = Callable[[np.ndarray], Callable[[np.ndarray], float]]


def parse(text: str) -> tuple[str, ...]:
    """The metrics of a list such as "psnr,ssim,lpips".

    Raises:
        UserError: for an unknown metric and an empty list.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        what = f"{unknown[0]!r} is unknown" if unknown else "no metric is named"
        raise UserError(f"--metrics: {what}. Choose from: {', '.join(METRICS)}.")
    return names


def load(
    names: tuple[str, ...],
    scale: int = 4,
    *,
    lpips_weights: str | Path | None = None,
    vgg_weights: str | Path | None = None,
) -> dict[str, Measure]:
    """Load the metrics that need networks or other parameters: `lpips`, `niqe` and `vgg54`.

    As for PSNR and SSIM, `scale` pixels are cropped at each side before LPIPS and NIQE are computed. VGG54 distances
    are those of whole images, as in the loss.

    Args:
        names: keys of METRICS; others are ignored.
        scale: pixels to crop.
        lpips_weights: as for `perceptual.Lpips`.
        vgg_weights: the path of a Keras VGG19 notop .h5 file, or "imagenet".

    Raises:
        UserError: if weights are missing.
    """
    found = {}
    if "lpips" in names:
        found["lpips"] = _lpips(lpips_weights, scale)
    if "niqe" in names:
        found["niqe"] = lambda hr: lambda sr: niqe_metric.niqe(sr, scale)
    if "vgg54" in names:
        found["vgg54"] = _vgg54(vgg_weights)
    return found


def check_size(path: Path, height: int, width: int, names: tuple[str, ...], scale: int = 4) -> None:
    """Check that an HR image is large enough for metrics.

    Raises:
        UserError: if it is not.
    """
    smallest = 31 + 2 * scale  # of LPIPS; perceptual.py would load TensorFlow
    too_small = {
        "lpips": min(height, width) < smallest,
        "niqe": not niqe_metric.fits(height, width, scale),
    }
    for name, small in too_small.items():
        if small and name in names:
            raise UserError(
                f"{path}: too small for {METRICS[name].title}, {width} x {height} pixels. Remove it from the set, or "
                f"{name} from --metrics."
            )


def _lpips(weights, scale):
    from srgan_tf.evaluation.perceptual import Lpips  # loads TensorFlow

    try:
        distance = Lpips(weights)
    except UserError as error:
        raise error if weights else UserError(f"--metrics lpips: {str(error).removeprefix('LPIPS: ')}") from None

    def measure(hr):
        hr = crop_border(hr, scale)
        return lambda sr: distance(hr, crop_border(sr, scale))

    return measure


def _vgg54(weights):
    import tensorflow as tf

    from srgan_tf.networks import losses

    vgg = losses.vgg_model("vgg54", weights)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])  # faster than eager, for all sizes
    def features(image):
        return losses.vgg_features(vgg, tf.cast(image[None], tf.float32) / 127.5 - 1)

    def measure(hr):
        original = features(hr)
        return lambda sr: float(tf.reduce_mean(tf.square(features(sr) - original)))

    return measure
