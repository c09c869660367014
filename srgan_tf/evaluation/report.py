"""The report: a static page with sliders, details, tables, and a montage of each set."""

import contextlib
import dataclasses
import hashlib
import math
import os
import re
import urllib.parse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan_tf.errors import UserError
from srgan_tf.evaluation import pages, paper_table, tables
from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.measures import METRICS
from srgan_tf.evaluation.results import finite, write_results

GAP, TEXT = 16, 15  # of a montage, pixels; the text of large pictures is larger, since the page shows them smaller
SHOWN = ("psnr", "ssim", "lpips")  # metrics in the captions of a montage
INK, QUIET, FRAME = (31, 32, 35), (107, 106, 102), (214, 60, 40)


class Report:
    """Collects the pictures during scoring, and writes the page when the figures are known.

    report = Report(folder, methods)
    report.finish(evaluate.evaluate(methods, sets, seen=report.add) | provenance(...))
    """

    def __init__(self, folder, methods):
        """Claim the folder, which must be new, empty, or contain an earlier report.

        Args:
            folder: where `index.html`, `pictures/` and the figures go.
            methods: the names of the methods, in the order in which they are shown.

        Raises:
            UserError: for a folder that contains other files, cannot be written, or is written by another run.
        """
        self.folder, self._held = pages.claim(folder, "--report", "report")
        self.files = dict(zip([*methods, "hr"], file_names([*methods, "HR"])))
        self.views = {}
        self.folders = {}  # set -> the name of its folder below pictures/
        self.striking = {}  # set -> (difference, picture's name, focus, pictures) of its most striking picture

    def add(self, set_name, name, hr, lr, srs):
        """Add one picture; the arguments are those of `seen` of `evaluate.evaluate`."""
        del lr  # shown by nearest
        shown = {**srs, "hr": as_rgb(hr)}
        if not self.views:
            pages.begin(self.folder, "--report", "report")
            self._remove_pictures()
        if set_name not in self.folders:
            self.folders[set_name] = file_names([*self.folders, set_name])[-1]
        files = {}
        for method, image in shown.items():
            file = f"pictures/{self.folders[set_name]}/{_stem(name)}_{self.files[method]}.png"
            self._save(Image.fromarray(image), file)
            files[method] = urllib.parse.quote(file, errors="surrogateescape")  # the page needs a URL
        difference, focus = most_different(*_ends(shown))
        self.views.setdefault(set_name, {})[name] = {
            "width": hr.shape[1],
            "height": hr.shape[0],
            "focus": focus,
            "files": files,
        }
        if difference > self.striking.get(set_name, (-1,))[0]:
            self.striking[set_name] = difference, name, focus, shown

    def finish(self, results):
        """Write the montages, the figures and the page.

        Args:
            results: from `evaluate.evaluate`, merged with those of `results.provenance`.

        Returns:
            The path of the page.
        """
        labels = {method: paper_table.label(method) for method in results["methods"]} | {"hr": "HR"}
        montages = {}
        for set_name, (_, name, focus, shown) in self.striking.items():
            figures = next(p["figures"] for p in results["sets"][set_name]["pictures"] if p["name"] == name)
            image = montage(shown, [_caption(labels[m], figures.get(m), results) for m in shown], focus)
            file = f"montage_{self.folders[set_name]}.png"
            self._save(image, file)
            montages[set_name] = {"file": file, "picture": name, "width": image.width, "height": image.height}
        write_results(results, self.folder, "--report")
        pages.write(
            self.folder,
            "--report",
            "report",
            {
                "results": finite(results),
                "metrics": {name: dataclasses.asdict(METRICS[name]) for name in results["metrics"]},
                "labels": labels,
                "views": self.views,
                "montages": montages,
                "titles": {name: paper_table.set_title(name) for name in results["sets"]},
                "paper": {
                    name: [(paper_table.TITLES[method], psnr, ssim) for method, (psnr, ssim, _) in rows.items()]
                    for name in results["sets"]
                    if not results.get("degradation")
                    and results.get("files", {}).get(name, {}).get("released") is not False
                    and (rows := paper_table.paper_rows(name, results["scale"]))
                },
            },
        )
        self._held.close()
        return self.folder / "index.html"

    def _remove_pictures(self):
        """Remove the pictures of an earlier report."""
        for path in [*(self.folder / "pictures").rglob("*.png"), *self.folder.glob("montage_*.png")]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _save(self, image, file):
        path = self.folder / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, compress_level=4)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}). Give another --report.") from error


