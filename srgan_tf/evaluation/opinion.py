"""The opinion test of the paper (section 3.3) as a static page, and the mean opinion scores of its answers.

The pictures of all methods and the originals are shown one at a time, blind and in random order, and rated from 1
(bad) to 5 (excellent). One picture calibrates the raters first: upscaled by nearest it is a 1, the original is a 5.
"""

import glob
import hashlib
import json
import math
import os
import random
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError, one_line
from srgan_tf.evaluation import evaluate, pages, paper_table
from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.results import write_json

FORMAT = "srgan_tf opinion test 1"
RATINGS = (1, 2, 3, 4, 5)
HR = "hr"
FULL_SIZE = 0.99  # minimum screen pixels per picture pixel for a picture to count as shown at full size


class OpinionTest:
    """Collects the pictures during scoring, and writes the test when they are complete.

    test = OpinionTest(folder, methods)
    test.finish(evaluate.evaluate(methods, sets, seen=test.add) | provenance(...))
    """

    def __init__(self, folder, methods, *, seed=0, scale=4):
        """Claim the folder, which must be new, empty, or contain an earlier test.

        Args:
            folder: where `index.html` and `pictures/` go.
            methods: the names of the methods; the originals are rated too.
            seed: determines the calibration picture, the file names and, with the rater's name, the order.
            scale: of LR, which is upscaled by nearest for the calibration.

        Raises:
            UserError: for a folder that contains other files, cannot be written, or is written by another run.
        """
        self.folder, self._held = pages.claim(folder, "--mos", "opinion")
        self.methods, self.seed, self.scale = [*methods, HR], seed, scale
        self.trials, self.nearest = [], {}

    def add(self, set_name, name, hr, lr, srs):
        """Add one picture; the arguments are those of `seen` of `evaluate.evaluate`."""
        if not self.trials:
            pages.begin(self.folder, "--mos", "opinion")
        for method, image in {**srs, HR: as_rgb(hr)}.items():
            self.trials.append(
                {
                    "set": set_name,
                    "picture": name,
                    "method": method,
                    "width": hr.shape[1],
                    "height": hr.shape[0],
                    "file": self._save(image, set_name, name, method),
                }
            )
        worst = evaluate.nearest(as_rgb(lr), self.scale)
        self.nearest[set_name, name] = self._save(worst, set_name, name, "calibration")

    def finish(self, results):
        """Write the page. One picture, selected by the seed, is for calibration, and not rated if there are others.

        Args:
            results: from `evaluate.evaluate`, merged with those of `results.provenance`.

        Returns:
            The path of the page.
        """
        chosen = random.Random(self.seed).choice(sorted(self.nearest))
        original = next(t for t in self.trials if (t["set"], t["picture"], t["method"]) == (*chosen, HR))
        calibration = [{**original, "method": "nearest", "file": self.nearest[chosen]}, original]
        rated = [t for t in self.trials if (t["set"], t["picture"]) != chosen or len(self.nearest) == 1]
        rated.sort(key=lambda trial: trial["file"])  # an order that reveals nothing; the page shuffles
        used = {trial["file"] for trial in calibration + rated}
        for path in (self.folder / "pictures").glob("*.png"):  # of unused calibrations, and of an earlier test
            if f"pictures/{path.name}" not in used:
                path.unlink()
        models = {name: facts.get("sha256") for name, facts in results["models"].items()}
        test = {"format": FORMAT, "seed": self.seed, "scale": self.scale, "methods": self.methods, "models": models}
        if results.get("degradation"):
            test["degradation"] = results["degradation"]
        identity = [test, rated, results.get("files")]  # other pictures may have the same names
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        pages.write(
            self.folder,
            "--mos",
            "opinion",
            {"test": {**test, "id": digest}, "calibration": calibration, "trials": rated},
        )
        self._held.close()
        return self.folder / "index.html"

    def _save(self, image, *key):
        """Save under a name that does not reveal the method, but depends only on the seed and the picture."""
        digest = hashlib.sha256(json.dumps([self.seed, *key]).encode()).hexdigest()[:20]
        path = self.folder / "pictures" / f"{digest}.png"
        try:
            Image.fromarray(image).save(path, compress_level=4)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}). Give another --mos.") from error
        return f"pictures/{digest}.png"


