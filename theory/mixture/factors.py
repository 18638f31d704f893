"""The curvature factor D of a sample, and how far it reaches over all samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from scipy.special import ndtri

from ...models.heads import Head, curvature_factors, gradient_factors, joint_curvature_factors
from ..bulk.law import outermost
from ..spectrum import FloatArray
from .sobol import sobol

__all__ = [
    "FactorRange",
    "Matrix",
    "factor_range",
    "factor_values",
    "merged",
]

Matrix = Literal["hessian", "information"]

_SCAN_LOG2 = 8  # of the number of rays
_SCAN_SCALES = np.geomspace(0.05, 1e3, 28)
_GROWTH = 1.5  # a factor that still grows by this much over the last decade has no supremum
_CLIMBS, _CANDIDATES = 24, 96
_UNSEEN = 1e-10  # relative size of D along a direction that no sample sees
_TOUCHING = 1e-9  # relative distance at which two parts of the support are one


def factor_values(
    head: Head,
    matrix: Matrix,
    h: FloatArray,
    v: FloatArray,
    labels: np.ndarray,
    joint: bool = False,
) -> FloatArray:
    """M of each sample: d^2 ell, or (d ell)(d ell)^T.

    Args:
        head: the head.
        matrix: which of the two.
        h: (N, C) preactivations.
        v: (q,) parameters.
        labels: (N,) int64.
        joint: in (h, v), (N, C + q, C + q); otherwise in h alone, (N, C, C).
    """
    if matrix == "hessian":
        derivative = joint_curvature_factors if joint else curvature_factors
        factors: FloatArray = derivative(head, h, v, labels)
        return factors
    g_h, g_v = gradient_factors(head, h, v, labels)
    g: FloatArray = np.hstack([g_h, g_v]) if joint else g_h
    return g[:, :, None] * g[:, None, :]


@dataclass(frozen=True)
class FactorRange:
    """How far D of one block reaches over all samples that can occur.

    Attributes:
        lift: (len(rows), m) orthonormal basis of the directions of the block that M sees.
        visible: the first columns of ``lift`` are those that D sees; the others M_hv alone sees.
        supremum: of the largest eigenvalue of D; inf if there is none.
        infimum: of the smallest.
        extremes: (L, m, m) values of D near the boundary of those that can occur.
        intervals: for m = 1, infimum and supremum for each label, since a continuous head maps
            all preactivations to an interval.
    """

    lift: FloatArray
    visible: int
    supremum: float
    infimum: float
    extremes: FloatArray
    intervals: tuple[tuple[float, float], ...]

    def lifted(self, factors: FloatArray) -> FloatArray:
        """D (N, len(rows), len(rows)) in the basis ``lift``, (N, m, m)."""
        return _lifted(self.lift, self.visible, factors)


def factor_range(
    head: Head,
    matrix: Matrix,
    rows: tuple[int, ...],
    frame: FloatArray,
    parameters: FloatArray,
    labels: tuple[int, ...],
    joint: bool = False,
) -> FactorRange:
    """How far D reaches, from a scan of growing preactivations and a climb from its best points.

    It is a property of the head, so it is remembered while frame and parameters stay the same.

    Args:
        head: the head; hashable.
        matrix: which matrix.
        rows: directions in the block.
        frame: (r1, C) basis of the preactivations that can occur.
        parameters: (q,) v.
        labels: those that can occur.
        joint: whether v belongs to the block, so that directions seen by M_hv alone stay.
    """
    return _factor_range(
        cast(Hashable, head),
        matrix,
        rows,
        (frame.shape, np.ascontiguousarray(frame).tobytes()),
        parameters.tobytes(),
        labels,
        joint,
    )


_Frozen = tuple[tuple[int, ...], bytes]  # shape and content of an array, hashable


def _thaw(frozen: _Frozen) -> FloatArray:
    return np.frombuffer(frozen[1]).reshape(frozen[0])


@lru_cache(maxsize=256)
def _factor_range(
    head: Head,
    matrix: Matrix,
    rows: tuple[int, ...],
    frame: _Frozen,
    parameters: bytes,
    labels: tuple[int, ...],
    joint: bool,
) -> FactorRange:
    far = _far_factors(cast(Hashable, head), matrix, frame, parameters, labels, joint)
    lift = _seen(far[:, rows][:, :, rows])
    visible = lift.shape[1]
    if joint:
        lift = _completed(lift, _seen(far[:, rows]))
    block = _lifted(lift, visible, far[:, rows][:, :, rows])
    spread = np.linalg.eigvalsh(block) if block.shape[1] > 1 else block[:, :, 0]
    shells = spread.reshape(len(_SCAN_SCALES), -1, len(labels), spread.shape[1])
    # Largest and smallest eigenvalue of each label; negated, the smallest are largest too.
    ends = [
        (sign, place, _supremum((sign * shells[:, :, place]).max((1, 2))))
        for place in range(len(labels))
        for sign in (1, -1)
    ]
    extremes = [*outermost(block)]
    directions, z, v = _thaw(frame), _far_points(frame[0][0]), np.frombuffer(parameters).copy()

    def lifted(z: FloatArray, y: np.ndarray) -> FloatArray:
        d = factor_values(head, matrix, z @ directions, v, y)[:, rows][:, :, rows]
        return _lifted(lift, visible, d)

    climbing = [end for end in ends if math.isfinite(end[2]) and len(directions)]
    if climbing:
        starts = []
        for sign, place, _ in climbing:
            own = (sign * spread.reshape(-1, len(labels), spread.shape[1])[:, place]).max(1)
            starts.append(z[int(own.argmax())])
        signs = np.array([end[0] for end in climbing])
        chosen = np.array([labels[end[1]] for end in climbing])
        extremes += [*_climb(lifted, np.array(starts), signs, chosen)]
    last = np.linalg.eigvalsh(extremes[len(extremes) - len(climbing) :]) if climbing else None
    bounds = {}
    for sign, place, bound in ends:
        at = climbing.index((sign, place, bound)) if (sign, place, bound) in climbing else None
        climbed = -math.inf if at is None or last is None else float((sign * last[at]).max())
        bounds[sign, place] = max(bound, climbed)
    # Far out, rounding errors of g g^T are large beside the samples' own D.
    least = 0.0 if matrix == "information" else -math.inf
    intervals = tuple(
        (max(-bounds[-1, place], least), bounds[1, place]) for place in range(len(labels))
    )
    return FactorRange(
        lift,
        visible,
        max(high for _, high in intervals),
        min(low for low, _ in intervals),
        np.array(extremes),
        intervals if lift.shape[1] == 1 else (),
    )


def _climb(
    block: Callable[[FloatArray, np.ndarray], FloatArray],
    z: FloatArray,
    signs: np.ndarray,
    labels: np.ndarray,
) -> FloatArray:
    """D (E, m, m) near points z (E, r1), where its largest (sign 1) or smallest eigenvalue is so.

    All E searches, each with its own label, advance together.
    """
    rng = np.random.default_rng(3)
    step = 0.5 * np.linalg.norm(z, axis=1)
    for _ in range(_CLIMBS):
        moves = rng.standard_normal((_CANDIDATES, *z.shape))
        candidates = np.concatenate([z[None], z + step[:, None] * moves])
        y = np.tile(labels, len(candidates))
        d = block(candidates.reshape(-1, z.shape[1]), y)
        values = np.linalg.eigvalsh(d) if d.shape[1] > 1 else d[:, :, 0]
        values = (values.reshape(len(candidates), len(z), -1) * signs[:, None]).max(2)
        z, step = candidates[values.argmax(0), np.arange(len(z))], 0.6 * step
    extreme: FloatArray = block(z, labels)
    return extreme


def merged(intervals: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The union of intervals as disjoint ones, increasing."""
    union: list[tuple[float, float]] = []
    for low, high in sorted(intervals):
        reach = _TOUCHING * max(abs(low), abs(union[-1][1])) if union else 0.0
        if union and low <= union[-1][1] + (reach if math.isfinite(reach) else 0.0):
            union[-1] = (union[-1][0], max(high, union[-1][1]))
        else:
            union.append((low, high))
    return tuple(union)


