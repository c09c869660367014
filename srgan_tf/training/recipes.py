"""Training recipes as frozen dataclasses: numbers only."""

import dataclasses
import math

PHASES = ("srresnet", "srgan")
CONTENTS = ("mse", "vgg22", "vgg54", "vgg-multi")
DISCRIMINATORS = ("paper", "unet")
SCHEDULES = ("constant", "cosine", "halves")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
OPTIMIZERS = ("adam", "muon")
STARTS = ("random", "interpolation")
FREEZES = ("never", "decay", "start")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides which weights a phase ends with, pictures and starting weights apart."""

    phase: str = "srresnet"
    scale: int = 4
    blocks: int = 16  # residual blocks of the generator
    features: int = 64  # channels of its trunk
    crop: int = 96  # HR side of a training crop, pixels
    shift: int = 0  # pixels, at most, by which what VGG and the discriminator see of a crop is moved at random
    batch: int = 16  # crops a step
    steps: int = 1_000_000
    content: str = "mse"  # content loss
    pixel: float = 0.0  # weight of an MSE beside a VGG content loss
    discriminator: str = "paper"  # one verdict a crop; or unet, one a pixel
    adversarial: float = 1e-3  # weight of -log D(SR); phase srgan
    tv: float = 0.0  # weight of the total variation
    consistency: float = 0.0  # weight of an MSE of HR and SR brought back to LR
    grid: float = 0.0  # weight of what of the error repeats every `scale` pixels
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    discriminator_rate: float = 1.0  # the discriminator's learning rate as a multiple of the generator's
    schedule: str = "constant"
    warmup: int = 0  # steps in which the rate rises from 0
    hold: float = 0.0  # cosine: the share of the steps at the full rate before the decay begins
    freeze_norm: str = "never"  # from when on the generator's BN uses its averages, which then stay as they are
    precision: str = "float32"  # of convolutions; auto: bfloat16 where the device computes in it natively
    ema: float = 0.0  # decay of the averaged weights that are exported; 0: none
    start: str = "random"
    degradation: str = "bicubic"  # how LR is made, as `images.degradation.parse` reads it
    seed: int = 0

    @property
    def drawn(self):
        """HR side of the crops that are read: enough for all shifts, and a multiple of the scale."""
        return self.crop + -(-self.shift // self.scale) * self.scale


def learning_rate(recipe, step):
    """The generator's learning rate of a step; the first step is 0."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / max(recipe.warmup, 1))
    if recipe.schedule == "halves":  # the paper's SRGAN: 1e-4, then 1e-5
        return rate if step < recipe.steps / 2 else rate / 10
    if recipe.schedule == "cosine" and step >= decay_start(recipe):
        progress = (step - decay_start(recipe)) / max(recipe.steps - decay_start(recipe), 1)
        return rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return rate


def decay_start(recipe):
    """The step from which the rate falls: until there, a run can be prolonged as if it had been planned so."""
    if recipe.schedule == "cosine":
        return int(recipe.hold * recipe.steps)
    return recipe.steps // 2 if recipe.schedule == "halves" else recipe.steps


def norm_is_frozen(recipe, step):
    """Whether a step uses the averages of the generator's BN in place of the batch's statistics."""
    return step >= {"never": recipe.steps, "decay": decay_start(recipe), "start": 0}[recipe.freeze_norm]


VARIANTS = {  # Ledig et al. 2017, table 1: the phase that a variant ends with, and what it changes there
    "srresnet-mse": ("srresnet", {"content": "mse"}),
    "srresnet-vgg22": ("srresnet", {"content": "vgg22", "tv": 2e-8}),
    "srgan-mse": ("srgan", {"content": "mse"}),
    "srgan-vgg22": ("srgan", {"content": "vgg22"}),
    "srgan-vgg54": ("srgan", {"content": "vgg54"}),
}

RECIPES = {
    # Ledig et al. 2017, section 3.2.
    "paper": {
        "srresnet": Recipe(precision="auto"),
        "srgan": Recipe(phase="srgan", steps=200_000, content="vgg54", schedule="halves", precision="auto"),
    },
    # The same networks and losses, a start that interpolates, smaller batches, Muon at a rate that falls to nothing;
    # two small losses more that keep SRGAN to the colours of LR and from drawing a grid.
    "fast": {
        "srresnet": Recipe(
            batch=8,
            steps=100_000,
            optimizer="muon",
            learning_rate=2e-3,
            schedule="cosine",
            warmup=250,
            hold=0.7,
            precision="auto",
            start="interpolation",
        ),
        "srgan": Recipe(
            phase="srgan",
            steps=20_000,
            content="vgg54",
            consistency=1.0,
            grid=100.0,
            shift=3,
            learning_rate=2e-4,
            discriminator_rate=0.5,
            schedule="cosine",
            hold=0.75,
            precision="auto",
            ema=0.999,
        ),
    },
    # For photographs as people have them, from the weights of the others: damaged LR, a content loss over five layers,
    # and a discriminator that judges every pixel.
    "photo": {
        "srresnet": Recipe(
            batch=8,
            steps=60_000,
            optimizer="muon",
            learning_rate=6e-4,
            schedule="cosine",
            warmup=250,
            hold=0.5,
            freeze_norm="start",
            precision="auto",
            ema=0.99,
            degradation="photo",
        ),
        "srgan": Recipe(
            phase="srgan",
            steps=16_000,
            batch=8,
            content="vgg-multi",
            pixel=1.0,
            consistency=1.0,
            discriminator="unet",
            adversarial=0.1,
            learning_rate=2e-4,
            schedule="cosine",
            hold=0.75,
            freeze_norm="start",
            precision="auto",
            ema=0.999,
            degradation="photo",
        ),
    },
}

SMOKE = {  # what `--smoke` changes: minutes become seconds, and VGG19 need not be at hand
    "srresnet": {"steps": 20, "batch": 4},
    "srgan": {"steps": 10, "batch": 4, "content": "mse"},
}
