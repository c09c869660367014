"""`python upscale.py` as a user runs it: results, messages and wrong flags."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srgan_tf
from helpers import ROOT
from srgan_tf.commands import start, upscale
from srgan_tf.networks import onednn
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.upscaler import Upscaler


@pytest.fixture
def run(small_model, tmp_path, monkeypatch, capsys):
    """Run the command in this process, in a new folder: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model=str(small_model)):
        with pytest.raises(SystemExit) as end:
            start(upscale.main, ["upscale.py", *(["--model", model] if model else []), *arguments])
        return (end.value.code or 0, *capsys.readouterr())

    return run


def noise(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, dtype=np.uint8)


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_from_the_shell_it_prints_one_line_per_result_and_nothing_else(small_model, tmp_path):
    Image.fromarray(noise(9, 12, 3)).save(tmp_path / "cat.png")
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, ROOT / "upscale.py", "cat.png", "-o", "big.png", "-n", small_model],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cat.png -> big.png, 48 x 36\n", "")
    expected = Upscaler(small_model)(noise(9, 12, 3))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "big.png")), expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is set for x86 processors only")
@pytest.mark.parametrize("setting, used", [(None, True), ("0", False)])
def test_convolutions_use_onednn_on_every_processor_unless_it_is_switched_off(
    small_model, tmp_path, monkeypatch, setting, used
):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if setting is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    Image.new("RGB", (20, 16), "red").save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, ROOT / "upscale.py", "a.png", "-n", small_model], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (",convolution," in done.stdout) == used


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is set for x86 processors only")
@pytest.mark.parametrize("setting, result", [(None, "1"), ("", "1"), ("0", "0")])
def test_onednn_is_enabled_unless_the_user_has_set_it(monkeypatch, setting, result):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")
    if setting is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    else:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    onednn.enable()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == result


@pytest.mark.parametrize(
    "arguments, status, stream, text",
    [
        (["--help"], 0, "stdout", "python upscale.py photo.jpg"),
        (["--scal", "4"], 2, "stderr", "error: --scal: unknown flag. Did you mean --scale?"),
        (["missing.png", "--model", "{model}"], 2, "stderr", "missing.png"),
    ],
)
def test_help_and_wrong_flags_do_not_load_tensorflow(small_model, arguments, status, stream, text):
    program = (
        "import sys; from srgan_tf.commands import upscale\n"
        "try:\n  upscale.run()\nfinally:\n  assert 'tensorflow' not in sys.modules"
    )
    arguments = [argument.format(model=small_model) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    output = getattr(done, stream)
    assert done.returncode == status and text in output
    assert stream == "stdout" or output.count("\n") == 1


def test_characters_that_the_terminal_cannot_show_are_escaped(small_model, tmp_path):
    for name in ("猫.png", "猫_x4.png"):
        (tmp_path / name).touch()
    done = subprocess.run(
        [sys.executable, ROOT / "upscale.py", "猫.png", "-n", small_model],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "kept \\u732b_x4.png; --overwrite replaces it\n")


def test_version_is_one_line_with_the_versions_of_the_main_packages(run):
    status, out, err = run("--version")
    assert (status, err) == (0, "") and out.count("\n") == 1
    assert out.startswith(f"srgan_tf {srgan_tf.__version__}, Python 3.") and "tensorflow 2." in out


def test_hyphens_are_accepted_in_flags(run):
    Image.fromarray(noise(4, 5, 3)).save("a.png")
    assert run("a.png", "--server-timeout=5", "--no-recursive", "--tile", "16")[0] == 0
    assert Path("a_x4.png").exists()
    status, _, err = run("--server-tmeout", "5", "a.png")
    assert status == 2 and err.startswith("error: --server-tmeout: unknown flag.")
    Image.fromarray(noise(4, 5, 3)).save("--no-recursive.png")
    assert run("--", "--no-recursive.png")[0] == 0 and Path("--no-recursive_x4.png").exists()


def test_a_folder_for_results_may_have_any_name_if_it_exists_or_ends_in_a_slash(run):
    Image.fromarray(noise(4, 5, 3)).save("a.png")
    Path("old.v1").mkdir()
    for output in ("old.v1", "new.v2/", "plain"):
        assert run("a.png", "-o", output)[0] == 0 and Path(output, "a_x4.png").exists()


def test_help_shows_our_flags_only(run):
    status, out, _ = run("--help")
    assert status == 0
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("  -")] == [
        "--input",
        "--output",
        "--model",
        "--fidelity",
        "--scale",
        "--outscale",
        "--tile",
        "--recursive",
        "--format",
        "--server",
        "--cluster",
        "--overwrite",
    ]
    assert "repeat this option" not in out
    assert "--verbosity" in run("--helpfull")[1]


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK"])
def test_an_image_keeps_its_mode(run, mode):
    kept = {"P": "RGB", "1": "L", "CMYK": "RGB"}.get(mode, mode)
    suffix = "jpg" if mode == "CMYK" else "png"
    original = Image.fromarray(noise(9, 12, 4))
    (original if mode.endswith("A") else original.convert("RGB")).convert(mode).save(f"x.{suffix}")
    status, out, err = run(f"x.{suffix}")
    assert (status, err) == (0, "")
    with Image.open(f"x_x4.{suffix}") as large:
        assert (large.size, large.mode) == ((48, 36), kept)
    assert ("CMYK" in out) == (mode == "CMYK")
    assert files() == sorted([f"x.{suffix}", f"x_x4.{suffix}"])


