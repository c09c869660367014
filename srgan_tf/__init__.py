"""SRResNet and SRGAN (Ledig et al. 2017) for TensorFlow and Keras 3.

    import srgan_tf

    large = srgan_tf.Upscaler("srgan")(small)  # uint8 [H, W, 3] -> uint8 [4H, 4W, 3]
    model = srgan_tf.load("srgan")  # a keras.Model: LR [B, H, W, 3] -> SR [B, 4H, 4W, 3]

Value ranges: image arrays are uint8 (or uint16) RGB. Keras models take LR as float in [0, 1] and return SR as float in
[-1, 1], the range of HR in the losses; values slightly outside occur. Tensors are channels last.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from srgan_tf.commands.functions import evaluate, load, train
    from srgan_tf.networks import losses, models
    from srgan_tf.networks.models import discriminator, srresnet
    from srgan_tf.training.recipes import RECIPES, Recipe
    from srgan_tf.upscaling.upscaler import Upscaler

__all__ = [
    "RECIPES",
    "Recipe",
    "Upscaler",
    "__version__",
    "discriminator",
    "evaluate",
    "load",
    "losses",
    "models",
    "srresnet",
    "train",
]

_PLACES = {  # loaded on first use: `import srgan_tf` and `--help` do not wait for TensorFlow
    "RECIPES": "training.recipes:RECIPES",
    "Recipe": "training.recipes:Recipe",
    "Upscaler": "upscaling.upscaler:Upscaler",
    "discriminator": "networks.models:discriminator",
    "evaluate": "commands.functions:evaluate",
    "load": "commands.functions:load",
    "losses": "networks.losses",
    "models": "networks.models",
    "srresnet": "networks.models:srresnet",
    "train": "commands.functions:train",
}


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'srgan_tf' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(f"srgan_tf.{module}")
    globals()[name] = found = getattr(found, attribute) if attribute else found
    return found


def __dir__():
    return sorted(__all__)
