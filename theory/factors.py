"""The curvature factor D of a sample, and how far it reaches over all samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from scipy.stats import norm, qmc

from ..models.heads import Head, curvature_factors, gradient_factors
from .spectrum import FloatArray, Matrix
from .threads import single_thread

__all__ = ["FactorRange", "factor_range", "factor_values"]

_SCAN_DIRECTIONS = 256
_SCAN_SCALES = np.geomspace(0.05, 1e3, 28)
_GROWTH = 1.5  # a factor that still grows by this much over the last decade has no supremum
_CLIMBS, _CANDIDATES = 24, 256
_EXTREME_DIRECTIONS = 64
_UNSEEN = 1e-10  # relative size of D along a direction that no sample sees


def factor_values(
    head: Head, matrix: Matrix, h: FloatArray, v: FloatArray, labels: np.ndarray
) -> FloatArray:
    """D of each sample for all directions, (N, C, C): d^2 ell/dh^2, or (d ell/dh)(d ell/dh)^T."""
    arguments = (torch.from_numpy(h), torch.from_numpy(v), torch.from_numpy(labels))
    with single_thread():
        if matrix == "hessian":
            factors: FloatArray = curvature_factors(head, *arguments).numpy()
            return factors
        g: FloatArray = gradient_factors(head, *arguments)[0].numpy()
        return g[:, :, None] * g[:, None, :]


@dataclass(frozen=True)
class FactorRange:
    """How far D of one block reaches over all samples that can occur.

    Attributes:
        lift: (len(rows), m) orthonormal basis of the directions of the block that D sees.
        supremum: of the largest eigenvalue of D; inf if there is none.
        infimum: of the smallest.
        extremes: (L, m, m) values of D near the boundary of those that can occur.
    """

    lift: FloatArray
    supremum: float
    infimum: float
    extremes: FloatArray


def factor_range(
    head: Head,
    matrix: Matrix,
    rows: tuple[int, ...],
    frame: FloatArray,
    parameters: FloatArray,
    labels: tuple[int, ...],
) -> FactorRange:
    """How far D reaches, from a scan of growing preactivations and a climb from its best point.

    It is a property of the head, so it is remembered while frame and parameters stay the same.

    Args:
        head: the head; hashable.
        matrix: which matrix.
        rows: directions in the block.
        frame: (r1, C) basis of the preactivations that can occur.
        parameters: (q,) v.
        labels: those that can occur.
    """
    return _factor_range(
        cast(Hashable, head),
        matrix,
        rows,
        (frame.shape, np.ascontiguousarray(frame).tobytes()),
        parameters.tobytes(),
        labels,
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
) -> FactorRange:
    far = _far_factors(cast(Hashable, head), matrix, frame, parameters, labels)[:, rows][:, :, rows]
    lift = _seen(far)
    far = np.einsum("ai,nab,bj->nij", lift, far, lift)
    spread = np.linalg.eigvalsh(far) if far.shape[1] > 1 else far[:, :, 0]
    by_scale = (len(_SCAN_SCALES), -1)
    top, bottom = spread[:, -1].reshape(by_scale).max(1), spread[:, 0].reshape(by_scale).min(1)
    supremum, infimum = _supremum(top), -_supremum(-bottom)
    u = np.random.default_rng(2).standard_normal((_EXTREME_DIRECTIONS, far.shape[1]))
    forms = np.einsum("pi,nij,pj->np", u, far, u, optimize=True)
    chosen = np.unique(np.concatenate([forms.argmax(0), forms.argmin(0)]))
    extremes = [*far[chosen]]
    directions, z, v = _thaw(frame), _far_points(frame[0][0]), np.frombuffer(parameters).copy()
    for sign, bound in ((1, supremum), (-1, infimum)):
        if not (math.isfinite(bound) and len(directions)):
            continue
        largest = (sign * spread).max(1)
        point, label = divmod(int(largest.argmax()), len(labels))

        def block(z: FloatArray, label: int = labels[label]) -> FloatArray:
            d = factor_values(head, matrix, z @ directions, v, np.full(len(z), label))
            lifted: FloatArray = np.einsum("ai,nab,bj->nij", lift, d[:, rows][:, :, rows], lift)
            return lifted

        extremes.append(_climb(block, z[point], sign))
    ends = np.linalg.eigvalsh(extremes)
    return FactorRange(
        lift,
        max(supremum, float(ends.max())),
        min(infimum, float(ends.min())),
        np.array(extremes),
    )


def _climb(block: Callable[[FloatArray], FloatArray], start: FloatArray, sign: int) -> FloatArray:
    """D (m, m) near a point z where its largest (sign 1) or smallest eigenvalue is extreme."""
    rng = np.random.default_rng(3)
    z, step = start, 0.5 * float(np.linalg.norm(start))
    for _ in range(_CLIMBS):
        candidates = np.vstack([z, z + step * rng.standard_normal((_CANDIDATES, len(z)))])
        d = block(candidates)
        best = int(np.linalg.eigvalsh(sign * d)[:, -1].argmax())
        z, step = candidates[best], 0.6 * step
    extreme: FloatArray = block(z[None])[0]
    return extreme


def _far_points(dimensions: int) -> FloatArray:
    """Points z (scales * rays, dimensions), growing scale outermost."""
    points = qmc.Sobol(max(dimensions, 1), rng=np.random.default_rng(1)).random(_SCAN_DIRECTIONS)
    rays = norm.ppf(np.clip(points, 1e-6, 1 - 1e-6))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    # Each ray has its own radii, so that together they leave no wide gaps.
    rays *= (_SCAN_SCALES[1] / _SCAN_SCALES[0]) ** np.linspace(0, 1, _SCAN_DIRECTIONS)[:, None]
    grid: FloatArray = _SCAN_SCALES[:, None, None] * rays
    return grid.reshape(-1, rays.shape[1])[:, :dimensions]


@lru_cache(maxsize=16)
def _far_factors(
    head: Head, matrix: Matrix, frame: _Frozen, parameters: bytes, labels: tuple[int, ...]
) -> FloatArray:
    """D at h = z @ frame for the far points z, (scales * rays * labels, C, C)."""
    directions = _thaw(frame)
    h, v = _far_points(len(directions)) @ directions, np.frombuffer(parameters).copy()
    values = [factor_values(head, matrix, h, v, np.full(len(h), label)) for label in labels]
    c = directions.shape[1]
    return np.stack(values, axis=1).reshape(-1, c, c)


def _seen(factors: FloatArray) -> FloatArray:
    """Orthonormal basis (C, m) of the complement of the common null space of D (N, C, C)."""
    values, vectors = np.linalg.svd(factors.reshape(-1, factors.shape[2]), full_matrices=False)[1:]
    seen = values > _UNSEEN * values[0]
    return np.eye(len(values)) if seen.all() or values[0] == 0 else vectors[seen].T


def _supremum(by_scale: FloatArray) -> float:
    """Supremum from the maxima in shells of growing radius; inf if they keep growing."""
    decade = int(np.searchsorted(_SCAN_SCALES, _SCAN_SCALES[-1] / 10))
    if by_scale[-1] > _GROWTH * max(by_scale[:decade].max(), 0.0) + 1e-9:
        return math.inf
    return float(by_scale.max())
