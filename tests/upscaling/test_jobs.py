"""Which picture becomes which file."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from helpers import ROOT
from helpers.enlargers import Function, Lines
from srgan_tf import atomic
from srgan_tf.errors import UserError
from srgan_tf.images import formats
from srgan_tf.images.options import FileOptions
from srgan_tf.upscaling import cluster, jobs, places, plans


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat.jpg", "dog.PNG", "old.gif", "cat_x4.jpg", "notes.txt", ".hidden.png"):
        Path(name).touch()
    Path("sub").mkdir()
    Path("sub", "bird.png").touch()
    return tmp_path


def plan(*arguments, **options):
    return [(str(job.source), str(job.target)) for job in plans.plan(*arguments, label="x4", **options)]


@pytest.mark.parametrize(
    "name, mode, size, problem",
    [
        ("deep.png", "I;16", (21_475, 100_000), "16 bits a channel"),  # 2 ** 31 numbers, as many as TensorFlow refuses
        ("deep.png", "I;16", (21_474, 100_000), None),
        ("x.bmp", "RGB", (35_792, 40_000), "BMP"),
        ("x.bmp", "RGB", (35_791, 40_000), None),  # 2 ** 32 bytes
        ("x.bmp", "L", (107_375, 40_000), "BMP"),
        ("x.bmp", "L", (107_374, 40_000), None),
        ("deep.png", "I;16", (1_000_001, 1), "16 bits a channel"),
        ("deep.png", "I;16", (1_000_000, 1), None),
        ("x.webp", "RGB", (16_384, 1), "WEBP"),
    ],
)
def test_a_result_that_its_format_cannot_hold_is_refused_before_it_is_computed(
    tmp_path, monkeypatch, name, mode, size, problem
):
    monkeypatch.setattr(jobs.memory, "available", lambda swap: None)  # some are larger than this machine's
    Image.new(mode, (3, 3)).save(tmp_path / name)

    def enlarge(picture):
        raise UserError("it would be computed")

    lines, (height, width) = Lines(), size
    job = plans.Job(tmp_path / name, tmp_path / f"large_{name}")
    jobs.run([job], Function(enlarge, height=height, width=width), reporter=lines)
    [line] = lines.errors
    assert problem in line and f"large_{name}" in line if problem else "it would be computed" in line


def test_results_are_beside_their_pictures_in_the_same_format(album):
    assert plan(["cat.jpg", "sub/bird.png", "dog.PNG"]) == [
        ("cat.jpg", "cat_x4.jpg"),
        ("sub/bird.png", "sub/bird_x4.png"),
        ("dog.PNG", "dog_x4.PNG"),
    ]
    assert plan(["old.gif"]) == [("old.gif", "old_x4.gif")]


def test_a_folder_means_its_pictures_without_earlier_results(album):
    assert plan(["."]) == [("cat.jpg", "cat_x4.jpg"), ("dog.PNG", "dog_x4.PNG"), ("old.gif", "old_x4.gif")]


def test_clips_of_a_folder_are_skipped_and_counted(album):
    for name in ("b.mp4", "b_x4.mp4", ".hidden.mp4", "sub/c.MOV"):
        Path(name).touch()
    lines = Lines()
    assert [source for source, _ in plan(["."], reporter=lines)] == ["cat.jpg", "dog.PNG", "old.gif"]
    assert lines.notes[0] == ".: videos skipped: 1. Name them to enlarge them."
    lines = Lines()
    plan(["."], recursive=True, reporter=lines)
    assert lines.notes[0] == ".: videos skipped: 2. Name them to enlarge them."
    lines = Lines()
    plan(["cat.jpg", "b.mp4", "sub"], reporter=lines)
    assert lines.notes == ["sub: videos skipped: 1. Name them to enlarge them."]


def test_an_output_is_a_file_for_one_picture_and_else_a_folder(album):
    assert plan(["cat.jpg"], "large.png") == [("cat.jpg", "large.png")]
    assert plan(["cat.jpg"], "large") == [("cat.jpg", "large/cat_x4.jpg")]
    assert plan(["cat.jpg", "dog.PNG"], "large") == [("cat.jpg", "large/cat_x4.jpg"), ("dog.PNG", "large/dog_x4.PNG")]
    assert plan(["sub"], "large") == [("sub/bird.png", "large/bird_x4.png")]
    Path("folder.png").mkdir()
    assert plan(["cat.jpg"], "folder.png") == [("cat.jpg", "folder.png/cat_x4.jpg")]
    for name in ("new.webp", "new.jp2"):
        assert plan(["cat.jpg"], f"{name}/") == [("cat.jpg", f"{name}/cat_x4.jpg")]


def test_a_picture_named_twice_is_one_job(album):
    assert plan(["cat.jpg", "cat.jpg"]) == [("cat.jpg", "cat_x4.jpg")]


def test_earlier_results_in_a_shell_pattern_are_not_enlarged(album):
    assert plan(["cat.jpg", "cat_x4.jpg"]) == [("cat.jpg", "cat_x4.jpg")]
    Path("cat_1920x1080.jpg").touch()
    for paths in (["*.jpg"], ["cat.jpg", "./cat_x4.jpg", os.path.abspath("cat_1920x1080.jpg")]):
        lines = Lines()
        assert plan(paths, format="webp", reporter=lines) == [("cat.jpg", "cat_x4.webp")]
        assert lines.notes == ["earlier results skipped: 2. Name them alone to enlarge them."]


def test_a_picture_named_alone_is_enlarged_whatever_its_name(album):
    lines = Lines()
    assert plan(["cat_x4.jpg"], reporter=lines) == [("cat_x4.jpg", "cat_x4_x4.jpg")]
    Path("sub/cat.jpg").touch()
    assert [source for source, _ in plan(["cat_x4.jpg", "sub/cat.jpg"], reporter=lines)] == [
        "cat_x4.jpg",
        "sub/cat.jpg",
    ]
    assert not lines.notes


def test_pictures_of_a_folder_that_look_like_results_are_counted_and_may_be_named(album):
    for name in ("sub/icon.png", "sub/icon_64x64.png", "sub/bird_x2.webp"):
        Path(name).touch()
    lines = Lines()
    assert [source for source, _ in plan(["."], recursive=True, reporter=lines)] == [
        "cat.jpg",
        "dog.PNG",
        "old.gif",
        "sub/bird.png",
        "sub/icon.png",
    ]
    assert lines.notes == [
        ".: earlier results skipped: 3. Name them to enlarge them.",
        ".: other files skipped: 1 .txt.",
    ]
    assert "sub/icon_64x64.png" in [source for source, _ in plan(["sub", "sub/icon_64x64.png"])]


def test_results_of_any_size_and_format_are_skipped_in_a_folder(album):
    for name in ("cat_x2.5.png", "cat_w1920.webp", "cat_1920x1080.jpg", "dog_h7.PNG", "bird_x4.png", "x4.png"):
        Path(name).touch()
    assert [source for source, _ in plan(["."])] == ["bird_x4.png", "cat.jpg", "dog.PNG", "old.gif", "x4.png"]


def test_sub_folders_are_kept_below_the_output(album):
    Path("sub/deep/.hidden").mkdir(parents=True)
    for name in ("sub/deep/fish.webp", "sub/deep/.hidden/no.png"):
        Path(name).touch()
    Path("sub/loop").symlink_to("..")
    expected = [("sub/bird.png", "big/bird_x4.png"), ("sub/deep/fish.webp", "big/deep/fish_x4.webp")]
    assert plan(["sub"], "big", recursive=True) == expected
    assert plan(["sub"], "big") == expected[:1]
    assert plan(["sub"], recursive=True)[1] == ("sub/deep/fish.webp", "sub/deep/fish_x4.webp")


def test_everything_that_pillow_reads_is_taken_and_the_rest_is_counted_by_kind(album, monkeypatch):
    monkeypatch.setattr(formats, "_loaded", lambda module, register: False)  # no plug-ins
    Path("mixed").mkdir()
    for name in "a.jpg b.avif c.jp2 d.tga e.JPE f.mpo g.heic h.jxl i.heic j.txt k Thumbs.db ._l.jpg".split():
        Path("mixed", name).touch()
    lines = Lines()
    assert plan(["mixed"], "big", reporter=lines) == [
        ("mixed/a.jpg", "big/a_x4.jpg"),
        ("mixed/b.avif", "big/b_x4.png"),
        ("mixed/c.jp2", "big/c_x4.png"),
        ("mixed/d.tga", "big/d_x4.png"),
        ("mixed/e.JPE", "big/e_x4.JPE"),
        ("mixed/f.mpo", "big/f_x4.png"),
    ]
    assert lines.notes == [
        "mixed: other files skipped: 2 .heic (pip install pillow-heif), 1 .db, "
        "1 .jxl (pip install pillow-jxl-plugin), 1 .txt, 1 without a suffix."
    ]


def test_linked_folders_are_followed_once(album):
    for folder in ("linked", "elsewhere/deep"):
        Path(folder).mkdir(parents=True)
    for name in ("linked/a.png", "elsewhere/b.png", "elsewhere/deep/c.png"):
        Path(name).touch()
    Path("linked/one").symlink_to("../elsewhere")
    Path("linked/two").symlink_to("../elsewhere")
    Path("elsewhere/back").symlink_to("../linked")
    assert plan(["linked"], "big", recursive=True) == [
        ("linked/a.png", "big/a_x4.png"),
        ("linked/one/b.png", "big/one/b_x4.png"),
        ("linked/one/deep/c.png", "big/one/deep/c_x4.png"),
    ]


def test_names_stay_in_another_folder_or_get_a_suffix_of_ones_own(album):
    assert plan(["cat.jpg", "dog.PNG"], "big", suffix="") == [("cat.jpg", "big/cat.jpg"), ("dog.PNG", "big/dog.PNG")]
    assert plan(["cat.jpg"], suffix="_large") == [("cat.jpg", "cat_large.jpg")]
    Path("cat_large.jpg").touch()
    assert [source for source, _ in plan(["."], suffix="_large")] == ["cat.jpg", "dog.PNG", "old.gif"]
    assert [source for source, _ in plan(["cat.jpg", "cat_large.jpg"], suffix="_large")] == ["cat.jpg"]
    with pytest.raises(UserError, match="would replace a picture given"):
        plan(["cat.jpg"], suffix="")
    with pytest.raises(UserError, match="--suffix a/b: part of a path"):
        plan(["cat.jpg"], suffix="a/b")


def test_an_output_inside_the_folder_is_not_taken_as_input(album):
    Path("big").mkdir()
    Path("big/cat_x4.jpg").touch()
    assert [source for source, _ in plan(["."], "big", recursive=True)] == [
        "cat.jpg",
        "dog.PNG",
        "old.gif",
        "sub/bird.png",
    ]


def test_patterns_that_the_shell_did_not_expand_are_expanded(album):
    assert plan(["*.jp*g"]) == [("cat.jpg", "cat_x4.jpg")]
    assert plan(["**/b*.png"]) == [("sub/bird.png", "sub/bird_x4.png")]
    Path("[a].png").touch()
    assert plan(["[a].png"]) == [("[a].png", "[a]_x4.png")]
    assert plan(["no*.png"]) == [("no*.png", "no*_x4.png")]


def test_format_changes_the_suffix_of_all(album):
    assert plan(["cat.jpg", "dog.PNG"], format="webp") == [("cat.jpg", "cat_x4.webp"), ("dog.PNG", "dog_x4.webp")]
    assert plan(["cat.jpg"], "large.jpeg", format="jpg") == [("cat.jpg", "large.jpeg")]
    with pytest.raises(UserError, match="--format jpg: --output large.png has another format"):
        plan(["cat.jpg"], "large.png", format="jpg")
    Path("cat.png").touch()
    with pytest.raises(UserError, match="cat.jpg and cat.png would both be written to it"):
        plan(["cat.jpg", "cat.png"], format="webp")


@pytest.mark.parametrize(
    "paths, output, problem",
    [
        (["cat.jpg", "dog.PNG"], "large.png", "do not fit in one file"),
        (["sub"], "large.png", "do not fit in one file"),
        (["cat.jpg"], "cat.jpg", "replace"),
        (["cat.jpg"], "notes.txt", "unsupported format"),
        (["cat.jpg"], "dog.PNG/", "--output dog.PNG/: a file, not a folder"),
        (["cat.jpg"], "large.webm", "a format that cannot be written"),
        (["cat.jpg", "dog.PNG"], "large.jp2", "a format that cannot be written"),
        (["cat.jpg"], "linked.jpg", "replace"),
        (["sub/bird.png", "./other/bird.png"], "large", "would both be written to it"),
    ],
)
def test_plans_that_would_replace_a_picture_are_refused(album, paths, output, problem):
    Path("linked.jpg").hardlink_to("cat.jpg")
    with pytest.raises(UserError, match=problem):
        plan(paths, output)


def test_pictures_of_a_folder_whose_results_would_have_one_name_fail_alone(album):
    Path("cat.tga").touch()
    planned = plans.plan(["."], label="x4", format="png")
    assert {str(job.source) for job in planned if not job.problem} == {"cat.jpg", "dog.PNG", "old.gif"}
    [clash] = [job for job in planned if job.problem]
    with pytest.raises(UserError, match="would replace a picture given"):  # of all: one line
        plans.plan(["sub"], label="x4", suffix="")
    assert clash.problem == (
        "cat_x4.png: cat.jpg and cat.tga would both be written to it. Enlarge one with another --suffix or --output."
    )


def too_deep(folder):
    """Make folders with a picture whose path is too long to be read."""
    home = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(5000 // 200):
            os.mkdir(200 * "d")
            os.chdir(200 * "d")
        Path("fish.png").touch()
    finally:
        os.chdir(home)


def test_a_folder_that_cannot_be_read_fails_alone(album):
    too_deep("sub")
    planned = plans.plan(["."], "big", label="x4", recursive=True)
    assert [str(job.source) for job in planned[:-1]] == ["cat.jpg", "dog.PNG", "old.gif", "sub/bird.png"]
    assert str(planned[-1].source).startswith("sub/ddd") and planned[-1].target is None
    lines = Lines()
    outcome = jobs.run(planned[-1:], None, reporter=lines)
    assert outcome.status == 2 and len(lines.errors) == 1
    assert lines.errors[0].startswith("sub/ddd") and "cannot be read (File name too long)" in lines.errors[0]
    request = plans.Request.of(["."], "big", label="x4", recursive=True)
    rows = list(cluster._listed(request.parts, overwrite=False))
    assert [row["state"] for row in rows] == [*4 * ["todo"], "failed", "note", "note"]
    assert rows[4]["error"] == planned[-1].problem and rows[4]["result"] is None


def test_a_folder_without_pictures_is_refused(album):
    Path("empty").mkdir()
    with pytest.raises(UserError, match="empty: no pictures"):
        plan(["empty"])


def test_an_error_is_one_line_whatever_the_name(album):
    lines = Lines()
    outcome = jobs.run([plans.Job("two\nlines.png", "x.png")], None, reporter=lines)
    assert outcome.status == 2 and len(lines.errors) == 1 and r"two\nlines.png" in lines.errors[0]


def test_a_picture_too_large_for_the_memory_fails_alone(album):
    def enlarge(picture):
        raise MemoryError

    Image.new("RGB", (3, 3)).save("cat.jpg")
    lines = Lines()
    jobs.run(plans.plan(["cat.jpg"], label="x2"), Function(enlarge), reporter=lines)
    assert len(lines.errors) == 1 and lines.errors[0].startswith("cat.jpg: not enough memory")


def it_would_be_computed(picture):
    raise UserError("it would be computed")


@pytest.mark.parametrize("mode, bytes_a_pixel", [("L", 1 + 4), ("RGB", 3 + 4), ("RGBA", 4 + 4), ("I;16", 2 + 4)])
def test_a_result_too_large_for_the_memory_is_refused_before_it_is_computed(album, monkeypatch, mode, bytes_a_pixel):
    Image.new(mode, (3, 3)).save("cat.png")
    needed, lines = 1000 * 500 * bytes_a_pixel, Lines()
    for left in (needed - 1, needed):
        monkeypatch.setattr(jobs.memory, "available", lambda swap: left)
        enlarger = Function(it_would_be_computed, width=1000, height=500)
        jobs.run(plans.plan(["cat.png"], label="x2"), enlarger, reporter=lines)
    assert lines.errors == [
        "cat.png: not enough memory for a result of 1000 x 500 pixels. Make it smaller, or cut the picture into parts.",
        "cat.png: it would be computed",
    ]


@pytest.mark.parametrize("suffix, bytes_a_pixel", [(".gif", 4 + 3), (".png", 4 + 3 * 8)])
def test_an_animation_whose_result_is_kept_in_memory_is_refused_where_that_is_too_small(
    album, monkeypatch, suffix, bytes_a_pixel
):
    frames = [Image.new("RGB", (3, 3), (90 * i, 0, 0)) for i in range(3)]
    frames[0].save(f"cat{suffix}", save_all=True, append_images=frames[1:], duration=100)
    needed, lines = 1000 * 500 * bytes_a_pixel, Lines()
    for left in (needed - 1, needed):
        monkeypatch.setattr(jobs.memory, "available", lambda swap: left)
        enlarger = Function(it_would_be_computed, width=1000, height=500)
        jobs.run(plans.plan([f"cat{suffix}"], label="x2"), enlarger, reporter=lines)
    first, second = lines.errors
    assert "not enough memory" in first and "it would be computed" in second


def test_a_picture_that_is_removed_while_it_is_enlarged_does_not_fail(album):
    Image.new("RGB", (3, 3)).save("cat.png")
    os.utime("cat.png", ns=(10**18, 10**18))
    size = os.path.getsize("cat.png")

    def enlarge(picture):
        Path("cat.png").unlink()
        return picture

    [job] = plans.plan(["cat.png"], label="x2")
    made = jobs.make(job, Function(enlarge), options=FileOptions(keep_times=True))
    assert made.bytes == (size, os.path.getsize("cat_x2.png"))
    assert os.stat("cat_x2.png").st_mtime_ns == 10**18


@pytest.mark.parametrize("keep", [False, True])
def test_a_result_that_is_taken_away_at_once_does_not_fail(album, monkeypatch, keep):
    Image.new("RGB", (3, 3)).save("cat.png")
    size, write = os.path.getsize("cat.png"), jobs.writing.write

    def take(path, *rest):
        notes = write(path, *rest)
        Path(path).unlink()
        return notes

    monkeypatch.setattr(jobs.writing, "write", take)
    [job] = plans.plan(["cat.png"], label="x4")
    assert jobs.make(job, Function(), options=FileOptions(keep_times=keep)).bytes == (size, 0)


def test_a_folder_with_the_name_of_a_result_fails_alone(album):
    Path("dog_x4.PNG").mkdir()
    lines = Lines()
    jobs.run(plans.plan(["dog.PNG"], label="x4"), None, reporter=lines)
    assert lines.errors == ["dog_x4.PNG: a folder has the name of the result. Choose another --output."]


def test_an_output_that_cannot_be_reached_is_one_line_also_with_overwrite(album):
    Image.new("RGB", (3, 3)).save("cat.png")
    lines, target = Lines(), f"{300 * 'n'}/cat_x4.png"
    jobs.run([plans.Job("cat.png", target)], Function(), overwrite=True, reporter=lines)
    [line] = lines.errors
    assert line == f"{target}: cannot be written (File name too long). Choose another --output."


@pytest.mark.parametrize("recursive", [False, True])
def test_the_files_and_folders_of_a_command_line_are_looked_up_once(album, monkeypatch, recursive):
    looked_up = []
    kind = places.Local.kind
    monkeypatch.setattr(places.Local, "kind", lambda self: looked_up.append(str(self)) or kind(self))
    request = plans.Request.of(["sub"], "big", label="x4", recursive=recursive)
    assert str(request.result_folder()) == "big"
    listing = cluster._listing(request, Lines())
    assert [[str(job.source) for job in part] for part in listing(Lines())] == [[str(album / "sub" / "bird.png")]]
    assert looked_up.count("sub") == looked_up.count("big") == 1


def test_results_get_the_times_of_their_sources_when_asked(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", ns=(10**18, 10**18 + 123_456_789))
    for keep in (True, False):
        job = plans.Job(tmp_path / "a.png", tmp_path / f"{keep}.png")
        jobs.make(job, Function(lambda picture: picture, 1), options=FileOptions(keep_times=keep))
        assert (os.stat(job.target).st_mtime_ns == 10**18 + 123_456_789) == keep


def test_a_huge_picture_in_a_few_bytes_is_refused_without_large(album):
    Path("bomb.gif").write_bytes(
        bytes.fromhex("474946383961c832c8328000000000000000002c00000000c832c832000002024401003b")
    )
    Image.new("L", (3000, 3000), 255).save("white.png")
    lines, enlarger = Lines(), Function(it_would_be_computed)
    jobs.run(plans.plan(["bomb.gif", "white.png"], label="x4"), enlarger, reporter=lines)
    assert lines.errors[0] == "bomb.gif: 13000 x 13000 pixels in 36 bytes. Give --large to accept it."
    assert "would be computed" in lines.errors[1]
    job = plans.Job("bomb.gif", "large.gif")
    jobs.run([job], enlarger, reporter=lines, options=FileOptions(large=True))
    assert "--large" not in lines.errors[2]


RUN = """
import sys, time
from helpers import ROOT
from helpers.enlargers import Function, Lines
from srgan_tf.upscaling import jobs, plans
enlarger = Function()
def slowly(picture):
    time.sleep(0.2)
    return enlarger._repeated(picture)
