"""One step of each phase: tf.function, GradientTape, an optimizer a network."""

import numpy as np
import tensorflow as tf

from srgan_tf.networks import graph, losses
from srgan_tf.networks.pixels import to_hr, to_lr


def make_step(recipe, state, vgg=None, *, strategy=None, xla=False):
    """The training step of a phase.

    Args:
        recipe: a `recipes.Recipe`.
        state: the `State` that it changes.
        vgg: the feature model of a VGG content loss.
        strategy: the `tf.distribute.Strategy` in whose scope state and vgg were made; None for one device.
        xla: whether XLA compiles the step; for one device only.

    Returns:
        A tf.function of LR uint8 [B, h, w, 3], HR uint8 [B, s h, s w, 3], with a side of `recipe.drawn`, the learning
        rate, and whether the generator's BN uses its averages, which then stay; it returns the step's losses by name as
        float32 scalars. On several replicas LR and HR are the values that each gets, and together they are one batch:
        gradients and the statistics of BN are those of the whole batch.
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    dtype = tf.as_dtype(recipe.precision)
    generator, critic = state.generator, state.networks.get("discriminator")

    def seen(hr, sr):
        """What VGG and the discriminator see. Their strides start at the corner of what they see, as the generator's
        blocks of 4 do: unless it is moved, their gradients are a grid that the generator can follow."""
        if not recipe.shift:
            return hr, sr
        seed = tf.stack([recipe.seed % 2**31, tf.cast(state.optimizers["generator"].iterations.value, tf.int32)])
        y, x = tf.unstack(tf.random.stateless_uniform((2,), seed, maxval=recipe.shift + 1, dtype=tf.int32))
        size = (tf.shape(hr)[0], recipe.crop, recipe.crop, 3)
        return [tf.slice(pictures, (0, y, x, 0), size) for pictures in (hr, sr)]

    def content_losses(hr, sr, seen_hr, seen_sr):
        logs = {"mse": losses.mse(hr, sr)}
        loss = logs["mse"]
        if vgg is not None:
            logs["content"] = losses.mse(losses.vgg_features(vgg, seen_hr), losses.vgg_features(vgg, seen_sr))
            loss = logs["content"] + recipe.pixel * logs["mse"]
        more = {
            "tv": lambda: losses.total_variation(sr),
            "consistency": lambda: losses.consistency(hr, sr, recipe.scale),
            "grid": lambda: losses.grid(seen_hr, seen_sr, recipe.scale),
        }
        for name, term in more.items():
            if weight := getattr(recipe, name):
                logs[name] = term()
                loss += weight * logs[name]
        return loss, logs

    def minimised(name, loss):
        """What is differentiated: a replica's share of the batch's mean, scaled if the optimiser wants it so."""
        return state.optimizers[name].scale_loss(loss / replicas)

    def srresnet_step(lr, hr, frozen):
        lr, hr = to_lr(lr), to_hr(hr)
        with tf.GradientTape() as tape:
            sr, statistics = graph.generator(generator, lr, training=not frozen, dtype=dtype)
            loss, logs = content_losses(hr, sr, *seen(hr, sr))
            goal = minimised("generator", loss)
        _update(state, "generator", tape.gradient(goal, _values(generator)))
        return {"loss": loss, **logs}, statistics

    def srgan_step(lr, hr, frozen):
        lr, hr = to_lr(lr), to_hr(hr)
        # Both networks learn from the same pass: D(SR) is computed once and differentiated for each.
        with tf.GradientTape(persistent=True) as tape:
            sr, statistics = graph.generator(generator, lr, training=not frozen, dtype=dtype)
            seen_hr, seen_sr = seen(hr, sr)
            loss, logs = content_losses(hr, sr, seen_hr, seen_sr)
            real, real_statistics = graph.discriminator(critic, seen_hr, training=True, dtype=dtype)
            fake, fake_statistics = graph.discriminator(critic, seen_sr, training=True, dtype=dtype)
            adversarial = losses.adversarial(fake)
            loss += recipe.adversarial * adversarial
            d_loss = losses.discrimination(real, fake)
            goal, d_goal = minimised("generator", loss), minimised("discriminator", d_loss)
        g_gradients = tape.gradient(goal, _values(generator))
        d_gradients = tape.gradient(d_goal, _values(critic))
        _update(state, "generator", g_gradients)
        _update(state, "discriminator", d_gradients)
        logs = {
            "loss": loss,
            **logs,
            "adversarial": adversarial,
            "d_loss": d_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake)),
        }
        return logs, statistics + real_statistics + fake_statistics

    replica_step = srgan_step if recipe.phase == "srgan" else srresnet_step

    @tf.function(jit_compile=xla or None)
    def step(lr, hr, rate, frozen=False):
        moving = []  # the layers whose averages move, in the order of their statistics

        def values(lr, hr):
            logs, statistics = replica_step(lr, hr, frozen)
            moving[:] = [norm for norm, *_ in statistics]
            return logs, [batch for _, *batch in statistics]

        def mean(value):
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)

        for name, optimizer in state.optimizers.items():
            optimizer.learning_rate.assign(rate * (recipe.discriminator_rate if name == "discriminator" else 1.0))
        logs, batches = strategy.run(values, (lr, hr))
        graph.move_averages([(norm, *map(mean, batch)) for norm, batch in zip(moving, batches)])
        _move_ema(recipe, state)
        return {name: mean(value) for name, value in logs.items()}

    return step


def _values(network):
    return [v.value for v in network.trainable_variables]


def _update(state, name, gradients):
    """One step of the optimizer; on several replicas it adds their gradients up."""
    state.optimizers[name].apply(gradients, state.networks[name].trainable_variables)


def _move_ema(recipe, state):
    """A mean over about the last 1 / (1 - ema) steps, over fewer at the beginning."""
    if state.ema:
        step = tf.cast(state.optimizers["generator"].iterations.value, tf.float32)
        decay = tf.minimum(np.float32(recipe.ema), (1 + step) / (10 + step))
        for average, v in zip(state.ema, state.generator.variables):
            average.assign(decay * average + (1 - decay) * v.value)