def test_results_go_to_a_new_folder_and_a_summary_is_printed(run):
    Path("in").mkdir()
    for name in ("in/a.png", "in/b.jpg", "c.bmp"):
        Image.fromarray(noise(4, 5, 3)).save(name)
    status, out, _ = run("in", "-i", "c.bmp", "-o", "new/out")
    assert status == 0
    assert out.splitlines()[-1] == "3 enlarged, 0 kept, 0 failed"
    assert [name for name in files() if name.startswith("new")] == [
        "new/out/a_x4.png",
        "new/out/b_x4.jpg",
        "new/out/c_x4.bmp",
    ]


def test_clips_in_a_folder_are_skipped_with_a_note(run):
    Path("clips").mkdir()
    Path("clips/a.mp4").touch()
    status, out, err = run("clips")
    assert (status, out) == (2, "")
    assert "Name them" in err.splitlines()[0] and err.splitlines()[1].startswith("error: clips: no pictures in")
    Image.fromarray(noise(4, 5, 3)).save("clips/b.png")
    status, out, err = run("clips")
    assert status == 0 and "Name them" in err and Path("clips/b_x4.png").exists()


def test_existing_results_are_kept_without_overwrite(run):
    Image.fromarray(noise(4, 5, 3)).save("a.png")
    Path("a_x4.png").write_bytes(b"mine")
    status, out, _ = run("a.png")
    assert (status, Path("a_x4.png").read_bytes()) == (0, b"mine") and "--overwrite" in out
    assert run("a.png", "--overwrite")[0] == 0
    assert Image.open("a_x4.png").size == (20, 16)


def test_files_that_fail_do_not_stop_the_others(run):
    Image.fromarray(noise(4, 5, 3)).save("a.png")
    Path("b.png").write_text("no picture")
    Image.fromarray(noise(4, 5, 3)).save("c.png")
    status, out, err = run("a.png", "b.png", "missing.png", "c.png")
    assert status == 1
    first, second = err.splitlines()
    assert "b.png" in first and "missing.png" in second
    assert out.splitlines()[-1] == "2 enlarged, 0 kept, 2 failed"
    assert files() == ["a.png", "a_x4.png", "b.png", "c.png", "c_x4.png"]


