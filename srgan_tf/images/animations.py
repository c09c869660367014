"""Animations: GIF, WebP and PNG files of several frames, read and written frame by frame."""

import dataclasses
import io
import itertools

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import formats, reading, writing
from srgan_tf.images.options import FileOptions
from srgan_tf.images.palettes import with_palette
from srgan_tf.images.picture import Picture
from srgan_tf.images.reading_errors import errors_named

FORMATS = ("GIF", "WEBP", "PNG")
_DEFAULT = FileOptions()


@dataclasses.dataclass(frozen=True)
class Animation:
    """A file of several frames.

    file: the open `reading.PictureFile`.
    count: the number of complete frames, as a viewer shows them.
    durations: the display time of each frame, ms.
    plays: how many times the animation plays; 0 means forever.
    height, width: the size of every frame.
    alpha: whether any frame has transparent pixels.
    grey: whether all frames are grey.
    """

    file: object
    count: int
    durations: tuple[float, ...]
    plays: int
    height: int
    width: int
    alpha: bool
    grey: bool

    def frames(self):
        """Decode the frames one by one, as `picture.Picture`, while the file is open."""
        with errors_named(self.file.path):
            self.file.rewind()
            fields = None
            for array in _arrays(self.file.image):
                if not fields:
                    fields, orientation = self.file.metadata()
                array = reading.UPRIGHT[orientation](array)
                grey = array[..., :1] if self.grey else array[..., :3]
                yield Picture.of(np.dstack([grey, array[..., 3:]]) if self.alpha else grey, **fields)


def read(file):
    """Read the animation in an open `reading.PictureFile`. All frames are decoded once to determine their timing.

    Returns:
        An `Animation`; None for a file with one picture.

    Raises:
        UserError: as `reading.read`, and for pages and other sequences that are not animations.
    """
    if file.count == 1:
        return None
    image, path = file.image, file.path
    if image.format not in FORMATS:
        raise UserError(f"{path}: the file holds {file.count} pictures. Split it into single ones.")
    if reading.depth(image) == 16:
        raise UserError(f"{path}: animations with 16 bits a channel are not supported. Save it with 8.")
    with errors_named(path):
        durations, alpha, grey = [], False, not reading.has_rgb_profile(image)
        for array in _arrays(image):
            durations.append(image.info.get("duration", 0))
            alpha = alpha or bool((array[..., 3] < 255).any())
            grey = grey and bool((array[..., :1] == array[..., 1:3])[array[..., 3] > 0].all())
        height, width = reading.UPRIGHT[file.metadata()[1]](array).shape[:2]
        return Animation(file, len(durations), tuple(durations), _plays(image), height, width, alpha, grey)


def check_fits(path, animation, height, width):
    """Raise UserError if the format of the path cannot store an animation with frames of this size."""
    kind = formats.check_fits(path, height, width)
    if kind not in FORMATS:
        raise UserError(f"{path}: {kind} cannot store an animation. Choose .gif, .webp or .png.")


def write(path, animation, frames, options=_DEFAULT):
    """Write frames with the timing of an animation, atomically, in the format of the path's suffix.

    Pillow requests the frames one by one. For GIF it keeps the frames with one byte per pixel in memory, for PNG the
    complete frames. A frame that equals the previous one is merged with it.

    Args:
        path: the file to write.
        animation: an `Animation`.
        frames: an iterable of `picture.Picture`, as many as the animation has.
        options: an `options.FileOptions`.

    Returns:
        See `writing.write`.

    Raises:
        UserError: as `check_fits`, and if the file cannot be written.
    """
    kind = formats.check_suffix(path)
    notes = []
    prepared = (_frame(frame, kind, notes, options.quality) for frame in frames)
    with writing.written(path) as file:
        first, saving = next(prepared)
        durations = list(animation.durations)
        if kind == "GIF" and (rounded := _in_hundredths(durations)) != durations:
            durations = rounded
            notes.append("timed in hundredths of a second")
        saving |= {"save_all": True, "duration": durations, **_loop(kind, animation.plays)}
        if kind == "PNG":
            first.save(file, kind, append_images=[image for image, _ in prepared], **saving)
        else:
            if kind == "GIF":
                # Viewers clear frames with the transparent colour, which Pillow would remove from opaque ones.
                saving |= {"disposal": 2, "optimize": False} if animation.alpha else {"disposal": 1}
            output = io.BytesIO() if kind == "WEBP" and animation.alpha else file
            _Sequence(first, (image for image, _ in prepared), animation.count).save(output, kind, **saving)
            if output is not file:
                file.write(_marked_transparent(output.getvalue()))
    return tuple(dict.fromkeys(notes))


class _Sequence(Image.Image):
    """Provides the frames to Pillow's writers, which call `seek` from the first frame to the last.

    Each copy has its transparency, but the sequence itself only at the end. Otherwise Pillow's GIF writer would crop
    frames to their opaque part by the palette of the first frame, in which the transparent index may be black.
    """

    def __init__(self, first, others, count):
        super().__init__()
        self.n_frames = count
        self._others, self._place = others, 0
        self._show(first)

    def copy(self):
        image = super().copy()
        image.info |= self._transparency
        return image

    def seek(self, frame):
        if frame >= self.n_frames:
            self.info |= self._transparency  # Pillow reads it here if all frames are equal
            raise EOFError
        if frame == self._place + 1:
            self._place = frame
            self._show(next(self._others))

    def tell(self):
        return self._place

    def _show(self, image):
        self.__dict__.update({name: value for name, value in vars(image).items() if "encoder" not in name})
        self.info = dict(image.info)
        self._transparency = {key: self.info.pop(key) for key in ("transparency",) if key in self.info}


def _marked_transparent(data):
    """A WebP file with the flag for transparency, without which viewers show what no frame covers as opaque.

    libwebp sets it only if the frames have transparent pixels, but it crops them to what changes.
    """
    if data[12:16] != b"VP8X":  # frames that are all equal became one picture
        return data
    return data[:20] + bytes([data[20] | 0x10]) + data[21:]


def _arrays(image):
    """Yield every frame as uint8 RGBA."""
    first = 1 if getattr(image, "default_image", False) else 0  # in PNG, not part of the animation
    for i in range(first, image.n_frames):
        image.seek(i)
        image.load()
        yield np.asarray(image.convert("RGBA"))


def _plays(image):
    loop = image.info.get("loop")
    if image.format == "GIF":  # GIF stores the number of repetitions
        return 1 if loop is None else loop and loop + 1
    return loop or 0


def _loop(kind, plays):
    """Pillow's `loop` option; a count that the format cannot store becomes an endless loop."""
    if kind == "GIF" and plays == 1:
        return {}
    loop = plays - 1 if kind == "GIF" and plays else plays
    return {"loop": loop if kind == "PNG" or loop < 2**16 else 0}


def _in_hundredths(durations):
    """Round ms to steps of 10, at most 65,535 steps. Frames start close to their time, and none is dropped."""
    begins = [10 * round(time / 10) for time in itertools.accumulate(durations, initial=0)]
    return [
        duration and min(max(10, end - begin), 655_350) for duration, begin, end in zip(durations, begins, begins[1:])
    ]


def _frame(picture, kind, notes, quality):
    """Pillow's image of a frame, and the options to save it with."""
    picture, changed = formats.fitted(picture, kind)
    notes += [*picture.notes, *changed]
    image = writing.as_image(picture)
    if kind == "GIF" and image.mode != "L":
        image, changed = with_palette(image, dither=False, transparent=True)
        notes += changed
    return image, formats.save_options(kind, picture, quality)
