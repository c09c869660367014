"""Reading picture files with Pillow: pixels, depth, alpha and metadata."""

import contextlib
import dataclasses
import functools
import io
import os
import stat
import threading
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from srgan_tf.errors import UserError
from srgan_tf.images import deep, formats, georeference, metadata, png, tiff, xmp
from srgan_tf.images.picture import Picture
from srgan_tf.images.reading_errors import MAX_PIXELS, TIFF_SIGNATURES, errors_named, too_large

_CHANNELS = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
}  # by Pillow's mode
# The number of TIFF channels that each Pillow mode uses.
_BANDS = {"1": 1, "L": 1, "P": 1, "I;16": 1, "I;16B": 1, "LA": 2, "PA": 2, "RGB": 3, "RGBX": 3, "YCbCr": 3, "LAB": 3}
_GAIN_MAP = b"urn:iso:std:iso:ts:21496"  # of JPEG files, in an APP2 segment
_DAMAGED_EXIF = ("without its EXIF data, which is damaged",)
_TRUNCATED = threading.Lock()  # around Pillow's global setting
_MISSING_END = 16  # trailing zero bytes that indicate an incomplete JPEG file
UPRIGHT = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x.swapaxes(0, 1), 2),
    8: np.rot90,
}  # by orientation


def read(path):
    """Read the picture in a file. The format is determined by the content, not by the name.

    Palettes are converted to RGB, CMYK to sRGB, and the EXIF orientation is applied. 16 bits per channel are kept.

    Raises:
        UserError: for a file that is missing, not a picture, damaged, animated, has several pages, or is too large,
            and for unsupported types (signed, 32 bits, floating point).
    """
    with opened(path) as file:
        return file.picture()


@contextlib.contextmanager
def opened(path, *, keep_damaged=False):
    """Open a file as a `PictureFile` and check its header. The file is opened and its chunks are scanned once.

    Args:
        path: the file to read.
        keep_damaged: whether the readable part of a truncated JPEG file is used; otherwise the file is rejected.

    Raises:
        UserError: as `read`.
    """
    with errors_named(path):
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe might block
            if os.path.isdir(path):
                raise UserError(f"{path}: a folder, not a picture. Give a file.")
            raise UserError(f"{path}: a device or pipe, not a picture. Give a file, or - for standard input.")
        file = open(path, "rb")
    with file:
        with errors_named(path):
            opened_file = PictureFile(path, file, png.scan(file), keep_damaged=keep_damaged)
            opened_file.rewind()
        yield opened_file


