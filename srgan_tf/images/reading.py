"""Picture files in: modes, depth, alpha, what they say. Pillow and NumPy; knows nothing of networks."""

import contextlib
import dataclasses
import functools
import io
import os
import stat
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from srgan_tf.errors import UserError
from srgan_tf.images import metadata, png, tiff, xmp
from srgan_tf.images.picture import Picture

MAX_PIXELS = 175_000_000  # above, a file of a few kilobytes could fill the memory; Pillow's own limit is near
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
}  # Pillow's mode -> ours
_DAMAGED_EXIF = ("without its EXIF data, which is damaged",)
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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
    """The picture in a file; its content tells the format, not its name.

    Palettes become RGB, CMYK becomes sRGB, the EXIF orientation is applied. PNG and TIFF files keep 16 bits a channel.

    Raises:
        UserError: for a file that is missing, no picture, damaged, animated, of several pages, or above `MAX_PIXELS`,
            and for types that would not be kept (32 bits, floating point).
    """
    with opened(path) as file:
        return file.picture()


@contextlib.contextmanager
def opened(path):
    """An open `PictureFile`, its header parsed and checked. The file is opened and its chunks are scanned once.

    Raises:
        UserError: as `read`.
    """
    with errors_named(path):
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise UserError(
                f"{'a folder' if os.path.isdir(path) else 'a device or pipe'} is no picture, {path}, give a file"
            )
        file = open(path, "rb")
    with file:
        with errors_named(path):
            opened_file = PictureFile(path, file, png.scan(file))
            opened_file.rewind()
        yield opened_file


@contextlib.contextmanager
def errors_named(path):
    """Turn what the block raises because a file is missing, unreadable or damaged into a `UserError`."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: doubtful files are judged below or by their pixels
            yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"no such file, {path}, check its name") from None
    except PermissionError:
        raise UserError(f"the file may not be read, {path}, check its permissions") from None
    except Image.DecompressionBombError:
        raise UserError(_too_large(path)) from None
    except UnidentifiedImageError:
        what = "the file is empty" if path.stat().st_size == 0 else "the file is no picture that Pillow knows"
        raise UserError(f"{what}, {path}, give a PNG, JPEG, WebP, BMP, TIFF or GIF file") from None
    except MemoryError:
        raise UserError(f"there is not enough memory for the picture, {path}, cut it into parts") from None
    except OSError as error:
        if not error.errno:  # one of Pillow's own
            raise UserError(_damaged(error, path)) from None
        raise UserError(f"the file cannot be read ({error.strerror}), {path}, check it and its disk") from None
    except Exception as error:  # damaged files make Pillow's decoders raise almost anything
        raise UserError(_damaged(error, path)) from None


@dataclasses.dataclass
class PictureFile:
    """An open file with one picture or several, as `opened` gives it.

    path: of the file, for messages.
    file: binary, open for reading.
    chunks: the `png.Chunks` of a PNG file; without any for other formats.
    image: Pillow's image, its header parsed; None for a TIFF file of a kind that Pillow does not know.
    """

    path: object
    file: BinaryIO
    chunks: png.Chunks
    image: Image.Image | None = None

    def rewind(self):
        """Let Pillow parse the header again: seeking back from a later frame may lose the palette of a PNG file."""
        self.image = _open(self.chunks.without_long_texts(self.file), self.file)
        if self.image is not None:
            _check(self.image, self.path)
            _spread_transparency(self.image)

    @functools.cached_property
    def count(self):
        """How many pictures the file holds, without a photograph's second view (MPO) and previews in a TIFF file."""
        with errors_named(self.path):
            return 1 if self.image is None else _count_frames(self.image)

    def picture(self):
        """The `Picture` in the file, decoded.

        Raises:
            UserError: as `read`.
        """
        if self.count > 1:
            raise UserError(f"the file holds {self.count} pictures, {self.path}, split it into single ones")
        with errors_named(self.path):
            return self._deep_tiff(tiff.tags(self.file)) if self.image is None else self._picture()

    def metadata(self, turned=1):
        """What the file says beside its pixels, as fields of `Picture`, and its orientation; once the image is loaded.

        `turned` is the orientation that Pillow has applied already.
        """
        image = self.image
        fields = {
            "icc": image.info.get("icc_profile"),
            "dpi": image.info.get("dpi"),
            "notes": (),
            "lossless": image.format == "WEBP" and metadata.is_lossless(self.file),
        }
        comment, packet, orientation = image.info.get("comment"), image.info.get("xmp"), 1
        if isinstance(comment, bytes) and 0 < len(comment) <= xmp.LONGEST:
            fields["comment"] = comment
        try:
            tags = image.getexif()
            fields["dpi"], packet = fields["dpi"] or metadata.dpi(tags), packet or tags.get(metadata.XMP)
            orientation = metadata.orientation(tags)
            fields["exif"] = metadata.exif(tags, from_tiff=image.format == "TIFF")
        except Exception:  # Pillow's, of many kinds
            fields["notes"] += _DAMAGED_EXIF
        applied = orientation if turned == 1 else turned
        fields["xmp"], notes = xmp.upright(packet, turned=applied != 1)
        fields["notes"] += notes
        fields["colours"], fields["texts"] = self.chunks.colours, self.chunks.texts
        fields["notes"] += ("without texts that are too long",) if self.chunks.long else ()
        fields["dpi"] = metadata.sound(fields["dpi"], applied)
        return fields, orientation

    def _picture(self):
        image = self.image
        deep, transparent = depth(image) > 8, image.info.get("transparency")
        if deep and image.format == "TIFF" and (depth(image) < 16 or image.mode in ("RGB", "RGBA", "RGBX")):
            return self._deep_tiff(image.getexif())
        turned = 1
        if image.format == "TIFF":
            tags = image.getexif()
            turned = metadata.orientation(tags)  # Pillow applies it when it loads the image
            with contextlib.suppress(Exception):  # what is wrong with them is told below
                tiff.load_folders(tags)
        image.load()  # the chunks behind the pixels, too
        fields, orientation = self.metadata(turned)
        if image.mode == "CMYK":
            image, fields["icc"] = _from_cmyk(image, fields["icc"]), None
            fields["notes"] += ("cut to 8 bits a channel",) * deep + ("converted from CMYK to sRGB",)
            deep = False
        if deep and image.format == "PNG":
            array = png.decode(self.chunks.without_long_texts(self.file).read(), transparent)
        elif image.mode.startswith("I;16"):
            array = np.asarray(image).astype(np.uint16)[..., None]
            if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # 0 is white, which Pillow heeds in 8 bits only
                array = 65535 - array
        else:
            array = eight_bits(image)
        return Picture.of(UPRIGHT[orientation](array), **fields)

    def _deep_tiff(self, tags):
        icc, packet, orientation, dpi, exif, notes = tags.get(34675), tags.get(metadata.XMP), 1, None, None, ()
        try:
            orientation = metadata.orientation(tags)
            dpi = metadata.sound(metadata.dpi(tags), orientation)
            exif = metadata.exif(tags, from_tiff=True)
        except Exception:  # Pillow's, of many kinds
            notes = _DAMAGED_EXIF
        packet, others = xmp.upright(packet, turned=orientation != 1)
        return Picture.of(
            UPRIGHT[orientation](tiff.decode(self.file, self.path, MAX_PIXELS)),
            icc=icc,
            dpi=dpi,
            exif=exif,
            xmp=packet,
            notes=notes + others,
        )


