"""How a picture is cut into tiles that see a halo around them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Span:
    """One tile along one side, in LR pixels: it answers for [start, stop) and sees [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def seen(self):
        return slice(self.first, self.last)

    def larger(self, scale):
        """Its place in the result."""
        return slice(scale * self.start, scale * self.stop)

    def within(self, scale):
        """Its place in what the network made of the pixels it sees."""
        return slice(scale * (self.start - self.first), scale * (self.stop - self.first))


def spans(length, tile, halo, part=None):
    """Cut a side, or a part of it, into tiles of about equal length, at most `tile` each.

    A tile sees `halo` more pixels on both sides, but never beyond the picture: there the network's own padding
    is what the whole picture would get, too.
    """
    start, stop = (0, length) if part is None else (part.start, part.stop)
    count = -(-(stop - start) // tile)
    cuts = [start + round(i * (stop - start) / count) for i in range(count + 1)]
    return [Span(start, stop, max(0, start - halo), min(length, stop + halo)) for start, stop in zip(cuts, cuts[1:])]
