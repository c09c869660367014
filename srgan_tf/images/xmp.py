"""XMP, the XML that picture files carry beside EXIF: what of it is still true of an upright and larger picture."""

from xml.dom import minidom
from xml.parsers.expat import ExpatError

LONGEST = 2**20  # bytes; usual are some thousand, and to take one apart takes much more memory than it has

_TIFF, _EXIF, _XMP = (f"http://ns.adobe.com/{name}/1.0/" for name in ("tiff", "exif", "xap"))
_REGIONS, _DIMENSIONS = "http://www.metadataworkinggroup.com/schemas/regions/", f"{_XMP}sType/Dimensions#"
_GOOGLE, _PHOTOSHOP = "http://ns.google.com/photos/1.0/", "http://ns.adobe.com/photoshop/1.0/"
_EXTENDED = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")  # the name of a second part, in places of its own
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
# Pictures and clips behind the picture, as telephones hide them in a JPEG file: they stay behind.
_HIDDEN = {f"{_GOOGLE}container/", f"{_GOOGLE}depthmap/", "http://ns.adobe.com/hdr-gain-map/1.0/"}
_HIDDEN_NAMES = ("MicroVideo", "MotionPhoto")  # in Google's camera
_PLACES = {(_REGIONS, "Regions"), ("http://ns.microsoft.com/photo/1.2/", "RegionInfo")}  # in the picture as it lies
_WIDTHS = {(_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension")}
_HEIGHTS = {(_TIFF, "ImageLength"), (_EXIF, "PixelYDimension")}
_DAMAGED = (ExpatError, ValueError, RecursionError)


def upright(data, *, turned):
    """XMP that holds of the upright pixels: without orientation, layout, thumbnails, and what stays behind.

    Args:
        data: bytes as they are in the file, or None.
        turned: whether the pixels lay otherwise in the file: regions are left out then.

    Returns:
        bytes, the same where there is nothing to leave out; None where there is nothing or it is damaged. And a tuple
        of what is worth telling.
    """
    if not isinstance(data, bytes) or not data.strip(b"\0 "):
        return None, ()
    if len(data) > LONGEST:
        return None, ("without its XMP data, which is too long",)
    gone, notes = _LAYOUT | (_PLACES if turned else set()), []

    def value(space, name, within):
        if (space, name) in gone & {_EXTENDED, *_PLACES}:
            notes.append(
                "without the second part of its XMP data"
                if space == _EXTENDED[0]
                else "without the regions that its XMP data marks"
            )
        hidden = space in _HIDDEN or space == f"{_GOOGLE}camera/" and name.startswith(_HIDDEN_NAMES)
        return None if hidden or (space, name) in gone else _SAME

    try:
        return _edited(data, value), tuple(dict.fromkeys(notes))
    except _DAMAGED:
        return None, ("without its XMP data, which is damaged",)


def sized(data, height, width):
    """XMP as `upright` gives it, where it tells a size with that of a picture; None where it is damaged."""
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
    """XMP with other values of its properties, byte for byte the same if none changes.

    Args:
        value: called with a property's namespace and name and with the (namespace, name) of what it belongs to; None
            leaves it out, `_SAME` leaves it alone.
    """
    text = data.decode("utf-8-sig").strip("\0 ")
    if "<!DOCTYPE" in text:  # XMP has none, and its entities may be a bomb
        raise ValueError("it has a document type")
    # Characters told by number, such as the ends of lines in an attribute, would be written as they are and be lost.
    mark = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)
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
    """An element's name, or that of the one above when it is only RDF's wrapping of several values."""
    if element.localName == "Description" and element.parentNode.nodeType == element.ELEMENT_NODE:
        element = element.parentNode
    return element.namespaceURI, element.localName
