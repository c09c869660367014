"""Makes LR from HR: downscaled as in the paper, or with the damage typical of photographs that people enlarge.

A `Degradation` holds ranges; a `Damage` is one draw from them. The order follows a camera and the web: blur,
shrinking, sensor noise, JPEG. Sources: Zhang et al. 2021 (BSRGAN), arXiv:2103.14006, section 3; Wang et al. 2021
(Real-ESRGAN), arXiv:2107.10833, section 3.1.
"""

import dataclasses
import io
import math

import numpy as np
from PIL import Image, ImageFilter

from srgan_tf.errors import UserError

KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
BLOCK = 16  # pixels: JPEG's pattern repeats after 8 pixels, and after 16 with 4:2:0 chroma
REACH = 4  # LR pixels within which blur and shrinking mix neighbours


@dataclasses.dataclass(frozen=True)
class Damage:
    """The steps from HR to LR for one picture.

    Attributes:
        kernel: the resampling filter, one of `KERNELS`.
        blur: sigma of an isotropic Gaussian, LR pixels.
        motion: sigma of a Gaussian along a line, LR pixels, at most 1.
        angle: direction of that line, radians.
        noise: standard deviation of the noise, grey levels; for Poisson noise, at white.
        grey: whether all channels share the noise.
        poisson: whether the variance of the noise is proportional to the brightness.
        jpeg: the qualities, 1 to 95, of successive JPEG compressions.
        subsampled: whether JPEG stores chroma at half (4:2:0) or full resolution (4:4:4).
    """

    kernel: str = "bicubic"
    blur: float = 0.0
    motion: float = 0.0
    angle: float = 0.0
    noise: float = 0.0
    grey: bool = False
    poisson: bool = False
    jpeg: tuple[int, ...] = ()
    subsampled: bool = True

    def apply(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        """Make LR.

        Args:
            hr: uint8 [scale H, scale W, 3].
            scale: the factor between LR and HR.
            rng: draws the noise.

        Returns:
            uint8 [H, W, 3].
        """
        return self.apply_to_lr(shrink(hr, scale, self.kernel, self.blur), rng)

    def apply_to_lr(self, lr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply everything that follows the shrinking: uint8 [H, W, 3] -> uint8 [H, W, 3]."""
        if self.motion:
            lr = np.asarray(Image.fromarray(lr).filter(_motion_filter(self.motion, self.angle)))
        if self.noise:
            noise = self.noise * rng.standard_normal((*lr.shape[:2], 1 if self.grey else 3), dtype=np.float32)
            if self.poisson:
                noise = noise * np.sqrt(lr / np.float32(255))
            lr = np.clip(np.rint(lr + noise), 0, 255).astype(np.uint8)
        for quality in self.jpeg:
            lr = as_jpeg(lr, quality, subsampled=self.subsampled)
        return lr


@dataclasses.dataclass(frozen=True)
class Degradation:
    """Ranges from which the damage of each training crop is drawn.

    Every `..._share` is a probability among the crops that are not clean.

    Attributes:
        clean: probability that LR is HR shrunk by MATLAB's bicubic imresize and nothing else.
        kernels: resampling filters, each equally likely.
        blur_share, blur: probability; range of sigma, LR pixels.
        motion_share, motion: probability; range of sigma along a line at a random angle, LR pixels.
        noise_share, noise: probability; range of the standard deviation, grey levels.
        grey: probability that noise is the same in all channels.
        poisson: probability that the variance of the noise is proportional to the brightness.
        jpeg_share, jpeg: probability; range of the quality.
        twice: probability that a compressed crop is compressed a second time.
        subsampled: probability that JPEG stores chroma at half the resolution (4:2:0).
    """

    clean: float = 1.0
    kernels: tuple[str, ...] = ("bicubic",)
    blur_share: float = 0.0
    blur: tuple[float, float] = (0.1, 0.9)
    motion_share: float = 0.0
    motion: tuple[float, float] = (0.2, 1.0)
    noise_share: float = 0.0
    noise: tuple[float, float] = (0.5, 12.0)
    grey: float = 0.4
    poisson: float = 0.4
    jpeg_share: float = 0.0
    jpeg: tuple[int, int] = (30, 95)
    twice: float = 0.2
    subsampled: float = 0.7

    def draw(self, rng: np.random.Generator) -> Damage | None:
        """Draw the damage of one crop; None for a clean crop."""
        if rng.random() < self.clean:
            return None

        def value(share, limits):
            return float(rng.uniform(*limits)) if rng.random() < share else 0.0

        low, high = self.jpeg
        saves = 1 + (rng.random() < self.twice) if rng.random() < self.jpeg_share else 0
        return Damage(
            kernel=self.kernels[rng.integers(len(self.kernels))],
            blur=value(self.blur_share, self.blur),
            motion=value(self.motion_share, self.motion),
            angle=float(rng.uniform(0, np.pi)),
            noise=value(self.noise_share, self.noise),
            grey=bool(rng.random() < self.grey),
            poisson=bool(rng.random() < self.poisson),
            jpeg=tuple(rng.integers(low, high + 1, saves).tolist()),
            subsampled=bool(rng.random() < self.subsampled),
        )

    def examples(self) -> dict[str, Damage | None]:
        """One fixed damage of each kind, by name, for validation; None stands for clean LR."""
        blur, motion, noise = (sum(limits) / 2 for limits in (self.blur, self.motion, self.noise))
        low, high = self.jpeg
        kinds = {
            "clean": None if self.clean else (),
            "blur": Damage(blur=blur) if self.blur_share else (),
            "motion": Damage(motion=motion, angle=math.pi / 4) if self.motion_share and not self.blur_share else (),
            "noise": Damage(noise=noise) if self.noise_share else (),
            "jpeg_low": Damage(jpeg=(low,)) if self.jpeg_share else (),
            "jpeg_middle": Damage(jpeg=((low + high) // 2,)) if self.jpeg_share else (),
        }
        if self.blur_share and self.noise_share and self.jpeg_share:
            kinds["mixed"] = Damage(blur=blur, noise=noise, jpeg=((low + high) // 2,))
        return {name: damage for name, damage in kinds.items() if damage != ()} or {"clean": None}


PRESETS = {
    "bicubic": Degradation(),
    "photo": Degradation(
        clean=0.3, kernels=tuple(KERNELS), blur_share=0.5, motion_share=0.2, noise_share=0.4, jpeg_share=0.85
    ),
}


def shrink(hr: np.ndarray, scale: int, kernel: str = "bicubic", blur: float = 0.0) -> np.ndarray:
    """Blur HR by a Gaussian of sigma `blur` LR pixels and shrink it: uint8 [sH, sW, 3] -> uint8 [H, W, 3]."""
    image = Image.fromarray(hr)
    size = image.width // scale, image.height // scale
    if blur:
        # Blur at twice the resolution of LR: a quarter of the work, without a visible difference in LR.
        factor = max(1, scale // 2)
        image = (image.reduce(factor) if factor > 1 else image).filter(ImageFilter.GaussianBlur(blur * scale / factor))
    return np.asarray(image.resize(size, KERNELS[kernel]))


def as_jpeg(picture: np.ndarray, quality: int, *, subsampled: bool = True) -> np.ndarray:
    """Compress a picture, uint8 [H, W, 3], as JPEG and decode it again."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    return np.asarray(Image.open(file))


def patch_side(side: int) -> int:
    """LR side of the patch that a damaged crop of LR side `side` is cut out of."""
    return side + BLOCK + 2 * REACH


def damaged_crop(patch, damage, scale, side, rng):
    """Damage a patch and cut a crop out of it, so that the damage does not depend on the crop's position.

    If crops were compressed directly, a JPEG block would always start at their corner, and the network would learn
    the positions of the blocks from the border of the crop.

    Args:
        patch: HR uint8 [scale H, scale W, 3]; H and W at least `side`, preferably `patch_side(side)`.
        damage: a `Damage`.
        scale: the factor between LR and HR.
        side: LR side of the crop.
        rng: a `numpy.random.Generator`.

    Returns:
        LR uint8 [side, side, 3] and HR uint8 [scale side, scale side, 3].
    """
    lr = damage.apply(patch, scale, rng)
    y, x = (_offset(n - side, rng) for n in lr.shape[:2])
    return lr[y : y + side, x : x + side], patch[y * scale : (y + side) * scale, x * scale : (x + side) * scale]


def parse(text: str) -> Degradation:
    """Parse the value of `--degradation`: the name of a preset, a preset with changes, or changes alone.

    "photo,jpeg=50:95,noise_share=0" changes a preset. Without a preset, or with "bicubic", all other damage is off:
    "jpeg=30:95" only compresses every crop.

    Raises:
        UserError: for an unknown name or an invalid value.
    """
    first, *changes = text.split(",")
    degradation = PRESETS.get(first)
    if degradation is None:
        degradation, changes = PRESETS["bicubic"], [first, *changes]
    if changes and degradation == PRESETS["bicubic"]:
        degradation = dataclasses.replace(degradation, clean=0.0)
    defaults = {field.name: field.default for field in dataclasses.fields(Degradation) if field.name != "kernels"}
    found = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in defaults:
            raise UserError(
                f"--degradation: {name!r} is unknown. Use one of {', '.join(PRESETS)}, or NAME=VALUE with a NAME of "
                f"{', '.join(defaults)}."
            )
        try:
            found[name] = _value(value, name, defaults[name])
        except ValueError:
            form = f"LOW:HIGH, from 0 to {LIMITS[name]}" if name in LIMITS else "SHARE, from 0 to 1"
            raise UserError(f"--degradation: {change!r} is not valid. Write {name}={form}.") from None
        share = f"{name}_share"
        if share in defaults and not getattr(degradation, share):
            found.setdefault(share, 1.0)
    return dataclasses.replace(degradation, **found)


LIMITS = {"blur": 3, "motion": 1, "noise": 100, "jpeg": 95}


def _value(text, name, default):
    """A share, or a range of two numbers of the default's type; ValueError for anything else."""
    if name not in LIMITS:
        share = float(text)
        if not 0 <= share <= 1:
            raise ValueError(text)
        return share
    low, high = (type(default[0])(number) for number in text.split(":"))
    if not (name == "jpeg") <= low <= high <= LIMITS[name]:
        raise ValueError(text)
    return low, high


def _offset(spare, rng):
    """The offset of a crop, at least REACH from the border of the patch if there is enough space."""
    inner = spare - 2 * REACH
    return REACH + int(rng.integers(inner)) if inner > 0 else int(rng.integers(spare + 1))


def _motion_filter(sigma, angle):
    """5 x 5 taps of a Gaussian along a line, a third of a pixel wide."""
    y, x = np.mgrid[-2:3, -2:3]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    taps = np.exp(-0.5 * ((along / max(sigma, 1 / 3)) ** 2 + (across * 3) ** 2))
    return ImageFilter.Kernel((5, 5), (taps / taps.sum()).ravel().tolist())