@dataclasses.dataclass
class PictureFile:
    """An open file with one or more pictures, as returned by `opened`.

    path: the path of the file, for messages.
    file: the binary file, open for reading.
    chunks: the `png.Chunks` of a PNG file; empty for other formats.
    image: the Pillow image with a parsed header; None for a TIFF file that Pillow does not support.
    depth: bits per channel; 8 if fewer.
    keep_damaged: as in `opened`.
    """

    path: object
    file: BinaryIO
    chunks: png.Chunks
    image: Image.Image | None = None
    depth: int = 8
    keep_damaged: bool = False

    def rewind(self):
        """Make Pillow parse the header again: seeking back from a later frame may lose the palette of a PNG file."""
        self.image = _open(self.chunks.without_long_texts(self.file), self.file)
        if self.image is not None:
            self.depth = max(depth(self.image), deep.bits(self.image, self.file))
            _check(self.image, self.depth, self.path)
            _spread_transparency(self.image)

    @functools.cached_property
    def _pages(self):
        return tiff.page_types(self.file)

    @functools.cached_property
    def count(self):
        """The number of pictures, without second views (MPO), layers, previews, masks and default images of PNG."""
        with errors_named(self.path):
            image = self.image
            if image is None or image.format in ("MPO", "PSD"):
                return 1
            if image.format == "TIFF":
                return sum(not kind & tiff.SECONDARY for kind in self._pages) or 1
            return getattr(image, "n_frames", 1) - bool(getattr(image, "default_image", False))

    @functools.cached_property
    def shape(self):
        """(height, width) of the upright picture, according to the header."""
        with errors_named(self.path):
            tags = tiff.tags(self.file) if self.image is None else self.image.getexif()
            width, height = tiff.size(self.file) if self.image is None else self.image.size
        turned = metadata.orientation(tags) > 4 and getattr(self.image, "format", None) != "JXL"  # applied already
        return (width, height) if turned else (height, width)

    def picture(self):
        """Decode the file as a `Picture`.

        Raises:
            UserError: as `read`.
        """
        if self.count > 1:
            raise UserError(f"{self.path}: the file holds {self.count} pictures. Split it into single ones.")
        with errors_named(self.path):
            return self._deep_tiff(tiff.tags(self.file)) if self.image is None else self._picture()

    def _load(self):
        """Decode the image. Returns a tuple of notes about damage that was ignored."""
        is_jpeg = self.image.format in ("JPEG", "MPO")
        try:
            self.image.load()
            if is_jpeg and _end_is_missing(self.file):
                raise ValueError("its end is missing, with zero bytes in its place")
            return ()
        except (OSError, ValueError):
            if not (is_jpeg and self.keep_damaged):
                raise
        self.rewind()
        with _TRUNCATED:
            ImageFile.LOAD_TRUNCATED_IMAGES = True
            try:
                self.image.load()
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = False
        return ("damaged: the part that cannot be decoded is grey",)

    def metadata(self, turned=1):
        """The metadata of the loaded image, as fields of `Picture`, and its orientation.

        Args:
            turned: the orientation that Pillow has already applied.
        """
        image = self.image
        fields = {
            "icc": image.info.get("icc_profile"),
            "dpi": image.info.get("dpi"),
            "notes": self._other_parts(),
            "lossless": image.format == "WEBP" and metadata.is_lossless(self.file),
        }
        jpeg_in_tiff = image.format == "TIFF" and image.info.get("compression") == "jpeg"
        fields["lossy"] = jpeg_in_tiff or image.format in formats.LOSSY and not fields["lossless"]
        comment, packet, orientation = image.info.get("comment"), image.info.get("xmp"), 1
        if image.format == "JPEG2000" and (comment or b"").startswith(b"Created by "):  # by the encoder
            comment = None
        if image.format == "GIF":
            packet = metadata.gif_xmp(self.file)
        if isinstance(comment, bytes) and 0 < len(comment) <= xmp.LONGEST:
            fields["comment"] = comment
        try:
            tags = image.getexif()
            if image.format == "JXL" and not image.jpeg:  # the decoder has applied the orientation
                tags.pop(274, None)
            fields["dpi"], packet = fields["dpi"] or metadata.dpi(tags), packet or tags.get(metadata.XMP)
            orientation = metadata.orientation(tags)
            fields["iptc"] = metadata.iptc(image, tags)
            if image.format == "TIFF":
                fields["georeference"], notes = georeference.of(tags, image.height, image.width, turned=turned != 1)
                fields["notes"] += notes
            fields["exif"] = metadata.exif(tags, from_tiff=image.format == "TIFF")
        except Exception:  # Pillow's, of many kinds
            fields["notes"] += _DAMAGED_EXIF
        applied = orientation if turned == 1 else turned
        if packet is None and self.chunks.raw_xmp is not None:
            packet = self.chunks.raw_xmp
            fields["notes"] += () if packet else ("without its XMP data, which is damaged",)
        fields["xmp"], notes = xmp.upright(packet, turned=applied != 1)
        fields["notes"] += notes
        fields["colours"], fields["texts"] = self.chunks.colours, self.chunks.texts
        fields["notes"] += ("without texts that are too long",) if self.chunks.long else ()
        fields["notes"] += ("without its content credentials",) if self.chunks.credentials else ()
        fields["dpi"] = metadata.plausible_dpi(fields["dpi"], applied)
        return fields, orientation

    def _other_parts(self):
        """Notes about other content of the file, beside the picture."""
        image = self.image
        if image.format == "MPO" and image.n_frames > 1:
            return (f"the first of {image.n_frames} pictures in the file",)
        if image.format in ("ICO", "ICNS") and len(image.info["sizes"]) > 1:
            return (f"the largest of {len(image.info['sizes'])} pictures in the file",)
        if getattr(image, "default_image", False):
            return ("without the still picture for viewers that show no animations",)
        if image.format == "PSD" and image.n_frames > 1:
            return ("layers merged",)
        if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
            return ("cut to 8 bits a channel",)
        if image.format != "TIFF":
            segments = getattr(image, "applist", ())
            gain_map = any(data.startswith(_GAIN_MAP) for _, data in segments)
            return ("without its HDR gain map",) if gain_map else ()
        return tiff.further_bands(image.tag_v2.get(277, 1) - _BANDS.get(image.mode, 4)) + self._mask_note()

    def _mask_note(self):
        return ("without its mask",) if any(kind & 4 for kind in self._pages) else ()

    def _picture(self):
        image = self.image
        is_deep, transparent = self.depth > 8, image.info.get("transparency")
        if is_deep and image.format == "TIFF" and (self.depth < 16 or image.mode in ("RGB", "RGBA", "RGBX")):
            return self._deep_tiff(image.getexif())
        turned = 1
        if image.format == "TIFF":
            tags = image.getexif()
            turned = metadata.orientation(tags)  # Pillow applies it when it loads the image
            with contextlib.suppress(Exception):  # reported below
                tiff.load_folders(tags)
        if getattr(image, "default_image", False):
            image.seek(1)  # the frame that viewers show
        damaged = self._load()  # also reads the chunks after the pixels
        image = self.image
        fields, orientation = self.metadata(turned)
        fields["notes"] += damaged
        if image.mode == "CMYK":
            image, fields["icc"] = _from_cmyk(image, fields["icc"]), None
            fields["notes"] += ("cut to 8 bits a channel",) * is_deep + ("converted from CMYK to sRGB",)
            is_deep = False
        if is_deep and image.format == "PNG":
            array = png.decode(self.chunks.without_long_texts(self.file).read(), transparent)
        elif is_deep and image.format in deep.KINDS and not image.mode.startswith("I;16"):
            self.file.seek(0)
            array = deep.decode(image.format, self.file.read(), self.depth, self.path)
        elif image.mode.startswith("I;16"):
            array = np.asarray(image).astype(np.uint16)[..., None]
            if image.format == "JPEG2000" and is_deep:  # Pillow shifts the values of 12 bits
                array = deep.spread(array >> 16 - self.depth, self.depth)
            if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # white is 0; Pillow inverts only 8 bits
                array = 65535 - array
        else:
            array = eight_bits(image)
        return Picture.of(UPRIGHT[orientation](array), **fields)

    def _deep_tiff(self, tags):
        array, notes = tiff.decode(self.file, self.path, MAX_PIXELS)
        notes += self._mask_note()
        fields, orientation = {"icc": tags.get(34675)}, 1
        packet = tags.get(metadata.XMP)
        try:
            orientation = metadata.orientation(tags)
            fields["dpi"] = metadata.plausible_dpi(metadata.dpi(tags), orientation)
            fields["iptc"] = metadata.iptc(None, tags)
            fields["georeference"], others = georeference.of(tags, *array.shape[:2], turned=orientation != 1)
            notes += others
            fields["exif"] = metadata.exif(tags, from_tiff=True)
        except Exception:  # Pillow's, of many kinds
            notes += _DAMAGED_EXIF
        fields["xmp"], others = xmp.upright(packet, turned=orientation != 1)
        return Picture.of(UPRIGHT[orientation](array), **fields, notes=notes + others)


