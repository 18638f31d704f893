"""Scrambled Sobol points, without scipy.stats: loading that takes longer than most predictions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..spectrum import FloatArray

__all__ = ["sobol"]

_BITS = 30
# A primitive polynomial over two elements, by the bits of its coefficients, and the first direction
# numbers of each dimension after the first.
_POLYNOMIALS = (
    (3, (1,)),
    (7, (1, 3)),
    (11, (1, 3, 1)),
    (13, (1, 1, 1)),
    (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)),
    (41, (1, 1, 5, 5, 5)),
    (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)),
    (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)),
    (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)),
    (109, (1, 3, 1, 15, 13, 25)),
    (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)),
)


@lru_cache(maxsize=16)
def sobol(dimensions: int, log2_size: int, seed: int) -> FloatArray:
    """The first 2^log2_size points of a scrambled Sobol sequence in [0, 1)^dimensions, read-only.

    They are those of ``scipy.stats.qmc.Sobol(dimensions, rng=seed)``, which is loaded beyond twenty
    dimensions alone.

    Args:
        dimensions: at least 1.
        log2_size: 0 to 30.
        seed: of the scrambling.

    Source: S. Joe, F. Y. Kuo, Constructing Sobol sequences with better two-dimensional projections,
    SIAM J. Sci. Comput. 30, 2635 (2008); J. Matoušek, On the L2-discrepancy for anchored boxes,
    J. Complexity 14, 527 (1998), for the scrambling by lower triangular matrices and a shift.
    """
    rng = np.random.default_rng(seed)
    if dimensions > len(_POLYNOMIALS) + 1:
        from scipy.stats import qmc

        points = qmc.Sobol(dimensions, rng=rng).random_base2(log2_size)
    else:
        points = _scrambled(dimensions, 2**log2_size, rng.spawn(1)[0])
    points.flags.writeable = False
    return points


def _scrambled(dimensions: int, size: int, rng: np.random.Generator) -> FloatArray:
    places = np.arange(_BITS)
    columns = np.stack([_direction_numbers(each) for each in range(dimensions)])
    shift = rng.integers(2, size=(dimensions, _BITS), dtype=np.uint32) @ (1 << places)
    lower = np.tril(rng.integers(2, size=(dimensions, _BITS, _BITS), dtype=np.uint32))
    lower[:, places, places] = 1
    # Bits from the first after the point on, (dimensions, place, column): a matrix over {0, 1}.
    falling = places[::-1]
    bits = (columns[:, None, :] >> falling[:, None]) & 1
    columns = ((lower.astype(np.int64) @ bits % 2) << falling[:, None]).sum(1)
    order = np.arange(size)
    order ^= order >> 1  # in Gray's order, of which one bit changes from each point to the next
    found = np.tile(shift, (size, 1))
    for place in range(max(size - 1, 0).bit_length()):
        found ^= np.where((order >> place & 1)[:, None], columns[:, place], 0)
    return found / 2.0**_BITS


def _direction_numbers(dimension: int) -> np.ndarray:
    """(bits,) int64: column j has the bits of a point that are added for the bit j of its index."""
    if dimension == 0:
        numbers = [1] * _BITS
    else:
        polynomial, first = _POLYNOMIALS[dimension - 1]
        degree, numbers = len(first), list(first)
        for place in range(degree, _BITS):
            number = numbers[place - degree]
            for back in range(1, degree + 1):
                if polynomial >> (degree - back) & 1:
                    number ^= numbers[place - back] << back
            numbers.append(number)
    return np.array(numbers) << np.arange(_BITS)[::-1]
