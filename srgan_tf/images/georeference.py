"""GeoTIFF: the position of a TIFF file's pixels on the earth, adapted to the enlarged picture.

The tags are defined in OGC's GeoTIFF standard 1.1, chapter 7, and by GDAL.
"""

import dataclasses

_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION = 33550, 33922, 34264
_KEYS = 34735, 34736, 34737
_GDAL = 42112, 42113  # metadata; the value of missing pixels
_RPC = 50844  # a camera model in pixels of the picture
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_DOUBLE, _SHORT, _ASCII = 12, 3, 2  # types of TIFF


@dataclasses.dataclass(frozen=True)
class Georeference:
    """The georeference of a picture.

    tags: the unchanged tags of the file, by number.
    height, width: the size of the picture that the tags describe.
    """

    tags: dict
    height: int
    width: int

    def tags_for(self, height: int, width: int) -> dict[int, tuple[int, object]]:
        """The tags for the same picture at another size: (type, value) by number."""
        y, x = height / self.height, width / self.width
        tags = {number: value for number, value in self.tags.items() if number in (*_KEYS, *_GDAL)}
        if scale := self.tags.get(_PIXEL_SCALE):
            tags[_PIXEL_SCALE] = (scale[0] / x, scale[1] / y, *scale[2:])
        # If coordinates refer to pixel centres, the first centre of the larger picture is closer to the edge.
        half = 0.5 if self._is_point() else 0
        if points := self.tags.get(_TIE_POINTS):
            tags[_TIE_POINTS] = tuple(
                (value + half) * (x, y)[i % 6] - half if i % 6 < 2 else value for i, value in enumerate(points)
            )
        if matrix := self.tags.get(_TRANSFORMATION):
            a = list(matrix)
            for row in range(0, 16, 4):
                if row < 12:
                    a[row + 3] += half * (a[row] * (1 / x - 1) + a[row + 1] * (1 / y - 1))
                a[row], a[row + 1] = a[row] / x, a[row + 1] / y
            tags[_TRANSFORMATION] = tuple(a)
        types = {_KEYS[0]: _SHORT, _KEYS[2]: _ASCII, _GDAL[0]: _ASCII, _GDAL[1]: _ASCII}
        return {number: (types.get(number, _DOUBLE), value) for number, value in tags.items()}

    def _is_point(self):
        keys = self.tags.get(_KEYS[0], ())
        return any(keys[i : i + 4 : 3] == (_RASTER_TYPE, _PIXEL_IS_POINT) for i in range(4, len(keys), 4))


def of(tags, height: int, width: int, *, turned: bool) -> tuple[Georeference | None, tuple[str, ...]]:
    """Read the georeference from the tags of a TIFF file. Returns it and notes.

    Args:
        tags: a mapping, such as a `PIL.Image.Exif`.
        height, width: the size of the picture.
        turned: whether the picture was rotated or mirrored while reading; the georeference is then dropped.
    """
    found = {}
    for number in (_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION, *_KEYS, *_GDAL):
        value = tags.get(number)
        if value is not None:
            found[number] = value if isinstance(value, (str, bytes, tuple)) else (value,)
    notes = ("without its camera model (RPC)",) if _RPC in tags else ()
    if not found:
        return None, notes
    if turned:
        return None, (*notes, "without its georeference, as the picture was turned")
    if _TRANSFORMATION in found and len(found[_TRANSFORMATION]) != 16:
        return None, (*notes, "without its georeference, which is damaged")
    return Georeference(found, height, width), notes
