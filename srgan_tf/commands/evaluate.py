"""python evaluate.py: score models beside the paper's figures, and make pages that show their pictures."""

import itertools
import shlex
import sys
from pathlib import Path

from absl import flags

from srgan_tf.errors import UserError
from srgan_tf.saved_models import zoo

USAGE = """Score models on Set5, Set14 and BSD100, beside the figures of the paper's Table 2. The sets are downloaded.

    python evaluate.py --set5 --set14 --bsd100
    python evaluate.py --set5 --model bicubic --model runs/x4/srgan/saved_model --report page
    python evaluate.py --data_dir my_set --output figures     scores my_set/HR, LR made from it or in my_set/LR
    python evaluate.py --set5 --set14 --mos opinion           makes an opinion test for people
    python evaluate.py --mos_results answers/*.json           scores their answers
    python evaluate.py --qr -o codes                          counts the QR codes that a scanner reads"""

BASELINES = ("nearest", "bicubic")
NETWORKS = ("srresnet", "srgan")
ALL_PROTOCOLS = ("paper", "bt601", "rgb")

FLAGS = flags.FlagValues()
SET5 = flags.DEFINE_bool("set5", False, "Score Set5, 5 pictures.", flag_values=FLAGS)
SET14 = flags.DEFINE_bool("set14", False, "Score Set14, 14 pictures.", flag_values=FLAGS)
BSD100 = flags.DEFINE_bool("bsd100", False, "Score BSD100, 100 pictures.", flag_values=FLAGS)
URBAN100 = flags.DEFINE_bool(
    "urban100", False, "Score Urban100, 100 pictures; the paper has no figures for it.", flag_values=FLAGS
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "A set of your own, a folder with HR/ and perhaps LR/; or where "
    "the sets lie, the folder of Set5/ and so on, so that none is downloaded.",
    flag_values=FLAGS,
)
MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "srgan, srresnet, bicubic, nearest or a SavedModel's folder; again "
    "for several. Without it: all four, as far as they are shipped for the scale.",
    flag_values=FLAGS,
)
PROTOCOL = flags.DEFINE_multi_enum(
    "protocol",
    list(ALL_PROTOCOLS),
    list(ALL_PROTOCOLS),
    "Score as the paper's Table 2 does, as the literature does, or on all channels",
    flag_values=FLAGS,
)
SCALE = flags.DEFINE_enum(
    "scale", "4", ["2", "4", "8"], "How many times larger the models make a picture.", flag_values=FLAGS
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Write results.json and results.csv, with every picture's figures, into this folder.",
    short_name="o",
    flag_values=FLAGS,
)
REPORT = flags.DEFINE_string(
    "report",
    None,
    "Write a page into this folder that shows pictures and figures side by side; open its index.html.",
    flag_values=FLAGS,
)
MOS = flags.DEFINE_string(
    "mos",
    None,
    "Write an opinion test into this folder: a page on which people rate the "
    "pictures from 1 to 5 without knowing which is which.",
    flag_values=FLAGS,
)
MOS_RESULTS = flags.DEFINE_multi_string(
    "mos_results", None, "Score the answers of opinion tests: the JSON files that their pages saved.", flag_values=FLAGS
)
MOS_SEED = flags.DEFINE_integer("mos_seed", 0, "Decides the order of an opinion test.", flag_values=FLAGS)
QR = flags.DEFINE_bool(
    "qr",
    False,
    "Count the QR codes that scanners read: as they are, enlarged by each method and "
    "at full size. With --output, examples.png too.",
    flag_values=FLAGS,
)
QR_CODES = flags.DEFINE_integer(
    "qr_codes", None, "How many codes; 504 when not given.", lower_bound=1, flag_values=FLAGS
)
VGG_WEIGHTS = flags.DEFINE_string(
    "vgg_weights",
    None,
    "VGG19's notop .h5 file of keras-applications, for the VGG54 "
    "distance too; it takes a second or more for each picture.",
    flag_values=FLAGS,
)
BENCHMARKS_URL = flags.DEFINE_string(
    "benchmarks_url",
    None,
    "Where the sets are downloaded from, when not from their release: the address of the folder of Set5/ and so on.",
    flag_values=FLAGS,
)