def read_answers(files):
    """Read answer files that were saved by the pages.

    Args:
        files: paths or patterns such as `answers/*.json`.

    Returns:
        A list of dicts with `rater`, `test` and `answers`, each answer with `set`, `picture`, `method`, `score`.

    Raises:
        UserError: for an unreadable or invalid file, for two files of one rater, and for answers to different tests.
    """
    paths = [path for file in map(str, files) for path in _matches(file)]
    sessions, sources = [], {}
    for path in dict.fromkeys(paths):
        session = _read(path)
        test, rater = session["test"]["id"], session["rater"]
        if sessions and test != sessions[0]["test"]["id"]:
            raise UserError(
                f"{path}: answers to another test than {sources[sessions[0]['rater']]}. Score each test separately."
            )
        if rater in sources:
            raise UserError(f"{path}: from the rater {rater!r}, as is {sources[rater]}. Give one file for each rater.")
        sources[rater] = path
        sessions.append(session)
    return sessions


def score(sessions):
    """Mean opinion scores by set and method, after screening.

    Raters are screened as in ITU-R BT.500. The confidence interval is computed from the means of the raters, as 1.96
    standard deviations over the square root of their number, because ratings of one rater are not independent.

    Args:
        sessions: from `read_answers`.

    Returns:
        `{"raters", "left_out", "ratings", "shown_smaller", "scale", "models", "degradation", "sets": {SET: {METHOD:
        {"mean", "interval", "ratings", "distribution"}}}}`. `left_out` are the excluded raters, `interval` is half the
        width of the 95 % confidence interval, None for a single rater; `distribution` counts the ratings 1 to 5,
        `shown_smaller` those of pictures that were shown at less than full size, in screen pixels.
    """
    rejected = screen(sessions)
    kept = [session for session in sessions if session["rater"] not in rejected]
    ratings = {}
    for session in kept:
        for answer in session["answers"]:
            by_rater = ratings.setdefault(answer["set"], {}).setdefault(answer["method"], {})
            by_rater.setdefault(session["rater"], []).append(answer["score"])
    methods = sessions[0]["test"]["methods"]
    sets = {name: {m: _summary(found[m]) for m in methods if m in found} for name, found in ratings.items()}
    return {
        "raters": [s["rater"] for s in kept],
        "left_out": rejected,
        "scale": sessions[0]["test"]["scale"],
        "ratings": sum(len(s["answers"]) for s in kept),
        "shown_smaller": sum(_shown(a) < FULL_SIZE for s in kept for a in s["answers"]),
        "models": sessions[0]["test"].get("models", {}),
        "degradation": sessions[0]["test"].get("degradation"),
        "sets": sets,
    }


def screen(sessions):
    """The raters to be excluded according to ITU-R BT.500, annex 1, section 2.3.1.

    A rating is extreme if it is 2 standard deviations or more from the mean over all raters of that picture (square
    root of 20, if the ratings are not normally distributed: a kurtosis outside 2 to 4). A rater with more than 5 % of
    extreme ratings, above the mean as well as below, is excluded.
    """
    ratings = {}
    for session in sessions:
        for answer in session["answers"]:
            ratings.setdefault(_key(answer), []).append(answer["score"])
    limits = {key: _limits(np.array(scores, float)) for key, scores in ratings.items()}
    rejected = []
    for session in sessions:
        scores = [(answer["score"], *limits[_key(answer)]) for answer in session["answers"]]
        above = sum(value >= high for value, _, high in scores)
        below = sum(value <= low for value, low, _ in scores)
        if (above + below) / len(scores) > 0.05 and abs(above - below) / (above + below) < 0.3:
            rejected.append(session["rater"])
    return rejected


