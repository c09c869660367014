"""Does a model draw a grid? Peaks in the spectrum of what it adds to SRResNet, beside those of what is missing there.

    python benchmarks/grid.py --data_dir KODAK --model srgan

LR is made of the pictures by imresize. Of SR minus SRResNet's SR, and of HR minus SRResNet's SR, the mean power spectrum
of the luma of all whole tiles of 256 x 256 pixels is taken. Layers that enlarge by two leave patterns that repeat every 2,
4 or 8 pixels: lines and points of the spectrum at multiples of an eighth. How far such a one stands above its
neighbours, in dB, is its peak. The last line is one JSON object: the peaks of both by period, and `excess`, the largest of
the model's above HR's.
"""
import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from srgan_tf import Upscaler, formats, images  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402

SIDE = 256  # pixels of a tile: a multiple of all periods
AROUND = 5  # frequencies on both sides that are a peak's neighbours
PERIODS = (2, 4, 8)
LUMA = np.array([0.299, 0.587, 0.114])


def power(difference):
    """Mean power spectrum of an array's whole tiles, [SIDE, SIDE]; the mean and slow changes are windowed away."""
    window = np.hanning(SIDE + 1)[:-1]
    window = window[:, None] * window
    height, width = (n // SIDE * SIDE for n in difference.shape)
    tiles = [difference[y:y + SIDE, x:x + SIDE] for y in range(0, height, SIDE) for x in range(0, width, SIDE)]
    return np.mean([np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2 for tile in tiles], axis=0)


def peaks(spectrum):
    """By period, in dB: the highest point at a multiple of 1 / period above the median around it."""
    found = {}
    for period in PERIODS:
        step, levels = SIDE // period, []
        for y in range(0, SIDE // 2 + 1, step):
            for x in range(0, SIDE, step):
                if y % (2 * step) or x % (2 * step):  # the others repeat more often
                    rows, columns = (np.arange(at - AROUND, at + AROUND + 1) % SIDE for at in (y, x))
                    around = spectrum[np.ix_(rows, columns)]
                    far = np.ones(around.shape, bool)
                    far[AROUND - 2:AROUND + 3, AROUND - 2:AROUND + 3] = False  # the window widens a peak
                    levels.append(10 * np.log10(spectrum[y, x] / np.median(around[far])))
        found[period] = round(max(levels), 2)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="a folder of pictures")
    parser.add_argument("--model", default="srgan")
    args = parser.parse_args()
    base, model = Upscaler("srresnet"), Upscaler(args.model)
    spectra = []
    for path in sorted(path for path in Path(args.data_dir).iterdir() if path.suffix.lower() in formats.FORMATS):
        hr = images.read(path).pixels
        hr = hr[:hr.shape[0] // 4 * 4, :hr.shape[1] // 4 * 4]
        lr = imresize(hr, 1 / 4)
        smooth, sr, hr = (pixels @ LUMA for pixels in (base(lr), model(lr), hr))
        spectra.append([power(sr - smooth), power(hr - smooth)])
    ours, theirs = (peaks(np.mean(spectrum, axis=0)) for spectrum in zip(*spectra))
    for period in PERIODS:
        print(f"every {period} pixels: model {ours[period]:5.2f} dB above its neighbours, HR {theirs[period]:5.2f}")
    print(json.dumps({"model": ours, "hr": theirs, "excess": round(max(ours[p] - theirs[p] for p in PERIODS), 2)}))


if __name__ == "__main__":
    main()
