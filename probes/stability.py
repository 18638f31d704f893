"""The curvature beyond which an optimiser's steps grow instead of settling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "CriticalCurvature",
    "LearningRate",
    "StatesCriticalCurvature",
    "critical_curvature",
    "critical_sharpness",
    "require_learning_rate",
]

_DECAY = "weight decay alone makes some steps grow"

# Where the learning rate comes from: an optimiser, or a function of the number of steps taken.
LearningRate = torch.optim.Optimizer | Callable[[int], float]


@runtime_checkable
class StatesCriticalCurvature(Protocol):
    """An optimiser that says itself when its steps grow, whatever its class."""

    def critical_curvature(self, parameter: Tensor) -> Tensor | float:
        """c > 0:  steps along entry i alone grow where H_ii > c_i.

        For steps of -eta P^-1 m with m = beta m + (1 - dampening) g and a diagonal P it is
        2 (1 + beta) / ((1 - dampening) eta) P.

        Args:
            parameter: one of the optimiser's.

        Returns:
            of the parameter's shape, or one number for all its entries.
        """


@dataclass(frozen=True)
class CriticalCurvature:
    """Steps grow where the largest eigenvalue of P^(-1/2) H P^(-1/2) is above ``threshold``.

    Attributes:
        threshold: 2 (1 + beta) / ((1 - dampening) eta) and the like, per unit of learning rate;
            NaN if it is not known, infinite for a learning rate of 0.
        preconditioner: P as the entries of the block's parameters, (N,), positive; None for 1.
        reason: why it is not known; empty if it is.
    """

    threshold: float
    preconditioner: Tensor | None = None
    reason: str = ""


class _UnknownError(Exception):
    """Why the critical curvature of some parameters is not known."""


def critical_curvature(
    rate: LearningRate, step: int, parameters: Sequence[Tensor], rows: Sequence[int] = ()
) -> CriticalCurvature:
    """c = tau P - w:  on a quadratic, steps grow where some eigenvalue of c^(-1/2) H c^(-1/2) > 1.

    tau is 2 (1 + beta) / ((1 - dampening) eta) for SGD with momentum beta, learning rate eta and
    P = 1; with Nesterov's momentum 2 (1 + beta) / ((1 + 2 beta) eta) (arXiv 2103.00065, section 2
    and appendix B). For Adam and AdamW it is 2 (1 + beta_1) / ((1 - beta_1) eta), 38 / eta for
    beta_1 = .9, with P = (1 - beta_1^t) (v_hat^(1/2) + eps) (arXiv 2207.14484, section 2); for
    RMSprop 2 (1 + beta) / eta with P = v^(1/2) + eps. w is the weight decay that is a part of the
    gradient; one that is not (AdamW) multiplies tau by 1 - eta w / 2.

    It is exact on a quadratic, for steps on the whole training set and a preconditioner that stands
    still, also where groups of parameters differ in eta, beta, or w: what first grows alternates in
    sign, m -> -m, and there H x = c x. The threshold is the smallest of the groups', and the
    preconditioner c over it.

    Args:
        rate: the optimiser, read at this moment, or a function of the step: the learning rate of
            plain gradient descent.
        step: number of steps taken.
        parameters: the block whose curvature is meant, as the optimiser has them.
        rows: of the single parameter, if the block is some rows of it.

    Returns:
        A threshold of NaN, with the reason, for other optimisers that do not state theirs
        (`StatesCriticalCurvature`), before the first step of an adaptive one, and for parameters
        that are not the optimiser's.
    """
    try:
        if not isinstance(rate, torch.optim.Optimizer):
            return CriticalCurvature(_threshold(float(rate(step)), 0.0))
        found = [_of_parameter(_innermost(rate), parameter) for parameter in parameters]
        return _joined(found, parameters, rows)
    except _UnknownError as unknown:
        return CriticalCurvature(math.nan, reason=str(unknown))


def critical_sharpness(rate: LearningRate, step: int, parameters: Sequence[Tensor]) -> float:
    """2 (1 + beta) / ((1 - dampening) eta) - w:  the largest eigenvalue at which SGD's steps grow.

    See `critical_curvature`.

    Returns:
        NaN if the optimiser treats these parameters unequally or not at all.
    """
    found = critical_curvature(rate, step, parameters)
    return found.threshold if found.preconditioner is None else math.nan


def require_learning_rate(rate: LearningRate | None) -> None:
    """Refuse what has no learning rate.

    Raises:
        ValueError: if it is neither None, an optimiser nor a function.
    """
    if not (rate is None or isinstance(rate, torch.optim.Optimizer) or callable(rate)):
        raise ValueError(
            "learning_rate: expected an optimiser or a function of the step, "
            f"got {type(rate).__name__}"
        )


@dataclass(frozen=True)
class _Own:
    """Of one parameter: c = threshold * preconditioner - decay."""

    threshold: float
    preconditioner: Tensor | float = 1.0
    decay: float = 0.0

    @property
    def critical(self) -> Tensor | float:
        return self.threshold * self.preconditioner - self.decay


def _innermost(optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Without wrappers, such as accelerate's, that hold one as ``optimizer``."""
    inner = getattr(optimiser, "optimizer", None)
    return _innermost(inner) if isinstance(inner, torch.optim.Optimizer) else optimiser


