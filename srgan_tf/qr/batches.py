"""Batches of codes for training, each a pure function of (seed, n), and codes for validation."""

import dataclasses

import numpy as np

from srgan_tf.images.degradation import Damage
from srgan_tf.qr import codes
from srgan_tf.qr.drawing import View, picture_of, whole_view
from srgan_tf.qr.options import Options
from srgan_tf.training.batches import Batches
from srgan_tf.training.datasets import Picture


class Codes(Batches):
    """Crops of random codes, one crop of each code.

    Args:
        crop: HR side of a crop, a multiple of the scale.
        batch: crops in a batch.
        scale: the factor between LR and HR.
        seed: together with the number of the batch, determines the crops.
        options: `Options`.
    """

    slow = True

    def __init__(self, *, crop, batch, scale=4, seed=0, options=Options()):
        super().__init__(scale, crop, batch)
        self.seed, self.options = seed, options

    def __call__(self, n, rows=slice(None)):
        pairs = [self._crop(np.random.default_rng([self.seed, int(n), k])) for k in range(self.batch)[rows]]
        return tuple(np.stack(pictures) for pictures in zip(*pairs))

    def _crop(self, rng):
        options = self.options
        changed = rng.random() < options.changed
        modules = np.rot90(codes.random_code(rng, mask=int(rng.integers(8))).modules, rng.integers(4))
        hard = options.hard_changed if changed else options.hard
        pitch = rng.uniform(*(hard if rng.random() < options.hard_share else options.pitch))
        view, damage = View(pitch, (0.0, 0.0)), Damage()
        if changed:
            view = _changed_view(rng, view, len(modules), options)
            damage = _random_damage(rng, options)
        # A random point of the code, or of its quiet zone, is at the centre of the crop.
        point = rng.uniform(-0.5, 0.5, 2) * (len(modules) + 2 * codes.QUIET - 4)
        centre = self.side / 2 - view.matrix @ point
        dark, light = random_colours(rng, options.contrast)
        return picture_of(
            modules,
            dataclasses.replace(view, centre=tuple(centre)),
            (self.side, self.side),
            scale=self.scale,
            dark=dark,
            light=light,
            damage=damage,
            rng=rng,
        )


class Endless:
    """The source of codes for training: its description, and its batches for a recipe."""

    def __init__(self, options=Options()):
        self.options = options

    def describe(self):
        return {"source": "qr", **dataclasses.asdict(self.options)}

    def batches(self, recipe):
        return Codes(crop=recipe.drawn, batch=recipe.batch, scale=recipe.scale, seed=recipe.seed, options=self.options)


class Pictures:
    """Complete, upright codes without damage for validation: a source as in `datasets`."""

    def __init__(self, count, scale, pitch=(0.95, 1.2)):
        self.count, self.scale, self.pitch = count, scale, pitch

    def describe(self):
        return {"source": "qr", "count": self.count, "pitch": list(self.pitch)}

    def pictures(self):
        for i in range(self.count):
            rng = codes.held_back("validation", i)
            code = codes.random_code(rng)
            view, size = whole_view(rng, len(code.modules), rng.uniform(*self.pitch))
            lr, hr = picture_of(code.modules, view, size, scale=self.scale)
            yield Picture(f"code {i}", hr, lr)


def random_colours(rng, contrast):
    """Dark and light RGB: half of them grey, half coloured; light is lighter in every channel."""
    span = rng.uniform(contrast, 1) * 255
    low = rng.uniform(0, 255 - span)
    dark, light = np.full(3, low), np.full(3, low + span)
    if rng.random() < 0.5:
        dark += rng.uniform(0, 0.3, 3) * span
        light -= rng.uniform(0, 0.3, 3) * span
    return dark, light


def _changed_view(rng, view, modules, options):
    changes = {}
    if rng.random() < 0.6:
        changes["angle"] = rng.uniform(-1, 1) * options.angle
    if rng.random() < 0.3:
        changes["shear"] = rng.uniform(-1, 1) * options.shear
    if rng.random() < 0.3:
        changes["zoom"] = 1 + rng.uniform(-1, 1) * options.zoom
    if rng.random() < 0.3:
        half = modules / 2 * view.pitch
        changes["perspective"] = tuple(rng.uniform(-1, 1, 2) * options.perspective / half)
    return dataclasses.replace(view, **changes)


def _random_damage(rng, options):
    wanted = rng.random(3)
    return Damage(
        blur=rng.uniform(0, options.blur) if wanted[0] < 0.6 else 0.0,
        noise=rng.uniform(0, options.noise) if wanted[1] < 0.6 else 0.0,
        jpeg=(int(rng.integers(options.jpeg, 96)),) if options.jpeg and wanted[2] < 0.25 else (),
    )