# Runs a program for which permissions apply even as root: it drops the capabilities that bypass them.
WITHOUT_BYPASS = """if True:
    import ctypes, os, sys
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if os.geteuid() == 0 and ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            sys.exit("the right to read everything cannot be given up")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gives up a right of root as Linux has it")
def test_a_folder_without_permission_is_one_line_and_the_rest_is_processed(small_model, tmp_path):
    for name in ("a.png", "locked/b.png", "sub/locked/c.png", "sub/d.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(4, 5, 3)).save(tmp_path / "in" / name)
    locked = [tmp_path / "in" / "locked", tmp_path / "in" / "sub" / "locked"]
    for path in locked:
        path.chmod(0)
    command = [ROOT / "upscale.py", "-r", "in", "in/locked/b.png", "-o", "out", "-n", small_model]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BYPASS, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    for path in locked:
        path.chmod(0o755)
    if "cannot be given up" in done.stderr:
        pytest.skip("who is root may read everything")
    assert done.returncode == 1
    [unreadable, *folders] = sorted(done.stderr.splitlines(), key=lambda line: "b.png" not in line)
    assert unreadable.startswith("error: ") and "in/locked/b.png" in unreadable and "permissions" in unreadable
    assert sorted(folders) == [
        "error: in/locked: cannot be read (Permission denied). Check its name and permissions.",
        "error: in/sub/locked: cannot be read (Permission denied). Check its name and permissions.",
    ]
    assert done.stdout.splitlines()[-1] == "2 enlarged, 0 kept, 3 failed"
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["a_x4.png", "sub/d_x4.png"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gives up a right of root as Linux has it")
def test_an_unwritable_folder_is_reported_before_anything_is_computed(small_model, tmp_path):
    Image.fromarray(noise(4, 5, 3)).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir(mode=0o555)
    program = (
        "import sys; from srgan_tf.commands import upscale\n"
        "try:\n  upscale.run()\nfinally:\n  assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_BYPASS,
            "-c",
            program,
            tmp_path / "a.png",
            "-o",
            tmp_path / "out",
            "-n",
            small_model,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "cannot be given up" in done.stderr:
        pytest.skip("who is root may write everywhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {tmp_path / 'out'}: no permission to write to the folder. Choose another --output.\n"
    )


@pytest.fixture
def command(small_model, tmp_path):
    """A command line with an existing result of a.png and a damaged b.png, and the options for `subprocess`."""
    for name in ("a.png", "a_x4.png", "b.png"):
        (tmp_path / name).touch()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return [sys.executable, ROOT / "upscale.py", "a.png", "b.png", "-n", small_model], {
        "cwd": tmp_path,
        "env": environment,
        "stderr": subprocess.PIPE,
        "text": True,
        "timeout": 120,
    }


def test_a_closed_pipe_ends_the_command_silently(command):
    arguments, options = command
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(arguments, stdout=write, **options)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(os.name == "nt", reason="needs sh")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stdout_or_stderr_does_not_stop_the_command(command, closed):
    arguments, options = command
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *arguments], stdout=subprocess.PIPE, **options)
    assert done.returncode == 1
    if closed == ">&-":
        assert done.stderr.startswith("error: b.png: the file is empty.") and done.stdout == ""
    else:
        assert done.stdout == "kept a_x4.png; --overwrite replaces it\n0 enlarged, 1 kept, 1 failed\n"
        assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_does_not_end_the_work(tmp_path, small_model):
    for name in "ab":
        Image.fromarray(noise(4, 5, 3)).save(tmp_path / f"{name}.png")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "upscale.py", "--model", small_model, tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "error: standard output: cannot be written (No space left on device). All else is done.\n"
    assert (tmp_path / "a_x4.png").is_file() and (tmp_path / "b_x4.png").is_file()


def test_tiles_leave_no_seams(run):
    Image.fromarray(noise(50, 40, 3)).save("a.png")
    run("a.png", "-o", "whole.png")
    run("a.png", "-o", "tiled.png", "-t", "16")
    whole, tiled = (np.asarray(Image.open(name)).astype(int) for name in ("whole.png", "tiled.png"))
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize(
    "arguments, name, size",
    [
        (["--outscale", "2.5"], "small_x2.5.png", (30, 22)),
        (["--outscale", "3"], "small_x3.png", (36, 27)),
        (["--width", "33"], "small_w33.png", (33, 25)),
        (["--height", "5"], "small_h5.png", (7, 5)),
        (["--width", "20", "--height", "30"], "small_20x30.png", (20, 30)),
    ],
)
def test_the_size_is_part_of_the_name(run, arguments, name, size):
    Image.fromarray(noise(9, 12, 3)).save("small.png")
    status, out, _ = run("small.png", *arguments)
    assert status == 0 and f"{size[0]} x {size[1]}" in out
    assert Image.open(name).size == size


def test_fidelity_blends_the_shipped_models(run):
    Image.fromarray(noise(16, 16, 3)).save("small.png")
    results = {}
    fixed = ["small.png", "-o", "large.png", "--overwrite", "--precision", "float32"]
    origin = f"-n {zoo.fidelity_models(1)[0]}"  # the version of srresnet that srgan was trained from
    for arguments in ("--fidelity 1", "--fidelity 0.5", "--fidelity 0", origin, "-n srgan"):
        assert run(*fixed, *arguments.split(), model=None)[0] == 0
        results[arguments] = np.asarray(Image.open("large.png")).astype(int)
    faithful, half, vivid = (results[f"--fidelity {x}"] for x in ("1", "0.5", "0"))
    np.testing.assert_array_equal(faithful, results[origin])
    np.testing.assert_array_equal(vivid, results["-n srgan"])
    apart = np.abs(faithful - vivid).mean()
    assert 0 < np.abs(half - faithful).mean() < apart and 0 < np.abs(half - vivid).mean() < apart


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ([], "nothing to enlarge"),
        (["text.png"], "not an image"),
        (["empty.png"], "empty"),
        (["short.jpg"], "damaged"),
        (["missing.png"], "no such file"),
        (["clip.mp4", "--format", "gif"], "--format gif: cannot store a video"),
        (["good.png", "clip.mp4", "--format", "gif"], "--format gif: cannot store a video"),
        (["clip.mp4", "-o", "large.mkv", "--format", "gif"], "--format gif: cannot store a video"),
        (["folder"], "no pictures"),
        (
            ["good.png", "--scale", "2", "--model", "srgan"],
            "--scale 2: there is no srgan model for this scale. Use --outscale 2",
        ),
        (["good.png", "--scale", "3", "--model", "srresnet"], "Use --outscale 3."),
        (["good.png", "--scale", "2"], "--scale 2"),
        (["good.png", "--scale", "1"], "--scale=1"),
        (["good.png", "--tile", "-1"], "--tile"),
        (["good.png", "--outscale", "0"], "--outscale 0: out of range"),
        (["good.png", "--outscale", "nan"], "--outscale"),
        (["good.png", "--outscale", "1e308"], "--outscale"),
        (["good.png", "--outscale", "2", "--width", "9"], "--width"),
        (["good.png", "--width", "0"], "--width"),
        (["good.png", "--width", "1" + 400 * "0"], "--width"),
        (["good.png", "--height", str(2**31)], "--height"),
        (["good.png", "--fidelity", "0.5"], "--fidelity 0.5: "),
        (["good.png", "--fidelity", "1.5"], "--fidelity"),
        (["good.png", "--fidelity", "nan"], "--fidelity"),
        (["good.png", "--server_timeout", "nan"], "--server_timeout"),
        (["good.png", "--server_timeout", "inf"], "--server_timeout"),
        (["good.png", ""], "PATH: empty"),
        (["good.png", "-o", ""], "--output: empty"),
        (["good.png", "--model", "nothing"], "--model"),
        (["good.png", "-o", "good.png", "--overwrite"], "replace"),
        (["alpha.png", "-o", "alpha.jpg"], "transparency"),
        (["good.png", "-o", "text.png/x.png"], "text.png"),
        (["good.png", "-o", "large.pgn"], "--output large.pgn: unknown file format .pgn. Supported: "),
        (["folder", "good.png", "-o", "out.v2"], "End the name of a new folder with /."),
    ],
)
def test_a_wrong_flag_or_file_is_one_line_and_nothing_is_written(run, arguments, problem):
    Path("text.png").write_text("no picture")
    Path("empty.png").touch()
    Path("folder").mkdir()
    Image.fromarray(noise(60, 60, 3)).save("short.jpg")
    Path("short.jpg").write_bytes(Path("short.jpg").read_bytes()[:-100])
    Image.fromarray(noise(4, 5, 3)).save("good.png")
    Image.fromarray(noise(4, 5, 4)).save("alpha.png")
    before = {name: Path(name).read_bytes() for name in files()}
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and problem in err and err.count("\n") == 1
    assert {name: Path(name).read_bytes() for name in files()} == before


def test_hints_name_packages_that_pip_can_install():
    for path in (ROOT / "srgan_tf").rglob("*.py"):
        assert "srgan_tf[" not in path.read_text(encoding="utf-8"), path
