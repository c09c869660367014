"""Training recipes: the settings that determine the final weights of a training phase."""

import dataclasses
import math
import sys

from srgan_tf.errors import UserError

PHASES = ("srresnet", "srgan")
SCALES = (2, 4, 8)
PIXEL_CONTENTS = ("mse", "log-mse")
CONTENTS = (*PIXEL_CONTENTS, "vgg22", "vgg34", "vgg54", "vgg-multi")
DISCRIMINATORS = ("paper", "unet")
SCHEDULES = ("constant", "cosine", "halves")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
OPTIMIZERS = ("adam", "muon")
AUGMENTS = ("all", "flips", "none")
DIV2K_LR = (  # of TFDS; the number at the end is the scale
    "bicubic_x2",
    "bicubic_x4",
    "bicubic_x8",
    "unknown_x2",
    "unknown_x4",
    "realistic_mild_x4",
    "realistic_difficult_x4",
    "realistic_wild_x4",
)
STARTS = ("random", "interpolation")
FREEZES = ("never", "decay", "start")


def _setting(default, description, **limits):
    """A field of `Recipe`. Limits are as in `check_value`; `train.py` makes flags of them."""
    return dataclasses.field(default=default, metadata={"help": description, **limits})


def check_value(name, value, kind, *, choices=None, low=-sys.float_info.max, high=sys.float_info.max, multiple=None):
    """Check a setting: its type, then that it is one of `choices`, or a `multiple` from `low` to `high`.

    Raises:
        UserError: naming the setting.
    """
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UserError(f"{name} {value!r}: must be of the type {kind.__name__}. Change it.")
    if choices:
        if value not in choices:
            raise UserError(f"{name} {value}: unknown. Choose one of: {', '.join(map(str, choices))}.")
    elif kind is not str:
        if not low <= value <= high:  # also false for NaN
            limits = f"from {low} to {high}" if high < sys.float_info.max else f"a finite number of at least {low}"
            raise UserError(f"{name} {value}: must be {limits}. Change it.")
        if multiple and value % multiple:
            raise UserError(f"{name} {value}: not a multiple of {multiple}. Change it.")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All settings that determine the final weights of a phase, except pictures and starting weights.

    Raises:
        UserError: naming the setting, for a value of another type or outside of its limits.
    """

    phase: str = dataclasses.field(default="srresnet", metadata={"choices": PHASES})
    scale: int = dataclasses.field(default=4, metadata={"choices": SCALES})
    blocks: int = _setting(16, "Residual blocks of the generator, 16 in the paper.", low=1)
    features: int = _setting(64, "Channels of the generator's trunk, 64 in the paper.", low=3)
    crop: int = _setting(96, "Side of a training crop in HR pixels; a multiple of 16.", low=16, multiple=16)
    small_crop: int = _setting(
        0,
        "Side of the crops before the last --final_steps in HR pixels; a multiple of 16. 0: as --crop.",
        low=0,
        multiple=16,
    )
    shift: int = _setting(
        0,
        "VGG and the discriminator see the crop at a random offset of up to this many pixels, which avoids a grid "
        "pattern. SRGAN in --recipe fast and photo: scale - 1.",
        low=0,
    )
    batch: int = _setting(16, "Crops per step.", low=1)
    steps: int = _setting(1_000_000, "Training steps of a phase.", low=1)
    content: str = _setting(
        "mse",
        "Content loss: the MSE, the mean logarithm of the MSE of each crop's luma, one layer of VGG19, or five.",
        choices=CONTENTS,
    )
    pixel: float = _setting(0.0, "Weight of the MSE added to another content loss.", low=0)
    discriminator: str = _setting(
        "paper",
        "The paper's discriminator, with one logit per crop, or a U-Net, with one per pixel.",
        choices=DISCRIMINATORS,
    )
    adversarial: float = _setting(1e-3, "Weight of the adversarial loss.", low=0)
    tv: float = _setting(0.0, "Weight of the total variation.", low=0)
    consistency: float = _setting(0.0, "Weight of the MSE between HR and SR after both are reduced to LR.", low=0)
    grid: float = _setting(
        0.0,
        "Weight, at the last step, of a loss on patterns that repeat every --scale pixels; it grows linearly from 0.",
        low=0,
    )
    optimizer: str = _setting("adam", "Adam; or Muon for the kernels and Adam for the rest.", choices=OPTIMIZERS)
    learning_rate: float = _setting(1e-4, "The generator's learning rate.", low=0)
    discriminator_rate: float = _setting(
        1.0, "The discriminator's learning rate as a multiple of the generator's.", low=0
    )
    discriminator_restart: int = _setting(
        0,
        "Steps after which the discriminator restarts from its initial weights, and the learning rates restart their "
        "warm-up and decay; 0: never.",
        low=0,
    )
    final_steps: int = _setting(
        0,
        "The last steps of SRGAN, which start from the averaged weights, with a new discriminator. If 0, or at least "
        "--steps, there are none, and --small_crop has no effect.",
        low=0,
    )
    schedule: str = _setting(
        "constant",
        "How the learning rate falls: not at all, as a cosine to 0, or to a tenth after half of the steps.",
        choices=SCHEDULES,
    )
    warmup: int = _setting(0, "Steps in which the generator's learning rate rises from 0.", low=0)
    hold: float = _setting(
        0.0,
        "With --schedule cosine, the share of the steps, or of those of one discriminator, before the rate falls.",
        low=0,
        high=1,
    )
    freeze_norm: str = _setting(
        "never",
        "When the generator's batch normalisation begins to use its moving averages, as in inference, and to keep them "
        "unchanged: never, when the learning rate begins to fall, or at the start (with --init).",
        choices=FREEZES,
    )
    precision: str = _setting(
        "float32",
        "Precision of the convolutions; auto is bfloat16 on devices that compute in it natively, else float32.",
        choices=PRECISIONS,
    )
    ema: float = _setting(
        0.0, "Decay of the averaged weights, which are exported; 0: no average.", low=0, high=0.999999
    )
    start: str = _setting("random", "A new generator's weights.", choices=STARTS)
    degradation: str = _setting(
        "bicubic",
        "How LR is made: bicubic, only reduced; photo, with the blur, noise and JPEG of ordinary photographs; or "
        "NAME=RANGE,... such as jpeg=30:95, see docs/training.md.",
    )
    augment: str = _setting(
        "all",
        "Orientations of a crop: all eight; flips, mirrored at random from left to right and from top to bottom; none, "
        "as it is, for text and other content that is never mirrored.",
        choices=AUGMENTS,
    )
    seed: int = _setting(0, "Seed of the new weights and of all crops.", low=0, high=2**32 - 1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            limits = {name: limit for name, limit in field.metadata.items() if name != "help"}
            check_value(field.name, getattr(self, field.name), field.type, **limits)

    @property
    def drawn(self):
        """HR side of the crops that are read: large enough for every shift, and a multiple of the scale."""
        return self.crop + -(-self.shift // self.scale) * self.scale


def learning_rate(recipe, step):
    """The generator's learning rate in a step, counted from 0."""
    return min(1.0, (_in_period(recipe, step) + 1) / max(recipe.warmup, 1)) * _without_warmup(recipe, step)


