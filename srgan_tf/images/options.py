"""User options for reading and writing files."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Options for reading and writing files.

    quality: the quality of JPEG, WebP and AVIF files, 1 to 100; None selects the format's default, 95 or 90.
    keep_interlaced: whether interlaced clips stay interlaced.
    keep_times: whether a result gets the modification time of its source.
    keep_damaged: whether the readable part of a truncated JPEG file is used; otherwise the file is rejected.
    large: whether to accept pictures with far more pixels than their files have bytes.
    """

    quality: int | None = None
    keep_interlaced: bool = False
    keep_times: bool = False
    large: bool = False
    keep_damaged: bool = False
