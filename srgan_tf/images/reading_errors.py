"""One-line error messages for picture files that are missing, unreadable, unsupported or damaged."""

import contextlib
import re
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from srgan_tf.errors import UserError, reason
from srgan_tf.images import formats

MAX_PIXELS = 175_000_000  # a file of a few kilobytes could contain more and fill the memory; like Pillow's limit
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# File formats by their first bytes, to name formats that Pillow recognises but may not support.
_SIGNATURES = {
    b"BM": "BMP",
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"8BPS": "PSD",
    b"DDS ": "DDS",
    b"\0\0\0\x0cjP": "JPEG 2000",
    **dict.fromkeys(TIFF_SIGNATURES, "TIFF"),
}
_UNSUPPORTED = re.compile("unsupported|not (yet )?(supported|implemented)|unimplemented|unrecognized|unknown", re.I)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")
_JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL ")


@contextlib.contextmanager
def errors_named(path):
    """Convert exceptions for missing, unreadable, unsupported or damaged files into a `UserError`."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's
            yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Check its name.") from None
    except PermissionError:
        raise UserError(f"{path}: no permission to read the file. Check its permissions.") from None
    except Image.DecompressionBombError:
        raise UserError(too_large(path)) from None
    except UnidentifiedImageError:
        raise UserError(_unidentified(path)) from None
    except MemoryError:
        raise UserError(f"{path}: not enough memory for the picture. Cut it into parts.") from None
    except OSError as error:
        if not error.errno:  # one of Pillow's own
            raise UserError(_unreadable(error, path)) from None
        raise UserError(f"{path}: the file cannot be read ({error.strerror}). Check it and its disk.") from None
    except Exception as error:  # damaged files make Pillow's decoders raise almost anything
        raise UserError(_unreadable(error, path)) from None


def too_large(path) -> str:
    """The error line for a picture with more than `MAX_PIXELS`."""
    return f"{path}: more than {MAX_PIXELS // 10**6} megapixels. Cut it into parts."


def _unidentified(path):
    with open(path, "rb") as file:
        head = file.read(12)
    if not head:
        return f"{path}: the file is empty. Get it again."
    kind = _kind(head)
    if kind and (kind != "WebP" or head[8:] == b"WEBP"):
        return f"{path}: damaged (not a complete {kind} file). Get it again."
    plugin = "pillow-heif" if head[4:8] == b"ftyp" and head[8:] in _HEIF_BRANDS else None
    plugin = "pillow-jxl-plugin" if head.startswith(_JXL_SIGNATURES) else plugin
    plugin = plugin or formats.missing_plugin(path)
    if plugin and plugin in formats.missing_plugins():
        return f"{path}: this format needs {plugin}. Run pip install {plugin}."
    return f"{path}: not an image. Supported: {formats.SUPPORTED}."


def _kind(head):
    return next((kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)), None)


def _unreadable(error, path):
    """The error line for a decoder's exception, which distinguishes unsupported from damaged files."""
    if _UNSUPPORTED.search(str(error)) or isinstance(error, NotImplementedError):
        with open(path, "rb") as file:
            head = file.read(12)
        return f"{path}: this kind of {_kind(head) or 'file'} is not supported ({reason(error)}). Convert it to PNG."
    return f"{path}: damaged ({reason(error)}). Get it again."
