"""Writing picture files atomically, in the format of their suffix."""

import contextlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.atomic import whole_file
from srgan_tf.errors import UserError, reason
from srgan_tf.images import formats, metadata, png, tiff
from srgan_tf.images.options import FileOptions
from srgan_tf.images.palettes import with_palette

_DEFAULT = FileOptions()


def write(path, picture, options=_DEFAULT):
    """Write a picture atomically, in the format of the path's suffix.

    Metadata is written if the format supports it. JPEG has quality 95 by default and no chroma subsampling.

    Args:
        path: the file to write.
        picture: a `picture.Picture`.
        options: an `options.FileOptions`.

    Returns:
        Notes about what the format cannot store, such as 16 bits per channel.

    Raises:
        UserError: as `formats.check_fits`, and if the file cannot be written.
    """
    kind = formats.check_fits(path, *picture.pixels.shape[:2], picture)
    picture, notes = formats.fitted(picture, kind)
    with written(path) as file:
        if kind == "TIFF":
            fields = ("icc", "dpi", "xmp", "iptc", "georeference")
            kept = {field: getattr(picture, field) for field in fields}
            tiff.write(file, picture.array(), tags=metadata.tags_for(kind, picture), **kept)
        elif picture.pixels.dtype == np.uint16:
            fields = ("exif", "icc", "dpi", "xmp", "texts", "colours")
            file.write(png.encode(picture.array(), **{field: getattr(picture, field) for field in fields}))
        else:
            image = as_image(picture)
            if kind == "GIF" and image.mode != "L":
                image, changed = with_palette(image)
                notes += changed
            image.save(file, kind, **formats.save_options(kind, picture, options.quality))
    return notes


@contextlib.contextmanager
def written(path):
    """A binary file that appears at the path when it is complete; UserError if it cannot be written."""
    try:
        with whole_file(path) as file:
            yield file
    except (OSError, ValueError, OverflowError, RuntimeError, struct.error) as error:
        if getattr(error, "strerror", None):
            raise UserError(f"{path}: the picture cannot be written ({reason(error)}). Choose another place.") from None
        # An error of Pillow itself: the format cannot store the picture.
        other = "Choose another format." if Path(path).suffix.lower() == ".png" else "Choose .png."
        raise UserError(f"{path}: the picture cannot be written ({reason(error)}). {other}") from None


def as_image(picture):
    """Convert a picture with 8 bits per channel to a Pillow image: L, LA, RGB or RGBA."""
    array = picture.array()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