def eight_bits(image):
    """[H, W, C] of an image of Pillow's in 8 bits a channel: grey, grey and alpha, RGB or RGBA."""
    channels, palette = _CHANNELS[image.mode], image.mode in ("P", "PA")
    if image.has_transparency_data and not channels.endswith("A"):
        channels += "A"
    if image.mode in ("1", "PA"):  # Pillow cannot take these two to every mode in one step
        image = image.convert({"1": "L", "PA": "RGBA"}[image.mode])
    array = np.asarray(image.convert(channels))
    array = array[..., None] if array.ndim == 2 else array
    if palette and not has_rgb_profile(image) and (array[..., :1] == array[..., 1:3]).all():
        array = array[..., [0, *range(3, array.shape[2])]]
    return array


def has_rgb_profile(image):
    """Whether a profile says what the colours are: it does not fit a grey file, however grey they all are."""
    return (image.info.get("icc_profile") or b"")[16:20] == b"RGB "


def _open(content, file):
    """Pillow's image of a file's content; None for a TIFF file of a kind that Pillow does not know."""
    try:
        return Image.open(content)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(4) not in _TIFF_SIGNATURES:
            raise
        return None


def _count_frames(image):
    try:
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except (SyntaxError, KeyError):  # Pillow does not know a later page
        if image.format != "TIFF":
            raise
        return 2  # or more
    if image.format == "TIFF" and count > 1:
        for i in range(image.n_frames):
            image.seek(i)
            count -= image.tag_v2.get(254, 0) & 1
        image.seek(0)
    return count


def _check(image, path):
    """Refuse what would come out silently wrong; the file's header is read, its pixels are not yet."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(path))
    if image.format == "TIFF" and image.tag_v2.get(254, 0) & 1:  # such as a camera's raw data
        raise UserError(f"only a preview of the picture can be read, {path}, develop it and save it as TIFF")
    kept = image.format in ("PNG", "TIFF") or image.mode.startswith("I;16")
    if image.mode in ("I", "F") or depth(image) > 16 or depth(image) > 8 and not kept:
        raise UserError(
            f"the picture's channels are of a type that would not be kept, {path}, save it with 8 bits a "
            "channel, or as PNG or TIFF with 16"
        )
    if image.mode not in _CHANNELS and not image.mode.startswith("I;16"):
        raise UserError(f"pictures of type {image.mode} cannot be read, {path}, save it as RGB")


def _spread_transparency(image):
    """Pillow spreads grey of 2 and 4 bits over 0 to 255, but not the grey that is transparent."""
    grey = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(grey, int) and image.tile:
        image.info["transparency"] = grey * {"L;2": 85, "L;4": 17}.get(image.tile[0][-1], 1)


def depth(image):
    """8 for up to 8 bits a channel, else the number of bits: Pillow gives RGB of 16 bits as RGB of 8 without a word."""
    if image.format == "TIFF":
        return max(8, *image.tag_v2.get(258, (1,)))
    for *_, arguments in image.tile:
        raw = arguments if isinstance(arguments, str) else arguments and arguments[0]
        if (
            isinstance(raw, str)
            and ";16" in raw
            and raw != "BGR;16"
            or (  # that is 5, 6 and 5 bits
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
            pass  # a profile that does not fit is no reason to refuse the picture
    return image.convert("RGB")


def _too_large(path):
    return f"the picture has more than {MAX_PIXELS // 10**6} megapixels, {path}, cut it into parts"


def _damaged(error, path):
    return f"the picture is damaged ({_one_line(error)}), {path}, get it again"


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__
