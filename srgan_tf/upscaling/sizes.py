"""Sizes of results, specified before any picture is read."""

import dataclasses

from srgan_tf.errors import UserError

LARGEST_FACTOR, LONGEST_SIDE = 10_000, 2**31 - 1  # no format supports more


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of results: a factor for both sides, or a width or height in pixels.

    factor: the factor of each side, up to `LARGEST_FACTOR`; unused if pixels are given.
    width, height: pixels. With one of them the aspect ratio is kept, with both the picture may be stretched.
    """

    factor: float
    width: int | None = None
    height: int | None = None

    def __post_init__(self):
        if not 0 < self.factor <= LARGEST_FACTOR:
            raise UserError(
                f"--outscale {self.factor:g}: out of range. Give a number above 0, such as 2.5, up to {LARGEST_FACTOR}."
            )
        for flag, pixels in (("--width", self.width), ("--height", self.height)):
            if pixels is not None and pixels < 1:
                raise UserError(f"{flag} {pixels}: out of range. Give 1 or more.")
            if pixels is not None and pixels > LONGEST_SIDE:
                raise UserError(f"{flag}: out of range. Give at most {LONGEST_SIDE}.")

    def of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result for a picture of this size; at least one pixel each."""
        vertical, horizontal = self.factor, self.factor
        if self.width is not None:
            vertical = horizontal = self.width / width
        if self.height is not None:
            vertical = self.height / height
            horizontal = vertical if self.width is None else horizontal
        return max(1, round(vertical * height)), max(1, round(horizontal * width))

    def __str__(self):
        """The label in the name of a result: x4, x2.5, w1920, h1080 or 1920x1080."""
        if self.width is not None and self.height is not None:
            return f"{self.width}x{self.height}"
        if self.width is not None:
            return f"w{self.width}"
        return f"h{self.height}" if self.height is not None else f"x{self.factor:g}"