def montage(pictures, captions, focus):
    """Pictures side by side, each with a framed part enlarged below it and a caption, as in Figure 2 of the paper.

    Args:
        pictures: a mapping to uint8 [H, W, 3] of one size.
        captions: for each, (name, figures): two lines.
        focus: (x, y), the centre of the part, pixels.

    Returns:
        A `PIL.Image`.
    """
    height, width = next(iter(pictures.values())).shape[:2]
    side = max(8, min(height, width) // 5)
    left, top = (int(np.clip(c - side // 2, 0, n - side)) for c, n in zip(focus, (width, height)))
    times = max(1, width // side)
    lines = [figures for _, figures in captions]
    widest = max(map(ImageFont.load_default(TEXT).getlength, lines))
    column = max(width, times * side, math.ceil(widest))
    large = times * side
    font = _font(lines, column)
    total = (column + GAP) * len(pictures) + GAP
    canvas = Image.new("RGB", (total, height + large + 3 * GAP + round(2.5 * font.size)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (image, (name, figures)) in enumerate(zip(pictures.values(), captions)):
        x = GAP + i * (column + GAP)
        image = Image.fromarray(image)
        canvas.paste(image, (x, GAP))
        draw.rectangle((x + left - 2, GAP + top - 2, x + left + side + 1, GAP + top + side + 1), outline=FRAME, width=2)
        part = image.crop((left, top, left + side, top + side)).resize((large, large), Image.Resampling.NEAREST)
        below = 2 * GAP + height
        canvas.paste(part, (x, below))
        draw.rectangle((x, below, x + large - 1, below + large - 1), outline=FRAME, width=2)
        draw.text((x, below + large + GAP // 2), _shortened(name, column, font), INK, font)
        draw.text((x, below + large + GAP // 2 + round(1.25 * font.size)), figures, QUIET, font)
    return canvas


def most_different(a, b):
    """The mean absolute difference of two pictures, and the (x, y) around which they differ most.

    Args:
        a, b: uint8 [H, W, 3] of one size.
    """
    difference = np.abs(a.astype(np.int16) - b).mean(axis=2)
    side = max(8, min(difference.shape) // 5)
    sums = np.pad(difference, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(boxes.argmax(), boxes.shape)
    return float(difference.mean()), (int(x) + side // 2, int(y) + side // 2)


def file_names(names):
    """Convert names to distinct parts of file names that are valid on any system and in URLs."""
    found = []
    for name in names:
        plain = base = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).as_posix()).strip("-")[-40:].lower() or "x"
        number = 1
        while plain in found:
            number += 1
            plain = f"{base}-{number}"
        found.append(plain)
    return found


def _stem(name):
    """The name of a picture, shortened if the name of a method would make the file name longer than 255 bytes."""
    coded = os.fsencode(name)
    return name if len(coded) <= 200 else f"{name[:40]}-{hashlib.sha256(coded).hexdigest()[:16]}"


def _ends(shown):
    """The two pictures to compare: bicubic, otherwise the first one, and the picture of the last method."""
    methods = [image for method, image in shown.items() if method != "hr"]
    first = shown.get("bicubic", methods[0])
    return first, methods[-1] if methods[-1] is not first else shown["hr"]


def _caption(name, figures, results):
    if figures is None:
        return name, "original"
    columns = tables.columns(results)
    usual = [column for column in columns if column[1] in SHOWN and column[0] in (None, *results["protocols"][:1])]
    parts = []
    for protocol, metric in usual or columns[:1]:
        value = f"{tables.figure(figures, protocol, metric):.{METRICS[metric].digits}f}"
        parts.append({"psnr": f"{value} dB", "ssim": value}.get(metric, f"{METRICS[metric].title} {value}"))
    return name, f"({' / '.join(parts)})"


def _font(lines, width):
    """The largest font, between `TEXT` and an 18th of the width, in which every line fits."""
    size = max(TEXT, width // 18)
    while size > TEXT and max(map(ImageFont.load_default(size).getlength, lines)) > width:
        size -= 1
    return ImageFont.load_default(size)


def _shortened(text, width, font):
    while len(text) > 4 and font.getlength(text) > width:
        text = f"...{text[4:]}"
    return text
