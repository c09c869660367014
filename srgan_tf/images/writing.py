"""Picture files out: a picture in the format of a suffix, whole or not at all."""

import contextlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.atomic import whole_file
from srgan_tf.errors import UserError
from srgan_tf.images import formats, metadata, png, tiff
from srgan_tf.images.palettes import with_palette


def write(path, picture):
    """Write a picture in the format of the path's suffix, at once or not at all.

    JPEG has quality 95 and no chroma subsampling. What its file said goes along where the format holds it.

    Returns:
        A tuple of what the format could not hold and is worth telling, such as 16 bits a channel.

    Raises:
        UserError: as `formats.check_fits`, and for a place that cannot be written.
    """
    kind = formats.check_fits(path, *picture.pixels.shape[:2], picture)
    picture, notes = formats.fitted(picture, kind)
    with written(path) as file:
        if kind == "TIFF":
            tags = metadata.tags_for(kind, picture)
            tiff.write(file, picture.array(), tags=tags, icc=picture.icc, dpi=picture.dpi, xmp=picture.xmp)
        elif picture.pixels.dtype == np.uint16:
            file.write(
                png.encode(
                    picture.array(),
                    exif=picture.exif,
                    icc=picture.icc,
                    dpi=picture.dpi,
                    xmp=picture.xmp,
                    texts=picture.texts,
                    colours=picture.colours,
                )
            )
        else:
            image = as_image(picture)
            if kind == "GIF" and image.mode != "L":
                image, same = with_palette(image)
                notes += () if same else ("reduced to 255 colours",)
            image.save(file, kind, **formats.save_options(kind, picture))
    return notes


@contextlib.contextmanager
def written(path):
    """A binary file to write a picture to, which takes its place when it is whole; UserError when it cannot."""
    try:
        with whole_file(path) as file:
            yield file
    except (OSError, ValueError, OverflowError, RuntimeError, struct.error) as error:
        if reason := getattr(error, "strerror", None):
            raise UserError(f"the picture cannot be written ({reason}), {path}, choose another place") from None
        # Pillow's own: the format has no room for it
        other = "choose another format" if Path(path).suffix.lower() == ".png" else "choose .png"
        raise UserError(f"the picture cannot be written ({_one_line(error)}), {path}, {other}") from None


def as_image(picture):
    """A picture of 8 bits a channel as Pillow's image: L, LA, RGB or RGBA."""
    array = picture.array()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__
