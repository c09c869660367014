"""Pictures come from the DIV2K builder of TFDS or from a folder."""

import functools
import http.server
import io
import json
import shutil
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.resize import imresize
from srgan_tf.training.datasets import Div2k, Folder, hold_out


def photo(seed, height, width):
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [127 + 120 * np.sin(x * f + y * g) for f, g in rng.uniform(-0.4, 0.4, (3, 2))]
    return np.stack(waves, -1).astype(np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def div2k(request, tmp_path, monkeypatch):
    """DIV2K's zip files with their names and layout, three tiny pictures in all, served from loopback."""
    import tensorflow_datasets as tfds

    lr = getattr(request, "param", "bicubic_x4")
    scale = int(lr[-1])
    urls = tfds.builder(f"div2k/{lr}", data_dir=tmp_path / "tfds").builder_config.download_urls
    hr = {"0001": photo(1, 48, 64), "0002": photo(2, 40, 56 if scale == 4 else 60), "0801": photo(3, 32, 48)}
    served = tmp_path / "served"
    served.mkdir()
    for split, keys in (("train", ("0001", "0002")), ("valid", ("0801",))):
        for kind in ("hr", "lr"):
            name = urls[f"{split}_{kind}_url"].rsplit("/", 1)[1]
            with zipfile.ZipFile(served / name, "w") as file:
                for key in keys:
                    picture = hr[key] if kind == "hr" else imresize(hr[key], 1 / scale)
                    file.writestr(f"{name[:-4]}/{key}{f'x{scale}' if kind == 'lr' else ''}.png", png(picture))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, url in urls.items():
        monkeypatch.setitem(urls, name, f"http://127.0.0.1:{server.server_port}/{url.rsplit('/', 1)[1]}")
    yield tmp_path / "tfds", hr, server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "div2k, lr", [("bicubic_x4", None), ("realistic_mild_x4", "realistic_mild_x4")], indirect=["div2k"]
)
def test_div2k_is_downloaded_unpacked_and_paired_by_tfds(div2k, lr):
    data_dir, hr, _ = div2k
    source = Div2k(4, "train", data_dir, lr)
    assert source.describe()["source"] == f"div2k/{lr or 'bicubic_x4'}"
    train = list(source.pictures())
    assert len(train) == 2
    for picture, expected in zip(sorted(train, key=lambda p: -p.hr.size), (hr["0001"], hr["0002"])):
        np.testing.assert_array_equal(picture.hr, expected)
        np.testing.assert_array_equal(picture.lr, imresize(expected, 1 / 4))
    (validation,) = Div2k(4, "validation", data_dir, lr).pictures()
    np.testing.assert_array_equal(validation.hr, hr["0801"])


@pytest.mark.parametrize("div2k", ["bicubic_x8"], indirect=True)
def test_div2k_at_8_drops_lr_pixels_made_of_less_than_8_hr_pixels(div2k):
    data_dir, hr, _ = div2k
    _, small = sorted(Div2k(8, "train", data_dir).pictures(), key=lambda p: -p.hr.size)
    lr = imresize(hr["0002"], 1 / 8)
    assert lr.shape == (5, 8, 3)  # of 40 x 60 pixels
    np.testing.assert_array_equal(small.lr, lr[:, :7])
    np.testing.assert_array_equal(small.hr, hr["0002"][:, :56])


def test_no_network_for_div2k_gives_one_line_that_says_what_to_do(div2k, monkeypatch):
    from tensorflow_datasets.core.download import downloader

    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)  # TFDS waits for minutes
    data_dir, _, server = div2k
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="--data_dir FOLDER") as error:
        next(Div2k(4, "train", data_dir).pictures())
    assert "\n" not in str(error.value) and str(data_dir / "downloads" / "manual") in str(error.value)


def test_a_folder_is_searched_recursively_and_lr_made_by_imresize(tmp_path):
    (tmp_path / "holiday" / "sea").mkdir(parents=True)
    pixels = photo(1, 43, 61)
    Image.fromarray(pixels).save(tmp_path / "holiday" / "sea" / "é 1.PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    source = Folder(tmp_path, 4)
    note, picture = source.pictures()
    assert note.error == f"{tmp_path}: other files: 1 .txt"
    assert source.count == 1 and picture.name == "holiday/sea/é 1.PNG"
    np.testing.assert_array_equal(picture.hr, pixels[:40, :60])
    np.testing.assert_array_equal(picture.lr, imresize(pixels[:40, :60], 1 / 4))


def test_hidden_files_are_skipped_and_linked_folders_followed_once(tmp_path):
    places = ("data/a.png", "data/.Trash-1000/b.png", "data/._c.png", "elsewhere/d.png", "data/sub/e.jpg")
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(1, 16, 16)).save(tmp_path / place)
    (tmp_path / "data" / "linked").symlink_to("../elsewhere")
    (tmp_path / "data" / "twice").symlink_to("../elsewhere")
    (tmp_path / "data" / "sub" / "loop").symlink_to("..")
    names = [picture.name for picture in Folder(tmp_path / "data", 4).pictures()]
    assert names == ["a.png", "linked/d.png", "sub/e.jpg"]


