"""Batch n depends on the seed and n alone."""

import os
from pathlib import Path

import numpy as np
import pytest

from helpers.sources import SIZES, Source
from srgan_tf.errors import UserError
from srgan_tf.images.degradation import PRESETS, parse
from srgan_tf.resize import imresize
from srgan_tf.training.batches import Crops
from srgan_tf.training.store import open_store


@pytest.fixture
def store(tmp_path):
    return open_store(Source(SIZES), 4, tmp_path)


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


@pytest.mark.parametrize("augment, count", [("all", 8), ("flips", 4), ("none", 1)])
def test_crops_are_aligned_from_different_pictures_and_in_the_wanted_orientations(store, augment, count):
    crops = Crops(store, crop=48, batch=4, augment=augment)
    ways, corners = set(), set()
    for n in range(60):
        lr, hr = crops(n)
        np.testing.assert_array_equal(hr, lr.repeat(4, 1).repeat(4, 2))
        assert len(set(lr[:, 0, 0, 0])) == 4
        for picture in lr.astype(int):
            down, right = picture[1, 0] - picture[0, 0], picture[0, 1] - picture[0, 0]
            ways.add((*down, *right))
            corners.add((picture[0, 0, 0], picture[..., 1].min(), picture[..., 2].min()))
    assert len(ways) == count
    for side in (1, 2) if augment == "all" else ():  # every place is reached, the last one too
        assert {c[side] for c in corners if c[0] == 1} == set(range(13))


def test_a_small_data_set_fills_a_batch_by_repeating_pictures(store):
    assert Crops(store, crop=96, batch=9)(0)[0].shape == (9, 24, 24, 3)


def test_pictures_smaller_than_a_crop_are_skipped_and_if_all_are_there_is_one_line(store, tmp_path):
    lr, _ = Crops(store, crop=120, batch=2)(0)
    assert set(lr[:, 0, 0, 0]) <= {0, 2}
    with pytest.raises(UserError, match="--crop: all 4 images have a side below 240 pixels"):
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
