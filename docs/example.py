"""Draw README's example from the Kodak pictures: python docs/example.py FOLDER

LR is made here by imresize; each row shows a detail as nearest, SRResNet, SRGAN and the original.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from srgan_tf import Upscaler, images  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402

DETAILS = (("kodim23.png", 60, 420), ("kodim08.png", 130, 300))  # file, row, column
SIDE, GAP = 192, 6


def main():
    networks = Upscaler("srresnet"), Upscaler("srgan")
    rows = []
    for name, y, x in DETAILS:
        hr = images.read(Path(sys.argv[1]) / name).pixels
        lr = imresize(hr, 1 / 4)
        pictures = [lr.repeat(4, 0).repeat(4, 1), *(network(lr) for network in networks), hr]
        row = [np.pad(p[y:y + SIDE, x:x + SIDE], ((0, 0), (0, GAP), (0, 0)), constant_values=255) for p in pictures]
        rows.append(np.pad(np.concatenate(row, 1)[:, :-GAP], ((0, GAP), (0, 0), (0, 0)), constant_values=255))
    Image.fromarray(np.concatenate(rows)[:-GAP]).save(Path(__file__).with_name("example.png"), optimize=True)


if __name__ == "__main__":
    main()
