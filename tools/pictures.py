"""Draw the comparison images of the documentation: bicubic, SRResNet, SRGAN and the original, side by side.

python tools/pictures.py example KODAK     # docs/example.png, from the folder of the Kodak images
python tools/pictures.py set14 SETS        # docs/set14.jpg, from the folder of the benchmark sets
python tools/pictures.py bsd100 SETS       # docs/bsd100.jpg
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from srgan_tf import Upscaler  # noqa: E402
from srgan_tf.evaluation import benchmark_sets  # noqa: E402
from srgan_tf.images import reading  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402

DETAILS = {  # sheet -> image, row and column of the corner of each detail
    "example": (("kodim23", 60, 420), ("kodim08", 130, 300)),
    "set14": (
        ("img_001", 250, 60),
        ("img_005", 60, 56),
        ("img_007", 90, 210),
        ("img_010", 60, 150),
        ("img_014", 60, 170),
    ),
    "bsd100": (
        ("img_001", 90, 40),
        ("img_003", 100, 60),
        ("img_009", 60, 150),
        ("img_035", 160, 60),
        ("img_088", 40, 60),
    ),
}
SIDE, GAP, HEAD = 192, 6, 22


def pairs(name, folder):
    """Yield (HR, LR) of the images of a sheet. LR of the Kodak images is made by imresize."""
    if name == "example":
        for detail, *_ in DETAILS[name]:
            hr = reading.read(Path(folder) / f"{detail}.png").pixels
            yield hr, imresize(hr, 1 / 4)
        return
    found = {pair.name: pair for pair in benchmark_sets.load_pairs(name, folder)}
    for detail, *_ in DETAILS[name]:
        yield benchmark_sets.read_pair(found[detail])


def sheet(name, folder, networks):
    """A sheet with one row per detail and columns for bicubic, each network by its title, and the original."""
    titles = ("bicubic", *networks, "original")
    size = len(titles) * (SIDE + GAP) - GAP, HEAD + len(DETAILS[name]) * (SIDE + GAP) - GAP
    picture = Image.new("RGB", size, "white")
    for column, title in enumerate(titles):
        ImageDraw.Draw(picture).text(
            (column * (SIDE + GAP) + SIDE // 2, HEAD // 2), title, "black", ImageFont.load_default(14), anchor="mm"
        )
    for row, ((hr, lr), (_, y, x)) in enumerate(zip(pairs(name, folder), DETAILS[name])):
        for column, pixels in enumerate((imresize(lr, 4), *(network(lr) for network in networks.values()), hr)):
            tile = Image.fromarray(np.ascontiguousarray(pixels[y : y + SIDE, x : x + SIDE]))
            picture.paste(tile, (column * (SIDE + GAP), HEAD + row * (SIDE + GAP)))
    return picture


def main(name, folder):
    drawn = sheet(name, folder, {"SRResNet": Upscaler("srresnet"), "SRGAN": Upscaler("srgan")})
    out = Path(__file__).parents[1] / "docs" / (f"{name}.png" if name == "example" else f"{name}.jpg")
    drawn.save(out, optimize=True, quality=93, subsampling=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
