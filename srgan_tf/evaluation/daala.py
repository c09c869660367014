"""Luma, dither and SSIM of protocol `paper`, as the Daala package's tools compute them."""

import functools
import math

import numpy as np

from srgan_tf.evaluation.channels import as_rgb
from srgan_tf.evaluation.ssim import moments, similarity


def paper_ssim(a, b):
    """SSIM of the Daala package: the window grows with the height and is cut off at the border of the image.

    Args:
        a, b: luma, uint8 [H, W].
    """
    kernel = paper_kernel(*a.shape).astype(np.float64)
    reach = len(kernel) // 2
    a, b = (np.pad(p.astype(np.float64), reach) for p in (a, b))
    weight = _inside(len(a) - 2 * reach, kernel)[:, None] * _inside(a.shape[1] - 2 * reach, kernel)
    return float(np.average(similarity(*moments(a, b, kernel), weight), weights=weight))


def paper_kernel(height, width):
    """One axis of the window of `paper_ssim`: int64 [n], n is odd, the sum is 256."""
    sigma = height * 1.5 / 256
    least = math.sqrt(math.pi / 2) * sigma / 256
    reach = 0 if least >= 1 else math.floor(sigma * math.sqrt(-2 * math.log(least)))
    reach = min(reach, height - 1, width - 1)
    i = np.arange(1, reach + 1)
    side = np.floor(256 / (math.sqrt(2 * math.pi) * sigma) * np.exp(-i * i / (2 * sigma**2)) + 0.5).astype(np.int64)
    return np.concatenate([side[::-1], [256 - 2 * side.sum()], side])


