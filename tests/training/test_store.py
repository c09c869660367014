"""A data set is decoded once, and damage to what is stored is detected."""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from helpers.sources import SIZES, Source
from srgan_tf import atomic
from srgan_tf.errors import UserError
from srgan_tf.training.datasets import Folder, Waves
from srgan_tf.training.store import Store, as_rgb, open_store


def test_a_store_contains_every_pixel_and_is_built_once(tmp_path):
    source = Source([*SIZES, None])
    for _ in range(2):
        store = open_store(source, 4, tmp_path)
        assert source.read == 5 and len(store) == 4 and store.skipped == ["4.png is broken"]
        for i, picture in enumerate(Source(SIZES).pictures()):
            for stored, made in zip(store.pair(i), (picture.lr, picture.hr)):
                assert stored.shape == made.shape[:2] and stored.tobytes() == made.tobytes()


def test_another_source_or_scale_gets_another_store(tmp_path):
    open_store(Source(SIZES), 4, tmp_path)
    for source, scale in ((Source(SIZES, name="other"), 4), (Source(SIZES, 2), 2)):
        open_store(source, scale, tmp_path)
        assert source.read == 4


def test_a_file_that_was_rewritten_with_the_same_size_is_read_again(tmp_path):
    path, hr = tmp_path / "pictures" / "a.bmp", np.zeros((32, 32, 3), np.uint8)
    path.parent.mkdir()
    for value in (0, 200):
        Image.fromarray(hr + np.uint8(value)).save(path)
        os.utime(path, ns=(value, value))
        assert open_store(Folder(path.parent, 4), 4, tmp_path).pair(0)[1][0, 0].tobytes() == bytes([value] * 3)


def test_an_interrupted_build_leaves_no_store(tmp_path):
    class Broken(Source):
        def pictures(self):
            yield next(super().pictures())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(Broken(SIZES), 4, tmp_path)
    assert list((tmp_path / "stores").iterdir()) == []
    assert len(open_store(Source(SIZES), 4, tmp_path)) == 4


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda store: (store / "hr.bin").write_bytes(b"short"), "pixels are missing"),
        (
            lambda store: (store / "index.json").write_text((store / "index.json").read_text().replace("50", "51")),
            "its index is damaged",
        ),
        (lambda store: (store / "lr.bin").unlink(), r"not a complete store \(No such file or directory\)"),
        (lambda store: without_checksums(store / "index.json"), "a store of an earlier version, without checksums"),
    ],
)
def test_a_damaged_store_is_built_again_with_a_line_that_names_it(tmp_path, capsys, damage, problem):
    open_store(Source(SIZES), 4, tmp_path)
    (folder,) = (tmp_path / "stores").iterdir()
    damage(folder)
    source = Source(SIZES)
    assert open_store(source, 4, tmp_path).pair(3)[1].shape == (240, 100) and source.read == 4
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert re.fullmatch(f"warning: {folder}: {problem}. The store is built again.", line)


def without_checksums(index):
    text = index.read_text().splitlines()[1]
    text = json.dumps({name: value for name, value in json.loads(text).items() if name != "checksums"})
    index.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n")


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("name", ["lr.bin", "hr.bin"])
@pytest.mark.parametrize("damaged", [lambda data: flipped(data, len(data) - 5), lambda data: bytes(len(data))])
def test_damaged_pixels_are_not_used_and_the_store_is_built_again(tmp_path, capsys, name, damaged):
    folder = open_store(Source(SIZES), 4, tmp_path).folder
    (folder / name).write_bytes(damaged((folder / name).read_bytes()))
    source = Source(SIZES)
    store = open_store(source, 4, tmp_path)
    for i, picture in enumerate(Source(SIZES).pictures()):
        assert [part.tobytes() for part in store.pair(i)] == [picture.lr.tobytes(), picture.hr.tobytes()]
    assert source.read == 4
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert line.startswith(f"warning: {folder}: the stored pixels of ") and line.endswith("The store is built again.")


