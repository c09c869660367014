"""Luma, dither and SSIM of protocol `paper`, as the Daala package's tools compute them."""

import functools
import math

import numpy as np

from srgan_tf.evaluation.windows import as_rgb, moments, similarity


def paper_ssim(a, b):
    """SSIM of the Daala package: an integer window that follows the height, cut off at the picture's border.

    Args:
        a, b: luma, uint8 [H, W].
    """
    kernel = paper_kernel(*a.shape).astype(np.float64)
    reach = len(kernel) // 2
    a, b = (np.pad(p.astype(np.float64), reach) for p in (a, b))
    weight = _inside(len(a) - 2 * reach, kernel)[:, None] * _inside(a.shape[1] - 2 * reach, kernel)
    return float(np.average(similarity(*moments(a, b, kernel), weight), weights=weight))


def paper_kernel(height, width):
    """One axis of the window of `paper_ssim`: odd-sized integers whose total is 256."""
    sigma = height * 1.5 / 256
    least = math.sqrt(math.pi / 2) * sigma / 256
    reach = 0 if least >= 1 else math.floor(sigma * math.sqrt(-2 * math.log(least)))
    reach = min(reach, height - 1, width - 1)
    i = np.arange(1, reach + 1)
    side = np.floor(256 / (math.sqrt(2 * math.pi) * sigma) * np.exp(-i * i / (2 * sigma**2)) + 0.5).astype(np.int64)
    return np.concatenate([side[::-1], [256 - 2 * side.sum()], side])


def paper_luma(image, *, dither=True):
    """The luma of protocol `paper`: BT.709, studio range (16..235), 8 bits, from a dithered 4:2:0 conversion.

    The converter chooses floor or ceiling of each pixel's luma, whichever gives its colour back with the smaller
    error beside the chroma of its block of 2 x 2 pixels. All of it is integer arithmetic.

    Args:
        image: uint8 [H, W, 3], or [H, W] which becomes R = G = B; already cut, the dither depends on the size.
        dither: False leaves the dither out, for a comparison.

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
    """What the dither of protocol `paper` adds to 16-bit R, G and B: int16 [height, width, 3], read-only.

    One fixed table for each size: the random generator starts anew for each picture.
    """
    rows, columns = -(-height // 2), -(-width // 2)
    size = 1 << max(10, (rows * columns - 1).bit_length())  # a few sizes serve all: one table is the next one's start
    offsets = _block_offsets(size)[: rows * columns].reshape(rows, columns, 2, 2, 3)
    offsets = offsets.transpose(0, 2, 1, 3, 4).reshape(2 * rows, 2 * columns, 3)[:height, :width]
    offsets.flags.writeable = False
    return offsets


def deviates(blocks):
    """The dither's triangular deviates of Y, Cb and Cr for the four pixels of each block: int64 [blocks, 4, 3]."""
    draws, phase, wanted = [], 0, 24 * blocks
    stream = kiss99()
    while phase < wanted:
        draws.append(_accepted(next(stream), phase))
        phase += len(draws[-1])
    draws = np.concatenate(draws)[:wanted].reshape(blocks, 4, 3, 2).astype(np.int64)
    draws %= np.array(_RANGES)[:, None]
    return draws[..., 0] - draws[..., 1]


def kiss99(chunk=1 << 18):
    """The draws of Marsaglia's KISS99 from the converter's fixed seed, as arrays uint32 [chunk], for ever.

    Each of its four parts can jump ahead by any number of steps, so an array is made by doubling: the first k
    states, jumped k steps ahead, are the next k. The multiply-with-carry z -> a (z mod 2^16) + floor(z / 2^16) is
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
_LIMITS = tuple(0xFFFFFFFF // n * n for n in _RANGES for _ in range(2))  # two draws make a deviate
_Q = 9745792000


def _rdiv(a, b):
    """Quotient rounded half away from zero."""
    return np.sign(a) * ((np.abs(a) + b // 2) // b)


def _colour_error(planes, chroma, luma):
    """Squared RGB error of the pixels that a luma gives back beside its block's chroma."""
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
    """Leave out the draws that the deviates reject; `phase` draws were accepted before.

    Whether a draw is rejected depends on whose turn it is, thus on how many were rejected before it. But most are
    below every limit or above all: only the fifth in between is looked at one by one.
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
    """A linear map of 32 bits, given by each bit's image, as tables of the images of bytes: uint32 [4, 256]."""
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
    """The window's total along an axis, counting only what lies inside: float64 [length]."""
    reach = len(kernel) // 2
    return np.convolve(np.ones(length), kernel)[reach : reach + length]
