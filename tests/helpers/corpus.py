"""Picture files of every kind that people have, and what upscaling by 4 should make of each."""

import dataclasses
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HEIGHT, WIDTH = 12, 17
KINDS = (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp"), ("GIF", "gif"))


@dataclasses.dataclass
class Case:
    """A file: what is in it, and the picture that is meant by it or what is said about it.

    make: the file's bytes, or a function of its path that makes something else.
    pixels: uint8 or uint16 [H, W, C]; for an animation a list of them; None where it is refused.
    refusal: pattern of the one line about it.
    said: more that the result's Pillow image must have, by `result_says` in test_corpus.py.
    note: pattern in the line about its result.
    tolerance: in grey levels of 8 bits; colours go by the JPEG, WebP or GIF file in between.
    hard: whether the result's alpha can be 0 or 255 only.
    """

    name: str
    make: object
    pixels: object = None
    refusal: str = ""
    said: dict = dataclasses.field(default_factory=dict)
    note: str = ""
    tolerance: float = 2
    hard: bool = False


def picture(height=HEIGHT, width=WIDTH, channels=3, dtype=np.uint8):
    """Smooth, bright at the upper left, another colour in each corner; alpha falls from left to right."""
    y, x = np.mgrid[:height, :width] / (max(height, width, 2) - 1)
    planes = [0.9 - 0.6 * x - 0.2 * y, 0.2 + 0.5 * y, 0.6 - 0.3 * x * y]
    grey = [0.85 - 0.5 * x - 0.3 * y * y]
    alpha = [1 - 0.6 * x]
    planes = {1: grey, 2: grey + alpha, 3: planes, 4: planes + alpha}[channels]
    return np.rint(np.dstack(planes) * np.iinfo(dtype).max).astype(dtype)


def image(channels=3, height=HEIGHT, width=WIDTH):
    array = picture(height, width, channels)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


def encoded(kind, image, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array, *chunks, interlaced=False):
    """A PNG file written by hand, of 8 or 16 bits a channel."""

    def rows(part):
        return b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in part if row.size)

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b"".join(rows(array[y::dy, x::dx]) for y, x, dy, dx in passes) if interlaced else rows(array)
    height, width, channels = array.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, kind, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def tiff(array, **options):
    file = io.BytesIO()
    if array.shape[2] in (2, 4):
        options = {"extrasamples": ["unassalpha"], **options}
    options = {"photometric": "rgb" if array.shape[2] > 2 else "minisblack", "planarconfig": "contig"} | options
    tifffile.imwrite(file, array if array.shape[2] > 1 else array[..., 0], **options)
    return file.getvalue()


def exif(orientation=None, artist="Zoë 猫".encode()):
    """Every kind of tag; what says the size, and a thumbnail's place would."""
    tags = Image.Exif()
    tags[0x010E], tags[0x013B] = "a cat", artist
    if orientation:
        tags[0x0112] = orientation
    tags.get_ifd(0x8769).update({0x829A: (1, 50), 0x9003: "2020:02:02 20:20:20", 0xA002: WIDTH, 0xA003: HEIGHT})
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5)})
    return tags


