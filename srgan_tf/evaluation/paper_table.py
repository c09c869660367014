"""The figures of the paper's Tables 1 and 2."""

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
# Table 1: other losses for the same networks. Its SRResNet-MSE is Table 2's SRResNet, its SRGAN-VGG54 the SRGAN.
PAPER_TABLE1 = {
    "set5": {
        "srresnet-vgg22": (30.51, 0.8803, 3.46),
        "srgan-mse": (30.64, 0.8701, 3.77),
        "srgan-vgg22": (29.84, 0.8468, 3.78),
    },
    "set14": {
        "srresnet-vgg22": (27.19, 0.7807, 3.15),
        "srgan-mse": (26.92, 0.7611, 3.43),
        "srgan-vgg22": (26.44, 0.7518, 3.57),
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
    "srresnet-vgg22": "SRResNet-VGG22",
    "srgan-mse": "SRGAN-MSE",
    "srgan-vgg22": "SRGAN-VGG22",
}


def label(name):
    """The name of a method in the paper: SRGAN for `srgan` and `srgan_x4`; other names are returned unchanged."""
    return TITLES.get(name.removesuffix(f"_x{PAPER_SCALE}"), name)


def set_title(name):
    """Set5 for `set5`; the name of any other set is returned unchanged."""
    return benchmark_sets.BENCHMARKS.get(name, (name,))[0]


def paper_rows(name, scale):
    """The paper's figures of a set, {METHOD: (psnr, ssim, mos)}; empty if it has none."""
    return {**PAPER_TABLE2.get(name, {}), **PAPER_TABLE1.get(name, {})} if scale == PAPER_SCALE else {}


def not_released(results, sets):
    """The names of sets that are compared with the paper although their files differ from the release.

    Args:
        results: from `evaluate.evaluate`.
        sets: as for `evaluate.evaluate`.
    """
    return [
        name
        for name, pairs in sets.items()
        if "paper" in results["protocols"]
        and not results.get("degradation")
        and paper_rows(name, results["scale"])
        and benchmark_sets.fingerprint(pairs)["released"] is False
    ]
