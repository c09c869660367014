"""Draw pages of letters, digits and flat graphics, as training pictures:

    python tools/lettering.py OUT [--pages 26] [--fonts FOLDER]

Photographs contain few letters, so a model trained on them alone draws letters badly. 26 pages among 505 photographs
are a twentieth of the crops. The pages are PNG files of 1024 x 768 pixels, determined by `--seed`. The fonts are the
.ttf and .otf files under FOLDER that contain Latin letters and digits.
"""

import argparse
import string
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (1024, 768)
SMOOTH = 4  # shapes are drawn larger by this factor and reduced, because Pillow draws them without antialiasing
SYLLABLES = "ka lo mi ter ra en st or ing vel du pa ne qui sha wo lex by fi zu jo hum gra".split()


CHARACTERS = string.ascii_letters + string.digits + ",."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pages", type=int, default=26)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = sorted(path for ending in ("ttf", "otf") for path in args.fonts.rglob(f"*.{ending}"))
    fonts = [path for path in found if has_letters(path)]
    if not fonts:
        others = f", except {len(found)} without Latin letters" if found else ""
        sys.exit(f"error: --fonts {args.fonts}: no .ttf or .otf file{others}. Give a folder of fonts.")
    if len(fonts) < len(found):
        print(f"skipped: {len(found) - len(fonts)} of {len(found)} fonts, which have no Latin letters or one size only")
    args.out.mkdir(parents=True, exist_ok=True)
    for n in range(args.pages):
        rng = np.random.default_rng([args.seed, n])
        draw = (text_page, graphics_page)[n % 4 == 3]
        draw(rng, fonts).save(args.out / f"lettering{n:03}.png")


def has_letters(path):
    """Whether a font can be drawn in any size, and has Latin letters and digits instead of boxes."""
    try:
        font = ImageFont.truetype(str(path), 40)
        absent = bytes(font.getmask("\uffff"))
        return all(bytes(font.getmask(c)) not in (b"", absent) for c in CHARACTERS)
    except OSError:  # damaged, or a font of bitmaps, such as emoji
        return False


def text_page(rng, fonts):
    """Blocks of text of different fonts, sizes, colours and angles on flat or graded backgrounds."""
    page = background(rng, *colours(rng)[:1])
    width, height = SIZE
    for top in range(0, height, height // 3):
        for left in range(0, width, width // 2):
            page.paste(text_block(rng, fonts, (width // 2, height // 3)), (left, top))
    return page


def text_block(rng, fonts, size):
    """A rectangle filled with lines of text, level or slightly turned."""
    paper, ink = colours(rng)
    angle = rng.uniform(-20, 20) if rng.random() < 0.3 else 0.0
    side = int(1.5 * max(size))
    block = background(rng, paper, (side, side))
    draw = ImageDraw.Draw(block)
    y = -int(rng.integers(0, 20))
    while y < side:
        # Letters from about 3 LR pixels at scale 4, where they are hardly legible, to the size of a headline.
        points = int(np.exp(rng.uniform(np.log(13), np.log(90))))
        font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), points)
        for _ in range(int(rng.integers(1, 1 + max(1, 120 // points)))):
            draw.text((-int(rng.integers(0, 40)), y), line(rng, side // points * 2), ink, font)
            y += int(1.25 * points)
    if angle:
        block = block.rotate(angle, Image.Resampling.BICUBIC)
    left, top = ((side - n) // 2 for n in size)
    return block.crop((left, top, left + size[0], top + size[1]))


def line(rng, letters):
    """Words, numbers and signs, about `letters` characters."""
    words = []
    while sum(map(len, words)) < letters:
        word = "".join(rng.choice(SYLLABLES, rng.integers(1, 5)))
        kind = rng.random()
        if kind < 0.15:
            word = "".join(rng.choice(list(string.digits), rng.integers(1, 7)))
        elif kind < 0.25:
            word = word.upper()
        elif kind < 0.45:
            word = word.capitalize()
        elif kind < 0.5:
            word = "".join(rng.choice(list(string.punctuation), rng.integers(1, 3)))
        words.append(word + str(rng.choice(["", "", "", "", ",", "."])))
    return " ".join(words)


def graphics_page(rng, fonts):
    """Overlapping rectangles, ellipses, polygons, lines and grids, a few with a label."""
    width, height = (SMOOTH * n for n in SIZE)
    page = background(rng, colours(rng)[0], (width, height))
    draw = ImageDraw.Draw(page)
    for _ in range(70):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = (int(SMOOTH * np.exp(rng.uniform(np.log(8), np.log(300)))) for _ in range(2))
        paper, ink = colours(rng)
        box = (int(x), int(y), int(x) + w, int(y) + h)
        pen = int(SMOOTH * rng.choice([1, 1, 2, 3, 5]))
        kind = rng.integers(6)
        if kind == 0:
            draw.rectangle(box, paper, ink, pen)
        elif kind == 1:
            draw.ellipse(box, paper, ink, pen)
        elif kind == 2:
            corners = [(int(x + w * rng.random()), int(y + h * rng.random())) for _ in range(rng.integers(3, 7))]
            draw.polygon(corners, paper, ink, pen)
        elif kind == 3:
            draw.line(box, ink, pen)
        elif kind == 4:
            step = int(SMOOTH * rng.integers(5, 24))
            for at in range(box[0], box[2], step):
                draw.line((at, box[1], at, box[3]), ink, pen)
            if rng.random() < 0.5:
                for at in range(box[1], box[3], step):
                    draw.line((box[0], at, box[2], at), ink, pen)
        else:
            font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), max(h // 2, 14 * SMOOTH))
            draw.text(box[:2], line(rng, 8), ink, font)
    return page.reduce(SMOOTH)


def background(rng, colour, size=SIZE):
    """A flat colour, or a gradient from it to a similar one."""
    if rng.random() < 0.6:
        return Image.new("RGB", size, colour)
    end = np.clip(np.array(colour) + rng.integers(-60, 61, 3), 0, 255)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: size[1], : size[0]]
    ramp = np.cos(angle) * x / size[0] + np.sin(angle) * y / size[1]
    ramp = ((ramp - ramp.min()) / np.ptp(ramp))[..., None]
    return Image.fromarray(np.rint((1 - ramp) * colour + ramp * end).astype(np.uint8))


def colours(rng):
    """Paper and ink, uint8 R, G, B tuples of clearly different brightness; often black on white."""
    if rng.random() < 0.3:
        pair = (255, 255, 255), (0, 0, 0)
    else:
        while True:
            pair = tuple(map(int, rng.integers(0, 256, 3))), tuple(map(int, rng.integers(0, 256, 3)))
            if abs(np.dot(np.subtract(*pair), (0.299, 0.587, 0.114))) > 70:
                break
    return pair if rng.random() < 0.8 else pair[::-1]


if __name__ == "__main__":
    main()
