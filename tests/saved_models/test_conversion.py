"""A model converted for another runtime computes what the Keras model computes."""

import keras
import numpy as np
import pytest

from srgan_tf.errors import UserError
from srgan_tf.networks import models
from srgan_tf.networks.pixels import to_uint8
from srgan_tf.saved_models import conversion

SIZES = ((1, 13, 7, 3), (2, 6, 11, 3))  # odd ones, in one file


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(1)
    generator = models.srresnet(4, blocks=1, features=4)
    models.start_as_interpolation(generator)
    noise = np.random.default_rng(0)
    for layer in generator.layers:
        layer.set_weights([value + noise.normal(0, 0.02, value.shape) for value in layer.get_weights()])
    return generator


def onnx(path):
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
    session = runtime.InferenceSession(path)
    return lambda lr: session.run(["sr"], {"lr": lr})[0]


def litert(path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install ai-edge-litert")
    interpreter = runtime.Interpreter(str(path))

    kinds = {detail["dtype"] for detail in interpreter.get_tensor_details()}

    def run(lr):
        [given] = interpreter.get_input_details()
        interpreter.resize_tensor_input(given["index"], lr.shape)
        return interpreter.get_signature_runner()(lr=lr)["output_0"]

    return run, np.float16 in kinds


@pytest.mark.parametrize(
    "load, name, precision",
    [
        (keras.saving.load_model, "model.keras", "float32"),
        (onnx, "model.onnx", "float32"),
        pytest.param(litert, "model.tflite", "float32", marks=pytest.mark.long),
        (litert, "model.tflite", "float16"),
    ],
)
def test_the_file_computes_the_pixels_of_the_keras_model_at_any_size(generator, tmp_path, load, name, precision):
    if name == "model.onnx":
        pytest.importorskip("tf2onnx", reason="needs tf2onnx: pip install tf2onnx onnx")
    conversion.convert(generator, tmp_path / name, precision=precision)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    run = load(tmp_path / name)
    if load is litert:
        run, half = run
        assert half == (precision == "float16")
    for shape in SIZES:
        lr = np.random.default_rng(1).uniform(0, 1, shape).astype("float32")
        expected, found = (np.asarray(to_uint8(f(lr))).astype(int) for f in (generator, run))
        assert found.shape == expected.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3)
        assert np.ptp(expected) > 100 and np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("name, precision", [("model.pb", "float32"), ("model.onnx", "float16")])
def test_an_unknown_format_is_refused(generator, tmp_path, name, precision):
    with pytest.raises(ValueError, match="no such format"):
        conversion.convert(generator, tmp_path / name, precision=precision)


def test_a_full_temporary_folder_is_one_line(generator, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(conversion._WRITERS, ".keras", full)
    with pytest.raises(UserError, match="model.keras: cannot be written .No space left on device.. Free disk space"):
        conversion.convert(generator, tmp_path / "model.keras")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(conversion.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--format onnx: tf2onnx is not installed. Run `pip install tf2onnx onnx`"):
        conversion.check(".onnx")


def test_an_old_keras_is_refused_for_litert(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.9.2")
    with pytest.raises(UserError, match="needs Keras 3.13, not 3.9.2"):
        conversion.check(".tflite")
