"""XMP, the XML metadata of picture files, adapted to an upright, enlarged picture."""

import itertools
from xml.dom import minidom
from xml.parsers.expat import ExpatError

LONGEST = 2**20  # bytes; a few thousand are typical, and parsing takes many times as much memory

_TIFF, _EXIF, _XMP = (f"http://ns.adobe.com/{name}/1.0/" for name in ("tiff", "exif", "xap"))
_REGIONS, _DIMENSIONS = "http://www.metadataworkinggroup.com/schemas/regions/", f"{_XMP}sType/Dimensions#"
_GOOGLE, _PHOTOSHOP = "http://ns.google.com/photos/1.0/", "http://ns.adobe.com/photoshop/1.0/"
_EXTENDED = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")  # refers to a second part in separate segments
_LAYOUT = {
    (_TIFF, name)
    for name in (
        "BitsPerSample",
        "Compression",
        "Orientation",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "SamplesPerPixel",
        "YCbCrPositioning",
        "YCbCrSubSampling",
    )
} | {(_PHOTOSHOP, "ColorMode"), (_PHOTOSHOP, "ICCProfile"), (_XMP, "Thumbnails"), _EXTENDED}
# Pictures and clips that phones append to a JPEG file. They are not in the result.
_WITHOUT_GAIN_MAP = "without its HDR gain map"
_HIDDEN = {f"{_GOOGLE}container/", f"{_GOOGLE}depthmap/", "http://ns.adobe.com/hdr-gain-map/1.0/"}
_HIDDEN_NAMES = ("MicroVideo", "MotionPhoto")  # of Google's camera app
_GAIN_MAPS = {"http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/"}
_PLACES = {(_REGIONS, "Regions"), ("http://ns.microsoft.com/photo/1.2/", "RegionInfo")}  # positions in the picture
_WIDTHS = {(_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension")}
_HEIGHTS = {(_TIFF, "ImageLength"), (_EXIF, "PixelYDimension")}
_DAMAGED = (ExpatError, ValueError, RecursionError)


def upright(data, *, turned):
    """Remove the orientation, the layout and thumbnails, so that the XMP describes the upright pixels.

    Args:
        data: the bytes from the file, or None.
        turned: whether the picture was rotated or mirrored while reading; regions are then removed, too.

    Returns:
        bytes, unchanged if there is nothing to remove; None if there is no XMP or it is damaged. And a tuple of notes
        about content that is appended to the picture, such as a gain map, and is not in the result.
    """
    if not isinstance(data, bytes) or not data.strip(b"\0 "):
        return None, ()
    if len(data) > LONGEST:
        return None, ("without its XMP data, which is too long",)
    gone, notes = _LAYOUT | (_PLACES if turned else set()), []

    def value(space, name, within):
        if note := _note(space, name):
            notes.append(note)
        if (space, name) in gone & _PLACES:
            notes.append("without the regions that its XMP data marks")
        hidden = space in _HIDDEN or space == f"{_GOOGLE}camera/" and name.startswith(_HIDDEN_NAMES)
        return None if hidden or (space, name) in gone else _SAME

    try:
        found = _edited(data, value)
    except _DAMAGED:
        return None, ("without its XMP data, which is damaged",)
    if b'"GainMap"' in data or b">GainMap<" in data:
        notes.append(_WITHOUT_GAIN_MAP)
    return found, tuple(dict.fromkeys(notes))


def _note(space, name):
    """A description of the appended content that a property indicates."""
    if (space, name) == _EXTENDED:
        return "without the second part of its XMP data"
    if space in _GAIN_MAPS:
        return _WITHOUT_GAIN_MAP
    if space == f"{_GOOGLE}camera/" and name in _HIDDEN_NAMES:
        return "without its moving part"
    return "without its depth map" if space == f"{_GOOGLE}depthmap/" else None


def sized(data, height, width):
    """XMP from `upright` with the dimensions that it records updated; None where it is damaged."""
    sides = {**dict.fromkeys(_WIDTHS, width), **dict.fromkeys(_HEIGHTS, height)}
    regions = {(_DIMENSIONS, "w"): width, (_DIMENSIONS, "h"): height}

    def value(space, name, within):
        return (regions if within == (_REGIONS, "AppliedToDimensions") else sides).get((space, name), _SAME)

    try:
        return _edited(data, value)
    except _DAMAGED:
        return None


_SAME = object()


def _edited(data, value):
    """Change some properties of XMP; the bytes stay the same if no property changes.

    Args:
        value: a function that returns the new value of a property. It is called with the property's namespace and
            name and with the (namespace, name) of its parent. None removes the property, `_SAME` keeps it.
    """
    text = data.decode("utf-8-sig").strip("\0 ")
    if "<!DOCTYPE" in text:  # not allowed in XMP; its entities may expand without end
        raise ValueError("it has a document type")
    # References such as &#10; in an attribute would be written as plain characters and lost on the next read.
    mark = next(mark for mark in (f"\ue000{i}" for i in itertools.count()) if mark not in text)
    document, changed = minidom.parseString(text.replace("&#", f"{mark}#")), False
    for element in document.getElementsByTagName("*"):
        within = _owner(element)
        for node in [*element.attributes.values(), *element.childNodes]:
            if node.nodeType not in (node.ATTRIBUTE_NODE, node.ELEMENT_NODE):
                continue
            if (new := value(node.namespaceURI or "", node.localName, within)) is not _SAME:
                changed = True
                _change(element, node, new)
    if not changed:
        return data
    return "\n".join(node.toxml() for node in document.childNodes).replace(f"{mark}#", "&#").encode()


def _change(element, node, new):
    if node.nodeType == node.ATTRIBUTE_NODE:
        element.removeAttributeNode(node)
        if new is not None:
            element.setAttributeNS(node.namespaceURI, node.nodeName, str(new))
    elif new is None:
        element.removeChild(node)
    else:
        node.childNodes[:] = []
        node.appendChild(node.ownerDocument.createTextNode(str(new)))


def _owner(element):
    """An element's name, or its parent's if it is only RDF's wrapper of several values."""
    if element.localName == "Description" and element.parentNode.nodeType == element.ELEMENT_NODE:
        element = element.parentNode
    return element.namespaceURI, element.localName
