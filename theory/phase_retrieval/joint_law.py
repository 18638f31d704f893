"""Joint laws of the projections (z, z*) of one measurement on position and signal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..spectrum import FloatArray
from .panels import composite

__all__ = ["JointLaw", "gaussian_law", "measured_law"]

_REACH = 10.0  # standard deviations
_FINEST = 2.0**-8  # of the scale on which the loss varies
ORDER = 8  # Gauss-Legendre nodes of a panel


@dataclass(frozen=True)
class JointLaw:
    """Law of z = a.w and z* = a.w* on nodes, for unit vectors w and w* with w.w* = m.

    Attributes:
        weights: (K,) positive, summing to 1.
        z: (K,).
        target: (K,) z*. A law that is even in (z, z*) may hold one half of its nodes.
        overlap: m.
    """

    weights: FloatArray
    z: FloatArray
    target: FloatArray
    overlap: float

    @property
    def signal(self) -> FloatArray:
        """s = (z* - m z) / (1 - m^2)^(1/2), (K,).

        It is a.u for the signal's direction u in the tangent space of the sphere at w.
        """
        free = math.sqrt(1 - self.overlap**2)
        signal: FloatArray = (self.target - self.overlap * self.z) / free
        return signal

    def mean(self, values: FloatArray) -> float:
        """E of values at the nodes, (K,)."""
        return float(self.weights @ values)


def gaussian_law(overlap: float, scale: float = 1.0, order: int = ORDER) -> JointLaw:
    """(z, z*) at a position that does not know the measurements: normal, E z z* = m.

    Nodes are dense towards z = z* = 0, where 1/(a + z*^2 + 3 z^2) varies on the scale a^(1/2).

    Args:
        overlap: m, between -1 and 1.
        scale: a^(1/2), or anything for a smooth integrand.
        order: nodes of a panel.

    Raises:
        ValueError: if the overlap is out of range.
    """
    if not -1 < overlap < 1:
        raise ValueError(f"overlap: expected a number above -1 and below 1, got {overlap}")
    free = math.sqrt(1 - overlap**2)
    finest = _FINEST * min(1.0, scale)
    graded = np.exp2(np.arange(math.log2(finest), 0))
    units = np.arange(1, _REACH + 1)
    z, z_weights = composite(np.concatenate([[0.0], graded, units])[None], order)
    centre = np.clip(-overlap * z[0] / free, -_REACH, _REACH)[:, None]
    # In s the scale of z* is divided by (1 - m^2)^(1/2); more panels would add nothing.
    offsets = np.concatenate([-graded, [0.0], graded]) / free
    breaks = np.concatenate(
        [centre + offsets, np.tile(np.arange(-_REACH, _REACH + 1), (z.size, 1))], 1
    )
    s, s_weights = composite(np.sort(np.clip(breaks, -_REACH, _REACH), axis=1), order)
    z = np.broadcast_to(z[0][:, None], s.shape)
    weights = z_weights[0][:, None] * s_weights * np.exp(-(z**2 + s**2) / 2)
    kept = weights > 0
    target = overlap * z + free * s
    total = weights[kept]
    return JointLaw(total / total.sum(), z[kept], target[kept], overlap)


def measured_law(z: FloatArray, target: FloatArray, overlap: float) -> JointLaw:
    """The law of the measurements at hand: n nodes of weight 1/n.

    Args:
        z: (n,) at the present position.
        target: (n,) z*.
        overlap: m, between -1 and 1.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    if z.shape != target.shape or z.ndim != 1 or not len(z):
        raise ValueError(f"target: expected the shape of z, (n,), got {target.shape} for {z.shape}")
    if not -1 < overlap < 1:
        raise ValueError(f"overlap: expected a number above -1 and below 1, got {overlap}")
    return JointLaw(np.full(len(z), 1 / len(z)), z, target, overlap)
