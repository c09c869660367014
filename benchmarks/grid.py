"""Grid patterns of a model, as peaks in the spectrum of what it adds to SRResNet, and the strength of its texture.

    python benchmarks/grid.py --data_dir KODAK --model srgan

LR is made from the images by imresize. SRResNet is the network from which the model was trained. The benchmark
computes the mean power spectrum of the luma over all complete tiles of 256 x 256 pixels, of SR minus the SR of
SRResNet, and of HR minus the SR of SRResNet. Layers that enlarge by two can leave patterns that repeat every 2, 4 or
8 pixels: lines and points in the spectrum at multiples of an eighth. A peak is the height of such a point above its
neighbours, in dB; `pattern` is the mean of the 4 x 4 squares of a tile, in grey levels. The detail of an image is the
standard deviation of its luma minus a Gaussian of sigma 1.5.

The last line is one JSON object: the peaks of both by period; `elsewhere`, the height that one in a hundred other
points exceeds; `excess`, the largest difference between the peaks of the model and of HR; `pattern`, root mean square,
of both; and `detail`, that of SR divided by that of HR, over all images.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402

from srgan_tf import Upscaler  # noqa: E402
from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.images import formats, reading  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402
from srgan_tf.saved_models import zoo  # noqa: E402

SIDE = 256  # side of a tile in pixels, a multiple of all periods
AROUND = 5  # neighbours of a peak on each side, frequencies
PERIODS = (2, 4, 8)
LUMA = np.array([0.299, 0.587, 0.114])


def detail(luma):
    """Variance of the luma minus a Gaussian of sigma 1.5."""
    taps = np.exp(-np.square(np.arange(-6, 7) / 1.5) / 2)
    smooth = np.pad(luma, 6, "reflect")
    for axis in (0, 1):
        smooth = np.lib.stride_tricks.sliding_window_view(smooth, len(taps), axis) @ (taps / taps.sum())
    return float(np.var(luma - smooth))


def tiles(difference):
    """The complete tiles of an array, [N, SIDE, SIDE], without their means."""
    rows, columns = (n // SIDE for n in difference.shape)
    cut = difference[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)
    cut = cut.reshape(-1, SIDE, SIDE)
    return cut - cut.mean(axis=(1, 2), keepdims=True)


def power(difference):
    """Mean power spectrum of the complete tiles of an array, [SIDE, SIDE], with a Hann window."""
    window = np.hanning(SIDE + 1)[:-1]
    return np.mean(np.abs(np.fft.fft2(tiles(difference) * window[:, None] * window)) ** 2, axis=0)


def pattern(difference):
    """Mean square of what repeats every 4 pixels in both directions, averaged over each complete tile of an array."""
    cells = tiles(difference).reshape(-1, SIDE // 4, 4, SIDE // 4, 4)
    return float(np.square(cells.mean(axis=(1, 3))).mean())


def level(spectrum, y, x):
    """Height of a point above the median around it, in dB.

    Images have more horizontal and vertical edges than others, so the axes of a spectrum are ridges. A point on an axis
    is compared with its neighbours on that axis.
    """
    near, far = np.arange(-AROUND, AROUND + 1), np.arange(-2 * AROUND, 2 * AROUND + 1)
    rows, columns = near, near
    if y == 0:
        rows, columns = np.zeros(1, int), far
    elif x == 0:
        rows, columns = far, np.zeros(1, int)
    rows, columns = np.meshgrid(rows, columns, indexing="ij")
    beside = np.maximum(np.abs(rows), np.abs(columns)) > 2  # not closer, because the window widens a peak
    around = spectrum[(y + rows[beside]) % SIDE, (x + columns[beside]) % SIDE]
    return float(10 * np.log10(spectrum[y, x] / np.median(around)))


def peaks(spectrum):
    """The highest point at multiples of 1 / period, in dB, by period."""
    found = {}
    for period in PERIODS:
        step = SIDE // period
        found[period] = round(
            max(
                level(spectrum, y, x)
                for y in range(0, SIDE // 2 + 1, step)
                for x in range(0, SIDE, step)
                if y % (2 * step) or x % (2 * step)
            ),
            2,
        )  # the other points have a shorter period
    return found


def elsewhere(spectrum):
    """The height in dB that one in a hundred points exceeds which are not multiples of an eighth."""
    least, step = SIDE // 8, SIDE // max(PERIODS)
    points = [
        (y, x)
        for y in range(0, SIDE // 2, 3)
        for x in range(0, SIDE // 2, 3)
        if (y % step or x % step) and max(y, x) > least
    ]
    return round(float(np.percentile([level(spectrum, y, x) for y, x in points], 99)), 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="a folder of images")
    parser.add_argument("--model", default="srgan")
    parser.add_argument("--base", help="the model that is subtracted; default: the one from which --model was trained")
    args = parser.parse_args()
    if not os.path.isdir(args.data_dir):
        raise UserError(f"--data_dir {args.data_dir}: not a folder. Give a folder of images.")
    base, model = Upscaler(args.base or zoo.origin(zoo.resolve(args.model))), Upscaler(args.model)
    spectra, details, patterns = [], [], []
    for path in sorted(path for path in Path(args.data_dir).iterdir() if path.suffix.lower() in formats.FORMATS):
        hr = reading.read(path).pixels
        if min(hr.shape[:2]) < SIDE:
            print(f"skipped: {path} has no complete tile of {SIDE} x {SIDE} pixels", file=sys.stderr)
            continue
        hr = hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4]
        lr = imresize(hr, 1 / 4)
        smooth, sr, hr = (pixels @ LUMA for pixels in (base(lr), model(lr), hr))
        spectra.append([power(sr - smooth), power(hr - smooth)])
        details.append([detail(sr), detail(hr)])
        patterns.append([pattern(sr - smooth), pattern(hr - smooth)])
    if not spectra:
        raise UserError(f"--data_dir {args.data_dir}: no image of at least {SIDE} x {SIDE} pixels. Give larger ones.")
    spectra = [np.mean(spectrum, axis=0) for spectrum in zip(*spectra)]
    ours, theirs = map(peaks, spectra)
    chance = dict(zip(("model", "hr"), map(elsewhere, spectra)))
    for period in PERIODS:
        print(f"period {period}: model {ours[period]:5.2f} dB above the neighbours, HR {theirs[period]:5.2f} dB")
    print(f"elsewhere, one point in a hundred: model over {chance['model']:5.2f} dB, HR over {chance['hr']:5.2f} dB")
    excess = round(max(ours[p] - theirs[p] for p in PERIODS), 2)
    share = round(float(np.sqrt(np.divide(*np.sum(details, axis=0)))), 3)
    print(f"detail: {share:.1%} of that of the originals")
    levels = dict(zip(("model", "hr"), np.sqrt(np.mean(patterns, axis=0)).round(2).tolist()))
    print(f"pattern of 4 x 4 pixels: model {levels['model']:.2f} grey levels, HR {levels['hr']:.2f}")
    figures = {"model": ours, "hr": theirs, "elsewhere": chance, "excess": excess, "pattern": levels, "detail": share}
    print(json.dumps(figures))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
