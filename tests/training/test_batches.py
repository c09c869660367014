"""A data set is decoded once; batch n depends on the seed and n alone."""

import concurrent.futures
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from srgan_tf.errors import UserError
from srgan_tf.images.degradation import PRESETS, parse
from srgan_tf.resize import imresize
from srgan_tf.training.batches import Crops
from srgan_tf.training.datasets import Folder, Picture, Waves
from srgan_tf.training.store import as_rgb, open_store


class Source:
    """Pictures whose pixels tell where they are from: red the picture, green the row, blue the column."""

    def __init__(self, sizes, scale=4, name="made"):
        self.sizes, self.scale, self.name, self.read = sizes, scale, name, 0
        self.count = len(sizes)

    def describe(self):
        return {"source": self.name, "sizes": self.sizes}

    def pictures(self):
        for i, size in enumerate(self.sizes):
            self.read += 1
            if size is None:
                yield Picture(f"{i}", error=f"{i}.png is broken")
                continue
            y, x = np.mgrid[: size[0], : size[1]]
            lr = np.stack([np.full_like(y, i), y, x], -1).astype(np.uint8)
            yield Picture(f"{i}", lr.repeat(self.scale, 0).repeat(self.scale, 1), lr)


SIZES = [(30, 40), (24, 24), (50, 33), (60, 25)]


@pytest.fixture
def store(tmp_path):
    return open_store(Source(SIZES), 4, tmp_path)


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
    "damage",
    [
        lambda store: (store / "hr.bin").write_bytes(b"short"),
        lambda store: (store / "index.json").write_text((store / "index.json").read_text().replace("50", "51")),
        lambda store: (store / "lr.bin").unlink(),
    ],
)
def test_a_damaged_store_is_built_again(tmp_path, damage):
    open_store(Source(SIZES), 4, tmp_path)
    damage(next((tmp_path / "stores").iterdir()))
    source = Source(SIZES)
    assert open_store(source, 4, tmp_path).pair(3)[1].shape == (240, 100) and source.read == 4


def test_the_rest_of_a_killed_build_is_removed_but_not_a_build_that_is_running(tmp_path):
    open_store(Source(SIZES), 4, tmp_path)
    (folder,) = (tmp_path / "stores").iterdir()
    for name, age in (("old", 2 * 3600), ("new", 0)):
        part = folder.with_name(f"{folder.name}.{name}.part")
        part.mkdir()
        (part / "lr.bin").write_bytes(b"half")
        for path in (part / "lr.bin", part):
            os.utime(path, (time.time() - age,) * 2)
    (folder / "lr.bin").unlink()
    open_store(Source(SIZES), 4, tmp_path)
    assert {p.name for p in (tmp_path / "stores").iterdir()} == {folder.name, f"{folder.name}.new.part"}


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


def test_a_batch_is_a_pure_function_of_seed_and_number(store):
    crops = Crops(store, crop=48, batch=3, seed=7)
    first = [crops(n) for n in range(4)]
    again = Crops(store, crop=48, batch=3, seed=7)
    for n in (3, 0, 2):
        for a, b in zip(first[n], again(n)):
            np.testing.assert_array_equal(a, b)
    for lr, hr in (crops(4), Crops(store, crop=48, batch=3, seed=8)(3)):
        assert not np.array_equal(lr, first[3][0])
    batches = crops.dataset(start=2).take(2).as_numpy_iterator()
    for (lr, hr), (expected_lr, expected_hr) in zip(batches, first[2:]):
        np.testing.assert_array_equal(lr, expected_lr)
        np.testing.assert_array_equal(hr, expected_hr)


def test_crops_are_aligned_from_different_pictures_and_in_all_eight_orientations(store):
    crops = Crops(store, crop=48, batch=4)
    ways, corners = set(), set()
    for n in range(60):
        lr, hr = crops(n)
        np.testing.assert_array_equal(hr, lr.repeat(4, 1).repeat(4, 2))
        assert len(set(lr[:, 0, 0, 0])) == 4
        for picture in lr.astype(int):
            down, right = picture[1, 0] - picture[0, 0], picture[0, 1] - picture[0, 0]
            ways.add((*down, *right))
            corners.add((picture[0, 0, 0], picture[..., 1].min(), picture[..., 2].min()))
    assert len(ways) == 8
    for side in (1, 2):  # every place is reached, the last one too
        assert {c[side] for c in corners if c[0] == 1} == set(range(13))


def test_a_small_data_set_fills_a_batch_by_repeating_pictures(store):
    assert Crops(store, crop=96, batch=9)(0)[0].shape == (9, 24, 24, 3)


def test_pictures_smaller_than_a_crop_are_skipped_and_if_all_are_there_is_one_line(store, tmp_path):
    lr, _ = Crops(store, crop=120, batch=2)(0)
    assert set(lr[:, 0, 0, 0]) <= {0, 2}
    with pytest.raises(UserError, match="4 pictures .*240 x 240.*--crop"):
        Crops(store, crop=240, batch=2)


def test_damage_changes_lr_alone_and_is_repeatable(store):
    damaged = Crops(store, crop=96, batch=3, seed=1, degradation=parse("jpeg=30:40"))
    lr, hr = damaged(5)
    assert lr.shape == (3, 24, 24, 3) and hr.shape == (3, 96, 96, 3)
    for small, large in zip(lr, hr):
        difference = np.abs(small.astype(int) - imresize(large, 1 / 4).astype(int))
        assert 0 < difference[2:-2, 2:-2].mean() < 30
    np.testing.assert_array_equal(damaged(5)[0], lr)
    np.testing.assert_array_equal(damaged(5)[1], hr)


def test_rows_of_a_damaged_batch_are_rows_of_the_whole(store):
    damaged = Crops(store, crop=96, batch=4, seed=1, degradation=PRESETS["photo"])
    for whole, part in zip(damaged(2), damaged(2, slice(1, 3))):
        np.testing.assert_array_equal(whole[1:3], part)


def test_the_shares_of_all_replicas_make_up_the_batch(store):
    crops = Crops(store, crop=96, batch=4, seed=3)
    whole = [crops(n) for n in (5, 6)]
    first, second = (crops.dataset(5, replicas=4, here=here) for here in (range(2), range(2, 4)))
    for k in (0, 1):  # lr, hr
        parts = [[batch[k].numpy() for batch in part.take(4)] for part in (first, second)]
        for n in (0, 1):
            of_both = [x for part in parts for x in part[2 * n : 2 * n + 2]]
            np.testing.assert_array_equal(np.concatenate(of_both), whole[n][k])


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


def test_memory_does_not_grow_with_the_store(tmp_path):
    """Pages that were read go back, so a store larger than the memory does no harm."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux, whose /proc tells the resident memory")

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    crops = Crops(open_store(Source([(250, 400)] * 24), 4, tmp_path), crop=96, batch=16)  # 122 MB
    crops(0)
    before = resident()
    for n in range(100):
        crops(n)
    assert resident() - before < 60e6
