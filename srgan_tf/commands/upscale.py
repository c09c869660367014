"""python upscale.py: make pictures larger."""
import functools
import sys

from absl import flags

from srgan_tf import zoo
from srgan_tf.errors import UserError

USAGE = """Make pictures larger: files, or the pictures of a folder.

    python upscale.py photo.jpg                  writes photo_x4.jpg beside it
    python upscale.py photo.jpg -o large.png
    python upscale.py holiday/ logo.png -o large/

Results that exist are kept, so an interrupted folder goes on where it stopped."""

FLAGS = flags.FlagValues()
INPUT = flags.DEFINE_multi_string("input", [], "A picture or a folder, as without the flag; again for several.",
                                  short_name="i", flag_values=FLAGS)
OUTPUT = flags.DEFINE_string("output", None, "A picture's file name for one picture, else a folder; beside each "
                             "picture when not given.", short_name="o", flag_values=FLAGS)
MODEL = flags.DEFINE_string("model", zoo.DEFAULT_MODEL, "srgan, srresnet or the path of a SavedModel.",
                            short_name="n", flag_values=FLAGS)
SCALE = flags.DEFINE_enum("scale", None, ["2", "4", "8"], "How many times larger; the model's own when not given.",
                          short_name="s", flag_values=FLAGS)
TILE = flags.DEFINE_integer("tile", 0, "Side of the tiles that a large picture is computed in, LR pixels; smaller "
                            "takes less memory and more time; 0, the default, is automatic.", short_name="t",
                            lower_bound=0, flag_values=FLAGS)
PRECISION = flags.DEFINE_enum("precision", "auto", ["auto", "float32", "bfloat16"], "What convolutions compute in; "
                              "auto takes bfloat16 where the machine computes in it natively.", flag_values=FLAGS)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Make results again that exist.", flag_values=FLAGS)

KEY_FLAGS = (INPUT, OUTPUT, MODEL, SCALE, TILE, PRECISION, OVERWRITE)


def run():
    from srgan_tf.commands import start
    start(main)


def main(argv):
    """Enlarge what the command line names; TensorFlow is loaded when the first picture has been read."""
    paths = [*INPUT.value, *argv[1:]]
    if not paths:
        raise UserError("there is nothing to enlarge, PATH, give a picture or a folder")
    folder = zoo.resolve(MODEL.value, int(SCALE.value) if SCALE.value else None)
    scale = zoo.attributes(folder)["scale"]

    from srgan_tf import jobs
    planned = jobs.plan(paths, OUTPUT.value, scale=scale)

    @functools.cache
    def upscaler():
        from srgan_tf.upscaling import Upscaler
        return Upscaler(folder, tile=TILE.value, precision=PRECISION.value)

    with _progress(len(planned)) as bar:
        outcome = jobs.run(planned, lambda picture: upscaler().picture(picture), scale=scale,
                           overwrite=OVERWRITE.value, tell=bar.write, step=bar.update,
                           complain=functools.partial(bar.write, file=sys.stderr))
    if len(planned) > 1:
        print(outcome)
    return outcome.status


def _progress(total):
    import tqdm
    return tqdm.tqdm(total=total, unit="picture", leave=False, disable=total == 1 or not sys.stderr.isatty())