@pytest.mark.parametrize(
    "sizes, problem", [(SIZES[:3], "the pictures have changed"), ([None], "none of the images can be used")]
)
def test_damaged_pixels_whose_pictures_have_changed_or_are_gone_give_one_line(tmp_path, sizes, problem):
    source = Source(SIZES)
    store = open_store(source, 4, tmp_path)
    (store.folder / "lr.bin").write_bytes(bytes((store.folder / "lr.bin").stat().st_size))
    source.sizes = sizes
    with pytest.raises(UserError, match=problem):
        store.pair(1)


def test_damaged_pixels_of_a_store_without_its_source_give_one_line(tmp_path):
    folder = open_store(Source(SIZES), 4, tmp_path).folder
    (folder / "hr.bin").write_bytes(bytes((folder / "hr.bin").stat().st_size))
    with pytest.raises(UserError, match=f"{folder}: the stored pixels of 2 are damaged. Delete this folder"):
        Store(folder).pair(2)


def test_unfinished_stores_of_killed_builds_are_removed_at_opening_but_not_those_of_running_ones(tmp_path):
    stores = tmp_path / "stores"
    for part in (".srgan_tf-00000000.part", "0123456789abcdef.01234567.part"):  # and one of version 0.1
        (stores / part).mkdir(parents=True)
        (stores / part / "lr.bin").write_bytes(b"half")
    with atomic.whole_folder(stores / "other") as part:
        (part / "lr.bin").write_bytes(b"half")
        folder = open_store(Source(SIZES), 4, tmp_path).folder
        assert {*stores.iterdir()} == {folder, part}
    assert {path.name for path in (stores / "other").iterdir()} == {"lr.bin"}


def test_two_builds_at_once_give_one_store(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: open_store(Source([*SIZES] * 20), 4, tmp_path), range(2)))
    assert len(list((tmp_path / "stores").iterdir())) == 1
    assert [s.pair(79)[0].tobytes() for s in stores] == [
        open_store(Source([*SIZES] * 20), 4, tmp_path).pair(79)[0].tobytes()
    ] * 2


def test_a_store_that_another_process_has_built_meanwhile_is_kept(tmp_path):
    """Somebody may be reading it already."""

    class Slow(Source):
        def pictures(self):
            open_store(Source(SIZES), 4, tmp_path)
            (self.before,) = [
                p.stat().st_ino for p in (tmp_path / "stores").glob("*/index.json") if p.parent.suffix == ""
            ]
            yield from super().pictures()

    slow = Slow(SIZES)
    open_store(slow, 4, tmp_path)
    (folder,) = (tmp_path / "stores").iterdir()
    assert (folder / "index.json").stat().st_ino == slow.before


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Not a directory.*--cache_dir"):
        open_store(Source(SIZES), 4, tmp_path / "file")


def test_nothing_usable_gives_one_line(tmp_path):
    with pytest.raises(UserError, match="0.png is broken"):
        open_store(Source([None, None]), 4, tmp_path)


BUILD = """
import sys
from srgan_tf.training.datasets import Waves
from srgan_tf.training.store import open_store
open_store(Waves(150, 4), 4, sys.argv[1])
"""


def test_a_build_killed_at_any_time_leaves_no_incomplete_store(tmp_path):
    """And the next one equals one that was built in peace."""
    peace = open_store(Waves(150, 4), 4, tmp_path / "peace")
    rng = np.random.default_rng()
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, tmp_path / "killed"], stderr=subprocess.DEVNULL, cwd=ROOT
        )
        while not list(tmp_path.glob("killed/stores/*")):
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.wait()
    store = open_store(Waves(150, 4), 4, tmp_path / "killed")
    assert store.names == peace.names
    for i in range(len(peace)):
        for one, other in zip(store.pair(i), peace.pair(i)):
            np.testing.assert_array_equal(as_rgb(one), as_rgb(other))


def test_an_optional_source_without_a_usable_picture_has_no_store_and_its_pictures_are_named(tmp_path, capsys):
    assert open_store(Source([None]), 4, tmp_path, optional=True) is None
    assert capsys.readouterr().out.count("skipped: ") == 1
    with pytest.raises(UserError, match="none of the images can be used"):
        open_store(Source([None]), 4, tmp_path)