def discriminator_learning_rate(recipe, step):
    """The discriminator's learning rate. It has no warm-up: a new one is to learn before the generator follows it."""
    return recipe.discriminator_rate * _without_warmup(recipe, step)


def _without_warmup(recipe, step):
    period, rate = _period(recipe), recipe.learning_rate
    if 0 < final_start(recipe) <= step:
        period = max(period, recipe.final_steps)  # a longer last period decays once, at its own end
    step, start = _in_period(recipe, step), _decay_start(recipe, period)
    if step < start:
        return rate
    if recipe.schedule == "halves":  # the paper's SRGAN: 1e-4, then 1e-5
        return rate / 10
    return rate * 0.5 * (1 + math.cos(math.pi * (step - start) / (period - start)))


def decay_start(recipe):
    """The step at which the learning rate begins to fall, for the first time if the discriminator restarts."""
    return _decay_start(recipe, _period(recipe))


def _decay_start(recipe, period):
    if recipe.schedule == "cosine":
        return int(recipe.hold * period)
    return period // 2 if recipe.schedule == "halves" else recipe.steps


def extension_start(recipe):
    """The step until which a run with more steps does the same, except for the weight of the grid loss."""
    period, final = _period(recipe), final_start(recipe)
    if recipe.phase == "srgan" and recipe.final_steps >= recipe.steps:  # a longer run has other steps before these
        return 0
    if period == recipe.steps:  # then the decay depends on the number of steps
        return min(decay_start(recipe), final or recipe.steps)
    return final or (recipe.steps - 1) // period * period


def discriminator_restarts(recipe, step):
    """Whether the discriminator starts again from its initial weights before a step."""
    return step > 0 and _in_period(recipe, step) == 0


def final_start(recipe):
    """The step before which the last `final_steps` begin; 0 if there are none."""
    return recipe.steps - recipe.final_steps if recipe.phase == "srgan" and 0 < recipe.final_steps < recipe.steps else 0


def crop_side(recipe, step):
    """HR side of the crops of a step: small ones learn faster, until they show too little of a picture."""
    return min(recipe.small_crop or recipe.crop, recipe.crop) if step < final_start(recipe) else recipe.crop


def _in_period(recipe, step):
    """A step, counted from where the learning rate began to rise last."""
    final = final_start(recipe)
    return step - final if final and step >= final else step % _period(recipe)


def _period(recipe):
    """The steps in which the learning rate rises and falls once: until the discriminator restarts, or all."""
    restart = recipe.discriminator_restart if recipe.phase == "srgan" else 0
    return restart if 0 < restart < recipe.steps else recipe.steps


