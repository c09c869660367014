"""What a training run holds: networks, optimisers and averaged weights."""

import keras
import tensorflow as tf

from srgan_tf.networks import models
from srgan_tf.training import optimizers


class State:
    """Networks, optimisers and averaged weights of a run: everything that its next step depends on.

    Args:
        recipe: a `recipes.Recipe`.
    """

    def __init__(self, recipe):
        keras.utils.set_random_seed(recipe.seed)
        self.recipe = recipe
        self.generator = self._fresh_generator()
        if recipe.start == "interpolation":
            models.start_as_interpolation(self.generator)
        self.networks = {"generator": self.generator}
        if recipe.phase == "srgan":
            self.networks["discriminator"] = models.discriminator(recipe.crop)
        self.optimizers = {}
        for name, network in self.networks.items():
            optimizer = optimizers.create(recipe.optimizer)
            if recipe.precision == "float16":  # small gradients would vanish in it
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(network.trainable_variables)
            self.optimizers[name] = optimizer
        self.ema = [tf.Variable(v, trainable=False) for v in self.generator.variables] if recipe.ema else []

    def start_from(self, weights):
        """Give the generator, and its average, weights by "layer/variable"; those of another shape stay fresh."""
        left = models.load_named_weights(self.generator, weights, partial=True)
        for average, v in zip(self.ema, self.generator.variables):
            average.assign(v)
        return left

    def arrays(self):
        """Every variable by name, as arrays."""
        arrays = {}
        for name, network in self.networks.items():
            arrays |= {f"{name}/{k}": v for k, v in models.named_weights(network).items()}
            arrays |= {f"{name}_optimizer/{i}": v.numpy() for i, v in enumerate(self.optimizers[name].variables)}
        return arrays | {f"ema/{i}": v.numpy() for i, v in enumerate(self.ema)}

    def restore(self, arrays):
        """Set every variable from what `arrays` gave.

        Raises:
            ValueError: if one is missing or has another shape.
        """
        for name, network in self.networks.items():
            prefix = f"{name}/"
            models.load_named_weights(
                network, {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            )
            _assign(self.optimizers[name].variables, arrays, f"{name}_optimizer")
        _assign(self.ema, arrays, "ema")

    def export_weights(self):
        """The generator's weights to be used: the averaged ones where there are."""
        weights = models.named_weights(self.generator)
        return dict(zip(weights, [v.numpy() for v in self.ema])) if self.ema else weights

    def exported(self):
        """A generator with those weights."""
        generator = self._fresh_generator()
        models.load_named_weights(generator, self.export_weights())
        return generator

    def _fresh_generator(self):
        return models.srresnet(self.recipe.scale, blocks=self.recipe.blocks, features=self.recipe.features)


def _assign(variables, arrays, prefix):
    for i, v in enumerate(variables):
        if f"{prefix}/{i}" not in arrays:
            raise ValueError(f"{prefix}/{i} is missing")
        v.assign(arrays[f"{prefix}/{i}"])
