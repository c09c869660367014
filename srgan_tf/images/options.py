"""What a user may choose about files."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Choices about files.

    quality: of JPEG, WebP and AVIF files, 1 to 100; None is the default of the format, 95 or 90.
    keep_interlaced: whether interlaced clips stay so.
    keep_times: whether a result gets the time of its source, when it was last modified.
    keep_damaged: whether what can be decoded of a JPEG file that was cut off is used; it is refused if not.
    large: whether pictures are read that have far more pixels than their files have bytes.
    """

    quality: int | None = None
    keep_interlaced: bool = False
    keep_times: bool = False
    large: bool = False
    keep_damaged: bool = False
