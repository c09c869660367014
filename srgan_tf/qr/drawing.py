"""Images of codes, with every pixel the mean over its area, and their degradation.

Positions are (y, x) in LR pixels, where the first pixel covers [0, 1]; on a code they are in modules.
"""

import dataclasses

import numpy as np

from srgan_tf.images.degradation import Damage
from srgan_tf.qr.codes import QUIET

MARGIN = 3  # LR pixels around the image that blur mixes in
POINTS = 3  # sampling points along a side of an HR pixel, where no integral is computed
HORIZON = 0.1  # smallest nearness: behind the camera a code would reappear mirrored
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@dataclasses.dataclass(frozen=True)
class View:
    """Position and orientation of a code in an image.

    Attributes:
        pitch: LR pixels per module.
        centre: position of its centre.
        angle: rotation, degrees.
        shear: shear.
        zoom: factor of the height; the width is divided by it.
        perspective: increase of nearness with each pixel of distance from the centre, (y, x).
    """

    pitch: float
    centre: tuple
    angle: float = 0.0
    shear: float = 0.0
    zoom: float = 1.0
    perspective: tuple = (0.0, 0.0)

    @property
    def upright(self):
        return self.angle == self.shear == 0 and self.zoom == 1 and self.perspective == (0, 0)

    @property
    def matrix(self):
        """From modules to LR pixels around the centre, without the perspective: float [2, 2] on (y, x)."""
        turn = np.deg2rad(self.angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return self.pitch * rotation @ [[1, self.shear], [0, 1]] @ np.diag([self.zoom, 1 / self.zoom])

    def moved(self, distance):
        """The same code, `distance` LR pixels further down and right."""
        return dataclasses.replace(self, centre=tuple(c + distance for c in self.centre))


def whole_view(rng, modules, pitch, angle=0.0):
    """View and size of an image of a complete code with its quiet zone, shifted by up to half a pixel."""
    view = View(pitch, (0.0, 0.0), angle)
    half = (modules / 2 + QUIET) * np.abs(view.matrix).sum(1).max()
    side = int(np.ceil(2 * half)) + 1
    shift = rng.uniform(-0.5, 0.5, 2)
    return dataclasses.replace(view, centre=tuple(side / 2 + shift)), (side, side)


def picture_of(modules, view, size, *, scale=4, dark=BLACK, light=WHITE, damage=Damage(), rng=None):
    """A code as LR and HR.

    LR is the box mean of HR over scale x scale pixels, rounded, and then damaged. Blur is computed before rounding, on
    the areas that are dark; it replaces that of `Damage.apply`.

    Args:
        modules: bool [n, n], True is dark; everything around it is light.
        view: a `View`.
        size: LR height and width.
        dark, light: RGB, [0, 255].
        damage: the damage of LR. Its kernel is ignored.
        rng: a `numpy.random.Generator` for the noise.

    Returns:
        LR uint8 [h, w, 3] and HR uint8 [scale h, scale w, 3].
    """
    margin = MARGIN if damage.blur else 0
    share = dark_share(modules, view.moved(margin), [side + 2 * margin for side in size], scale)
    dark, light = np.asarray(dark, np.float32), np.asarray(light, np.float32)
    inside = slice(margin * scale, -margin * scale or None)
    hr = np.rint(light + (dark - light) * share[inside, inside, None]).astype(np.uint8)
    if damage.blur:
        rows, columns = (_blurred_box(side, damage.blur, scale) for side in size)
        # einsum does not use BLAS, whose threads would slow down these small products
        share = np.einsum("kj,ij->ik", columns, np.einsum("ij,jk->ik", rows, share))
        lr = light + (dark - light) * share[..., None]
    else:
        lr = _block_sums(hr, scale, np.uint16) / np.float32(scale * scale)
    lr = np.clip(np.rint(lr), 0, 255).astype(np.uint8)
    return damage.apply_to_lr(lr, rng), hr


def dark_share(modules, view, size, scale):
    """The part of each HR pixel that dark modules cover, float32 [scale h, scale w], [0, 1].

    For an upright code it is the exact integral, otherwise the mean over 3 x 3 points in each pixel.
    """
    if view.upright:
        return _integral(modules, view, size, scale)
    step = scale * POINTS
    y, x = (
        (np.arange(side * step, dtype=np.float32) + 0.5) / step - np.float32(centre)
        for side, centre in zip(size, view.centre)
    )
    inverse = np.linalg.inv(view.matrix).astype(np.float32)
    middle = np.float32(len(modules) / 2 + 1)  # with one light module around the code, to which all outside is clipped
    v, u = (row[0] * y[:, None] + row[1] * x for row in inverse)
    if view.perspective != (0, 0):
        nearness = 1 + np.float32(view.perspective[0]) * y[:, None] + np.float32(view.perspective[1]) * x
        nearness = np.maximum(nearness, HORIZON)
        v, u = v / nearness, u / nearness
    padded = np.pad(modules, 1).astype(np.uint8)
    v, u = (np.clip(at + middle, 0, len(padded) - 1).astype(np.int32) for at in (v, u))
    points = padded.ravel()[v * len(padded) + u]
    return _block_sums(points[..., None], POINTS, np.uint8)[..., 0] / np.float32(POINTS * POINTS)


def _integral(modules, view, size, scale):
    """`dark_share` of an upright code: differences of a summed-area table, interpolated between modules."""
    table = np.zeros([side + 1 for side in modules.shape])
    table[1:, 1:] = modules.cumsum(0).cumsum(1)
    for axis, (side, centre) in enumerate(zip(size, view.centre)):
        edges = (np.arange(side * scale + 1) / scale - centre) / view.pitch + len(modules) / 2
        edges = np.clip(edges, 0, len(modules))
        before = np.minimum(edges.astype(int), len(modules) - 1)
        low, high = table.take(before, axis), table.take(before + 1, axis)
        part = np.expand_dims(edges - before, 1 - axis)
        table = np.diff(low + (high - low) * part, axis=axis)
    return (table * (view.pitch * scale) ** 2).astype(np.float32)


def _blurred_box(side, sigma, scale):
    """Blur and box mean along one axis as a matrix, from HR pixels with margins to LR pixels without."""
    reach = MARGIN * scale
    at = np.arange(side * scale + 2 * reach)[None] - np.arange(side * scale)[:, None] - reach
    weights = np.exp(-0.5 * (at / (sigma * scale)) ** 2) * (abs(at) <= reach)
    weights /= weights.sum(1, keepdims=True)
    return weights.reshape(side, scale, -1).mean(1).astype(np.float32)


def _block_sums(x, side, dtype):
    """Sums over blocks of side x side: [H, W, C] -> [H / side, W / side, C]."""
    rows = sum(x[i::side].astype(dtype) for i in range(side))
    return sum(rows[:, i::side] for i in range(side))
