"""upscale.py on many kinds of image files: the correct result, or one clear error line."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import canonicalize

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers import ROOT, corpus
from srgan_tf.images import animations, reading
from srgan_tf.upscaling.upscaler import Upscaler

CASES = corpus.cases()
ENVIRONMENT = {**os.environ, "PYTHONUTF8": "1"}
ENVIRONMENT.pop("TF_CPP_MIN_LOG_LEVEL", None)  # set by commands in this process


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    """One run over all files: the folder of results, the lines of stdout and of stderr."""
    folder = tmp_path_factory.mktemp("corpus")
    corpus.build(folder / "in")
    done = subprocess.run(
        [sys.executable, ROOT / "upscale.py", "in", "-o", "out", "--recursive", "-n", small_model],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=300,
    )
    out, err = (stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
    assert done.returncode == 1, err[-2000:]
    return folder / "out", out.splitlines(), err.splitlines()


@pytest.fixture(scope="module")
def upscale(small_model):
    return Upscaler(small_model)


def target(case, folder=""):
    name = Path(case.name)
    return Path(folder, name.with_name(f"{name.stem}_x4{name.suffix}"))


def printed(name):
    return "".join(c.encode("unicode_escape").decode() if c < " " or "\udc80" <= c <= "\udcff" else c for c in name)


def arrays(path, channels):
    """The stored pixels of each frame of a file, [H, W, C]."""
    with Image.open(path) if not two_deep_channels(path) else tifffile.TiffFile(path) as file:
        if isinstance(file, tifffile.TiffFile):
            return [file.pages[0].asarray()]
        if file.format == "TIFF":
            array = tifffile.imread(path)
            return [array[..., None] if array.ndim == 2 else array]
        if file.format == "PNG" and any(";16" in str(tile) for tile in file.tile):
            import tensorflow as tf

            return [tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()]
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        if file.format not in ("GIF", "WEBP") and not getattr(file, "is_animated", False):
            assert file.mode == mode
        found = []
        for i in range(getattr(file, "n_frames", 1)):
            file.seek(i)
            array = np.asarray(file.convert(mode))
            found.append(array[..., None] if array.ndim == 2 else array)
        return found


def two_deep_channels(path):
    """Whether a file is TIFF with grey and alpha in 16 bits, which Pillow cannot open."""
    if path.suffix != ".tif":
        return False
    with tifffile.TiffFile(path) as file:
        return file.pages[0].shape[2:] == (2,) and file.pages[0].dtype == np.uint16


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.pixels is not None], ids=lambda case: printed(case.name)
)
def test_the_result_has_the_enlarged_pixels(run, upscale, case):
    folder, out, _ = run
    small = case.pixels if isinstance(case.pixels, list) else [case.pixels]
    height, width, channels = small[0].shape
    names = f"{printed(os.path.join('in', case.name))} -> {printed(str(Path('out') / target(case)))}"
    line = f"{names}, {4 * width} x {4 * height}"
    lines = [found for found in out if found.startswith(line)]
    assert len(lines) == 1 and re.search(case.note, lines[0])
    assert case.note or not re.search("CMYK|bits|without", lines[0].removeprefix(line))
    large = arrays(target(case, folder), channels)
    assert len(large) == len(small)
    for before, after in zip(small, large):
        wanted = upscale(before[..., 0] if channels == 1 else before).reshape(4 * height, 4 * width, channels)
        assert (after.shape, after.dtype) == (wanted.shape, wanted.dtype)
        off = np.abs(after.astype(int) - wanted) / (np.iinfo(after.dtype).max / 255)
        if channels in (2, 4):
            if case.hard:
                off[..., -1] = after[..., -1] != 255 * (wanted[..., -1] > 127)
            assert off[..., -1].max() <= case.tolerance
            off = off[(wanted[..., -1] > 0) & (after[..., -1] > 0)]  # the colour of transparent pixels does not matter
        assert off.max() <= case.tolerance


@pytest.mark.parametrize("case", [case for case in CASES if case.said], ids=lambda case: printed(case.name))
def test_metadata_is_copied_to_the_result(run, case):
    path = target(case, run[0])
    with Image.open(path) as image:
        image.load()
        tags = image.getexif()
        said = case.said
        if "icc" in said:
            assert image.info.get("icc_profile") == said["icc"]
        if "dpi" in said:
            x, y, unit = (tags.get(tag) for tag in (282, 283, 296))
            dpi = image.info.get("dpi") or (unit == 2 and (x, y))
            assert dpi == pytest.approx(said["dpi"], abs=0.02)
        if "subsampling" in said:
            assert [component[1:3] for component in image.layer] == [said["subsampling"]] * 3
        assert canonical(image.info.get("xmp")) == canonical(said.get("xmp"))
        assert image.info.get("comment") == said.get("comment")
        if "text" in said:
            assert {key: text for key, text in image.text.items() if ":" not in key} == said["text"]
        if "exif" in said:
            wanted = said["exif"]
            structure = {*range(254, 300), 317, 338, 700, 34675, 34665, 34853} - set(wanted)
            wanted_texts = {
                tag: value.decode("latin-1") if isinstance(value, bytes) else value
                for tag, value in dict(wanted).items()
            }
            assert {tag: value for tag, value in tags.items() if tag not in structure} == wanted_texts
            if isinstance(wanted, Image.Exif):
                assert tags.get_ifd(0x8825) == wanted.get_ifd(0x8825)
                size = {0xA002: image.width, 0xA003: image.height}
                assert tags.get_ifd(0x8769) == {**wanted.get_ifd(0x8769), **size}
                assert 274 not in tags and not tags.get_ifd(1)
    if "durations" in said:
        with reading.opened(path) as file:
            found = animations.read(file)
        assert list(found.durations) == said["durations"]
        assert found.plays == said.get("plays", found.plays)


def canonical(xmp):
    return xmp and canonicalize(xmp)


@pytest.mark.parametrize("case", [case for case in CASES if case.refusal], ids=lambda case: printed(case.name)[:60])
def test_a_file_that_cannot_be_enlarged_is_reported_in_one_line(run, case):
    folder, out, err = run
    name = printed(os.path.join("in", case.name))
    names = (name, printed(str(Path("out") / target(case))))
    lines = [line for line in err if any(f", {n}, " in line or line.startswith(f"error: {n}: ") for n in names)]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ") and re.search(case.refusal, lines[0])
    with pytest.raises(OSError):
        target(case, folder).stat()


def test_each_file_is_reported_in_one_line_and_nothing_else_is_written(run):
    folder, out, err = run
    good = [case for case in CASES if case.pixels is not None]
    bad = [case for case in CASES if case.pixels is None]
    assert len(out) == len(good) + 1
    assert len(err) == len(bad), err
    assert out[-1] == f"{len(good)} enlarged, 0 kept, {len(bad)} failed"
    files = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    assert files == {target(case) for case in good}


def test_a_second_run_keeps_every_result(run, small_model):
    folder, out, _ = run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = subprocess.run(
        [sys.executable, ROOT / "upscale.py", folder.parent / "in", "-o", folder, "--recursive", "-n", small_model],
        capture_output=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    good = sum(case.pixels is not None for case in CASES)
    assert done.stdout.decode().splitlines()[-1] == f"0 enlarged, {good} kept, {len(CASES) - good} failed"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
