"""How large a result is to be, before any picture is read."""

import dataclasses

from srgan_tf.errors import UserError

MOST_TIMES, MOST_PIXELS = 10_000, 2**31 - 1  # a factor, and a side: no format holds more


@dataclasses.dataclass(frozen=True)
class Size:
    """So many times a picture's sides, or so many pixels wide or high.

    factor: how many times longer each side becomes, up to `MOST_TIMES`; it counts where no pixels are given.
    width, height: pixels; with one of them the other side follows, with both the picture may be stretched.
    """

    factor: float
    width: int | None = None
    height: int | None = None

    def __post_init__(self):
        if not 0 < self.factor <= MOST_TIMES:
            raise UserError(
                f"{self.factor} is no factor, --outscale, give a number above 0 such as 2.5, at most {MOST_TIMES}"
            )
        for flag, pixels in (("--width", self.width), ("--height", self.height)):
            if pixels is not None and pixels < 1:
                raise UserError(f"a side of {pixels} pixels is no picture, {flag}, give 1 or more")
            if pixels is not None and pixels > MOST_PIXELS:
                raise UserError(f"no picture has so long a side, {flag}, give at most {MOST_PIXELS}")

    def of(self, height, width):
        """(height, width) of the result for a picture's; at least one pixel each."""
        vertical, horizontal = self.factor, self.factor
        if self.width is not None:
            vertical = horizontal = self.width / width
        if self.height is not None:
            vertical = self.height / height
            horizontal = vertical if self.width is None else horizontal
        return max(1, round(vertical * height)), max(1, round(horizontal * width))

    def __str__(self):
        """What a result's name gets: x4, x2.5, w1920, h1080 or 1920x1080."""
        if self.width is not None and self.height is not None:
            return f"{self.width}x{self.height}"
        if self.width is not None:
            return f"w{self.width}"
        return f"h{self.height}" if self.height is not None else f"x{self.factor:g}"
