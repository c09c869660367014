"""What a user may choose about the files of results."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Choices about the files of results.

    quality: of JPEG, WebP and AVIF files, 1 to 100; None is the default of the format, 95 or 90.
    keep_interlaced: whether interlaced clips stay so.
    keep_times: whether a result gets the time of its source, when it was last modified.
    """

    quality: int | None = None
    keep_interlaced: bool = False
    keep_times: bool = False