def format_table(scores):
    """The scores as plain text, beside those of the paper, which used other raters, pictures and models."""
    raters, left_out = len(scores["raters"]), scores["left_out"]
    lines = [
        f"{scores['ratings']} ratings of {raters} {'rater' if raters == 1 else 'raters'}"
        + (f"; excluded by screening (ITU-R BT.500): {one_line(', '.join(left_out))}" if left_out else "")
    ]
    if scores["shown_smaller"]:
        lines.append(f"{scores['shown_smaller']} of the ratings are of pictures that were shown at less than full size")
    for name, found in scores["sets"].items():
        rows = {} if scores["degradation"] else paper_table.paper_rows(name, scores["scale"])
        paper = {method: mos for method, (_, _, mos) in rows.items()}
        if paper:
            paper[HR] = paper_table.PAPER_HR_MOS[name]
        labels = {method: "HR" if method == HR else one_line(paper_table.label(method)) for method in found}
        width = max(16, *(len(label) for label in labels.values()))
        lines += [
            "",
            one_line(paper_table.set_title(name)),
            f"{'':<{width}}   MOS   95 %, by rater   ratings"
            + "".join(f"{r:>6}" for r in RATINGS)
            + ("   the paper's" if paper else ""),
        ]
        for method, row in found.items():
            interval = f"\u00b1{row['interval']:.2f}" if row["interval"] is not None else ""
            theirs = paper.get(method.removesuffix(f"_x{paper_table.PAPER_SCALE}"))
            lines.append(
                f"{labels[method]:<{width}}{row['mean']:6.2f}{interval:>17}{row['ratings']:10}"
                + "".join(f"{count:6}" for count in row["distribution"])
                + (f"{theirs:14.2f}" if theirs else "")
            )
    return "\n".join(line.rstrip() for line in lines)


def write(scores, folder):
    """Write `opinion.json`, with all scores, to a folder.

    Raises:
        UserError: if it cannot be written.
    """
    write_json(scores, Path(folder) / "opinion.json")


def _matches(file):
    """The files of a pattern. The name of a file is none, even with brackets: browsers save `answers[1].json`."""
    return [file] if os.path.lexists(file) else sorted(glob.glob(file)) or [file]


def _read(path):
    try:
        session = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Check its name.") from None
    except (ValueError, RecursionError):
        session = None
    if not _is_session(session):
        raise UserError(f"{path}: not the answers to an opinion test. Give a file that the page saved.")
    return session


def _is_session(session):
    try:
        test, answers = session["test"], session["answers"]
        return (
            test["format"] == FORMAT
            and isinstance(session["rater"], str)
            and isinstance(test["id"], str)
            and isinstance(test["methods"], list)
            and all(isinstance(name, str) for name in test["methods"])
            and all(isinstance(part, str) for a in answers for part in _key(a))
            and len(answers) > 0
            and len({_key(a) for a in answers}) == len(answers)
            and all(a["score"] in RATINGS and a["method"] in test["methods"] and _shown(a) >= 0 for a in answers)
            and test["scale"] in (2, 4, 8)
        )
    except (TypeError, KeyError, AttributeError):
        return False


def _key(answer):
    return answer["set"], answer["picture"], answer["method"]


def _shown(answer):
    """Screen pixels per picture pixel, along a side; 1 if not recorded."""
    return answer.get("shown", 1) * answer.get("pixel_ratio", 1)


def _limits(scores):
    """The limits beyond which a rating is extreme; infinite if all agree."""
    deviations = scores - scores.mean()
    spread = np.sqrt(np.mean(deviations**2))
    if not spread:
        return -math.inf, math.inf
    kurtosis = np.mean(deviations**4) / spread**4
    reach = (2 if 2 <= kurtosis <= 4 else math.sqrt(20)) * np.std(scores, ddof=1)
    return scores.mean() - reach, scores.mean() + reach


def _summary(by_rater):
    """The scores of one method and set from its ratings by rater."""
    scores = [score for given in by_rater.values() for score in given]
    means, raters = [np.mean(given) for given in by_rater.values()], len(by_rater)
    interval = 1.96 * float(np.std(means, ddof=1)) / math.sqrt(raters) if raters > 1 else None
    return {
        "mean": sum(scores) / len(scores),
        "interval": interval,
        "ratings": len(scores),
        "distribution": [scores.count(r) for r in RATINGS],
    }