def eight_bits(image):
    """Convert a Pillow image to uint8 [H, W, C]: grey, grey and alpha, RGB or RGBA."""
    channels, palette = _CHANNELS[image.mode], image.mode in ("P", "PA")
    if image.has_transparency_data and not channels.endswith("A"):
        channels += "A"
    if image.mode in ("1", "PA"):  # Pillow cannot convert these two directly to every mode
        image = image.convert({"1": "L", "PA": "RGBA"}[image.mode])
    array = np.asarray(image.convert(channels))
    array = array[..., None] if array.ndim == 2 else array
    if palette and not has_rgb_profile(image) and (array[..., :1] == array[..., 1:3]).all():
        array = array[..., [0, *range(3, array.shape[2])]]
    return array


def has_rgb_profile(image):
    """Whether the image has an RGB profile, which cannot be used for a grey result, even if all pixels are grey."""
    return (image.info.get("icc_profile") or b"")[16:20] == b"RGB "


def _open(content, file):
    """Open the content of a file with Pillow; None for a TIFF file that Pillow does not support."""
    formats.load_plugins()
    Image.init()
    known = [name for name in formats.READ if name in Image.OPEN]
    try:
        return Image.open(content, formats=known)
    except (UnidentifiedImageError, SyntaxError):
        file.seek(0)
        if file.read(4) not in TIFF_SIGNATURES:
            raise
        return None