SETS = (SET5, SET14, BSD100, URBAN100)
OF_SETS = (*SETS, DATA_DIR, PROTOCOL, REPORT, MOS, MOS_SEED, VGG_WEIGHTS, BENCHMARKS_URL)
KEY_FLAGS = (SET5, SET14, BSD100, DATA_DIR, MODEL, OUTPUT, REPORT, MOS, MOS_RESULTS, QR, SCALE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Score what the flags say: a table on stdout, progress on stderr; nothing is loaded for a mistyped flag."""
    if MOS_RESULTS.value:
        _refuse((*OF_SETS, MODEL, SCALE, QR, QR_CODES), "is for pictures, --mos_results scores answers")
        return _score_opinions([*MOS_RESULTS.value, *argv[1:]])
    if len(argv) > 1:
        raise UserError(f"{argv[1]} is no flag: name the sets with --set5, --set14 and --bsd100")
    if QR.value:
        _refuse(OF_SETS, "is for sets of pictures, --qr scores codes")
    for flag, other in ((QR_CODES, QR), (MOS_SEED, MOS)):
        if flag.present and not other.value:
            raise UserError(f"--{flag.name} is of --{other.name}: give both")
    if VGG_WEIGHTS.value and not Path(VGG_WEIGHTS.value).is_file():
        raise UserError(f"{VGG_WEIGHTS.value} is no file: give VGG19's notop .h5 file with --vgg_weights")
    if REPORT.value and MOS.value and Path(REPORT.value).resolve() == Path(MOS.value).resolve():
        raise UserError(f"{MOS.value} is the place of the report too: give another folder with --mos")
    scale = int(SCALE.value)
    if QR.value:
        return _score_codes(scale)
    own = DATA_DIR.value is not None and _is_own_set(Path(DATA_DIR.value))
    named = any(flag.value for flag in SETS)
    if BENCHMARKS_URL.present and DATA_DIR.value and not (own and named):
        raise UserError(
            "--benchmarks_url is for sets that are downloaded, --data_dir holds what is scored, leave one of them out"
        )
    if not own and not named:
        raise UserError(
            "there is no set to score: give one or more of --set5, --set14 and --bsd100, or --data_dir "
            "FOLDER with your pictures in FOLDER/HR"
        )

    from srgan_tf.evaluation import benchmark_sets, evaluate, paper_table
    from srgan_tf.evaluation.results import claim, provenance, write_results

    names = MODEL.value or _default_models(scale)
    folders = {name: evaluate.find_model(name, scale) for name in names}
    if OUTPUT.value:
        claim(OUTPUT.value)
    observers = _pages(list(folders), scale)
    sets = _sets(own, scale)
    benchmark_sets.check(itertools.chain(*sets.values()), scale)
    methods = {name: evaluate.load_method(name, scale) for name in folders}
    features = evaluate.load_vgg54(VGG_WEIGHTS.value) if VGG_WEIGHTS.value else None

    def seen(*picture):
        for page in observers:
            page.add(*picture)

    with _progress(sum(map(len, sets.values()))) as bar:
        results = evaluate.evaluate(
            methods,
            sets,
            list(dict.fromkeys(PROTOCOL.value)),
            scale=scale,
            features=features,
            done=bar.update,
            seen=seen,
        )
    print(paper_table.format_table(results))
    for name in paper_table.not_released(results, sets):
        print(
            f"warning: the files of {paper_table.set_title(name)} in {DATA_DIR.value} are not those of the release, "
            "the paper's figures are of others",
            file=sys.stderr,
        )
    if OUTPUT.value or observers:
        results |= provenance(_command(), folders, sets, VGG_WEIGHTS.value)
    if OUTPUT.value:
        write_results(results, OUTPUT.value)
    for page in observers:
        print(f"\nopen {page.finish(results)}")


def _refuse(unfit, why):
    for flag in unfit:
        if flag.present:
            raise UserError(f"--{flag.name} {why}, leave one of them out")


def _score_opinions(files):
    from srgan_tf.evaluation import opinion

    scores = opinion.score(opinion.read_answers(files))
    print(opinion.format_table(scores))
    if OUTPUT.value:
        opinion.write(scores, OUTPUT.value)


def _score_codes(scale):
    """Every network that is shipped for the scale, or those of --model; the baselines stand beside them anyway."""
    from srgan_tf.evaluation import evaluate
    from srgan_tf.evaluation.results import claim, provenance
    from srgan_tf.qr import codes, examples, readers
    from srgan_tf.qr import evaluation as qr_evaluation

    names = MODEL.value or [name for name in (*NETWORKS, "qr") if f"{name}_x{scale}" in zoo.shipped()]
    folders = {name: evaluate.find_model(name, scale) for name in names}
    codes.generator()
    loaded = readers.load_readers()
    if OUTPUT.value:
        claim(OUTPUT.value)
    networks = {name: evaluate.load_method(name, scale) for name in folders}
    count = QR_CODES.value or qr_evaluation.CODES
    shown = examples.Examples(Path(OUTPUT.value) / "examples.png") if OUTPUT.value else None
    with _progress(count * len(qr_evaluation.CONDITIONS)) as bar:
        results = qr_evaluation.evaluate(
            networks, loaded, count=count, scale=scale, done=bar.update, seen=shown and shown.add
        )
    print(qr_evaluation.format_table(results))
    if OUTPUT.value:
        results |= provenance(_command(), folders, {})
        qr_evaluation.write_results(results, OUTPUT.value)
        print(f"\nexamples: {shown.write()}")


def _is_own_set(folder):
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give the folder of your HR/ or of Set5/ and so on with --data_dir")
    return (folder / "HR").is_dir()


def _default_models(scale):
    shipped = zoo.shipped()
    return [*BASELINES, *(name for name in NETWORKS if f"{name}_x{scale}" in shipped)]


def _pages(methods, scale):
    """What keeps the pictures for a report and an opinion test, as far as they are wanted."""
    found = []
    if REPORT.value:
        from srgan_tf.evaluation.report import Report

        found.append(Report(REPORT.value, methods))
    if MOS.value:
        from srgan_tf.evaluation.opinion import OpinionTest

        found.append(OpinionTest(MOS.value, methods, seed=MOS_SEED.value, scale=scale))
    return found


def _sets(own, scale):
    from srgan_tf.evaluation import benchmark_sets, download

    sets = {}
    if own:
        name, pairs = benchmark_sets.load_folder(DATA_DIR.value, scale)
        sets[name] = pairs
    for flag in SETS:
        if flag.value:
            folder = DATA_DIR.value
            if own or not folder:
                folder = benchmark_sets.default_data_dir()
                download.download(flag.name, folder, scale, url=BENCHMARKS_URL.value or download.RELEASE)
            sets[flag.name] = benchmark_sets.load_pairs(flag.name, folder, scale)
    return sets


def _command():
    program = Path(sys.argv[0]).name
    return shlex.join([*(["python"] if program.endswith(".py") else []), program, *sys.argv[1:]])


def _progress(total):
    """A bar on a terminal, a line every half minute elsewhere."""
    import tqdm

    if sys.stderr.isatty():
        return tqdm.tqdm(total=total, desc="scoring", unit="picture", leave=False)
    return tqdm.tqdm(total=total, mininterval=30, bar_format="scored {n_fmt} of {total_fmt} pictures in {elapsed}\n")
