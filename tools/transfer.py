"""Add to a model what training has changed in another one:

    python tools/transfer.py MODEL TRAINED BASE OUT [--factor F]

OUT = MODEL + F (TRAINED - BASE), with F = 1 by default, where training began with BASE, and MODEL was once trained from
BASE or from a close relative. The start of `photo` is srgan + (SRResNet trained on damaged photographs - srresnet).
With MODEL = TRAINED and a small F, OUT goes a little further than training went. All are model names or SavedModels,
OUT is the new SavedModel.

Batch normalisation is added up as the map of its input, gamma / sqrt(variance + epsilon) and its offset, because the
averages of the models differ; OUT has those of MODEL. Source: Ilharco et al. 2023, Editing models with task
arithmetic, arXiv:2212.04089.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from srgan_tf.networks import onednn  # noqa: E402

onednn.enable()  # as the commands do, before TensorFlow is imported

import numpy as np  # noqa: E402

from srgan_tf.errors import UserError  # noqa: E402
from srgan_tf.networks import layers, models  # noqa: E402
from srgan_tf.saved_models import export, zoo  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "trained", "base", "out"):
        parser.add_argument(name)
    parser.add_argument("--factor", type=float, default=1.0)
    args = parser.parse_args()
    places = [zoo.resolve(getattr(args, name), flag=name.upper()) for name in ("model", "trained", "base")]
    facts = zoo.attributes(places[0])
    network = models.srresnet(facts["scale"], blocks=facts["blocks"], features=facts["features"])
    norms = {layer.name: layer.epsilon for layer in network.layers if isinstance(layer, layers.BatchNormalization)}
    model, trained, base = (models.named_weights(export.restore(place)) for place in places)
    for name, weights in (("TRAINED", trained), ("BASE", base)):
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in model.items()}:
            raise UserError(f"{name} {getattr(args, name.lower())}: another network than MODEL. Give one of its size.")
    maps = [as_maps(weights, norms) for weights in (model, trained, base)]
    total = {name: maps[0][name] + args.factor * (maps[1][name] - maps[2][name]) for name in model}
    for name, epsilon in norms.items():
        mean, variance = (model[f"{name}/moving_{kind}"] for kind in ("mean", "variance"))
        total |= {f"{name}/moving_mean": mean, f"{name}/moving_variance": variance}
        total[f"{name}/beta"] = total[f"{name}/beta"] + mean * total[f"{name}/gamma"]
        total[f"{name}/gamma"] = total[f"{name}/gamma"] * np.sqrt(variance + epsilon)
    models.load_named_weights(network, total)
    export.export(network, args.out)


def as_maps(weights, norms):
    """The weights, with the slope of each batch normalisation in place of gamma and the offset in place of beta."""
    maps = dict(weights)
    for name, epsilon in norms.items():
        slope = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + epsilon)
        maps[f"{name}/gamma"] = slope
        maps[f"{name}/beta"] = weights[f"{name}/beta"] - weights[f"{name}/moving_mean"] * slope
    return maps


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
