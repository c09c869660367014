"""python upscale.py: make pictures larger."""

import functools
import math

from absl import flags

from srgan_tf.commands import progress
from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling.sizes import Size

USAGE = """Make pictures and clips larger: files, or the pictures of a folder.

    python upscale.py photo.jpg                  writes photo_x4.jpg beside it
    python upscale.py photo.jpg -o large.png
    python upscale.py holiday/ logo.png -o large/
    python upscale.py clip.mp4                   with its sound; pip install 'srgan_tf[video]'
    python upscale.py photo.jpg --outscale 2.5   or --width 3840, or --height 2160
    python upscale.py photo.jpg --fidelity 0.5   half way between faithful and vivid
    python upscale.py s3://bucket/photos -o s3://bucket/photos_x4 --cluster auto

Results that exist are kept, so an interrupted folder goes on where it stopped."""

FLAGS = flags.FlagValues()
INPUT = flags.DEFINE_multi_string(
    "input",
    [],
    "A picture, a clip or a folder, as without the flag; again for several.",
    short_name="i",
    flag_values=FLAGS,
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "A picture's file name for one picture, else a folder; beside each picture when not given.",
    short_name="o",
    flag_values=FLAGS,
)
MODEL = flags.DEFINE_string(
    "model",
    None,
    f"srgan, srresnet, qr or the path of a SavedModel; {zoo.DEFAULT_MODEL} when not given.",
    short_name="n",
    flag_values=FLAGS,
)
SCALE = flags.DEFINE_enum(
    "scale",
    None,
    ["2", "4", "8"],
    "How many times larger; the model's own when not given.",
    short_name="s",
    flag_values=FLAGS,
)
OUTSCALE = flags.DEFINE_float(
    "outscale",
    None,
    "How many times larger the result is, any number above 0: what the model makes is resized to it.",
    flag_values=FLAGS,
)
WIDTH = flags.DEFINE_integer(
    "width", None, "Width of the result in pixels; the height follows unless it is given, too.", flag_values=FLAGS
)
HEIGHT = flags.DEFINE_integer(
    "height", None, "Height of the result in pixels; the width follows unless it is given, too.", flag_values=FLAGS
)
FIDELITY = flags.DEFINE_float(
    "fidelity",
    None,
    "A blend of two models instead of one: 0 is srgan, vivid; 1 is the srresnet that it was trained from, faithful.",
    lower_bound=0,
    upper_bound=1,
    flag_values=FLAGS,
)
TILE = flags.DEFINE_integer(
    "tile",
    0,
    "Side of the tiles that a large picture is computed in, LR pixels; smaller "
    "takes less memory and more time; 0, the default, is automatic.",
    short_name="t",
    lower_bound=0,
    flag_values=FLAGS,
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "bfloat16", "float16"],
    "What convolutions compute in; auto takes bfloat16 where the machine computes in it natively.",
    flag_values=FLAGS,
)
RECURSIVE = flags.DEFINE_bool(
    "recursive",
    False,
    "Take the pictures in sub-folders, too; they keep their sub-folders below --output.",
    short_name="r",
    flag_values=FLAGS,
)
FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["png", "jpg", "webp", "tiff", "bmp", "gif"],
    "Format of the results; each picture's own when not given.",
    short_name="f",
    flag_values=FLAGS,
)
SERVER = flags.DEFINE_multi_string(
    "server",
    [],
    "Let a TensorFlow Serving server compute: grpc://HOST:8500/MODEL or "
    "http://HOST:8501/MODEL; again, or after a comma, for several.",
    flag_values=FLAGS,
)
SERVER_TIMEOUT = flags.DEFINE_float(
    "server_timeout",
    600,
    "Seconds that a server may take for one tile.",
    lower_bound=0.001,
    upper_bound=10**6,
    flag_values=FLAGS,
)
CLUSTER = flags.DEFINE_string(
    "cluster",
    None,
    "Compute on a Ray cluster: HOST:PORT; auto for the one that this "
    "machine belongs to; local for one started for this run.",
    flag_values=FLAGS,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Make results again that exist.", flag_values=FLAGS)

KEY_FLAGS = (INPUT, OUTPUT, MODEL, FIDELITY, SCALE, OUTSCALE, TILE, RECURSIVE, FORMAT, SERVER, CLUSTER, OVERWRITE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Enlarge what the command line names; TensorFlow is loaded when the first picture has been read."""
    paths = [*INPUT.value, *argv[1:]]
    if not paths:
        raise UserError("there is nothing to enlarge, PATH, give a picture or a folder")
    for flag in (FIDELITY, SERVER_TIMEOUT):
        if flag.value is not None and math.isnan(flag.value):  # absl's bounds let it pass
            raise UserError(f"nan is no number, --{flag.name}, see --helpfull")
    remote = _remote() if SERVER.value else None
    size = remote.size if remote else _size()

    options = {"label": str(size), "recursive": RECURSIVE.value, "format": FORMAT.value}
    model = {
        "model": MODEL.value,
        "scale": int(SCALE.value) if SCALE.value else None,
        "fidelity": FIDELITY.value,
        "outscale": OUTSCALE.value,
        "width": WIDTH.value,
        "height": HEIGHT.value,
        "tile": TILE.value,
        "precision": PRECISION.value,
    }
    if CLUSTER.value is not None:
        if remote:
            raise UserError("both say where to compute, --server and --cluster, leave one of them out")
        return _on_cluster(paths, options, model)

    from srgan_tf.upscaling import jobs, plans

    planned = plans.plan(paths, OUTPUT.value, **options)
    with progress.Progress(len(planned)) as bar:
        outcome = jobs.run(planned, remote or _Local(size, model), overwrite=OVERWRITE.value, reporter=bar)
    if len(planned) > 1:
        print(outcome)
    return outcome.status


class _Local:
    """An `upscaler.Upscaler` that is loaded when the first picture is there."""

    def __init__(self, size, arguments):
        self.size, self._arguments = size, arguments

    @functools.cached_property
    def _upscaler(self):
        from srgan_tf.upscaling.upscaler import Upscaler

        return Upscaler(**self._arguments)

    def picture(self, picture, step):
        return self._upscaler.picture(picture, step)


def _on_cluster(paths, options, model):
    from srgan_tf.upscaling import cluster

    outcome = cluster.run(
        paths,
        OUTPUT.value,
        address=CLUSTER.value,
        upscaler=model,
        overwrite=OVERWRITE.value,
        **options,
    )
    if outcome.done + outcome.kept + outcome.failed > 1:
        print(outcome)
    return outcome.status


def _size():
    """How large results are; a model that is not there is noticed here, before anything is read."""
    _check_size()
    scale = int(SCALE.value) if SCALE.value else None
    if FIDELITY.value is None:
        folder = zoo.resolve(zoo.DEFAULT_MODEL if MODEL.value is None else MODEL.value, scale)
    else:
        folder, _ = zoo.blended(FIDELITY.value, MODEL.value, scale)
    own = zoo.attributes(folder)["scale"]
    return Size(own if OUTSCALE.value is None else OUTSCALE.value, WIDTH.value, HEIGHT.value)


def _check_size():
    if OUTSCALE.value is not None and not WIDTH.value is HEIGHT.value is None:
        raise UserError("both say how large results are, --outscale and --width or --height, leave one of them out")


def _remote():
    _check_size()
    for flag in (MODEL, FIDELITY):
        if flag.present:
            raise UserError(f"the address names the model, --{flag.name} and --server, leave --{flag.name} out")
    from srgan_tf.upscaling.server import Remote

    servers = [server for value in SERVER.value for server in value.split(",")]
    return Remote(
        servers,
        int(SCALE.value) if SCALE.value else None,
        outscale=OUTSCALE.value,
        width=WIDTH.value,
        height=HEIGHT.value,
        tile=TILE.value,
        precision=PRECISION.value,
        timeout=SERVER_TIMEOUT.value,
    )
