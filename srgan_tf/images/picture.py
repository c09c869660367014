"""A picture and the metadata of its file."""

import dataclasses

import numpy as np

from srgan_tf.images.georeference import Georeference


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and the metadata of its file.

    pixels: uint8 or uint16 [H, W, 3], RGB; three equal channels in a grey picture.
    alpha: of the same type, [H, W], 0 is transparent; None without transparency.
    grey: whether the file is greyscale, and its result is to be.
    exif: without the orientation, which is applied, and the thumbnail; None for none.
    icc: the colour profile of the pixels; None for none.
    dpi: dots per inch, (x, y); None where the file names none.
    xmp: without what `xmp.upright` leaves out; None for none.
    iptc: the captions and keywords of news agencies (IPTC IIM), as in the file; None for none.
    georeference: of a GeoTIFF file; None for none.
    texts: the chunks of a PNG file with a title, an author or how it was made: (kind, data) as in the file.
    colours: the chunks of a PNG file that define its colours, in the same way.
    comment: of a JPEG or GIF file; None for none.
    lossless: whether it comes from a WebP file that keeps every pixel; its result in WebP does, too.
    notes: for the user: what was changed or left out while reading.
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
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, array, **metadata):
        """A picture from [H, W, C]: grey, grey and alpha, RGB or RGBA."""
        grey = array.shape[2] < 3
        alpha = np.ascontiguousarray(array[..., -1]) if array.shape[2] in (2, 4) else None
        pixels = np.repeat(array[..., :1], 3, axis=2) if grey else np.ascontiguousarray(array[..., :3])
        return cls(pixels, alpha, grey, **metadata)

    def array(self):
        """[H, W, C]: grey, grey and alpha, RGB or RGBA."""
        colour = self.pixels[..., :1] if self.grey else self.pixels
        return np.ascontiguousarray(colour if self.alpha is None else np.dstack([colour, self.alpha]))
