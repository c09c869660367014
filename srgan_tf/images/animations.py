"""Animations: GIF, WebP and PNG files of several frames, read and written frame by frame."""

import dataclasses
import itertools

import numpy as np
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.images import formats, reading, writing
from srgan_tf.images.palettes import with_palette
from srgan_tf.images.picture import Picture

FORMATS = ("GIF", "WEBP", "PNG")


@dataclasses.dataclass(frozen=True)
class Animation:
    """A file of several frames.

    file: the open `reading.PictureFile`.
    count: number of frames, each as it is seen: composed of what the file changes from one to the next.
    durations: for how long each is seen, in ms.
    plays: how often all are shown; 0 is for ever.
    height, width: of every frame.
    alpha: whether any frame has transparent pixels.
    grey: whether all are grey.
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
        """Every frame as a `picture.Picture`, one decoded after the other, while the file is open."""
        with reading.errors_named(self.file.path):
            self.file.rewind()
            fields = None
            for array in _arrays(self.file.image):
                if not fields:
                    fields, orientation = self.file.metadata()
                array = reading.UPRIGHT[orientation](array)
                grey = array[..., :1] if self.grey else array[..., :3]
                yield Picture.of(np.dstack([grey, array[..., 3:]]) if self.alpha else grey, **fields)


def read(file):
    """The animation in an open `reading.PictureFile`, which is decoded once to know its timing.

    Returns:
        An `Animation`; None for a file with one picture.

    Raises:
        UserError: as `reading.read`, and for pages and other sequences that are no animation.
    """
    if file.count == 1:
        return None
    image, path = file.image, file.path
    if image.format not in FORMATS:
        raise UserError(f"the file holds {file.count} pictures, {path}, split it into single ones")
    if reading.depth(image) == 16:
        raise UserError(f"animations of 16 bits a channel would not be kept, {path}, save it with 8")
    with reading.errors_named(path):
        durations, alpha, grey = [], False, not reading.has_rgb_profile(image)
        for array in _arrays(image):
            durations.append(image.info.get("duration", 0))
            alpha = alpha or bool((array[..., 3] < 255).any())
            grey = grey and bool((array[..., :1] == array[..., 1:3])[array[..., 3] > 0].all())
        if len(durations) == 1:  # a PNG file may show another picture where animations are not known
            raise UserError(f"the animation has one frame only, {path}, save it as a picture")
        height, width = reading.UPRIGHT[file.metadata()[1]](array).shape[:2]
        return Animation(file, len(durations), tuple(durations), _plays(image), height, width, alpha, grey)


def check_fits(path, animation, height, width):
    """Raise UserError when the path's format cannot hold an animation whose frames have that size."""
    kind = formats.check_fits(path, height, width)
    if kind not in FORMATS:
        raise UserError(f"{kind} holds no animation, {path}, choose .gif, .webp or .png")


def write(path, animation, frames):
    """Write frames with the timing of an animation, in the format of the path's suffix, at once or not at all.

    Pillow takes one frame after the other, so that one is in memory; of a GIF file it keeps the frames of one byte a
    pixel, of a PNG file all of them. Frames that equal the one before are joined with it.

    Args:
        frames: iterable of `picture.Picture`, as many as the animation has.

    Returns:
        As `writing.write`.

    Raises:
        UserError: as `check_fits`, and for a place that cannot be written.
    """
    kind = formats.check_suffix(path)
    notes = []  # of the frames, as they come
    prepared = (_frame(frame, kind, notes) for frame in frames)
    with writing.written(path) as file:
        first, options = next(prepared)
        durations = list(animation.durations)
        if kind == "GIF" and (rounded := _in_hundredths(durations)) != durations:
            durations = rounded
            notes.append("timed in hundredths of a second")
        options |= {"save_all": True, "duration": durations, **_loop(kind, animation.plays)}
        if kind == "PNG":
            first.save(file, kind, append_images=[image for image, _ in prepared], **options)
        else:
            if kind == "GIF":
                options["disposal"] = 2 if animation.alpha else 1
            _Sequence(first, (image for image, _ in prepared), animation.count).save(file, kind, **options)
    return tuple(dict.fromkeys(notes))


class _Sequence(Image.Image):
    """Frames as Pillow's writers ask for them: by `seek`, from the first to the last.

    Their transparency is told with each copy, and at the end, but not by the sequence in between: Pillow's writer of
    GIF files would take it to crop frames to what is not transparent, by the first frame's palette, where that may be
    black.
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
            self.info |= self._transparency  # all were equal if it is asked for now
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


def _arrays(image):
    """uint8 RGBA of every frame."""
    first = 1 if getattr(image, "default_image", False) else 0  # a PNG file's, that is no part of its animation
    for i in range(first, image.n_frames):
        image.seek(i)
        image.load()
        yield np.asarray(image.convert("RGBA"))


def _plays(image):
    loop = image.info.get("loop")
    if image.format == "GIF":  # it counts how often the animation is repeated
        return 1 if loop is None else loop and loop + 1
    return loop or 0


def _loop(kind, plays):
    """Pillow's option; more often than the format can count is for ever."""
    if kind == "GIF" and plays == 1:
        return {}
    loop = plays - 1 if kind == "GIF" and plays else plays
    return {"loop": loop if kind == "PNG" or loop < 2**16 else 0}


def _in_hundredths(durations):
    """ms in steps of 10, at most 65,535 of them; frames begin as near to their time as they can, none is unseen."""
    begins = [10 * round(time / 10) for time in itertools.accumulate(durations, initial=0)]
    return [
        duration and min(max(10, end - begin), 655_350) for duration, begin, end in zip(durations, begins, begins[1:])
    ]


def _frame(picture, kind, notes):
    """Pillow's image of a frame, and the options that it is saved with."""
    picture, changed = formats.fitted(picture, kind)
    notes += [*picture.notes, *changed]
    image = writing.as_image(picture)
    if kind == "GIF" and image.mode != "L":
        image, same = with_palette(image, dither=False)
        notes += [] if same else ["reduced to 255 colours"]
    return image, formats.save_options(kind, picture)
