"""Picture files in and out: modes, depth, alpha, EXIF, ICC. Pillow and NumPy; knows nothing of networks."""
import dataclasses
import io
import math
import os
import secrets
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from srgan_tf.errors import UserError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF",
           ".tiff": "TIFF"}  # what is written, by suffix; more can be read
MAX_PIXELS = 175_000_000  # above, a file of a few kilobytes could fill the memory; Pillow's own limit is near

_CHANNELS = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA",
             "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}  # Pillow's mode -> ours
_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "TIFF": {"compression": "tiff_lzw"}}
_WITH_ALPHA = ("PNG", "WEBP", "TIFF")
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and what its file said about it.

    pixels: uint8 [H, W, 3], RGB; three equal channels in a grey picture.
    alpha: uint8 [H, W], 0 is transparent; None where there is none.
    grey: whether the file is greyscale, and is to stay so.
    exif: as in the file, but for the orientation, which is applied already; None where there is none.
    icc: the colour profile of the pixels; None where there is none.
    dpi: dots an inch, (x, y); None where the file says nothing.
    notes: what was changed on the way in and is worth telling, such as a conversion of colours.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def read(path):
    """The picture in a file; its content tells the format, not its name.

    Palettes become RGB, CMYK becomes sRGB, the EXIF orientation is applied.

    Raises:
        UserError: for a file that is missing, no picture, damaged, animated, or above `MAX_PIXELS`, and for what
            8 bits a channel would not hold (16-bit and floating-point pictures).
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"a folder is no picture, {path}, give a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: doubtful files are judged below or by their pixels
            with Image.open(path) as image:
                _check(image, path)
                image.load()
                return _picture(image)
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
        raise UserError(f"{what}, {path}, give a PNG, JPEG, WebP, BMP or TIFF file") from None
    except Exception as error:  # damaged files make Pillow's decoders raise almost anything
        raise UserError(f"the picture is damaged ({_one_line(error)}), {path}, get it again") from None


def write(path, picture):
    """Write a picture in the format of the path's suffix, at once or not at all.

    It is written beside its place and renamed into it. JPEG has quality 95 and no chroma subsampling. EXIF, ICC
    profile and DPI go along where the format holds them.

    Raises:
        UserError: as `check_fits`, and for a place that cannot be written.
    """
    path = Path(path)
    check_fits(path, *picture.pixels.shape[:2], picture.alpha is not None)
    kind = FORMATS[path.suffix.lower()]
    options = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi}
    options = {name: value for name, value in options.items() if value is not None}
    part = path.with_name(f".{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            _image(picture).save(file, kind, **options, **_OPTIONS.get(kind, {}))
        os.replace(part, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise UserError(f"the picture cannot be written ({reason}), {path}, choose another place") from None
    finally:
        part.unlink(missing_ok=True)


def check_suffix(path):
    """Raise UserError unless the suffix of the path is one of `FORMATS`."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"the format of the result is unknown, {path}, choose one of {' '.join(FORMATS)}")


def check_fits(path, height, width, alpha):
    """Raise UserError when the path's format cannot hold a picture of that size, or no alpha when it has some."""
    check_suffix(path)
    kind = FORMATS[Path(path).suffix.lower()]
    if alpha and kind not in _WITH_ALPHA:
        raise UserError(f"{kind} holds no transparency, {path}, choose .png or .webp")
    if max(height, width) > _LONGEST_SIDE.get(kind, math.inf):
        raise UserError(f"{width} x {height} pixels are too many for {kind}, {path}, choose .png or .tif")


def _check(image, path):
    """Refuse what would come out silently wrong; the file's header is read, its pixels are not yet."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(path))
    # A multi-picture JPEG file (MPO) is a photograph with a preview or a second view behind it.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise UserError(f"the file holds {image.n_frames} pictures, {path}, split it into single ones")
    if image.mode[0] in "IF" or _raw_depth(image) == 16:
        raise UserError(f"the picture has more than 8 bits a channel, {path}, save it with 8 bits a channel")
    if image.mode not in _CHANNELS:
        raise UserError(f"pictures of type {image.mode} cannot be read, {path}, save it as RGB")


def _raw_depth(image):
    """Bits a channel in the file: Pillow gives RGB of 16 bits as RGB of 8 without a word."""
    for *_, arguments in image.tile:
        raw = arguments if isinstance(arguments, str) else arguments and arguments[0]
        if isinstance(raw, str) and ";16" in raw:
            return 16
    return 8


def _picture(image):
    notes = ()
    icc = image.info.get("icc_profile")
    dpi = image.info.get("dpi")
    exif, orientation = _exif(image)
    if image.mode == "CMYK":
        image, icc, notes = _from_cmyk(image, icc), None, ("converted from CMYK to sRGB",)
    channels = _CHANNELS[image.mode]
    if image.has_transparency_data and not channels.endswith("A"):
        channels += "A"
    if image.mode in ("1", "PA"):  # Pillow cannot take these two to every mode in one step
        image = image.convert({"1": "L", "PA": "RGBA"}[image.mode])
    image = image.convert(channels)
    if orientation != 1:
        image = _upright(image, orientation)
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    alpha = np.ascontiguousarray(array[..., -1]) if channels.endswith("A") else None
    grey = channels.startswith("L")
    pixels = np.repeat(array[..., :1], 3, axis=2) if grey else np.ascontiguousarray(array[..., :3])
    dpi = tuple(float(x) for x in dpi) if dpi and min(dpi) > 1 else None  # 1: a TIFF file without a unit
    return Picture(pixels, alpha, grey, exif, icc, dpi, notes)


def _exif(image):
    """EXIF data without its orientation, and the orientation. The tags of a TIFF file describe itself: not kept."""
    tags = image.getexif()
    orientation = tags.get(_ORIENTATION, 1)
    exif = image.info.get("exif")
    if exif and _ORIENTATION in tags:
        del tags[_ORIENTATION]
        exif = tags.tobytes()
    return exif or None, orientation


def _upright(image, orientation):
    carrier = image.copy()
    carrier.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(carrier)


def _from_cmyk(image, icc):
    if icc:
        try:
            return ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB")
        except ImageCms.PyCMSError:
            pass  # a profile that does not fit is no reason to refuse the picture
    return image.convert("RGB")


def _image(picture):
    colour = Image.fromarray(np.ascontiguousarray(picture.pixels[..., 0] if picture.grey else picture.pixels))
    if picture.alpha is not None:
        colour.putalpha(Image.fromarray(np.ascontiguousarray(picture.alpha)))
    return colour


def _too_large(path):
    return f"the picture has more than {MAX_PIXELS // 10**6} megapixels, {path}, cut it into parts"


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__
