"""Fixed points of the effective dynamics and their stability."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...models.arguments import require_arguments
from ..spectrum import FloatArray
from .drift import Drift
from .linear_noise import linear_noise
from .statistics import Statistics

__all__ = ["FixedPoint", "Stability", "find_fixed_point"]

Stability = Literal["stable", "unstable", "neutral", "not found"]

_RANK_TOLERANCE = 1e-6  # of the references' Gram matrix, relative
_RESIDUAL = 1e-8  # largest velocity at a fixed point, relative to the largest entry of the state
_NEUTRAL = 1e-5  # largest rate that counts as none, relative to the largest
_MOST_STEPS = 80
_LONGEST, _SHORTEST = 1e6, 0.1  # implicit time steps, in units of 1/|J|
_CHANGE = 10.0  # by which a time step grows or shrinks
_LEVEL = 0


@dataclass(frozen=True)
class FixedPoint:
    """Where a search for a zero of the drift ended.

    Attributes:
        statistics: the last G and v.
        residual: largest entry of |F| there.
        rates: (m,) eigenvalues of J = dF/du, complex, largest real part first: perturbations that
            keep x.r possible grow as exp(rate t), on the clock of plain SGD. Second-layer
            parameters count if they are trained.
        outcome: "stable" (all decay), "unstable" (some grow), "neutral" (none grows, but some
            keep their size, as conserved quantities do), or "not found" if the residual is not
            negligible.
    """

    statistics: Statistics = field(metadata={"unit": "see Statistics"})
    residual: float = field(metadata={"unit": "state per time"})
    rates: np.ndarray = field(metadata={"unit": "1 / time"})
    outcome: Stability = field(metadata={"unit": "none"})


def find_fixed_point(drift: Drift, start: Statistics, factor: float = 1.0) -> FixedPoint:
    """A zero of F near a state, stable or not.

    Steps u <- u + (1/s - J)^(-1) F(u) are Newton's for large s and follow the flow for small s;
    both keep what the flow conserves. The search begins with large s and takes a smaller one where
    the residual would grow. So it finds saddles from nearby states, and attractors from the end of
    a path. States stay possible: G positive semidefinite.

    Args:
        drift: F; `EffectiveDynamics.drift` is one.
        start: where to begin; its references' products must be those of the drift.
        factor: of the schedule.

    Raises:
        ValueError: if ``start`` does not fit the drift's head.
        ArithmeticError: if the head's gradient has jumps (relu), whose part J lacks.
    """
    require_arguments(find_fixed_point, locals())
    if (
        start.gram.shape != drift.initial.gram.shape
        or start.parameters.shape != drift.initial.parameters.shape
    ):
        raise ValueError(
            f"start: expected a Gram matrix {drift.initial.gram.shape} and parameters "
            f"{drift.initial.parameters.shape}, got {start.gram.shape} and {start.parameters.shape}"
        )
    u = drift.pack(start)
    f = drift.velocity(u, factor, _LEVEL)
    step = _LONGEST
    for _ in range(_MOST_STEPS):
        if _converged(u, f):
            break
        jacobian = linear_noise(drift, u, factor).jacobian
        norm = float(np.linalg.norm(jacobian, 2))
        while True:
            shift = np.eye(len(u)) * norm / step - jacobian
            reached = drift.pack(drift.unpack(u + np.linalg.lstsq(shift, f)[0]))
            velocity = drift.velocity(reached, factor, _LEVEL)
            if np.linalg.norm(velocity) < np.linalg.norm(f) or step <= _SHORTEST:
                break
            step /= _CHANGE
        u, f, step = reached, velocity, min(step * _CHANGE, _LONGEST)
    rates = _rates(drift, u, factor)
    return FixedPoint(
        statistics=drift.unpack(u),
        residual=float(np.abs(f).max(initial=0.0)),
        rates=rates,
        outcome=_stability(rates) if _converged(u, f) else "not found",
    )


def _converged(state: FloatArray, velocity: FloatArray) -> bool:
    scale = max(float(np.abs(state).max(initial=0.0)), 1e-300)
    return float(np.abs(velocity).max(initial=0.0)) <= _RESIDUAL * scale


def _rates(drift: Drift, state: FloatArray, factor: float) -> np.ndarray:
    basis, around = _possible(drift), linear_noise(drift, state, factor)
    if not around.smooth:
        raise ArithmeticError("fixed points: expected a head whose gradient has no jumps")
    jacobian = basis.T @ around.jacobian @ basis
    rates = np.linalg.eigvals(jacobian)
    return rates[np.argsort(-rates.real)]


def _possible(drift: Drift) -> FloatArray:
    """Orthonormal columns that span the variations of the state that can happen."""
    a = drift.trained
    references = drift.initial.gram[a:, a:]
    values, vectors = np.linalg.eigh(references)
    within = vectors[:, values > _RANK_TOLERANCE * max(float(values[-1]), 1e-300)]
    pairs, entries = a * (a + 1) // 2, len(drift.rows)
    q = len(drift.initial.parameters) if drift.sgd.second_layer_rate > 0 else 0
    size = entries + len(drift.initial.parameters)
    basis = np.zeros((size, pairs + a * within.shape[1] + q))
    basis[:pairs, :pairs] = np.eye(pairs)
    basis[pairs:entries, pairs : pairs + a * within.shape[1]] = np.kron(np.eye(a), within)
    basis[entries : entries + q, basis.shape[1] - q :] = np.eye(q)
    return basis


def _stability(rates: np.ndarray) -> Stability:
    fastest = float(np.abs(rates).max(initial=0.0))
    slowest = float(rates.real.max(initial=-np.inf))
    if slowest > _NEUTRAL * fastest:
        return "unstable"
    return "neutral" if slowest >= -_NEUTRAL * fastest else "stable"
