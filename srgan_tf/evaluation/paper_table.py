"""The paper's figures, and ours beside them as plain text."""

from srgan_tf.evaluation import benchmark_sets

# Ledig et al. 2017, Table 2, scale 4: PSNR in dB, SSIM, mean opinion score. Compare with protocol `paper` only.
PAPER_TABLE2 = {
    "set5": {
        "nearest": (26.26, 0.7552, 1.28),
        "bicubic": (28.43, 0.8211, 1.97),
        "srcnn": (30.07, 0.8627, 2.57),
        "selfexsr": (30.33, 0.872, 2.65),
        "drcn": (31.52, 0.8938, 3.26),
        "espcn": (30.76, 0.8784, 2.89),
        "srresnet": (32.05, 0.9019, 3.37),
        "srgan": (29.40, 0.8472, 3.58),
    },
    "set14": {
        "nearest": (24.64, 0.7100, 1.20),
        "bicubic": (25.99, 0.7486, 1.80),
        "srcnn": (27.18, 0.7861, 2.26),
        "selfexsr": (27.45, 0.7972, 2.34),
        "drcn": (28.02, 0.8074, 2.84),
        "espcn": (27.66, 0.8004, 2.52),
        "srresnet": (28.49, 0.8184, 2.98),
        "srgan": (26.02, 0.7397, 3.72),
    },
    "bsd100": {
        "nearest": (25.02, 0.6606, 1.11),
        "bicubic": (25.94, 0.6935, 1.47),
        "srcnn": (26.68, 0.7291, 1.87),
        "selfexsr": (26.83, 0.7387, 1.89),
        "drcn": (27.21, 0.7493, 2.12),
        "espcn": (27.02, 0.7442, 2.01),
        "srresnet": (27.58, 0.7620, 2.29),
        "srgan": (25.16, 0.6688, 3.56),
    },
}
PAPER_HR_MOS = {"set5": 4.32, "set14": 4.32, "bsd100": 4.46}  # the originals' row of the same table
PAPER_SCALE = 4
TITLES = {
    "nearest": "nearest",
    "bicubic": "bicubic",
    "srcnn": "SRCNN",
    "selfexsr": "SelfExSR",
    "drcn": "DRCN",
    "espcn": "ESPCN",
    "srresnet": "SRResNet",
    "srgan": "SRGAN",
}


def format_table(results):
    """The means as plain text: a block a set, a row a method, the paper's row below its own.

    The paper's figures stand in the column of protocol `paper` and nowhere else: the others are not comparable.
    """
    return "\n\n".join(_block(results, name) for name in results["sets"])


def label(name):
    """What a method is called beside the paper's: SRGAN for `srgan` and `srgan_x4`; a path as it is."""
    return TITLES.get(name.removesuffix(f"_x{PAPER_SCALE}"), name)


def set_title(name):
    """Set5 for `set5`; a set of one's own has its folder's name."""
    return benchmark_sets.BENCHMARKS.get(name, (name,))[0]


def paper_rows(name, scale):
    """The paper's figures of a set by method, {METHOD: (psnr, ssim, mos)}: empty where it has none."""
    return PAPER_TABLE2.get(name, {}) if scale == PAPER_SCALE else {}


def not_released(results, sets):
    """The names of those sets that stand beside the paper's figures while their files are not the released ones.

    Args:
        results: of `evaluate`.
        sets: a mapping of names to lists of `benchmark_sets.Pair`, as it got it.
    """
    return [
        name
        for name, pairs in sets.items()
        if "paper" in results["protocols"]
        and paper_rows(name, results["scale"])
        and benchmark_sets.fingerprint(pairs)["released"] is False
    ]


def _block(results, name):
    protocols, pictures = results["protocols"], results["sets"][name]["pictures"]
    rows = _rows(results, name)
    width = max(24, *(len(row) for row, _ in rows))
    vgg54 = results["vgg54"]
    lines = [
        f"{set_title(name)}: {len(pictures)} pictures, scale {results['scale']}",
        " " * width + "".join(f"{p:>18}" for p in protocols) + "    LR consistency" + "     VGG54" * vgg54,
        " " * width + "      PSNR    SSIM" * len(protocols) + "              PSNR" + "  distance" * vgg54,
    ]
    lines += [f"{row:<{width}}" + "".join(cells) for row, cells in rows]
    return "\n".join(line.rstrip() for line in lines)


def _rows(results, name):
    """Labels and cells: our methods, each with the paper's row below, then the paper's other rows."""
    protocols, means = results["protocols"], results["sets"][name]["mean"]
    paper = dict(paper_rows(name, results["scale"])) if "paper" in protocols else {}
    rows = []
    for method_name, figures in means.items():
        cells = [_cell(**figures[p]) for p in protocols] + [f"{figures['lr_consistency']:18.2f}"]
        rows.append((method_name, cells + ([f"{figures['vgg54']:10.4f}"] if results["vgg54"] else [])))
        named = method_name.removesuffix(f"_x{PAPER_SCALE}")
        if named in paper:
            rows.append(_paper_row(named, paper.pop(named), protocols))
    return rows + [_paper_row(other, figures, protocols) for other, figures in paper.items()]


def _paper_row(method_name, figures, protocols):
    psnr, ssim, _ = figures
    return f"  paper's {TITLES[method_name]}", [_cell(psnr, ssim) if p == "paper" else " " * 18 for p in protocols]


def _cell(psnr, ssim):
    return f"{psnr:10.2f}{ssim:8.4f}"