def cmyk_profile():
    """A small ICC profile for inks: what is not covered is white, all the rest goes linearly in Lab."""
    grid = [
        (255 - 255 * min(1, (c + m + y) / 6 + k), 128 + 40 * (m - c), 128 + 40 * (y - (c + m) / 2))
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += bytes(range(256)) * 4 + bytes(int(max(0, min(255, x))) for entry in grid for x in entry)
    table += bytes(range(256)) * 3
    text = b"text" + bytes(4) + b"none\0"
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags, offset, body = [], 128 + 4 + 4 * 12, b""
    for name, data in ((b"A2B0", table), (b"cprt", text), (b"desc", description), (b"wtpt", white)):
        tags.append(name + struct.pack(">II", offset + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[0:4], head[8:12], head[12:24] = struct.pack(">I", offset + len(body)), b"\2\x10\0\0", b"prtrCMYKLab "
    head[36:40], head[68:80] = b"acsp", struct.pack(">3i", 63190, 65536, 54061)
    return bytes(head) + struct.pack(">I", 4) + b"".join(tags) + body


def grey_profile():
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + bytes(2)
    text = b"text" + bytes(4) + b"none\0\0\0\0"
    tags, offset, body = [], 128 + 4 + 2 * 12, b""
    for name, data in ((b"kTRC", curve), (b"cprt", text)):
        tags.append(name + struct.pack(">II", offset + len(body), len(data)))
        body += data
    head = bytearray(128)
    head[0:4], head[8:12], head[12:24] = struct.pack(">I", offset + len(body)), b"\2\x10\0\0", b"mntrGRAYXYZ "
    head[36:40], head[68:80] = b"acsp", struct.pack(">3i", 63190, 65536, 54061)
    return bytes(head) + struct.pack(">I", 2) + b"".join(tags) + body


def frames(alpha):
    """A bar that wanders, over a colour or over nothing."""
    result = []
    for i in range(4):
        array = np.full((HEIGHT, WIDTH, 4), (0, 0, 0, 0) if alpha else (40, 90, 60, 255), np.uint8)
        array[4:9, 3 * i : 3 * i + 6] = (200, 40 * i, 30, 255)
        result.append(array if alpha else array[..., :3])
    return result


def packet(orientation=None):
    """XMP; with an orientation as a file has it."""
    said = f' tiff:Orientation="{orientation}"' if orientation else ""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{said}><tiff:Artist>Zoë</tiff:Artist>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def animated(kind, arrays, **options):
    first, *others = map(Image.fromarray, arrays)
    return encoded(kind, first, save_all=True, append_images=others, duration=[50, 120, 70, 300], **options)


def upright(orientation):
    """The picture as it is stored when that orientation shows it upright."""
    methods = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    return image().transpose(Image.Transpose[methods[orientation]]) if orientation > 1 else image()


def cases():
    """All of them, as a list of `Case`."""
    found = [*pngs(), *jpegs(), *webps_bmps_and_gifs(), *tiffs(), *animations(), *sizes(), *broken(), *names()]
    for case in found:  # what is lossy was lossy before, too
        suffix = "jpg" if "jpeg" in case.name else case.name.rsplit(".")[-1].lower()
        case.tolerance = {"jpg": 16, "jfif": 16, "webp": 40, "gif": 40}.get(suffix, case.tolerance)
        if "lossless" in case.name:
            case.tolerance = 2
        elif case.name == "moving.webp":  # its hard edges come back with half the colour resolution, twice
            case.tolerance = 100
        case.hard = suffix == "gif"
    return found


def pngs():
    palette = image().quantize(200)
    shown = np.asarray(palette.convert("RGB"))
    index = np.asarray(palette)[5, 6]
    steps = bytes(np.linspace(60, 255, 200).astype(np.uint8))
    half = Image.fromarray(np.repeat([[255] * 8 + [0] * 9], HEIGHT, axis=0).astype(np.uint8))
    key8, key16 = picture()[5, 6], picture(dtype=np.uint16)[5, 6]
    few = picture(channels=1) // 17 * 17
    for channels in 1, 2, 3, 4:
        for dtype, bits in ((np.uint8, 8), (np.uint16, 16)):
            array = picture(channels=channels, dtype=dtype)
            yield Case(f"png_{channels}_{bits}.png", png(array), array)
            yield Case(f"png_{channels}_{bits}_interlaced.png", png(array, interlaced=True), array)
    yield Case("palette.png", encoded("PNG", palette), shown)
    yield Case(
        "palette_clear.png",
        encoded("PNG", palette, transparency=int(index)),
        np.dstack([shown, 255 * (np.asarray(palette) != index)]).astype(np.uint8),
    )
    yield Case(
        "palette_alpha.png",
        encoded("PNG", palette, transparency=steps),
        np.dstack([shown, np.frombuffer(steps, np.uint8)[np.asarray(palette)]]),
    )
    yield Case(
        "palette_4_bits.png",
        encoded("PNG", image().quantize(16), bits=4),
        np.asarray(image().quantize(16).convert("RGB")),
    )
    yield Case("one_bit.png", encoded("PNG", half.convert("1")), np.asarray(half)[..., None])
    yield Case(
        "one_bit_clear.png",
        encoded("PNG", half.convert("1"), transparency=0),
        np.dstack([np.full((HEIGHT, WIDTH), 255), np.asarray(half)]).astype(np.uint8),
    )
    yield Case(
        "grey_clear.png",
        png(few, chunk(b"tRNS", struct.pack(">H", few[5, 6, 0]))),
        np.dstack([few, 255 * (few != few[5, 6])]).astype(np.uint8),
    )
    for key, dtype in ((key8, np.uint8), (key16, np.uint16)):
        array = picture(dtype=dtype)
        alpha = np.where((array == key).all(axis=2), 0, np.iinfo(dtype).max).astype(dtype)
        yield Case(
            f"rgb_clear_{dtype.__name__}.png",
            png(array, chunk(b"tRNS", struct.pack(">3H", *map(int, key)))),
            np.dstack([array, alpha]),
        )
    key = chunk(b"tRNS", struct.pack(">H", 257 * int(few[5, 6, 0])))
    yield Case(
        "grey_clear_16.png",
        png(few.astype(np.uint16) * 257, key),
        np.dstack([few, 255 * (few != few[5, 6])]).astype(np.uint16) * 257,
    )
    said = {
        "icc": SRGB,
        "dpi": (300, 200),
        "exif": exif(),
        "xmp": packet(),
        "text": {"Title": "a cat", "parameters": "Zoë\nSteps: 20", "workflow": "猫"},
    }
    texts = PngInfo()
    texts.add_text("Title", "a cat")
    texts.add_text("parameters", "Zoë\nSteps: 20", zip=True)
    texts.add_itxt("workflow", "猫", "en", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", packet(1))
    yield Case(
        "said.png",
        encoded("PNG", image(), icc_profile=SRGB, dpi=(300, 200), exif=exif(1), pnginfo=texts),
        picture(),
        said=said,
    )
    long = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24)))
    yield Case("long_text.png", png(picture(), long), picture(), note="without texts that are too long")
    yield Case(
        "long_text_16.png",
        png(picture(dtype=np.uint16), long),
        picture(dtype=np.uint16),
        note="without texts that are too long",
    )
    deep = (
        *(chunk(kind, data) for kind, data, _ in texts.chunks),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB)),
        chunk(b"pHYs", struct.pack(">IIB", 11811, 7874, 1)),
    )
    data = png(picture(dtype=np.uint16), *deep)
    late = data[:-12] + chunk(b"eXIf", exif(1).tobytes()[6:]) + data[-12:]  # behind the pixels, where it may be
    yield Case("said_16.png", late, picture(dtype=np.uint16), said=said)
    yield Case(
        "grey_profile.png",
        encoded("PNG", image(1), icc_profile=grey_profile()),
        picture(channels=1),
        said={"icc": grey_profile()},
    )


