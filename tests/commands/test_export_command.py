"""`srgan-export` as a user runs it: the file, messages and wrong flags."""

import keras
import pytest

from srgan_tf.commands import export, start


@pytest.fixture
def run(small_model, tmp_path, monkeypatch, capsys):
    """Run the command in this process, in a new folder: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            start(export.main, ["srgan-export", "--model", str(small_model), *arguments])
        return (end.value.code or 0, *capsys.readouterr())

    return run


def test_it_writes_a_file_and_says_what_goes_in_and_out(run, tmp_path):
    status, output, errors = run("-o", "small.keras")
    assert (status, errors) == (0, "")
    assert output.startswith("small.keras: ") and "Input: float32 [B, H, W, 3] in [0, 1]. Output: float32" in output
    assert "[B, 4H, 4W, 3] around [-1, 1], not clipped" in output
    assert keras.saving.load_model(tmp_path / "small.keras").output_shape == (None, None, None, 3)
    assert run("-o", "small.keras")[2] == "error: --output small.keras: exists. Give another name, or --overwrite.\n"
    assert run("-o", "small.keras", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--output: no file to write. Give a name that ends in .keras, .onnx or .tflite."),
        (["-o", "model.pt"], "--output model.pt: unknown file format .pt. Supported: .keras .onnx .tflite."),
        (["-o", "model"], "--output model: no file format. Give a name that ends in .keras, .onnx or .tflite."),
        (["-o", "m.onnx", "-f", "litert"], "--output m.onnx: --format litert makes .tflite files. Rename it."),
        (["-o", "no/m.onnx"], "--output no/m.onnx: there is no folder no. Create it."),
        (["-o", "m.onnx", "--precision", "float16"], "--precision float16: only for --format litert. Omit it."),
        (["m.onnx"], "m.onnx: not a flag. Name the file with --output."),
        (
            ["-o", "m.keras", "--model", "vgg"],
            "--model vgg: neither a shipped model nor a folder. Give the path of a SavedModel or one of: photo, qr,",
        ),
    ],
)
def test_wrong_flags_are_refused_in_one_line_before_anything_is_loaded(run, arguments, message):
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "") and errors.startswith(f"error: {message}") and errors.count("\n") == 1
