"""Heads: everything a loss does after the projection h = x^T Y.

A head together with the Gram matrix of (x, mu) determines the spectra and the dynamics, so a new
architecture is one function here; derivatives come from automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap
from torch.nn import functional

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Head",
    "HeadModel",
    "SoftmaxHead",
    "TwoLayerHead",
    "curvature_factors",
    "gradient_factors",
    "joint_curvature_factors",
    "sample_losses",
]

Activation = Literal["gelu", "tanh", "relu", "softplus"]


def _gelu(h: Tensor) -> Tensor:
    """Exact GELU; on a busy CPU a hundred times as fast as that of torch.nn.functional."""
    cumulative: Tensor = torch.special.ndtr(h)
    return h * cumulative


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _gelu,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": functional.softplus,
}


class Head(Protocol):
    """ell(h, v; y): the loss of one sample as a function of its preactivations.

    Attributes:
        directions: C, the number of columns of x.
        parameters: q, the number of finite extra parameters v.
        shift_invariant: whether ell is unchanged by adding a constant to all entries of h.
    """

    @property
    def directions(self) -> int:
        """C."""

    @property
    def parameters(self) -> int:
        """Return q."""

    @property
    def shift_invariant(self) -> bool:
        """See above."""

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Return the model output for preactivations h (..., C) and parameters v (q,)."""

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss () of outputs (n, ...) against targets (n,) int64."""

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each of n outputs predicts its label, (n,) bool."""


@dataclass(frozen=True)
class SoftmaxHead:
    """ell = -h_y + log sum_a exp h_a, with no extra parameters.

    Attributes:
        directions: C, the number of classes.
    """

    directions: int
    parameters: ClassVar[int] = 0
    shift_invariant: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.directions < 2:
            raise ValueError(f"directions: expected at least 2 classes, got {self.directions}")

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Logits: h itself, (..., C)."""
        return h

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy () of logits (n, C) against classes (n,)."""
        # A comparison, not one_hot: that reads its argument's values, which vmap cannot.
        classes = torch.arange(self.directions, device=targets.device)
        picked = (outputs * (targets.unsqueeze(-1) == classes)).sum(-1)
        return (torch.logsumexp(outputs, dim=-1) - picked).mean()

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest logit is the label's, (n,) bool."""
        return outputs.argmax(dim=-1) == targets


@dataclass(frozen=True)
class TwoLayerHead:
    """ell = log(1 + e^f) - y f,  f = v . act(h):  binary cross-entropy of a two-layer network.

    The second layer v is the head's parameter.

    Attributes:
        directions: K, the number of hidden units.
        activation: one of `ACTIVATIONS`; relu is taken with its generalised derivative (its second
            derivative is zero almost everywhere).
    """

    directions: int
    activation: Activation = "gelu"
    shift_invariant: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ValueError(f"directions: expected at least 1 hidden unit, got {self.directions}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation: expected one of {sorted(ACTIVATIONS)}, got {self.activation!r}"
            )

    @property
    def parameters(self) -> int:
        """q = K second-layer weights."""
        return self.directions

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Logit f = v . act(h), (...)."""
        return ACTIVATIONS[self.activation](h) @ v

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy () of logits (n,) against labels 0 or 1, (n,)."""
        return (functional.softplus(outputs) - targets.to(outputs.dtype) * outputs).mean()

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the sign of the logit is the label's, (n,) bool."""
        return (outputs > 0) == (targets > 0)


@runtime_checkable
class HeadModel(Protocol):
    """A module whose output is head.output(x^T Y, v): it has hand-written curvature products.

    Attributes:
        head: the head.
        direction_name: name of the parameter (C, d) whose rows are the columns of x.
        head_parameter_names: names of the parameters that, flattened in order, are v.
    """

    head: Head
    direction_name: str
    head_parameter_names: tuple[str, ...]


def _sample_loss(head: Head) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def ell(h: Tensor, v: Tensor, y: Tensor) -> Tensor:
        return head.criterion(head.output(h, v).unsqueeze(0), y.unsqueeze(0))

    return ell


def sample_losses(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """ell(h_l, v; y_l) for each sample: h (n, C), v (q,), y (n,) int64 -> (n,)."""
    result: Tensor = vmap(_sample_loss(head), in_dims=(0, None, 0))(h, v, y)
    return result


def gradient_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """d ell/dh (n, C) and d ell/dv (n, q) for h (n, C), v (q,), y (n,) int64."""
    derivative = grad(_sample_loss(head), argnums=(0, 1))
    g_h, g_v = vmap(derivative, in_dims=(0, None, 0))(h, v, y)
    return g_h, g_v


def curvature_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """D = d^2 ell/dh^2 of each sample, (n, C, C), for h (n, C), v (q,), y (n,) int64."""
    # Reverse mode twice: faster here, and forward mode warns of torch's own deprecated code.
    result: Tensor = vmap(jacrev(grad(_sample_loss(head))), in_dims=(0, None, 0))(h, v, y)
    return result


def joint_curvature_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """Second derivative of ell in (h, v) of each sample, (n, C + q, C + q)."""
    ell, c = _sample_loss(head), head.directions

    def at_once(both: Tensor, y: Tensor) -> Tensor:
        return ell(both[:c], both[c:], y)

    both = torch.cat([h, v.expand(len(h), -1)], dim=1)
    result: Tensor = vmap(jacrev(grad(at_once)))(both, y)
    return result
