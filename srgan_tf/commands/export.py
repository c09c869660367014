"""srgan-export: convert a model for Keras, ONNX Runtime or LiteRT."""

from pathlib import Path

from absl import flags

from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo

USAGE = """Convert a model to a file for Keras, ONNX Runtime or LiteRT (TensorFlow Lite).

    srgan-export -o srgan.onnx                                        needs pip install tf2onnx onnx
    srgan-export --model srresnet --format litert -o srresnet.tflite
    srgan-export -o half.tflite --precision float16                   half the size
    srgan-export --model runs/x4/srgan/saved_model -o mine.keras

The input of the file is float32 [B, H, W, 3] in [0, 1], of any size; its output is [B, 4H, 4W, 3] around [-1, 1],
not clipped."""

SUFFIXES = {"keras": ".keras", "onnx": ".onnx", "litert": ".tflite"}
ENDINGS = "Give a name that ends in .keras, .onnx or .tflite."

FLAGS = flags.FlagValues()
OUTPUT = flags.DEFINE_string(
    "output", None, "The file to write: .keras, .onnx or .tflite.", short_name="o", flag_values=FLAGS
)
MODEL = flags.DEFINE_string(
    "model",
    zoo.DEFAULT_MODEL,
    "photo, srgan, srresnet, qr or the path of a SavedModel of this package.",
    short_name="n",
    flag_values=FLAGS,
)
FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(SUFFIXES),
    "File format; without it, that of the suffix of --output.",
    short_name="f",
    flag_values=FLAGS,
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "float16"],
    "Precision of the stored weights; float16 for litert only. Input and output stay float32.",
    flag_values=FLAGS,
)
SCALE = flags.DEFINE_integer(
    "scale",
    None,
    "The scale of the model: 2, 4 or 8. Default: that of the model.",
    short_name="s",
    lower_bound=2,
    flag_values=FLAGS,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing file.", flag_values=FLAGS)

KEY_FLAGS = (OUTPUT, MODEL, FORMAT, PRECISION, SCALE, OVERWRITE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Write one file. TensorFlow is loaded when all flags have been checked."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: not a flag. Name the file with --output.")
    path, kind = _file()
    if PRECISION.value == "float16" and kind != "litert":
        raise UserError("--precision float16: only for --format litert. Omit it.")
    folder = zoo.resolve(MODEL.value, SCALE.value)

    from srgan_tf.saved_models import conversion, export

    conversion.check(SUFFIXES[kind])
    conversion.convert(export.restore(folder), path, precision=PRECISION.value)
    scale = zoo.attributes(folder)["scale"]
    print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB. Input: float32 [B, H, W, 3] in [0, 1]. "
        f"Output: float32 [B, {scale}H, {scale}W, 3] around [-1, 1], not clipped."
    )


def _file():
    """The path and the format of the result."""
    if not OUTPUT.value:
        raise UserError(f"--output: no file to write. {ENDINGS}")
    path = Path(OUTPUT.value)
    suffix = path.suffix.lower()
    kind = FORMAT.value or next((kind for kind in SUFFIXES if SUFFIXES[kind] == suffix), None)
    if not suffix:
        raise UserError(f"--output {path}: no file format. {ENDINGS}")
    if kind is None:
        raise UserError(f"--output {path}: unknown file format {suffix}. Supported: {' '.join(SUFFIXES.values())}.")
    if suffix != SUFFIXES[kind]:
        raise UserError(f"--output {path}: --format {kind} makes {SUFFIXES[kind]} files. Rename it.")
    if not path.parent.is_dir():
        raise UserError(f"--output {path}: there is no folder {path.parent}. Create it.")
    if path.exists() and not OVERWRITE.value:
        raise UserError(f"--output {path}: exists. Give another name, or --overwrite.")
    return path, kind