def _far_points(dimensions: int) -> FloatArray:
    """Points z (scales * rays, dimensions), growing scale outermost."""
    rays = ndtri(np.clip(sobol(max(dimensions, 1), _SCAN_LOG2, seed=1), 1e-6, 1 - 1e-6))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    # Each ray has its own radii, so that together they leave no wide gaps.
    rays *= (_SCAN_SCALES[1] / _SCAN_SCALES[0]) ** np.linspace(0, 1, len(rays))[:, None]
    grid: FloatArray = _SCAN_SCALES[:, None, None] * rays
    return grid.reshape(-1, rays.shape[1])[:, :dimensions]


@lru_cache(maxsize=16)
def _far_factors(
    head: Head,
    matrix: Matrix,
    frame: _Frozen,
    parameters: bytes,
    labels: tuple[int, ...],
    joint: bool,
) -> FloatArray:
    """M at h = z @ frame for the far points z, (scales * rays * labels, C or C + q, the same)."""
    directions = _thaw(frame)
    h, v = _far_points(len(directions)) @ directions, np.frombuffer(parameters).copy()
    values = [factor_values(head, matrix, h, v, np.full(len(h), label), joint) for label in labels]
    size = values[0].shape[1]
    return np.stack(values, axis=1).reshape(-1, size, size)


def _seen(factors: FloatArray) -> FloatArray:
    """Orthonormal basis (C, m) of the left span of all matrices (N, C, any)."""
    tall = np.ascontiguousarray(np.swapaxes(factors, 1, 2)).reshape(-1, factors.shape[1])
    values, vectors = np.linalg.svd(np.linalg.qr(tall)[1])[1:]
    seen = values > _UNSEEN * values[0]
    return np.eye(len(values)) if seen.all() or values[0] == 0 else vectors[seen].T


def _completed(inner: FloatArray, outer: FloatArray) -> FloatArray:
    """The orthonormal columns ``inner``, and behind them what is left of a space around them."""
    if inner.shape[1] == outer.shape[1]:
        return inner
    beside = outer - inner @ (inner.T @ outer)
    rest = np.linalg.svd(beside)[0][:, : outer.shape[1] - inner.shape[1]]
    return np.hstack([inner, rest])


def _lifted(lift: FloatArray, visible: int, factors: FloatArray) -> FloatArray:
    """D in a basis, exactly 0 along what it does not see: rounding errors would be curvature."""
    seen: FloatArray = np.einsum("ai,nab,bj->nij", lift, factors, lift, optimize=True)
    seen[:, visible:] = seen[:, :, visible:] = 0.0
    return seen


def _supremum(by_scale: FloatArray) -> float:
    """Supremum from the maxima in shells of growing radius; inf if they keep growing."""
    decade = int(np.searchsorted(_SCAN_SCALES, _SCAN_SCALES[-1] / 10))
    if by_scale[-1] > _GROWTH * max(by_scale[:decade].max(), 0.0) + 1e-9:
        return math.inf
    return float(by_scale.max())
