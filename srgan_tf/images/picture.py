"""A picture and the metadata of its file."""

import dataclasses

import numpy as np

from srgan_tf.images.georeference import Georeference


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and the metadata of its file.

    pixels: uint8 or uint16 [H, W, 3], RGB; three equal channels in a grey picture.
    alpha: the same type, [H, W], 0 is transparent; None without transparency.
    grey: whether the file is greyscale; its result is then greyscale, too.
    exif: EXIF data without the orientation, which is applied, and the thumbnail; None if absent.
    icc: the colour profile of the pixels; None if absent.
    dpi: dots per inch, (x, y); None if not specified.
    xmp: XMP as returned by `xmp.upright`; None if absent.
    iptc: the unchanged captions and keywords of news agencies (IPTC IIM); None if absent.
    georeference: the georeference of a GeoTIFF file; None if absent.
    texts: the unchanged text chunks of a PNG file, such as title, author and software: (kind, data).
    colours: the unchanged chunks of a PNG file that define its colours: (kind, data).
    comment: the comment of a JPEG or GIF file; None if absent.
    lossless: whether the picture comes from a lossless WebP file; a WebP result is then lossless, too.
    lossy: whether the file was compressed with loss, as JPEG files are.
    notes: notes for the user about what was changed or dropped while reading.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    georeference: Georeference | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()
    colours: tuple[tuple[bytes, bytes], ...] = ()
    comment: bytes | None = None
    lossless: bool = False
    lossy: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, array, **metadata):
        """Make a picture from [H, W, C]: grey, grey and alpha, RGB or RGBA."""
        grey = array.shape[2] < 3
        alpha = np.ascontiguousarray(array[..., -1]) if array.shape[2] in (2, 4) else None
        pixels = np.repeat(array[..., :1], 3, axis=2) if grey else np.ascontiguousarray(array[..., :3])
        return cls(pixels, alpha, grey, **metadata)

    def array(self):
        """The picture as [H, W, C]: grey, grey and alpha, RGB or RGBA."""
        colour = self.pixels[..., :1] if self.grey else self.pixels
        return np.ascontiguousarray(colour if self.alpha is None else np.dstack([colour, self.alpha]))
