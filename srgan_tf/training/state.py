"""The state of a training run: networks, optimizers and averaged weights."""

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.networks import layers, models, unet
from srgan_tf.training import batch_norm, optimizers

# By name, functions of the crop's side that create a Keras model of HR or SR, float [B, crop, crop, 3] in [-1, 1],
# with logits [B, 1] or [B, H, W, 1].
DISCRIMINATORS = {"paper": models.discriminator, "unet": unet.unet_discriminator}


class State:
    """Networks, optimizers and averaged weights of a run: everything that its next step depends on.

    Args:
        recipe: a `recipes.Recipe`. Its precision is the dtype policy of the networks.

    Attributes:
        generator: the `models.srresnet`.
        networks: the generator and, in phase "srgan", the discriminator, by name.
        optimizers: a Keras optimizer by the network's name.
        ema: the averaged variables of the generator, in the order of its own; empty without `recipe.ema`.
    """

    def __init__(self, recipe):
        keras.utils.set_random_seed(recipe.seed)
        self.recipe = recipe
        with layers.precision(recipe.precision):
            self.generator = self._new_generator()
            self.networks = {"generator": self.generator}
            if recipe.phase == "srgan":
                self.networks["discriminator"] = DISCRIMINATORS[recipe.discriminator](recipe.crop)
        if recipe.start == "interpolation":
            models.start_as_interpolation(self.generator)
        self.optimizers = {}
        for name, network in self.networks.items():
            optimizer = optimizers.create(recipe.optimizer)
            if recipe.precision == "float16":  # small gradients would underflow
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(network.trainable_variables)
            self.optimizers[name] = optimizer
        self.ema = [tf.Variable(v, trainable=False) for v in self.generator.variables] if recipe.ema else []
        restarts = recipe.discriminator_restart or recipe.final_steps
        self._initial = [(v, v.numpy()) for v in self._discriminator_variables()] if restarts else []

    def start_from(self, weights):
        """Set the generator, and its average, to weights by "layer/variable".

        Returns:
            The names of the variables that keep their fresh values, because there is no weight of their shape.
        """
        left = models.load_named_weights(self.generator, weights, partial=True)
        for average, v in zip(self.ema, self.generator.variables):
            average.assign(v)
        return left

    def restart_discriminator(self):
        """Set the discriminator and its optimizer to their initial values, if the recipe restarts it at all."""
        for v, value in self._initial:
            v.assign(value)

    def take_average(self):
        """Set the generator to its averaged weights, if there are any."""
        for average, v in zip(self.ema, self.generator.variables):
            v.assign(average)

    def arrays(self):
        """Every variable as an array, by name."""
        arrays = {}
        for name, network in self.networks.items():
            arrays |= {f"{name}/{k}": v for k, v in models.named_weights(network).items()}
            arrays |= {f"{name}_optimizer/{i}": v.numpy() for i, v in enumerate(self.optimizers[name].variables)}
        return arrays | {f"ema/{i}": v.numpy() for i, v in enumerate(self.ema)}

    def restore(self, arrays):
        """Set every variable to the arrays that `arrays` returned.

        Raises:
            ValueError: if one is missing or has another shape or type. Nothing is set then.
        """
        self._check(arrays)
        for name, network in self.networks.items():
            prefix = f"{name}/"
            models.load_named_weights(
                network, {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            )
            for i, v in enumerate(self.optimizers[name].variables):
                v.assign(arrays[f"{name}_optimizer/{i}"])
        for i, v in enumerate(self.ema):
            v.assign(arrays[f"ema/{i}"])

    def export_weights(self, arrays=None):
        """The generator's weights for inference, by name: the averaged ones if there are any.

        Args:
            arrays: the state to take them from, as returned by `arrays`; None for the present one.

        Raises:
            ValueError: as `restore`.
        """
        weights = models.named_weights(self.generator)
        if arrays is not None:
            self._check(arrays)
            keys = [f"ema/{i}" if self.ema else f"generator/{name}" for i, name in enumerate(weights)]
            return dict(zip(weights, [arrays[key] for key in keys]))
        return dict(zip(weights, [v.numpy() for v in self.ema])) if self.ema else weights

    def exported(self, arrays=None):
        """A new generator in float32 with these weights."""
        with layers.precision("float32"):
            generator = self._new_generator()
        models.load_named_weights(generator, self.export_weights(arrays))
        return generator

    def remeasure_norms(self, batches):
        """Set the generator's frozen averages of batch normalisation to the statistics of its activations.

        The outputs of the generator and of its averaged weights stay the same.

        Args:
            batches: LR crops, see `batch_norm.remeasure`.
        """
        for variables in filter(None, (self.generator.variables, self.ema)):
            with layers.precision("float32"):
                generator = self._new_generator()
            for v, value in zip(generator.variables, variables):
                v.assign(value)
            batch_norm.remeasure(generator, batches)
            for v, value in zip(variables, generator.variables):
                v.assign(value)

    def _discriminator_variables(self):
        name = "discriminator"
        return [*self.networks[name].variables, *self.optimizers[name].variables] if name in self.networks else []

    def _check(self, arrays):
        for name, own in self.arrays().items():
            if name not in arrays:
                raise ValueError(f"{name} is missing")
            found = arrays[name]
            if found.shape != own.shape or not np.can_cast(found.dtype, own.dtype, "same_kind"):
                raise ValueError(f"{name} is {found.dtype} {found.shape} instead of {own.dtype} {own.shape}")

    def _new_generator(self):
        return models.srresnet(self.recipe.scale, blocks=self.recipe.blocks, features=self.recipe.features)
