"""SR files of other programs are matched by name, and missing, extra and wrong ones are reported in one line each."""

import numpy as np
import pytest
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.evaluation.benchmark_sets import Pair
from srgan_tf.evaluation.result_folders import ResultFolder


@pytest.fixture
def pairs(tmp_path):
    """Two pairs as in a released set, HR of 48 x 40 pixels."""
    found = []
    for number in (1, 2):
        paths = [tmp_path / "set" / f"img_{number:03}_SRF_4_{kind}.png" for kind in ("HR", "LR")]
        save(paths[0], (48, 40))
        save(paths[1], (12, 10))
        found.append(Pair(f"img_{number:03}", *paths))
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        "img_{}.png",
        "IMG_{}.PNG",
        "img_{}_x4.png",
        "img_{}x4.png",
        "img_{}_SR.jpg",
        "img_{}_out.webp",
        "img_{}-4x.png",
        "img_{}_SRF_4_HR.png",
        "img_{}_SRF_4_LR.png",
        "img_{}_SRF_4_LR_x4.png",
        "img_{}_SRF_4_LR_x4_out.png",
    ],
)
def test_files_are_matched_with_and_without_common_endings(pairs, tmp_path, pattern):
    for number in (1, 2):
        save(tmp_path / "sr" / pattern.format(f"{number:03}"), (48, 40), level=number * 100)
    folder = ResultFolder("peer", tmp_path / "sr", {"set5": pairs})
    folder.check({"set5": pairs})
    assert folder.warnings() == []
    for number, pair in enumerate(pairs, start=1):
        sr = folder.read("set5", pair)
        assert sr.shape == (48, 40, 3) and abs(int(sr[20, 20, 0]) - 100 * number) < 4


def test_names_that_differ_in_case_only_are_told_apart(pairs, tmp_path):
    pairs = [Pair(name, pair.hr_path, None) for name, pair in zip("Aa", pairs)]
    for name in "Aa":
        save(tmp_path / "sr" / f"{name}_x4.png", (48, 40), level=ord(name))
    if len(list((tmp_path / "sr").iterdir())) < 2:
        pytest.skip("needs a file system that distinguishes upper and lower case")
    folder = ResultFolder("peer", tmp_path / "sr", {"flowers": pairs})
    assert [folder.read("flowers", pair)[0, 0, 0] for pair in pairs] == [ord("A"), ord("a")]


def test_the_folder_of_a_set_of_ones_own_may_have_the_name_of_a_benchmark(pairs, tmp_path):
    for number in (1, 2):
        save(tmp_path / "sr" / "Set5" / f"img_{number:03}.png", (48, 40))
    assert ResultFolder("peer", tmp_path / "sr", {"Set5 (folder)": pairs}).read("Set5 (folder)", pairs[0]).any()


def test_a_grey_file_becomes_three_channels(pairs, tmp_path):
    for number in (1, 2):
        save(tmp_path / f"sr/img_{number:03}.png", (48, 40), grey=True)
    assert ResultFolder("peer", tmp_path / "sr", {"set5": pairs}).read("set5", pairs[0]).shape == (48, 40, 3)


def test_several_sets_have_a_folder_each(pairs, tmp_path):
    sets = {"set5": pairs, "flowers": pairs}
    for name in ("Set5", "flowers"):
        for number in (1, 2):
            save(tmp_path / "sr" / name / f"img_{number:03}.png", (48, 40), level=len(name))
    folder = ResultFolder("peer", tmp_path / "sr", sets)
    assert folder.read("set5", pairs[0])[0, 0, 0] == 4 and folder.read("flowers", pairs[0])[0, 0, 0] == 7
    (tmp_path / "sr" / "flowers").rename(tmp_path / "sr" / "other")
    assert "no folder" in user_error("peer", tmp_path / "sr", sets)


def test_a_missing_file_is_named_with_the_number_of_all(pairs, tmp_path):
    save(tmp_path / "sr" / "img_001.png", (48, 40))
    message = user_error("peer", tmp_path / "sr", {"set5": pairs})
    assert "no image for img_002" in message and "1 of the 2" in message and "Set5" in message


def test_a_folder_that_matches_nothing_shows_a_name_that_would(pairs, tmp_path):
    save(tmp_path / "sr" / "holiday.png", (48, 40))
    message = user_error("peer", tmp_path / "sr", {"set5": pairs})
    assert "none of its images (1) matches Set5" in message and "img_001_SRF_4_LR.png" in message
    (tmp_path / "sr" / "holiday.png").unlink()
    assert "sr: no images. Name them" in user_error("peer", tmp_path / "sr", {"set5": pairs})


def test_a_folder_that_does_not_exist_is_named(pairs, tmp_path):
    assert str(tmp_path / "nowhere") in user_error("peer", tmp_path / "nowhere", {"set5": pairs})


def test_extra_files_are_one_warning(pairs, tmp_path):
    for name in ("img_001", "img_002", "img_003", "baboon"):
        save(tmp_path / "sr" / f"{name}.png", (48, 40))
    (warning,) = ResultFolder("peer", tmp_path / "sr", {"set5": pairs}).warnings()
    assert "2 images match nothing in Set5" in warning and "baboon.png" in warning


def test_two_files_for_one_image_are_named(pairs, tmp_path):
    for name in ("img_001.png", "img_001_x4.png", "img_002.png"):
        save(tmp_path / "sr" / name, (48, 40))
    message = user_error("peer", tmp_path / "sr", {"set5": pairs})
    assert "img_001.png" in message and "img_001_x4.png" in message


@pytest.mark.parametrize(
    "size, said",
    [
        ((24, 20), "scale 2, not 4"),
        ((40, 32), "4 pixels are missing at each side"),
        ((48, 41), "41 x 48 pixels instead of 40 x 48"),
    ],
)
def test_a_file_of_the_wrong_size_is_named_with_the_likely_reason(pairs, tmp_path, size, said):
    save(tmp_path / "sr" / "img_001.png", (48, 40))
    save(tmp_path / "sr" / "img_002.png", size)
    folder = ResultFolder("peer", tmp_path / "sr", {"set5": pairs})
    with pytest.raises(UserError) as caught:
        folder.check({"set5": pairs})
    assert str(caught.value).startswith(str(tmp_path / "sr" / "img_002.png")) and said in str(caught.value)


def test_the_digest_changes_with_any_file(pairs, tmp_path):
    for number in (1, 2):
        save(tmp_path / f"sr/img_{number:03}.png", (48, 40))
    before = ResultFolder("peer", tmp_path / "sr", {"set5": pairs}).digest()
    save(tmp_path / "sr/img_002.png", (48, 40), level=1)
    assert ResultFolder("peer", tmp_path / "sr", {"set5": pairs}).digest() != before


def save(path, size, level=128, grey=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size if grey else (*size, 3), level, np.uint8)).save(path)


def user_error(*arguments):
    with pytest.raises(UserError) as caught:
        ResultFolder(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
