"""Draw the comparison images of the documentation: bicubic, the models and the original, side by side.

python tools/pictures.py photo KODAK       # docs/photo.jpg, of LR that was saved as JPEG
python tools/pictures.py example KODAK     # docs/example.png, from the folder of the Kodak images
python tools/pictures.py set14 SETS        # docs/set14.jpg, from the folder of the benchmark sets
python tools/pictures.py bsd100 SETS       # docs/bsd100.jpg
python tools/pictures.py details KODAK     # weights/srgan_x4/details.jpg, enlarged three times
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from srgan_tf import Upscaler  # noqa: E402
from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.evaluation import benchmark_sets  # noqa: E402
from srgan_tf.images import degradation, reading  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402

DETAILS = {  # sheet -> image, row and column of the corner of each detail
    "photo": (("kodim19", 130, 250), ("kodim23", 60, 420)),
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
    "details": (  # hair, foliage, feathers, a straight edge, text
        ("kodim04", 180, 370),
        ("kodim13", 190, 330),
        ("kodim23", 265, 494),
        ("kodim08", 125, 392),
        ("kodim08", 285, 670),
    ),
}
NETWORKS = {"photo": {"photo": "photo"}}  # sheet -> models by title; of the other sheets:
PAPER = {"SRResNet": "srresnet", "SRGAN": "srgan"}
QUALITY = 75  # of JPEG
SIDES, GAP, HEAD = {"photo": 256, "details": 96}, 6, 22
SIDE = 192
ZOOMS = {"details": 3}
BENCHMARKS = ("set14", "bsd100")  # the others are of the Kodak images
FILES = {"example": "docs/example.png", "details": "weights/srgan_x4/details.jpg"}


def pairs(name, folder):
    """Yield (HR, LR) of the images of a sheet. LR of the Kodak images is made by imresize, and saved as JPEG."""
    if name not in BENCHMARKS:
        for detail, *_ in DETAILS[name]:
            hr = reading.read(Path(folder) / f"{detail}.png").pixels
            lr = imresize(hr, 1 / 4)
            yield hr, degradation.as_jpeg(lr, QUALITY) if name == "photo" else lr
        return
    found = {pair.name: pair for pair in benchmark_sets.load_pairs(name, folder)}
    for detail, *_ in DETAILS[name]:
        yield benchmark_sets.read_pair(found[detail])


def sheet(name, folder, networks):
    """A sheet with one row per detail and columns for bicubic, each network by its title, and the original."""
    titles, side = ("bicubic", *networks, "original"), SIDES.get(name, SIDE)
    shown = side * ZOOMS.get(name, 1)
    size = len(titles) * (shown + GAP) - GAP, HEAD + len(DETAILS[name]) * (shown + GAP) - GAP
    picture = Image.new("RGB", size, "white")
    for column, title in enumerate(titles):
        ImageDraw.Draw(picture).text(
            (column * (shown + GAP) + shown // 2, HEAD // 2), title, "black", ImageFont.load_default(14), anchor="mm"
        )
    for row, ((hr, lr), (_, y, x)) in enumerate(zip(pairs(name, folder), DETAILS[name])):
        for column, pixels in enumerate((imresize(lr, 4), *(network(lr) for network in networks.values()), hr)):
            tile = Image.fromarray(np.ascontiguousarray(pixels[y : y + side, x : x + side]))
            tile = tile.resize((shown, shown), Image.Resampling.NEAREST)
            picture.paste(tile, (column * (shown + GAP), HEAD + row * (shown + GAP)))
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=DETAILS)
    parser.add_argument("folder")
    args = parser.parse_args()
    networks = {title: Upscaler(model) for title, model in NETWORKS.get(args.name, PAPER).items()}
    drawn = sheet(args.name, args.folder, networks)
    out = Path(__file__).parents[1] / FILES.get(args.name, f"docs/{args.name}.jpg")
    drawn.save(out, optimize=True, quality=93, subsampling=0)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