def _check(image, bits, path):
    """Reject files that would be decoded incorrectly, by their headers, before the pixels are read."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(too_large(path))
    if image.format == "TIFF" and image.tag_v2.get(254, 0) & 1:  # such as a camera's raw data
        raise UserError(f"{path}: only a preview of the picture can be read. Develop it and save it as TIFF.")
    if image.format == "TIFF" and 2 in image.tag_v2.get(339, ()):
        raise UserError(f"{path}: signed channels would not be kept. Save it with unsigned ones of 8 or 16 bits.")
    kept = image.format in ("PNG", "TIFF", *deep.KINDS) or image.mode.startswith("I;16")
    if image.mode in ("I", "F") or bits > 16 or bits > 8 and not kept:
        raise UserError(
            f"{path}: channels of this type would not be kept. Save it with 8 bits a channel, or as PNG or TIFF "
            "with 16."
        )
    if image.mode not in _CHANNELS and not image.mode.startswith("I;16"):
        raise UserError(f"{path}: pictures of type {image.mode} are not supported. Save it as RGB.")


def _spread_transparency(image):
    """Scale the transparent grey value to [0, 255], as Pillow scales pixels of 2 and 4 bits."""
    grey = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(grey, int) and image.tile:
        image.info["transparency"] = grey * {"L;2": 85, "L;4": 17}.get(image.tile[0][-1], 1)


def depth(image):
    """Bits per channel in the file, 8 if fewer: Pillow silently truncates 16-bit RGB to 8 bits."""
    if image.format == "TIFF":
        return max(8, *image.tag_v2.get(258, (1,)))
    for codec, *_, arguments in image.tile:
        if codec == "SGI16":
            return 16
        raw = arguments if isinstance(arguments, str) else arguments and arguments[0]
        if (
            isinstance(raw, str)
            and ";16" in raw
            and raw != "BGR;16"
            or (  # 5, 6 and 5 bits
                image.format == "PPM" and isinstance(arguments, tuple) and arguments[1:] > (255,)
            )
        ):
            return 16
    return 8


def _from_cmyk(image, icc):
    if icc:
        try:
            return ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # ignore a profile that cannot be applied
    return image.convert("RGB")


def _end_is_missing(file):
    """Whether the end of a JPEG file is filled with zero bytes, as after an interrupted transfer."""
    file.seek(0)
    data = file.read()
    kept = data.rstrip(b"\0")
    return len(data) - len(kept) >= _MISSING_END and kept.rfind(b"\xff\xd9") < kept.rfind(b"\xff\xda")
