"""Tables of mean figures compared with the paper: plain text, Markdown or LaTeX."""

import math

from srgan_tf.errors import one_line
from srgan_tf.evaluation import paper_table
from srgan_tf.evaluation.measures import METRICS
from srgan_tf.evaluation.paper_table import set_title

STYLES = ("text", "markdown", "latex")


def format_table(results: dict, style: str = "text") -> str:
    """Format the means of an evaluation: a table per set and a row per method, followed by the paper's row.

    The paper's figures are in the columns of protocol `paper` only: other protocols are not comparable.

    Args:
        results: from `evaluate.evaluate`.
        style: one of STYLES.
    """
    write = {"text": _text, "markdown": _markdown, "latex": _latex}[style]
    return "\n\n".join(write(results, name) for name in results["sets"])


def columns(results: dict) -> list[tuple[str | None, str]]:
    """(protocol, metric) of each column; the protocol is None for a metric that has none."""
    metrics = results["metrics"]
    split = [(p, m) for p in results["protocols"] for m in metrics if METRICS[m].by_protocol]
    return split + [(None, m) for m in metrics if not METRICS[m].by_protocol]


def figure(figures: dict, protocol: str | None, metric: str) -> float:
    """The figure of a column."""
    return (figures[protocol] if protocol else figures)[METRICS[metric].key]


def caption(results: dict, name: str) -> str:
    """The caption of a table: the set, the number of images, the scale, and the degradation of LR, if any."""
    count = len(results["sets"][name]["pictures"])
    degradation = results.get("degradation")
    return (
        f"{one_line(set_title(name))}: {count} {'picture' if count == 1 else 'pictures'}, scale {results['scale']}"
        + (f", LR degraded: {degradation['name']}, seed {degradation['seed']}" if degradation else "")
    )


def _rows(results, name):
    """(label, is ours, cells): our methods, each followed by the paper's row, then the other rows of the paper."""
    heads, means = columns(results), results["sets"][name]["mean"]
    paper = dict(paper_table.paper_rows(name, results["scale"]))
    if "paper" not in results["protocols"] or results.get("degradation"):
        paper = {}
    rows = []
    for method, figures in means.items():
        rows.append((one_line(method), True, [_number(figure(figures, *head), head[1]) for head in heads]))
        own = method.removesuffix(f"_x{paper_table.PAPER_SCALE}")
        if own in paper:
            rows.append(_paper_row(own, paper.pop(own), heads))
    return rows + [_paper_row(other, figures, heads) for other, figures in paper.items()]


def _paper_row(method, figures, heads):
    known = dict(zip(("psnr", "ssim"), figures))
    cells = [_number(known[metric], metric) if protocol == "paper" else "" for protocol, metric in heads]
    return f"paper's {paper_table.TITLES[method]}", False, cells


def _number(value, metric):
    return "n/a" if math.isnan(value) else f"{value:.{METRICS[metric].digits}f}"


def _text(results, name):
    rows, heads = _rows(results, name), columns(results)
    labels = [label if ours else f"  {label}" for label, ours, _ in rows]
    width = max(24, *map(len, labels))
    widths = [{"psnr": 10, "ssim": 8, "consistency": 18}.get(metric, 10) for _, metric in heads]
    first, i = " " * width, 0
    while i < len(heads):  # a protocol's name is above all of its columns
        protocol, metric = heads[i]
        span = sum(p == protocol for p, _ in heads) if protocol else 1
        first += f"{protocol or METRICS[metric].title:>{sum(widths[i : i + span])}}"
        i += span
    units = [METRICS[metric].title if protocol else METRICS[metric].unit for protocol, metric in heads]
    lines = [first, " " * width + "".join(f"{unit:>{w}}" for unit, w in zip(units, widths))]
    for label, (_, _, cells) in zip(labels, rows):
        lines.append(f"{label:<{width}}" + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths)))
    return "\n".join([caption(results, name), *(line.rstrip() for line in lines)])


def _heads(results):
    several = len(results["protocols"]) > 1
    return [METRICS[m].title + (f" ({p})" if p and several else "") for p, m in columns(results)]


def _markdown(results, name):
    heads = _heads(results)
    lines = [[caption(results, name), *heads], ["---", *("---:" for _ in heads)]]
    lines += [[label, *cells] for label, _, cells in _rows(results, name)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _latex(results, name):
    """A `tabular` with the rules of the package booktabs."""
    heads = _heads(results)

    def line(cells):
        return "  " + " & ".join(map(_escaped, cells)) + r" \\"

    rows = [line([label, *cells]) for label, _, cells in _rows(results, name)]
    return "\n".join(
        [
            f"% {caption(results, name)}".replace("\n", " "),
            rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
            r"  \toprule",
            line([one_line(set_title(name)), *heads]),
            r"  \midrule",
            *rows,
            r"  \bottomrule",
            r"\end{tabular}",
        ]
    )


def _escaped(text):
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