def test_pictures_come_in_the_same_order_every_time(tmp_path):
    for i in range(12):
        Image.fromarray(photo(i, 8 + i, 16)).save(tmp_path / f"{i:02}.png")
    names = [p.name for p in Folder(tmp_path, 4).pictures()]
    assert names == sorted(names) and len(names) == 12


def test_unusable_files_are_named_with_a_reason_and_the_rest_is_read(tmp_path):
    Image.fromarray(photo(1, 16, 16)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    Image.fromarray(photo(1, 3, 16)).save(tmp_path / "c.png")
    good, text, tiny = Folder(tmp_path, 4).pictures()
    assert good.error is None
    assert "b.png" in text.error and "c.png" in tiny.error


def test_the_description_of_a_folder_depends_on_its_pictures_and_not_on_its_place(tmp_path):
    Image.fromarray(photo(1, 16, 16)).save(tmp_path / "a.png")
    before = Folder(tmp_path, 4).describe()
    moved = shutil.copytree(tmp_path, tmp_path.with_name("moved"), copy_function=shutil.copyfile)
    assert Folder(moved, 4).describe() == before
    Image.fromarray(photo(2, 16, 16)).save(tmp_path / "a.png")
    assert Folder(tmp_path, 4).describe() != before


def test_lr_of_ones_own_is_matched_by_name_with_the_usual_endings(tmp_path):
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    names = {"a.png": "a.png", "b.png": "bx4.jpg", "c_HR.png": "c_LR.png", "sub/a.png": "sub/A_x4.png", "d.png": None}
    for i, (one, other) in enumerate(names.items()):
        (hr / one).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(i, 18, 26)).save(hr / one)
        if other:
            (lr / other).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 4), (50 * i, 0, 0)).save(lr / other, quality=100)
    Image.new("RGB", (12, 8)).save(lr / "bx2.png")
    Image.new("RGB", (5, 5)).save(lr / "a.png")  # of 26 x 18 pixels at scale 4: 6 or 7 x 4 or 5
    source = Folder(hr, 4, lr)
    pictures = {picture.name: picture for picture in source.pictures()}
    assert "a.png: 5 x 5 pixels, but HR has 26 x 18" in pictures.pop("a.png").error
    assert f"no image of that name in {lr}" in pictures.pop("d.png").error
    for name, picture in pictures.items():
        i = list(names).index(name)
        assert picture.hr.shape == (16, 24, 3) and abs(int(picture.lr[2, 3, 0]) - 50 * i) < 3, name
    assert {p.name for p in source.inputs if p.is_relative_to(lr)} == {"a.png", "bx4.jpg", "c_LR.png", "A_x4.png"}
    before = source.describe()
    Image.fromarray(photo(1, 4, 6)).save(lr / "a.png")
    assert Folder(hr, 4, lr).describe() != before != Folder(hr, 4).describe()
    (tmp_path / "other").mkdir()
    (lr / "a.png").rename(tmp_path / "other" / "z.png")
    with pytest.raises(UserError, match="none of its pictures has the name of one"):
        Folder(hr, 4, tmp_path / "other")


def test_a_twentieth_of_a_folder_is_held_out_by_name_and_not_trained_on(tmp_path, capsys):
    here = tmp_path / "here"
    here.mkdir()
    for i in range(45):
        Image.fromarray(photo(1, 8, 8)).save(here / f"{i}.png")
    train, held = hold_out(Folder(here, 4), [])
    assert f"held out for validation: 2 of 45 images in {here}" in capsys.readouterr().out
    assert (train.count, held.count) == (43, 2) and train.describe() != held.describe()
    assert not {*train.files} & {*held.files} and [p.name for p in held.pictures()] == [p.name for p in held.files]
    moved = here.rename(tmp_path / "moved")
    (moved / "new.png").write_bytes((moved / "0.png").read_bytes())
    assert {p.name for p in hold_out(Folder(moved, 4), [])[1].files} & {p.name for p in held.files}


def test_no_pictures_are_held_out_of_few_or_of_a_run_that_was_trained_on_all(tmp_path):
    for i in range(20):
        Image.fromarray(photo(1, 8, 8)).save(tmp_path / f"{i:02}.png")
    everything = Folder(tmp_path, 4)
    config = {"recipe": {}, "train": everything.describe(), "init": "", "vgg": ""}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert hold_out(everything, [tmp_path])[1].count == 1  # nothing was trained yet
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000001.npz").touch()
    assert hold_out(everything, [tmp_path / "none", tmp_path]) == (everything, None)
    for damaged in ("damaged", "[" * 100_000):
        (tmp_path / "config.json").write_text(damaged)
        assert hold_out(everything, [tmp_path])[1].count == 1
    (tmp_path / "19.png").unlink()
    assert hold_out(Folder(tmp_path, 4), [])[1] is None


def test_at_most_as_many_pictures_are_held_out_as_div2k_has(tmp_path):
    for i in range(2200):
        (tmp_path / f"{i}.png").touch()
    train, held = hold_out(Folder(tmp_path, 4), [])
    assert (train.count, held.count) == (2100, 100)


@pytest.mark.parametrize("prepare", [lambda p: p / "missing", lambda p: p])
def test_a_folder_without_pictures_gives_one_line(tmp_path, prepare):
    with pytest.raises(UserError, match=str(tmp_path)):
        Folder(prepare(tmp_path), 4)