def paper_luma(image, *, dither=True):
    """The luma of protocol `paper`: BT.709, studio range (16..235), 8 bits, from a dithered 4:2:0 conversion.

    The converter rounds each pixel's luma down or up, whichever reproduces its colour with the smaller error
    together with the chroma of its block of 2 x 2 pixels. All arithmetic is on integers.

    Args:
        image: uint8 [H, W, 3], or [H, W], which is taken as R = G = B. Already cropped: the dither depends on the size.
        dither: False omits the dither, for comparison.

    Returns:
        uint8 [H, W].
    """
    height, width = image.shape[:2]
    rgb = as_rgb(image).astype(np.int64) * 257
    if dither:
        rgb += dither_offsets(height, width)
    rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    planes = [np.ascontiguousarray(p) for p in np.moveaxis(rgb, -1, 0)]
    r, g, b = (p[0::2, 0::2] + p[0::2, 1::2] + p[1::2, 0::2] + p[1::2, 1::2] for p in planes)
    cb = np.clip(_rdiv(-29764 * r - 100128 * g + 129892 * b, 304016865), -128, 127)
    cr = np.clip(_rdiv(110236 * r - 100128 * g - 10108 * b, 258011295), -128, 127)
    chroma = [4490222169144 * cr, -534117096223 * cb - 1334761232047 * cr, 5290866304968 * cb]
    chroma = [np.repeat(np.repeat(k, 2, axis=0), 2, axis=1) for k in chroma]
    r, g, b = ((p * _Q - k + 4096) >> 13 for p, k in zip(planes, chroma))
    low = np.clip((1063 * r + 3576 * g + 361 * b) // 1780026171875, -16, 238)
    below, above = _colour_error(planes, chroma, low), _colour_error(planes, chroma, low + 1)
    up = (above < below) | ((above == below) & (low % 2 == 1))
    return (low + up + 16)[:height, :width].astype(np.uint8)


@functools.lru_cache(maxsize=16)
def dither_offsets(height, width):
    """The dither of protocol `paper`, added to 16-bit R, G and B: int16 [height, width, 3], read-only.

    It is a constant for each size: the random generator is seeded anew for each image.
    """
    rows, columns = -(-height // 2), -(-width // 2)
    size = 1 << max(10, (rows * columns - 1).bit_length())  # powers of two, so that few tables are computed
    offsets = _block_offsets(size)[: rows * columns].reshape(rows, columns, 2, 2, 3)
    offsets = offsets.transpose(0, 2, 1, 3, 4).reshape(2 * rows, 2 * columns, 3)[:height, :width]
    offsets.flags.writeable = False
    return offsets


def deviates(blocks):
    """Triangular deviates of the dither of Y, Cb and Cr for the four pixels of each block: int64 [blocks, 4, 3]."""
    draws, phase, wanted = [], 0, 24 * blocks
    stream = kiss99()
    while phase < wanted:
        draws.append(_accepted(next(stream), phase))
        phase += len(draws[-1])
    draws = np.concatenate(draws)[:wanted].reshape(blocks, 4, 3, 2).astype(np.int64)
    draws %= np.array(_RANGES)[:, None]
    return draws[..., 0] - draws[..., 1]


def kiss99(chunk=1 << 18):
    """Yield the numbers of Marsaglia's KISS99 generator from the converter's fixed seed, as arrays uint32 [chunk].

    Each of its four parts can jump ahead by any number of steps, so arrays are computed by doubling: the first k
    states advanced by k steps are the next k. The multiply-with-carry z -> a (z mod 2^16) + floor(z / 2^16) is
    multiplication by a modulo a 2^16 - 1; the xorshift is linear over bits.
    """
    z, w, jsr, jcong = 362436069, 521288629, 123456789, 380116160
    while True:
        zs, ws = _multiples(z, 36969, chunk), _multiples(w, 18000, chunk)
        shifted, congruential = _xorshift(jsr, chunk), _congruential(jcong, chunk)
        z, w, jsr, jcong = (int(states[-1]) for states in (zs, ws, shifted, congruential))
        multiplied = ((zs << np.uint64(16)) + ws).astype(np.uint32)
        yield (multiplied ^ congruential) + shifted


_RANGES = (1223320001, 1479548744, 1255654970)  # of Y, Cb, Cr
_LIMITS = tuple(0xFFFFFFFF // n * n for n in _RANGES for _ in range(2))  # a deviate is the difference of two draws
_Q = 9745792000


def _rdiv(a, b):
    """Quotient, rounded half away from zero."""
    return np.sign(a) * ((np.abs(a) + b // 2) // b)


def _colour_error(planes, chroma, luma):
    """Squared RGB error of the pixels reconstructed from a luma and the chroma of its block."""
    error = 0
    for plane, k in zip(planes, chroma):
        # Negative sums are clamped to 0 either way, so adding half and flooring rounds as the converter does.
        back = np.clip((2916394880000 * luma + k + _Q // 2) // _Q, 0, 65535)
        error = error + (plane - back) ** 2
    return error


@functools.cache
def _block_offsets(blocks):
    """Offsets of R, G and B for the four pixels of each block: int16 [blocks, 4, 3]."""
    y, cb, cr = np.moveaxis(deviates(blocks), -1, 0)
    cb, cr = cb[:, :1], cr[:, :1]  # all four pixels use the chroma deviates of the first
    red = _rdiv(2 * y + 3 * cr, 8176000)
    green = _rdiv(2384 * y + 361 * cb + 1063 * cr, _Q)
    blue = _rdiv(2 * y + 3 * cb, 8176000)
    return np.stack([red, green, blue], axis=-1).astype(np.int16)


def _accepted(draws, phase):
    """The draws that the deviates accept; `phase` draws were accepted before.

    The limit of a draw depends on how many were rejected before it. But most draws are below all limits or above
    all: only those in between, a fifth, are visited one by one.
    """
    draws = draws[draws < max(_LIMITS)]
    doubtful = np.flatnonzero(draws >= min(_LIMITS))
    rejected = []
    for i, value in zip(doubtful.tolist(), draws[doubtful].tolist()):
        if value >= _LIMITS[(phase + i - len(rejected)) % 6]:
            rejected.append(i)
    return np.delete(draws, rejected)


def _multiples(state, factor, count):
    """The `count` states after `state` of a multiply-with-carry generator: uint64 [count]."""
    modulus = factor * 65536 - 1
    states = np.array([state * factor % modulus], np.uint64)
    while len(states) < count:
        jump = pow(factor, len(states), modulus)
        states = np.concatenate([states, states * np.uint64(jump) % np.uint64(modulus)])
    return states[:count]


def _congruential(state, count):
    """The `count` states after `state` of x -> 69069 x + 1234567 mod 2^32: uint32 [count]."""
    factor, term = 69069, 1234567
    states = np.array([(factor * state + term) % 2**32], np.uint32)
    while len(states) < count:
        states = np.concatenate([states, states * np.uint32(factor) + np.uint32(term)])
        factor, term = factor * factor % 2**32, (factor * term + term) % 2**32
    return states[:count]


def _xorshift(state, count):
    """The `count` states after `state` of the shift register: uint32 [count]."""
    states = _shift(np.array([state], np.uint32))
    images = _shift(np.uint32(1) << np.arange(32, dtype=np.uint32))  # of each bit, len(states) steps later
    while len(states) < count:
        tables = _byte_tables(images)
        states = np.concatenate([states, _map_bits(tables, states)])
        images = _map_bits(tables, images)
    return states[:count]


def _shift(jsr):
    jsr = jsr ^ (jsr << np.uint32(17))
    jsr = jsr ^ (jsr >> np.uint32(13))
    return jsr ^ (jsr << np.uint32(5))


def _byte_tables(images):
    """A linear map of 32 bits, given by the image of each bit, as a table for each byte: uint32 [4, 256]."""
    tables = np.zeros((4, 256), np.uint32)
    for bit in range(8):
        set_ = (np.arange(256) >> bit & 1).astype(bool)
        tables[:, set_] ^= images[bit::8, None]
    return tables


def _map_bits(tables, x):
    result = tables[0][x & np.uint32(255)]
    for k in (1, 2, 3):
        result ^= tables[k][(x >> np.uint32(8 * k)) & np.uint32(255)]
    return result


def _inside(length, kernel):
    """The sum of the window's weights inside the image, along an axis: float64 [length]."""
    reach = len(kernel) // 2
    return np.convolve(np.ones(length), kernel)[reach : reach + length]
