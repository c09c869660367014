"""python upscale.py: enlarge images and videos."""

import functools
import json
import math
import os

from absl import flags

from srgan_tf.commands import progress
from srgan_tf.errors import UserError
from srgan_tf.images.options import FileOptions
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.sizes import Size

USAGE = """Enlarge images and videos: files, or all images of a folder.

    python upscale.py photo.jpg                  writes photo_x4.jpg in the same folder
    python upscale.py photo.jpg -o large.png
    python upscale.py holiday/ logo.png -o large/
    python upscale.py clip.mp4                   with its sound; needs pip install av
    python upscale.py photo.jpg --model srgan    sharper, for clean images; a JPEG is enlarged by photo otherwise
    python upscale.py photo.jpg --outscale 2.5   or --width 3840, or --height 2160
    python upscale.py scan.png --fidelity 0.5    between srgan (0) and srresnet (1)
    python upscale.py - < photo.jpg > large.png  through standard input and output
    python upscale.py s3://bucket/photos -o s3://bucket/photos_x4 --cluster auto

Existing results are kept. To continue an interrupted run, start the same command again."""

FLAGS = flags.FlagValues()
INPUT = flags.DEFINE_multi_string(
    "input",
    [],
    "An image, a video or a folder; the same as without the flag. Can be repeated.",
    short_name="i",
    flag_values=FLAGS,
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "A file name if there is one input file, else a folder. Default: the folder of each input file.",
    short_name="o",
    flag_values=FLAGS,
)
MODEL = flags.DEFINE_string(
    "model",
    None,
    f"photo, srgan, srresnet, qr or the path of a SavedModel. Default: {zoo.PHOTO_MODEL} for files with lossy "
    f"compression, such as JPEG and videos, {zoo.DEFAULT_MODEL} for others.",
    short_name="n",
    flag_values=FLAGS,
)
SCALE = flags.DEFINE_integer(
    "scale",
    None,
    "The scale of the model: 2, 4 or 8. Default: that of the model. Use --outscale for other sizes of the result.",
    short_name="s",
    lower_bound=2,
    flag_values=FLAGS,
)
OUTSCALE = flags.DEFINE_float(
    "outscale",
    None,
    "Enlarge by this factor, any number above 0: the output of the model is resized.",
    flag_values=FLAGS,
)
WIDTH = flags.DEFINE_integer(
    "width",
    None,
    "Width of the result in pixels. Keeps the aspect ratio if --height is not given.",
    flag_values=FLAGS,
)
HEIGHT = flags.DEFINE_integer(
    "height",
    None,
    "Height of the result in pixels. Keeps the aspect ratio if --width is not given.",
    flag_values=FLAGS,
)
FIDELITY = flags.DEFINE_float(
    "fidelity",
    None,
    "Blend two models: 0 is srgan, or photo with --model photo; 1 is the srresnet from which it was trained.",
    lower_bound=0,
    upper_bound=1,
    flag_values=FLAGS,
)
TILE = flags.DEFINE_integer(
    "tile",
    0,
    "Side of the tiles of large images, in LR pixels. Smaller tiles need less memory and more time. 0: automatic.",
    short_name="t",
    lower_bound=0,
    flag_values=FLAGS,
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "bfloat16", "float16"],
    "Precision of the convolutions. auto: bfloat16 if the hardware supports it natively, else float32.",
    flag_values=FLAGS,
)
RECURSIVE = flags.DEFINE_bool(
    "recursive",
    False,
    "Include subfolders. Results keep their subfolders in --output.",
    short_name="r",
    flag_values=FLAGS,
)
FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["png", "jpg", "webp", "avif", "tiff", "bmp", "gif"],
    "File format of the results. Default: that of each input image; PNG for AVIF and formats that cannot be written.",
    short_name="f",
    flag_values=FLAGS,
)
SERVER = flags.DEFINE_multi_string(
    "server",
    [],
    "Compute on a TensorFlow Serving server: grpc://HOST:8500/MODEL or http://HOST:8501/MODEL. Give several servers by "
    "repeating the flag or separated by commas.",
    flag_values=FLAGS,
)
SERVER_TIMEOUT = flags.DEFINE_float(
    "server_timeout",
    600,
    "Timeout of a server for one tile, in seconds.",
    lower_bound=0.001,
    upper_bound=10**6,
    flag_values=FLAGS,
)
SERVER_PROXY = flags.DEFINE_bool(
    "server_proxy",
    False,
    "Connect to grpc:// servers through the proxy in http_proxy, https_proxy or grpc_proxy.",
    flag_values=FLAGS,
)
CLUSTER = flags.DEFINE_string(
    "cluster",
    None,
    "Compute on a Ray cluster: HOST:PORT; auto for the cluster of this machine; local to start one for this run.",
    flag_values=FLAGS,
)
SUFFIX = flags.DEFINE_string(
    "suffix",
    None,
    'Suffix of the names of results, such as _large; "" keeps the names, in another folder. Default: _x4, or the size.',
    flag_values=FLAGS,
)
QUALITY = flags.DEFINE_integer(
    "quality",
    None,
    "Quality of JPEG, WebP and AVIF results, 1 to 100. Default: 95, for AVIF 90.",
    lower_bound=1,
    upper_bound=100,
    flag_values=FLAGS,
)
KEEP_TIMES = flags.DEFINE_bool(
    "keep_times", False, "Give each result the modification time of its source.", flag_values=FLAGS
)
DAMAGED = flags.DEFINE_enum(
    "damaged",
    "refuse",
    ["refuse", "keep"],
    "Truncated JPEG files: refuse them, or keep what can be decoded.",
    flag_values=FLAGS,
)
KEEP_INTERLACED = flags.DEFINE_bool(
    "keep_interlaced", False, "Do not deinterlace interlaced videos (with FFmpeg's bwdif).", flag_values=FLAGS
)
LARGE = flags.DEFINE_bool(
    "large",
    False,
    "Accept images with far more pixels than their file has bytes. Such files may be crafted to exhaust the memory.",
    flag_values=FLAGS,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace existing results.", flag_values=FLAGS)

KEY_FLAGS = (INPUT, OUTPUT, MODEL, FIDELITY, SCALE, OUTSCALE, TILE, RECURSIVE, FORMAT, SERVER, CLUSTER, OVERWRITE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Enlarge the given files. TensorFlow is loaded when the first image has been read."""
    paths = [*INPUT.value, *argv[1:]]
    if not paths:
        raise UserError("PATH: nothing to enlarge. Give an image, a video or a folder.")
    for flag in (FIDELITY, SERVER_TIMEOUT):
        if flag.value is not None and math.isnan(flag.value):  # passes absl's bounds
            raise UserError(f"--{flag.name} nan: not a number. See --helpfull.")
    _check_output()
    if SERVER.value and CLUSTER.value is not None:
        raise UserError("--server and --cluster: cannot be combined. Omit one of them.")
    remote = _remote() if SERVER.value else None
    size = remote.size if remote else _size()

    options = {"label": str(size), "recursive": RECURSIVE.value, "format": FORMAT.value, "suffix": SUFFIX.value}
    files = FileOptions(
        quality=QUALITY.value,
        keep_interlaced=KEEP_INTERLACED.value,
        keep_times=KEEP_TIMES.value,
        large=LARGE.value,
        keep_damaged=DAMAGED.value == "keep",
    )
    model = {
        "model": MODEL.value,
        "scale": SCALE.value,
        "fidelity": FIDELITY.value,
        "outscale": OUTSCALE.value,
        "width": WIDTH.value,
        "height": HEIGHT.value,
        "tile": TILE.value,
        "precision": PRECISION.value,
    }
    enlarger = remote or _Local(size, model)
    from srgan_tf.commands import pipes
    from srgan_tf.upscaling import jobs, plans

    if CLUSTER.value is not None:
        if pipes.asked_for(paths, OUTPUT.value):
            raise UserError(f"{pipes.NAME}: standard input and output cannot be used with --cluster. Give files.")
        return _on_cluster(paths, options, model, enlarger, files)
    if pipes.asked_for(paths, OUTPUT.value):
        overwrite = OVERWRITE.value
        return pipes.run(paths, OUTPUT.value, enlarger, format=FORMAT.value, overwrite=overwrite, options=files).status

    planned = plans.plan(paths, OUTPUT.value, **options)
    with progress.Progress(len(planned)) as bar:
        outcome = jobs.run(planned, enlarger, overwrite=OVERWRITE.value, reporter=bar, options=files)
    if len(planned) > 1:
        print(outcome)
    return outcome.status


class _Local:
    """The upscaler, which is loaded for the first image."""

    def __init__(self, size, arguments):
        self.size, self._arguments = size, arguments

    @functools.cached_property
    def _upscaler(self):
        from srgan_tf.upscaling import by_file

        return by_file.load(**self._arguments)

    @functools.cached_property
    def key(self):
        """A string that identifies what is computed, for resuming clips."""
        models = [zoo.attributes(folder)["sha256"] for folder in _model_folders()]
        return json.dumps([models, FIDELITY.value, str(self.size), TILE.value, PRECISION.value])

    def picture(self, picture, step):
        return self._upscaler.picture(picture, step)


def _on_cluster(paths, options, model, enlarger, files):
    from srgan_tf.upscaling import cluster

    outcome = cluster.run(
        paths,
        OUTPUT.value,
        address=CLUSTER.value,
        upscaler=model,
        key=enlarger.key,
        overwrite=OVERWRITE.value,
        files=files,
        **options,
    )
    if outcome.done + outcome.kept + outcome.failed > 1:
        print(outcome)
    return outcome.status


def _size():
    """The size of the results. A missing model is reported here, before any file is read."""
    _check_size()
    scale, shipped = SCALE.value, zoo.shipped()
    name = zoo.DEFAULT_MODEL if MODEL.value is None else MODEL.value
    if scale and f"{name}_x{scale}" not in shipped and any(other.startswith(f"{name}_x") for other in shipped):
        raise UserError(f"--scale {scale}: there is no {name} model for this scale. Use --outscale {scale}.")
    own = zoo.attributes(_model_folders()[0])["scale"]
    return Size(own if OUTSCALE.value is None else OUTSCALE.value, WIDTH.value, HEIGHT.value)


def _model_folders():
    """The folders of the model, of those that are chosen from by file, or of the two that --fidelity blends."""
    if FIDELITY.value is not None:
        return zoo.fidelity_models(FIDELITY.value, MODEL.value, SCALE.value)
    models = zoo.BY_FILE if MODEL.value is None else [MODEL.value]
    return [zoo.resolve(model, SCALE.value) for model in models]


def _check_output():
    """Reject an output that looks like a mistyped suffix, such as large.pgn, which would become a folder."""
    output = OUTPUT.value
    if not output or output == "-" or output.endswith(("/", os.sep)):
        return
    from srgan_tf.images import clip_names, formats
    from srgan_tf.upscaling import places

    place, known = places.of(output, flag="--output"), {*formats.FORMATS, *clip_names.CONTAINERS}
    if place.suffix and place.suffix.lower() not in known and place.kind() is None:
        raise UserError(
            f"--output {output}: unknown file format {place.suffix}. Supported: {' '.join(sorted(known))}. End the "
            "name of a new folder with /."
        )


def _check_size():
    if OUTSCALE.value is not None and not WIDTH.value is HEIGHT.value is None:
        raise UserError("--outscale and --width or --height: cannot be combined. Omit one of them.")


def _remote():
    _check_size()
    for flag in (MODEL, FIDELITY):
        if flag.present:
            raise UserError(f"--{flag.name}: the model is part of the --server address. Omit --{flag.name}.")
    from srgan_tf.upscaling.server import Remote

    servers = [server for value in SERVER.value for server in value.split(",")]
    return Remote(
        servers,
        SCALE.value,
        outscale=OUTSCALE.value,
        width=WIDTH.value,
        height=HEIGHT.value,
        tile=TILE.value,
        precision=PRECISION.value,
        timeout=SERVER_TIMEOUT.value,
        proxy=SERVER_PROXY.value,
    )