enlarger._function = slowly
print("ready", flush=True)
sys.stdin.readline()
outcome = jobs.run(plans.plan(["in"], "out", label="x4"), enlarger, overwrite="overwrite" in sys.argv, reporter=Lines())
print(outcome.done, outcome.kept, outcome.failed)
"""


@pytest.fixture
def start_run(tmp_path):
    """A function that starts a process which enlarges `in` into `out`, slowly, when it gets a line."""
    (tmp_path / "in").mkdir()
    for i in range(10):
        Image.new("RGB", (3, 3), (20 * i, 0, 0)).save(tmp_path / "in" / f"{i}.png")
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.parametrize("flags", [[], ["overwrite"]])
def test_two_runs_on_one_folder_share_the_work(tmp_path, start_run, flags):
    if flags:
        (tmp_path / "out").mkdir()
        for i in range(10):
            (tmp_path / "out" / f"{i}_x4.png").touch()
    runs = [start_run(*flags) for _ in range(2)]
    for run in runs:
        go(run)
    outcomes = [[int(number) for number in run.communicate(timeout=60)[0].split()] for run in runs]
    if not flags:  # else each replaces what the other has made before it came there
        assert sum(done for done, _, _ in outcomes) == 10 and min(done for done, _, _ in outcomes) >= 2
    assert [done + kept for done, kept, _ in outcomes] == [10, 10]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{i}_x4.png" for i in range(10))
    for i in range(10):
        assert Image.open(tmp_path / "out" / f"{i}_x4.png").getpixel((5, 5)) == (20 * i, 0, 0)


def test_the_result_that_a_killed_run_was_making_is_taken_over(tmp_path, start_run):
    first, second = start_run(), start_run()
    go(first)
    while len(list((tmp_path / "out").glob("*.png"))) < 2:
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    done, kept, failed = map(int, second.communicate("go\n", timeout=60)[0].split())
    assert (done + kept, failed) == (10, 0) and kept >= 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{i}_x4.png" for i in range(10))


def test_a_result_that_another_process_did_not_finish_is_made_at_the_end(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    others = atomic.claimed(tmp_path / "a_x4.png")
    assert others.__enter__()
    lines = Lines()

    def enlarge(picture):  # of b.png, which comes first now
        if not lines.results:
            assert lines.notes == []
            others.__exit__(None, None, None)
        return Function()._repeated(picture)

    monkeypatch.setattr(jobs, "PAUSE", 0.01)
    planned = plans.plan([tmp_path / "a.png", tmp_path / "b.png"], label="x4")
    assert jobs.run(planned, Function(enlarge), reporter=lines).done == 2
    assert ["b.png" in line for line in lines.results] == [True, False]
    assert lines.notes == ["results that another run is making: 1. Waiting for it."]