def _of_parameter(optimiser: torch.optim.Optimizer, parameter: Tensor) -> _Own:
    group = _group(optimiser, parameter)
    if isinstance(optimiser, StatesCriticalCurvature):
        stated = optimiser.critical_curvature(parameter)
        if isinstance(stated, Tensor) and stated.shape != parameter.shape:
            raise _UnknownError(
                f"critical_curvature of {type(optimiser).__name__}: expected one number or the "
                f"shape {tuple(parameter.shape)}, got {tuple(stated.shape)}"
            )
        if isinstance(stated, Tensor):
            return _Own(1.0, stated.detach())
        return _Own(float(stated))
    if group.get("maximize"):
        raise _UnknownError("the optimiser maximises")
    for kind, of in _KNOWN:
        if isinstance(optimiser, kind):
            return of(group, optimiser.state.get(parameter, {}), kind)
    raise _UnknownError(
        f"{type(optimiser).__name__} has no method critical_curvature, see StatesCriticalCurvature"
    )


def _group(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Any]:
    for group in optimiser.param_groups:
        if any(parameter is each for each in group["params"]):
            return group
    raise _UnknownError("some of the block's parameters are not the optimiser's")


def _of_sgd(group: dict[str, Any], state: dict[str, Any], kind: type) -> _Own:
    eta = float(group["lr"]) * (1 - group["dampening"])
    threshold = _threshold(eta, group["momentum"], group["nesterov"])
    return _Own(threshold, decay=float(group["weight_decay"]))


def _of_adam(group: dict[str, Any], state: dict[str, Any], kind: type) -> _Own:
    second = _state(state, "max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq")
    steps, (first_beta, second_beta) = float(state["step"]), map(float, group["betas"])
    eta, decay = float(group["lr"]), float(group["weight_decay"])
    preconditioner = (second / (1 - second_beta**steps)).sqrt() + group["eps"]
    preconditioner = (1 - first_beta**steps) * preconditioner
    threshold = _threshold(eta * (1 - first_beta), first_beta)
    if kind is torch.optim.AdamW or group.get("decoupled_weight_decay"):
        threshold, decay = threshold * (1 - eta * decay / 2), 0.0
    return _Own(threshold, preconditioner, decay)


def _of_rmsprop(group: dict[str, Any], state: dict[str, Any], kind: type) -> _Own:
    second = _state(state, "square_avg")
    if group["centered"]:
        second = (second - _state(state, "grad_avg").square()).clamp_min(0)
    threshold = _threshold(float(group["lr"]), group["momentum"])
    return _Own(threshold, second.sqrt() + group["eps"], float(group["weight_decay"]))


_KNOWN: tuple[tuple[type, Callable[[dict[str, Any], dict[str, Any], type], _Own]], ...] = (
    (torch.optim.SGD, _of_sgd),
    (torch.optim.AdamW, _of_adam),
    (torch.optim.Adam, _of_adam),
    (torch.optim.RMSprop, _of_rmsprop),
)


def _state(state: dict[str, Any], name: str) -> Tensor:
    found = state.get(name)
    if found is None:
        raise _UnknownError("the optimiser has taken no step yet")
    if hasattr(found, "full_tensor"):
        raise _UnknownError("the optimiser's state is sharded")
    assert isinstance(found, Tensor)
    return found.detach()


def _joined(
    found: Sequence[_Own], parameters: Sequence[Tensor], rows: Sequence[int]
) -> CriticalCurvature:
    """Of all parameters of the block together."""
    criticals = [own.critical for own in found]
    first = criticals[0]
    if all(not isinstance(each, Tensor) and each == first for each in criticals):
        if not first > 0:
            raise _UnknownError(_DECAY)
        return CriticalCurvature(float(first))
    threshold = min(own.threshold for own in found)
    if not math.isfinite(threshold):  # a learning rate of 0 everywhere
        return CriticalCurvature(threshold)
    chosen = list(rows) if rows else slice(None)
    flat = torch.cat(
        [
            torch.as_tensor(critical, dtype=torch.float64, device=parameter.device)
            .expand(parameter.shape)[chosen if parameter.ndim else ...]
            .reshape(-1)
            for critical, parameter in zip(criticals, parameters, strict=True)
        ]
    )
    if not bool((flat > 0).all()):
        raise _UnknownError(_DECAY)
    return CriticalCurvature(threshold, flat / threshold)


def _threshold(eta: float, beta: float, nesterov: bool = False) -> float:
    if not eta > 0:
        return math.inf
    return 2 * (1 + beta) / (eta * (1 + 2 * beta if nesterov else 1))
