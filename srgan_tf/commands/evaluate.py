"""python evaluate.py: score models on the benchmark sets, beside the paper's figures."""
import sys
from pathlib import Path

from absl import flags

from srgan_tf.errors import UserError

USAGE = """Score models on Set5, Set14 and BSD100, beside the figures of the paper's Table 2.

    python evaluate.py --set5 --set14 --bsd100 --data_dir FOLDER
    python evaluate.py --set5 --model bicubic --model runs/x4/srgan/saved_model --json figures.json"""

MODELS = ("nearest", "bicubic", "srresnet", "srgan")
ALL_PROTOCOLS = ("paper", "bt601", "rgb")

FLAGS = flags.FlagValues()
SET5 = flags.DEFINE_bool("set5", False, "Score Set5, 5 pictures.", flag_values=FLAGS)
SET14 = flags.DEFINE_bool("set14", False, "Score Set14, 14 pictures.", flag_values=FLAGS)
BSD100 = flags.DEFINE_bool("bsd100", False, "Score BSD100, 100 pictures.", flag_values=FLAGS)
DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder with Set5/image_SRF_4/img_001_SRF_4_HR.png and so on; "
                               "$XDG_CACHE_HOME/srgan_tf/benchmarks when not given.", flag_values=FLAGS)
MODEL = flags.DEFINE_multi_string("model", list(MODELS), "srgan, srresnet, bicubic, nearest or a SavedModel's folder",
                                  flag_values=FLAGS)
PROTOCOL = flags.DEFINE_multi_enum("protocol", list(ALL_PROTOCOLS), list(ALL_PROTOCOLS), "Score as the paper's Table 2 "
                                   "does, as the literature does, or on all channels", flag_values=FLAGS)
SCALE = flags.DEFINE_enum("scale", "4", ["2", "4", "8"], "How many times larger the models make a picture.",
                          flag_values=FLAGS)
JSON = flags.DEFINE_string("json", None, "Write the figures of every picture to this file too.", flag_values=FLAGS)

SETS = (SET5, SET14, BSD100)
KEY_FLAGS = (*SETS, DATA_DIR, MODEL, PROTOCOL, SCALE, JSON)


def run():
    from srgan_tf.commands import start
    start(main)


def main(argv):
    """Score what the flags say: a table on stdout, progress on stderr; nothing is loaded for a mistyped flag."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]} is no flag: name the sets with --set5, --set14 and --bsd100")
    if not any(flag.value for flag in SETS):
        raise UserError("there is no set to score: give one or more of --set5, --set14 and --bsd100")
    if JSON.value and not Path(JSON.value).absolute().parent.is_dir():
        raise UserError(f"the folder of {JSON.value} does not exist: make it or give another file with --json")
    scale = int(SCALE.value)

    from srgan_tf import benchmarks, evaluation
    data_dir = DATA_DIR.value or benchmarks.default_data_dir()
    sets = {flag.name: benchmarks.load_pairs(flag.name, data_dir, scale) for flag in SETS if flag.value}
    for name in MODEL.value:
        evaluation.find_model(name, scale)
    methods = {name: evaluation.load_method(name, scale) for name in MODEL.value}
    protocols = list(dict.fromkeys(PROTOCOL.value))
    with _progress(sum(map(len, sets.values()))) as bar:
        results = evaluation.evaluate(methods, sets, protocols, scale=scale, done=bar.update)
    print(evaluation.format_table(results))
    if JSON.value:
        evaluation.write_json(results, JSON.value)


def _progress(total):
    """A bar on a terminal, a line every half minute elsewhere."""
    import tqdm
    if sys.stderr.isatty():
        return tqdm.tqdm(total=total, desc="scoring", unit="picture", leave=False)
    return tqdm.tqdm(total=total, mininterval=30, bar_format="scored {n_fmt} of {total_fmt} pictures in {elapsed}\n")
