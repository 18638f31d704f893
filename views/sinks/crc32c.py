"""CRC-32C, the checksum of event files, fast enough to be taken of every record."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["crc32c"]

Words = NDArray[np.uint32]

# The polynomial of Castagnoli, its bits reversed.
_POLYNOMIAL = 0x82F63B78
# Bytes that are taken at once; pieces of this length go side by side.
_PIECE = 128
# Pieces for which the arrays stay in the processor's cache.
_TOGETHER = 32
_BITS = np.arange(32, dtype=np.uint32)


def crc32c(data: bytes) -> int:
    """CRC-32C of ``data`` (RFC 3720).

    The checksum is linear over GF(2): each byte of a piece contributes what a table has for its
    place, and each bit of a piece's checksum what another has for the number of pieces behind it.
    An event of 40 kB takes 0.1 ms; TensorBoard's own function, byte by byte, takes 4 to 5.
    """
    lead = np.full(min(4, len(data)), 0xFF, dtype=np.uint8)
    count = max(1, -(-len(data) // _PIECE))
    # Zeros in front change nothing.
    padded = np.zeros(count * _PIECE, dtype=np.uint8)
    start = len(padded) - len(data)
    padded[start:] = np.frombuffer(data, dtype=np.uint8)
    padded[start : start + len(lead)] ^= lead
    table, places = _contributions()
    pieces, crc = padded.reshape(count, _PIECE), np.empty(count, dtype=np.uint32)
    for some in range(0, count, _TOGETHER):
        taken = table[pieces[some : some + _TOGETHER] + places]
        np.bitwise_xor.reduce(taken, axis=1, out=crc[some : some + _TOGETHER])
    behind = _behind((count - 1).bit_length())[:count]
    bits = crc[::-1, None] >> _BITS & 1
    # What of the initial ones lies beyond the data.
    rest = 0xFFFFFFFF >> 8 * len(lead)
    return int(np.bitwise_xor.reduce(behind * bits, axis=None)) ^ rest ^ 0xFFFFFFFF


@cache
def _contributions() -> tuple[Words, NDArray[np.intp]]:
    """What each value of each byte of a piece adds to its checksum, and where it begins there.

    Returns:
        (256 * 256,) one place after the other, and (256,) where that of each begins.
    """
    rows = np.empty((_PIECE, 256), dtype=np.uint32)
    rows[-1] = _table()
    for place in reversed(range(_PIECE - 1)):
        rows[place] = _stepped(rows[place + 1])
    return rows.ravel(), 256 * np.arange(_PIECE)


def _stepped(crc: Words) -> Words:
    """The checksums after one zero byte each."""
    result: Words = _table()[crc & 0xFF] ^ (crc >> 8)
    return result


@cache
def _table() -> Words:
    """The checksum of each byte, (256,)."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc


@cache
def _behind(level: int) -> Words:
    """What each bit of a checksum becomes with 0 .. 2^level - 1 pieces of zeros behind it.

    Returns:
        (2^level, 32).
    """
    if level == 0:
        return np.uint32(1) << _BITS[None]
    near = _behind(level - 1)
    return np.concatenate((near, _moved(near, level - 1)))


def _moved(crc: Words, level: int) -> Words:
    """The checksums after 2^level pieces of zeros."""
    table = _zeros(level)
    result: Words = table[0][crc & 0xFF]
    for place in (1, 2, 3):
        result = result ^ table[place][(crc >> 8 * place) & 0xFF]
    return result


@cache
def _zeros(level: int) -> Words:
    """What 2^level pieces of zeros make of each value of each byte of a checksum, (4, 256)."""
    if level:
        return np.stack([_moved(row, level - 1) for row in _zeros(level - 1)])
    crc = np.arange(256, dtype=np.uint32) << 8 * np.arange(4, dtype=np.uint32)[:, None]
    for _ in range(_PIECE):
        crc = _stepped(crc)
    return crc
