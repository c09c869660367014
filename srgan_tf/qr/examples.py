"""An image of codes with the texts that a scanner reads: codes as rows, methods as columns, the text below each."""

import io
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan_tf.evaluation import results
from srgan_tf.qr.evaluation import outcome

CELL, TEXT, GAP, SIDE = (
    136,
    26,
    6,
    84,
)  # pixels: a code, the line below it, space between cells, titles
COLOURS = {"read": (0, 110, 40), "unread": (130, 130, 130), "wrong": (200, 0, 0)}
ROWS = (("clean", 0.95), ("clean", 1.05), ("degraded", 1.10), ("degraded", 1.30))


class Examples:
    """Collects one code for each of `ROWS`, the first of at least its size, and draws them."""

    def __init__(self, path):
        self.path, self._rows = pathlib.Path(path), {}

    def add(self, sample, pictures, texts):
        """Add a code; the arguments are those of `seen` of `evaluation.evaluate`."""
        fitting = [row for row in ROWS if row[0] == sample.condition and row[1] <= sample.pitch < row[1] + 0.1]
        for row in fitting[-1:]:
            self._rows.setdefault(row, (sample, pictures, texts))

    def write(self):
        """Write the image; returns its path.

        Raises:
            UserError: if it cannot be written.
        """
        rows = [self._rows[row] for row in ROWS if row in self._rows]
        methods = list(rows[0][1]) if rows else []
        width = SIDE + len(methods) * (CELL + GAP)
        sheet = Image.new("RGB", (width, 24 + len(rows) * (CELL + TEXT + GAP)), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        for i, method in enumerate(methods):
            draw.text((SIDE + i * (CELL + GAP), 4), _shortened(draw, method, font), "black", font)
        for j, (sample, pictures, texts) in enumerate(rows):
            top = 24 + j * (CELL + TEXT + GAP)
            draw.multiline_text((4, top), f"{sample.condition}\n{sample.pitch:.2f} pixels\na module", "black", font)
            for i, method in enumerate(methods):
                left = SIDE + i * (CELL + GAP)
                sheet.paste(_fitted(pictures[method]), (left, top))
                found = outcome(texts[method], sample.code.text)
                said = {"read": "read: ", "wrong": "WRONG: ", "unread": "not read"}[found] + "".join(texts[method][:1])
                draw.text((left, top + CELL + 3), _shortened(draw, said, font), COLOURS[found], font)
        content = io.BytesIO()
        sheet.quantize(48, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
        results.write(self.path, content.getvalue())
        return self.path


def _fitted(picture):
    """Resized to a cell, in 16 greys for a small file; enlarged pixels are squares."""
    factor = CELL / max(picture.shape[:2])
    size = tuple(max(1, round(factor * n)) for n in picture.shape[1::-1])
    kind = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    grey = np.asarray(Image.fromarray(picture).convert("L").resize(size, kind))
    return Image.fromarray(np.rint(grey / 17).astype(np.uint8) * 17)


def _shortened(draw, text, font):
    text = " ".join(text.split())
    if draw.textlength(text, font) <= CELL:
        return text
    while draw.textlength(text + "...", font) > CELL:
        text = text[:-1]
    return text + "..."