def norm_is_frozen(recipe, step):
    """Whether the generator's batch normalisation uses its averages in a step, instead of the batch's statistics."""
    return step >= {"never": recipe.steps, "decay": decay_start(recipe), "start": 0}[recipe.freeze_norm]


# Fields without effect on SRResNet.
OF_DISCRIMINATOR = (
    "discriminator",
    "adversarial",
    "discriminator_rate",
    "discriminator_restart",
    "final_steps",
    "small_crop",
)
# Fields that a variant sets.
LOSSES = ("crop", "content", "shift", "pixel", "tv", "consistency", "grid", *OF_DISCRIMINATOR)

VARIANTS = {  # Ledig et al. 2017, table 1: the last phase of a variant, and its changes to the recipe of that phase
    "srresnet-mse": ("srresnet", {"content": "mse"}),
    "srresnet-vgg22": ("srresnet", {"content": "vgg22", "tv": 2e-8}),
    "srgan-mse": ("srgan", {"content": "mse"}),
    "srgan-vgg22": ("srgan", {"content": "vgg22"}),
    "srgan-vgg54": ("srgan", {"content": "vgg54"}),
}

# SRGAN from a trained generator: a content loss over five layers of VGG19, a discriminator that classifies every pixel,
# and losses that preserve the colours of LR and suppress a grid. The adversarial gradient at SR is about as large as
# that of the content loss; with the paper's weight of 1e-3 and VGG54 it is a 25th, and texture stays faint. During the
# warm-up a new discriminator learns before the generator changes much. It learns faster with Muon than with Adam: in
# 60 steps its loss fell from 1.386 to 1.276 instead of 1.381. With crops of 48 pixels, twice as many steps fit into the
# same time, and the discriminator stays less certain. A new discriminator helps when the old one no longer does. The
# last 200 steps, from averaged weights, with large crops and a discriminator that has learned little, improve LPIPS
# further.
_SRGAN = Recipe(
    phase="srgan",
    crop=96,
    small_crop=48,
    steps=17_950,
    batch=4,
    content="vgg-multi",
    pixel=20.0,
    consistency=50.0,
    grid=0.2,
    shift=3,
    discriminator="unet",
    adversarial=12.0,
    optimizer="muon",
    learning_rate=2e-4,
    discriminator_rate=8.0,
    discriminator_restart=4_800,
    final_steps=200,
    warmup=300,
    schedule="cosine",
    hold=0.75,
    freeze_norm="start",
    precision="auto",
    ema=0.998,
)

RECIPES = {
    # Ledig et al. 2017, section 3.2.
    "paper": {
        "srresnet": Recipe(precision="auto"),
        "srgan": Recipe(phase="srgan", steps=200_000, content="vgg54", schedule="halves", precision="auto"),
    },
    # The same networks, but a start as interpolation, smaller batches, Muon at a rate that falls to 0, and `_SRGAN`.
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
        "srgan": _SRGAN,
    },
    # For ordinary photographs, from trained weights: damaged LR. A larger adversarial weight sharpens what JPEG left.
    "photo": {
        "srresnet": Recipe(
            batch=8,
            steps=8_000,
            optimizer="muon",
            learning_rate=1e-3,
            schedule="cosine",
            warmup=250,
            hold=0.5,
            freeze_norm="start",
            precision="auto",
            ema=0.99,
            degradation="photo",
        ),
        "srgan": dataclasses.replace(
            _SRGAN,
            small_crop=0,
            final_steps=0,
            steps=8_000,
            grid=0.8,
            adversarial=8.0,
            discriminator_restart=0,
            hold=0.5,
            degradation="photo,clean=0.2,blur_share=0.75,noise_share=0.6",
        ),
    },
}


def recipe_for(name, phase, scale=4, variant=None, **changes):
    """The settings of a phase for a scale.

    Args:
        name: the recipe, a key of `RECIPES`.
        phase: "srresnet" or "srgan".
        scale: 2, 4 or 8. It also sets `shift` of recipes that have one: `scale` - 1 pixels reach all positions.
        variant: a key of `VARIANTS`, whose losses replace those of the recipe in its last phase; None for none.
        **changes: other values of fields of `Recipe`.
    """
    own, paper = RECIPES[name][phase], RECIPES["paper"][phase]
    defaults = {"shift": scale - 1} if own.shift else {}
    if variant and VARIANTS[variant][0] == phase:
        defaults = {**{loss: getattr(paper, loss) for loss in LOSSES}, **VARIANTS[variant][1]}
    return dataclasses.replace(own, **{"scale": scale, **defaults, **changes})


SMOKE = {  # changes of `--smoke`: seconds instead of hours, and without VGG19
    "srresnet": {"steps": 20, "batch": 4},
    "srgan": {"steps": 10, "batch": 4, "content": "mse"},
}