def jpegs():
    inks = image().convert("CMYK")
    to_srgb = ImageCms.profileToProfile(
        inks, ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    yield Case("rgb.jpg", encoded("JPEG", image(), quality=95), picture(), said={"subsampling": (1, 1)})
    yield Case("grey.jpeg", encoded("JPEG", image(1), quality=95), picture(channels=1))
    yield Case("progressive.jfif", encoded("JPEG", image(), quality=95, progressive=True), picture())
    yield Case("upper.JPG", encoded("JPEG", image(), quality=95), picture())
    yield Case(
        "grey_profile.jpg",
        encoded("JPEG", image(1), quality=95, icc_profile=grey_profile()),
        picture(channels=1),
        said={"icc": grey_profile()},
    )
    yield Case("cmyk.jpg", encoded("JPEG", inks, quality=95), picture(), note="converted from CMYK", said={"icc": None})
    yield Case(
        "cmyk_profile.jpg",
        encoded("JPEG", inks, quality=95, icc_profile=cmyk_profile()),
        np.asarray(to_srgb),
        note="converted from CMYK",
        said={"icc": None},
    )
    yield Case(
        "cmyk_odd_profile.jpg",
        encoded("JPEG", inks, quality=95, icc_profile=SRGB),
        picture(),
        note="converted from CMYK",
    )
    ycck = bytearray(encoded("JPEG", inks, quality=95))
    ycck[ycck.index(b"Adobe") + 11] = 2
    yield Case(
        "ycck.jpg", bytes(ycck), np.asarray(Image.open(io.BytesIO(ycck)).convert("RGB")), note="converted from CMYK"
    )
    for orientation in range(1, 9):
        yield Case(
            f"orientation_{orientation}.jpg",
            encoded(
                "JPEG",
                upright(orientation),
                quality=95,
                exif=exif(orientation),
                dpi=(240, 240),
                xmp=packet(orientation),
                comment=b"a cat",
            ),
            picture(),
            said={"exif": exif(), "dpi": (240, 240), "xmp": packet(), "comment": b"a cat"},
        )
    yield Case(
        "damaged_exif.jpg",
        encoded("JPEG", image(), quality=95, exif=b"Exif\0\0MM\0*\0\0\0\xff" + b"\xff" * 30),
        picture(),
    )
    yield Case(
        "two_views.jpg",
        encoded("MPO", image(), save_all=True, append_images=[image(1).convert("RGB")], quality=95),
        picture(),
    )


def webps_bmps_and_gifs():
    said = {"icc": SRGB, "dpi": (300, 200), "exif": exif()}
    tags = exif(1)
    tags[282], tags[283], tags[296] = 300.0, 200.0, 2
    yield Case(
        "rgb.webp",
        encoded("WEBP", image(), quality=95, icc_profile=SRGB, exif=tags, xmp=packet(1)),
        picture(),
        said={**said, "xmp": packet()},
    )
    yield Case("alpha_lossless.webp", encoded("WEBP", image(4), lossless=True), picture(channels=4))
    yield Case(
        "grey_lossless.webp", encoded("WEBP", image(1), lossless=True), np.repeat(picture(channels=1), 3, axis=2)
    )
    yield Case("alpha.webp", encoded("WEBP", image(4), quality=95), picture(channels=4))
    yield Case("rgb.bmp", encoded("BMP", image(), dpi=(300, 300)), picture(), said={"dpi": (300, 300)})
    yield Case("grey.bmp", encoded("BMP", image(1)), picture(channels=1))
    yield Case("palette.bmp", encoded("BMP", image().quantize(200)), np.asarray(image().quantize(200).convert("RGB")))
    half = image(1).point(lambda x: 255 * (x > 128)).convert("1")
    yield Case("one_bit.bmp", encoded("BMP", half), 255 * np.asarray(half)[..., None].astype(np.uint8))
    flat = image().quantize(60)
    yield Case("still.gif", encoded("GIF", flat), np.asarray(flat.convert("RGB")), note="255 colours")
    yield Case("grey.gif", encoded("GIF", image(1), comment=b"a cat"), picture(channels=1), said={"comment": b"a cat"})
    clear = np.asarray(flat) // 40 == 0
    indices = Image.fromarray(np.where(clear, 250, np.asarray(flat)).astype(np.uint8))
    indices.putpalette((flat.getpalette() + 768 * [0])[:768])
    yield Case(
        "clear.gif",
        encoded("GIF", indices, transparency=250),
        np.dstack([np.asarray(flat.convert("RGB")), np.where(clear, 0, 255)]).astype(np.uint8),
    )


def tiffs():
    deep = {channels: picture(channels=channels, dtype=np.uint16) for channels in (1, 2, 3, 4)}
    for channels in 1, 2, 3, 4:
        yield Case(f"tiff_{channels}_8.tif", tiff(picture(channels=channels)), picture(channels=channels))
        yield Case(f"tiff_{channels}_16.tif", tiff(deep[channels]), deep[channels])
        yield Case(
            f"tiff_{channels}_16_lzw.tif", tiff(deep[channels], compression="lzw", predictor=True), deep[channels]
        )
    yield Case("big_endian.tiff", tiff(deep[3], byteorder=">"), deep[3])
    yield Case("big.tif", tiff(deep[3], bigtiff=True), deep[3])
    yield Case("tiled.tif", tiff(deep[3], tile=(16, 16)), deep[3])
    yield Case("planes.tif", tiff(np.moveaxis(deep[3], 2, 0), planarconfig="separate", photometric="rgb"), deep[3])
    yield Case("white_is_0.tif", tiff(65535 - deep[1], photometric="miniswhite"), deep[1])
    yield Case("white_is_0_8.tif", tiff(255 - picture(channels=1), photometric="miniswhite"), picture(channels=1))
    times_alpha = np.rint(deep[4] * (deep[4][..., 3:] / 65535)).astype(np.uint16)
    times_alpha[..., 3] = deep[4][..., 3]
    yield Case("times_alpha.tif", tiff(times_alpha, extrasamples=["assocalpha"]), deep[4])
    yield Case("spare_channel.tif", tiff(deep[4], extrasamples=["unspecified"]), deep[3])
    yield Case("lzw.tif", encoded("TIFF", image(), compression="tiff_lzw"), picture())
    yield Case("jpeg.tif", encoded("TIFF", image(), compression="jpeg", quality=95), picture())
    half = image(1).point(lambda x: 255 * (x > 128)).convert("1")
    yield Case(
        "fax.tif", encoded("TIFF", half, compression="group4"), 255 * np.asarray(half)[..., None].astype(np.uint8)
    )
    yield Case("palette.tif", encoded("TIFF", image().quantize(200)), np.asarray(image().quantize(200).convert("RGB")))
    inks = image().convert("CMYK")
    yield Case("cmyk.tif", encoded("TIFF", inks), picture(), note="converted from CMYK to sRGB$")
    yield Case(
        "cmyk_16.tif",
        tiff(np.asarray(inks).astype(np.uint16) * 257, photometric="separated", extrasamples=[]),
        picture(),
        note="cut to 8 bits a channel; converted from CMYK",
    )
    said = {"icc": SRGB, "dpi": (300, 200), "exif": exif(artist="Zoe")}
    yield Case(
        "said.tif",
        encoded("TIFF", image(), icc_profile=SRGB, dpi=(300, 200), exif=exif(1, "Zoe").tobytes()),
        picture(),
        said=said,
    )
    yield Case(
        "said_16.tif",
        tiff(
            deep[3],
            resolution=(300, 200),
            resolutionunit="inch",
            iccprofile=SRGB,
            description="a cat",
            software="x",
            metadata=None,  # otherwise a second description, which Pillow before 13 reads instead of the first
        ),
        deep[3],
        said={"icc": SRGB, "dpi": (300, 200), "exif": {0x010E: "a cat", 0x0131: "x"}},
    )
    for orientation in 3, 6:
        for array, bits in ((picture(), 8), (deep[3], 16)):
            stored = np.rot90(array, {3: 2, 6: 1}[orientation])
            said = packet(orientation)
            data = tiff(stored, extratags=[(274, 3, 1, orientation, True), (700, 1, len(said), said, True)])
            yield Case(f"orientation_{orientation}_{bits}.tif", data, array, said={"xmp": packet()})
    preview = io.BytesIO()
    with tifffile.TiffWriter(preview) as writer:
        writer.write(picture(), photometric="rgb")
        writer.write(picture()[::2, ::2], photometric="rgb", subfiletype=1)
    yield Case("preview.tif", preview.getvalue(), picture())
    pages = io.BytesIO()
    tifffile.imwrite(
        pages, np.stack([deep[2], deep[2]]), photometric="minisblack", planarconfig="contig", extrasamples=[2]
    )
    yield Case("pages_16.tif", pages.getvalue(), refusal="several pictures")
    yield Case("raw.tif", tiff(picture(), subfiletype=1), refusal="preview")
    yield Case("pages.tif", encoded("TIFF", image(), save_all=True, append_images=[image(1)]), refusal="2 pictures")
    for dtype in np.float32, np.uint32, np.int16, np.float16:
        yield Case(
            f"{dtype.__name__}.tif", tiff(picture(channels=1).astype(dtype)), refusal="would not be kept|of type"
        )
    yield Case("float32_rgb.tif", tiff(picture().astype(np.float32)), refusal="would not be kept|of type")


def animations():
    timing = {"durations": [50, 120, 70, 300]}
    yield Case("moving.gif", animated("GIF", frames(False), loop=0), frames(False), said={**timing, "plays": 0})
    yield Case("thrice.gif", animated("GIF", frames(False), loop=2), frames(False), said={**timing, "plays": 3})
    yield Case("once.gif", animated("GIF", frames(False)), frames(False), said={**timing, "plays": 1})
    yield Case("moving_clear.gif", animated("GIF", frames(True), loop=0, disposal=2), frames(True), said=timing)
    yield Case(
        "moving_lossless.webp",
        animated("WEBP", frames(False), lossless=True, loop=3, icc_profile=SRGB),
        frames(False),
        said={**timing, "plays": 3, "icc": SRGB},
    )
    yield Case("moving.webp", animated("WEBP", frames(False), quality=100), frames(False), said=timing)
    yield Case(
        "moving_clear_lossless.webp",
        animated("WEBP", frames(True), lossless=True),
        frames(True),
        said={**timing, "plays": 0},
    )
    yield Case("moving.png", animated("PNG", frames(False), loop=2), frames(False), said={**timing, "plays": 2})
    yield Case(
        "moving_clear.png",
        animated("PNG", frames(True), disposal=1, blend=1),
        frames(True),
        said={**timing, "plays": 0},
    )


def sizes():
    for kind, suffix in KINDS:
        yield Case(f"one_pixel.{suffix}", encoded(kind, image(3, 1, 1)), picture(1, 1))
    for height, width in ((1, 5000), (5000, 1)):
        for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif")):
            yield Case(f"long_{height}.{suffix}", encoded(kind, image(3, height, width)), picture(height, width))
        yield Case(f"long_{height}.webp", encoded("WEBP", image(3, height, width)), refusal="too many for WEBP")
    yield Case("long_16.png", png(picture(1, 3000, 3, np.uint16)), picture(1, 3000, 3, np.uint16))


def broken():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for kind, suffix in KINDS:
        data = encoded(kind, noise)
        yield Case(f"empty.{suffix}", b"", refusal="empty")
        yield Case(f"half.{suffix}", data[: len(data) // 2], refusal="damaged")
        yield Case(f"header.{suffix}", data[:20], refusal="damaged|not an image")
    lzw = encoded("TIFF", noise, compression="tiff_lzw")
    yield Case("half_lzw.tif", lzw[:200] + bytes(len(lzw) - 700) + lzw[-500:], refusal="damaged")
    deep = np.random.default_rng(0).integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    yield Case("half_16.png", (data := png(deep))[: len(data) // 2], refusal="damaged")
    yield Case("half_16.tif", (data := tiff(deep))[: len(data) // 2], refusal="damaged")
    yield Case("half_moving.gif", (data := animated("GIF", frames(False)))[: len(data) * 2 // 3], refusal="damaged")
    yield Case("half_moving.webp", (data := animated("WEBP", frames(False)))[: len(data) * 2 // 3], refusal="damaged")
    yield Case("bits_flipped.png", flipped(encoded("PNG", noise)), refusal="damaged")
    yield Case("text.png", b"no picture at all\n", refusal="not an image")
    yield Case("page.jpg", b"<!doctype html><html>Not found</html>", refusal="not an image")
    bomb = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    yield Case(
        "bomb.png",
        png(picture())[:8] + chunk(b"IHDR", bomb) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b""),
        refusal="megapixels",
    )
    yield Case("bomb_16.tif", patched_tiff(tiff(picture(channels=2, dtype=np.uint16))), refusal="megapixels")
    yield Case("really_jpeg.png", encoded("JPEG", image(), quality=95), picture())
    yield Case("really_png.jpg", encoded("PNG", image()), picture())
    yield Case("pipe.png", os.mkfifo, refusal="device or pipe")
    yield Case("socket.png", listen, refusal="device or pipe")
    yield Case("dangling.png", lambda path: os.symlink("nowhere.png", path), refusal="no such file")
    yield Case("loop.png", lambda path: os.symlink(path.name, path), refusal="cannot be read")
    if os.geteuid():  # who is root may read everything
        yield Case("secret.png", secret, refusal="no permission")


def names():
    for name in (
        "é composed.png",
        "e\u0301 decomposed.png",
        "猫 кот قط.png",
        "👩‍👩‍👧 🏳️‍🌈.png",
        "-n.png",
        "a b'c\"d$e.png",
        "two\nlines.png",
        "\x1b[31mred.png",
        os.fsdecode(b"latin-\xe9.png"),
        "dots..x4.png",
        "_x4.png",
        "sub/below/deep.png",
        "%s{}.png",
        "[a]*?.png",
    ):
        yield Case(name, encoded("PNG", image()), picture())
    yield Case("l" * 250 + ".png", encoded("PNG", image()), refusal="too long")


def flipped(data):
    return data[:100] + bytes(255 - byte for byte in data[100:110]) + data[110:]


def patched_tiff(data):
    """The same with a width and height of 60,000."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name in ("ImageWidth", "ImageLength"):
            tag = file.pages[0].tags[name]
            kind = {3: "H", 4: "I"}[tag.dtype.value]
            end = tag.valueoffset + struct.calcsize(kind)
            data = data[: tag.valueoffset] + struct.pack("<" + kind, 60000) + data[end:]
    return data


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        home = os.getcwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(home)


def secret(path):
    path.write_bytes(encoded("PNG", image()))
    path.chmod(0)


def build(folder):
    """Write all cases into a folder; returns them."""
    everything = cases()
    for case in everything:
        path = Path(folder, case.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        case.make(path) if callable(case.make) else path.write_bytes(case.make)
    Path(folder, "folder.png").mkdir()
    os.symlink("..", Path(folder, "sub", "up"))
    return everything
