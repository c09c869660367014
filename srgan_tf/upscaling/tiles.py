"""Cuts a picture into tiles with a halo."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Span:
    """One tile along one side, in LR pixels: [start, stop) is computed from [first, last), which includes the halo."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def with_halo(self):
        return slice(self.first, self.last)

    def larger(self, scale):
        """The slice of the tile in the result."""
        return slice(scale * self.start, scale * self.stop)

    def within(self, scale):
        """The slice of the tile in the network's output for `with_halo`."""
        return slice(scale * (self.start - self.first), scale * (self.stop - self.first))


def spans(length: int, tile: int, halo: int, part: Span | None = None) -> list[Span]:
    """Cut a side, or a part of it, into tiles of about equal length, at most `tile` each.

    The halo is `halo` pixels on both sides, but ends at the border of the picture, where the network pads as for the
    whole picture.
    """
    start, stop = (0, length) if part is None else (part.start, part.stop)
    count = -(-(stop - start) // tile)
    cuts = [start + round(i * (stop - start) / count) for i in range(count + 1)]
    return [Span(start, stop, max(0, start - halo), min(length, stop + halo)) for start, stop in zip(cuts, cuts[1:])]
