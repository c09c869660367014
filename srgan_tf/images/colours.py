"""Conversion to sRGB, for formats that cannot store a colour profile."""

import io

import numpy as np
from PIL import Image, ImageCms

_SAME = 1  # levels: the tolerance between conversions with equal profiles


def to_srgb(pixels: np.ndarray, icc: bytes) -> np.ndarray | None:
    """Convert colours to sRGB.

    Args:
        pixels: uint8 [H, W, 3]; a grey picture has three equal channels.
        icc: the ICC profile of the pixels, RGB or grey.

    Returns:
        uint8 [H, W, 3], the input array itself if the profile is sRGB; None if the profile cannot be applied.
    """
    grey = icc[16:20] == b"GRAY"
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    result = np.array(converted)
    if grey:  # neutral up to rounding
        result = np.repeat(result[..., 1:2], 3, axis=2)
    same = all(
        (np.abs(result[i : i + 256].astype(np.int16) - pixels[i : i + 256]) <= _SAME).all()
        for i in range(0, len(pixels), 256)
    )
    return pixels if same else result
