"""srgan-demo: a page on this machine that enlarges pictures in the browser."""

import os
import signal
import threading

from absl import flags

from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo

USAGE = """Start a page on this machine: drop a picture, compare before and after, and download the result.

    srgan-demo                                     then open http://127.0.0.1:7860; needs pip install "gradio>=6"
    srgan-demo --model runs/x4/srgan/saved_model   adds a model of your own

Nothing is sent to another machine. Pictures are deleted after an hour and when the command ends. Ctrl-C ends it."""

FLAGS = flags.FlagValues()
MODEL = flags.DEFINE_multi_string(
    "model",
    [],
    "Also offer this model, the path of a SavedModel of this package. Can be repeated.",
    short_name="n",
    flag_values=FLAGS,
)
HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "The address to listen on. 0.0.0.0 lets everyone on the network use the page, without a password.",
    flag_values=FLAGS,
)
PORT = flags.DEFINE_integer("port", 7860, "The port to listen on.", lower_bound=1, upper_bound=65535, flag_values=FLAGS)
MEGAPIXELS = flags.DEFINE_float(
    "megapixels",
    2,
    "The largest picture that is accepted, in megapixels; animations count all frames.",
    lower_bound=0.001,
    upper_bound=1000,
    flag_values=FLAGS,
)
QUEUE = flags.DEFINE_integer(
    "queue", 8, "How many pictures may wait. They are enlarged one by one.", lower_bound=1, flag_values=FLAGS
)

KEY_FLAGS = (MODEL, HOST, PORT, MEGAPIXELS, QUEUE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: not a flag. Open the page and drop the picture there.")
    for model in MODEL.value:
        zoo.attributes(zoo.resolve(model))
    os.environ["no_proxy"] = "*"  # nothing is sent elsewhere, and Gradio sends requests to its own page
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError('gradio: not installed. Run `pip install "gradio>=6"`.') from None

    from srgan_tf.commands import demo_page

    for name in ("SIGTERM", "SIGHUP"):  # end like Ctrl-C: pictures are deleted
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, signal.default_int_handler)
    page = demo_page.Page(MODEL.value, pixels=round(MEGAPIXELS.value * 1e6), queue=QUEUE.value)
    with page.served(HOST.value, PORT.value) as address:
        try:
            print(f"open {address} (Ctrl-C ends it)")
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
