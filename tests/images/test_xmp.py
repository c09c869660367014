"""XMP: what is no longer true of an upright, larger picture is left out or updated, all else stays."""

from xml.etree.ElementTree import canonicalize

import pytest

from srgan_tf.images import xmp

SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "camera": "http://ns.google.com/photos/1.0/camera/",
    "mwg": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "odd": "http://ns.adobe.com/tiff/1.0/",
}
TITLE = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Zoë &amp; 猫 &lt;3</rdf:li></rdf:Alt></dc:title>'


def packet(attributes="", elements=TITLE):
    """As Adobe writes it."""
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta {spaces}><rdf:RDF>'
        f'<rdf:Description rdf:about="" {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def assert_same(found, wanted):
    assert canonicalize(found) == canonicalize(wanted)
    assert found.startswith(b"<?xpacket begin") and found.endswith(b'<?xpacket end="w"?>')


def upright(data, turned=False, said=()):
    found, notes = xmp.upright(data, turned=turned)
    assert notes == said
    return found


def test_what_is_still_true_stays_byte_for_byte():
    data = packet('xmp:Rating="5" tiff:Make="Canon" exif:FNumber="28/10"') + b"\n" * 2000
    assert upright(data) == data
    assert xmp.sized(data, 40, 30) == data


def test_the_ends_of_lines_stay_where_something_else_is_left_out():
    kept = 'exif:UserComment="a&#xA;b&#9;c &amp; &quot;d&quot;" xmp:Label="\ue000#10;"'
    assert_same(
        upright(packet(f'tiff:Orientation="6" {kept}', "<dc:title>a&#13;b</dc:title>")),
        packet(kept, "<dc:title>a&#13;b</dc:title>"),
    )


@pytest.mark.parametrize(
    "stale, said",
    [
        ('tiff:Orientation="6"', ()),
        ("tiff:Orientation='6'", ()),
        ('odd:Orientation="6"', ()),
        ('tiff:BitsPerSample="8"', ()),
        ('hdrgm:Version="1.0"', ("without its HDR gain map",)),
        ('camera:MotionPhoto="1"', ("without its moving part",)),
        ('camera:MicroVideoOffset="99"', ()),
    ],
)
def test_what_is_no_longer_true_is_left_out_as_attribute_and_as_element(stale, said):
    name, value = stale.split("=")
    assert_same(upright(packet(f'{stale} xmp:Rating="5"'), said=said), packet('xmp:Rating="5"'))
    assert_same(upright(packet("", f"<{name}>{value[1:-1]}</{name}>{TITLE}"), said=said), packet())


def test_a_gain_map_that_a_directory_lists_is_noted():
    item = '<rdf:li xmlns:Item="http://ns.google.com/photos/1.0/container/item/" Item:Semantic="GainMap"/>'
    assert xmp.upright(packet("", f"<dc:subject><rdf:Bag>{item}</rdf:Bag></dc:subject>"), turned=False)[1] == (
        "without its HDR gain map",
    )


def test_xmp_may_hold_every_character_for_private_use():
    private = "".join(chr(code) for code in range(0xE000, 0xF900))
    kept = f'xmp:Label="{private}&#10;"'
    assert_same(upright(packet(f'tiff:Orientation="6" {kept}')), packet(kept))


def test_thumbnails_are_left_out():
    thumbnails = "<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>"
    assert_same(upright(packet("", thumbnails + TITLE)), packet())


def test_sizes_become_those_of_the_picture():
    elements = "<tiff:ImageWidth>17</tiff:ImageWidth><tiff:ImageLength>12</tiff:ImageLength>"
    found = xmp.sized(packet('exif:PixelXDimension="17" exif:PixelYDimension="12"', elements), 48, 68).decode()
    assert 'exif:PixelXDimension="68"' in found and 'exif:PixelYDimension="48"' in found
    assert "<tiff:ImageWidth>68</tiff:ImageWidth><tiff:ImageLength>48</tiff:ImageLength>" in found
    assert "17" not in found.replace("W5M0MpCehiHzreSzNTczkc9d", "") and "12" not in found


@pytest.mark.parametrize(
    "dimensions",
    [
        '<mwg:AppliedToDimensions stDim:w="17" stDim:h="12" stDim:unit="pixel"/>',
        '<mwg:AppliedToDimensions><rdf:Description stDim:w="17" stDim:h="12"/></mwg:AppliedToDimensions>',
    ],
)
def test_regions_are_of_the_larger_picture_and_left_out_of_a_turned_one(dimensions):
    regions = f'<mwg:Regions rdf:parseType="Resource">{dimensions}</mwg:Regions>'
    found = xmp.sized(upright(packet("", regions)), 48, 68).decode()
    assert 'stDim:w="68"' in found and 'stDim:h="48"' in found
    found, notes = xmp.upright(packet("", regions + TITLE), turned=True)
    assert_same(found, packet())
    assert notes == ("without the regions that its XMP data marks",)


def test_a_second_part_is_left_out_and_noted():
    found, notes = xmp.upright(packet('xmpNote:HasExtendedXMP="0123456789ABCDEF"'), turned=False)
    assert b"0123456789" not in found and b"<dc:title>" in found
    assert notes == ("without the second part of its XMP data",)


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (b, b"&%c;" % (b - 1) * 16) for b in range(98, 112))
    + b"]><x>&o;</x>"
)


@pytest.mark.parametrize(
    "data, note",
    [
        (b"<x", "damaged"),
        (b"no XML", "damaged"),
        (packet()[:-40], "damaged"),
        (packet() + b"<y/>", "damaged"),
        (b"\xff\xfe<\0x\0", "damaged"),
        (b"<a>" * 200_000 + b"</a>" * 200_000, "too long"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "damaged"),
        (BOMB, "damaged"),
        (b" " * 2**21 + packet(), "too long"),
    ],
)
def test_what_is_hostile_or_damaged_is_left_out_with_one_note(data, note):
    found, notes = xmp.upright(data, turned=False)
    assert found is None and len(notes) == 1 and note in notes[0]
    assert note == "too long" or xmp.sized(data, 4, 3) is None


@pytest.mark.parametrize("data", [None, b"", b"\0\0", b"   "])
def test_no_xmp_gives_none(data):
    assert xmp.upright(data, turned=True) == (None, ())
