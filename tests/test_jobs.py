"""Which picture becomes which file."""
from pathlib import Path

import pytest

from srgan_tf import jobs
from srgan_tf.errors import UserError


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat.jpg", "dog.PNG", "old.gif", "cat_x4.jpg", "notes.txt", ".hidden.png"):
        Path(name).touch()
    Path("sub").mkdir()
    Path("sub", "bird.png").touch()
    return tmp_path


def plan(*arguments, **options):
    return [(str(job.source), str(job.target)) for job in jobs.plan(*arguments, label="x4", **options)]


def test_results_lie_beside_their_pictures_in_the_same_format(album):
    assert plan(["cat.jpg", "sub/bird.png", "dog.PNG"]) == [
        ("cat.jpg", "cat_x4.jpg"), ("sub/bird.png", "sub/bird_x4.png"), ("dog.PNG", "dog_x4.PNG")]
    assert plan(["old.gif"]) == [("old.gif", "old_x4.png")]


def test_a_folder_means_its_pictures_without_earlier_results_of_theirs(album):
    assert plan(["."]) == [("cat.jpg", "cat_x4.jpg"), ("dog.PNG", "dog_x4.PNG"), ("old.gif", "old_x4.png")]


def test_an_output_is_a_file_for_one_picture_and_else_a_folder(album):
    assert plan(["cat.jpg"], "large.png") == [("cat.jpg", "large.png")]
    assert plan(["cat.jpg"], "large") == [("cat.jpg", "large/cat_x4.jpg")]
    assert plan(["cat.jpg", "dog.PNG"], "large") == [("cat.jpg", "large/cat_x4.jpg"), ("dog.PNG", "large/dog_x4.PNG")]
    assert plan(["sub"], "large") == [("sub/bird.png", "large/bird_x4.png")]
    Path("folder.png").mkdir()
    assert plan(["cat.jpg"], "folder.png") == [("cat.jpg", "folder.png/cat_x4.jpg")]


def test_a_picture_named_twice_is_one_job(album):
    assert plan(["cat.jpg", "cat.jpg"]) == [("cat.jpg", "cat_x4.jpg")]


@pytest.mark.parametrize("paths, output, problem", [
    (["cat.jpg", "dog.PNG"], "large.png", "do not fit in one file"),
    (["sub"], "large.png", "do not fit in one file"),
    (["cat.jpg"], "cat.jpg", "replace"),
    (["cat.jpg", "cat_x4.jpg"], None, "replace"),
    (["cat.jpg"], "notes.txt", "unknown format"),
    (["sub/bird.png", "./other/bird.png"], "large", "one name"),
])
def test_plans_that_would_ruin_a_picture_are_refused(album, paths, output, problem):
    with pytest.raises(UserError, match=problem):
        plan(paths, output)


def test_a_folder_without_pictures_is_refused(album):
    Path("empty").mkdir()
    with pytest.raises(UserError, match="no pictures.*empty"):
        plan(["empty"])
