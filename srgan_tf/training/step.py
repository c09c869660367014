"""One training step: the losses of a batch, the update of the networks, and how devices share the batch.

`TrainingStep.srresnet` and `TrainingStep.srgan` are the two phases of the paper on one device. `make_step` compiles
one of them and runs it on every device.
"""

import numpy as np
import tensorflow as tf

from srgan_tf.networks import losses
from srgan_tf.networks.pixels import to_hr, to_lr
from srgan_tf.training.recipes import final_start


def make_step(recipe, state, content_loss=None, *, strategy=None, xla=False):
    """The compiled training step of a phase.

    Args:
        recipe: a `recipes.Recipe`.
        state: the `State` that the step updates.
        content_loss: a function of crops of HR and SR, float32 [B, crop, crop, 3] in [-1, 1], that returns a scalar,
            such as `losses.vgg_loss`; None for the MSE alone.
        strategy: the `tf.distribute.Strategy` in whose scope the state was created; None for one device.
        xla: compile the step with XLA, on one device only.

    Returns:
        A `tf.function` of

        - LR, uint8 [B, h, w, 3], and HR, uint8 [B, s h, s w, 3], with `recipe.drawn` pixels a side. With several
          replicas these are the values of each replica, and together they are one batch: gradients and the statistics
          of batch normalisation are those of the whole batch.
        - the generator's learning rate, a float32 scalar.
        - whether the generator's batch normalisation is frozen: it uses its averages and leaves them unchanged.
        - the HR side of the part of the crops that is used, an int; by default `recipe.crop`.
        - the discriminator's learning rate; by default `recipe.discriminator_rate` times the generator's.

        It returns the losses by name, float32 scalars.
    """
    strategy = strategy or tf.distribute.get_strategy()
    phase = TrainingStep(recipe, state, content_loss, replicas=strategy.num_replicas_in_sync)
    update = phase.srgan if recipe.phase == "srgan" else phase.srresnet

    @tf.function(jit_compile=xla or None)
    def step(lr, hr, rate, frozen=False, crop=recipe.crop, discriminator_rate=None):
        spare = recipe.crop - crop
        rates = {"generator": rate, "discriminator": discriminator_rate}
        if discriminator_rate is None:
            rates["discriminator"] = recipe.discriminator_rate * rate
        for name, optimizer in state.optimizers.items():
            optimizer.learning_rate.assign(rates[name])
        logs = strategy.run(
            lambda lr, hr: update(to_lr(_cut(lr, spare // recipe.scale)), to_hr(_cut(hr, spare)), not frozen), (lr, hr)
        )
        _update_average(recipe, state)
        return {name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None) for name, value in logs.items()}

    return step


class TrainingStep:
    """The update of a phase's networks from one batch, or from one replica's share of it.

    Args:
        recipe, state, content_loss: as for `make_step`.
        replicas: how many replicas share a batch.
    """

    def __init__(self, recipe, state, content_loss=None, replicas=1):
        self.recipe, self.state, self.content_loss, self.replicas = recipe, state, content_loss, replicas

    def srresnet(self, lr, hr, training):
        """Update SRResNet (Ledig et al. 2017, section 3.2).

        Args:
            lr: float32 [B, h, w, 3] in [0, 1].
            hr: float32 [B, s h, s w, 3] in [-1, 1].
            training: whether the generator's batch normalisation uses the batch's statistics, or its averages.

        Returns:
            The losses by name, float32 scalars.
        """
        with tf.GradientTape() as tape:
            sr = self.state.generator(lr, training=training)
            loss, logs = self.generator_loss(hr, sr, *self.random_crops(hr, sr))
            objective = self._objective("generator", loss)
        self._apply("generator", tape, objective)
        return {"loss": loss, **logs}

    def srgan(self, lr, hr, training):
        """Update the generator and the discriminator (Ledig et al. 2017, equations 2 and 3).

        Both learn from the same forward pass: D(SR) is computed once and differentiated for each. Arguments and result
        are those of `srresnet`.
        """
        discriminator = self.state.networks["discriminator"]
        with tf.GradientTape(persistent=True) as tape:
            sr = self.state.generator(lr, training=training)
            hr_crop, sr_crop = self.random_crops(hr, sr)
            real = tf.cast(discriminator(hr_crop, training=True), tf.float32)
            fake = tf.cast(discriminator(sr_crop, training=True), tf.float32)
            loss, logs = self.generator_loss(hr, sr, hr_crop, sr_crop)
            adversarial = losses.adversarial(fake)
            loss += self.recipe.adversarial * adversarial
            d_loss = losses.discrimination(real, fake)
            objective, d_objective = self._objective("generator", loss), self._objective("discriminator", d_loss)
        self._apply("generator", tape, objective)
        self._apply("discriminator", tape, d_objective)
        return {
            "loss": loss,
            **logs,
            "adversarial": adversarial,
            "d_loss": d_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake)),
        }

    def generator_loss(self, hr, sr, hr_crop, sr_crop):
        """The generator's loss without the adversarial one, and its terms by name."""
        recipe = self.recipe
        logs = {"mse": losses.mse(hr, sr)}
        loss = logs["mse"]
        if self.content_loss is not None:
            logs["content"] = self.content_loss(hr_crop, sr_crop)
            loss = logs["content"] + recipe.pixel * logs["mse"]
        if recipe.tv:
            logs["tv"] = losses.total_variation(sr)
            loss += recipe.tv * logs["tv"]
        if recipe.consistency:
            logs["consistency"] = losses.consistency(hr, sr, recipe.scale)
            loss += recipe.consistency * logs["consistency"]
        if recipe.grid:
            logs["grid"] = losses.grid(hr_crop, sr_crop, recipe.scale)
            # Early, a large weight would keep texture from forming; late, a small one leaves the grid.
            loss += recipe.grid * tf.cast(self._steps() + 1, tf.float32) / recipe.steps * logs["grid"]
        return loss, logs

    def random_crops(self, hr, sr):
        """The crops of HR and SR that VGG and the discriminator see, at an offset that is random in each step.

        The strides of both start at the corner of a crop, as the generator's blocks of scale x scale pixels do. At a
        fixed offset their gradients contain a grid that the generator learns.
        """
        recipe = self.recipe
        if not recipe.shift:
            return hr, sr
        seed = tf.stack([recipe.seed % 2**31, self._steps()])
        y, x = tf.unstack(tf.random.stateless_uniform((2,), seed, maxval=recipe.shift + 1, dtype=tf.int32))
        side = hr.shape[1] - (recipe.drawn - recipe.crop)
        size = (tf.shape(hr)[0], side, side, 3)
        return [tf.slice(pictures, (0, y, x, 0), size) for pictures in (hr, sr)]

    def _steps(self):
        """The number of steps done before this one, an int32 scalar."""
        return tf.cast(self.state.optimizers["generator"].iterations.value, tf.int32)

    def _objective(self, name, loss):
        """What is differentiated: this replica's share of the batch's mean, scaled in float16."""
        return self.state.optimizers[name].scale_loss(loss / self.replicas)

    def _apply(self, name, tape, objective):
        """One step of a network's optimizer, which adds up the gradients of all replicas."""
        variables = self.state.networks[name].trainable_variables
        gradients = tape.gradient(objective, [v.value for v in variables])
        self.state.optimizers[name].apply(gradients, variables)


def _cut(pictures, spare):
    """Pictures [B, H, W, 3] without their last `spare` rows and columns."""
    return pictures[:, : pictures.shape[1] - spare, : pictures.shape[2] - spare]


def _update_average(recipe, state):
    """Update the averaged weights: a mean over about the last 1 / (1 - ema) steps, fewer at the beginning.

    The final steps begin with the average, which then begins anew.
    """
    if state.ema:
        step, final = state.optimizers["generator"].iterations.value, final_start(recipe)
        step = tf.cast(tf.where(step > final, step - final, step), tf.float32)
        decay = tf.minimum(np.float32(recipe.ema), (1 + step) / (10 + step))
        for average, v in zip(state.ema, state.generator.variables):
            average.assign(decay * average + (1 - decay) * v.value)
