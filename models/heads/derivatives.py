"""Derivatives of a head's loss for many samples at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from .head import DifferentiatedHead, Head, OutputHead
from .slope import slope

__all__ = [
    "curvature_factors",
    "gradient_factors",
    "joint_curvature_factors",
    "sample_classified",
    "sample_losses",
]

_OVER_SAMPLES = (0, None, 0)


def sample_losses(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """ell(h_l, v; y_l) for each sample: h (n, C), v (q,), y (n,) int64 -> (n,)."""
    result: Tensor = vmap(head.ell, in_dims=_OVER_SAMPLES)(h, v, y)
    return result


def sample_classified(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor | None:
    """Whether each sample's label is predicted, (n,) bool; None if labels have no meaning.

    Shapes of h, v, y as in `sample_losses`, n >= 1.
    """
    if head.classified(h[0], v, y[0]) is None:
        return None
    if isinstance(head, OutputHead):  # the same, several times as fast
        return head.correct(head.output(h, v), y)
    return vmap(head.classified, in_dims=_OVER_SAMPLES)(h, v, y)


def gradient_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """d ell/dh (n, C) and d ell/dv (n, q) for h (n, C), v (q,), y (n,) int64.

    All C columns, also those of teachers, which are not trained.
    """
    if isinstance(head, DifferentiatedHead):
        gradient = head.gradient(h, v, y)
    else:
        with torch.enable_grad():
            leaf = _joined(h, v).requires_grad_()
            gradient = slope(_losses(head, leaf, v, y).sum(), leaf)
    c = h.shape[1]
    return gradient[:, :c].contiguous(), gradient[:, c:].contiguous()


def curvature_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """D = d^2 ell/dh^2 of each sample, (n, C, C), for h (n, C), v (q,), y (n,) int64.

    All C rows and columns, also those of teachers, which are not trained.
    """
    if isinstance(head, DifferentiatedHead):
        return head.curvature(h, v, y, joint=False)
    return _curvature(lambda leaf: sample_losses(head, leaf, v, y), h)


def joint_curvature_factors(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """M = d^2 ell/d(h, v)^2 of each sample, (n, C + q, C + q); arguments and rows as for D."""
    if isinstance(head, DifferentiatedHead):
        return head.curvature(h, v, y, joint=True)
    return _curvature(lambda leaf: _losses(head, leaf, v, y), _joined(h, v))


def _joined(h: Tensor, v: Tensor) -> Tensor:
    """(h, v) of each sample, each with a copy of v of its own: (n, C + q)."""
    return torch.cat([h.detach(), v.detach().expand(len(h), -1)], dim=1)


def _losses(head: Head, joined: Tensor, v: Tensor, y: Tensor) -> Tensor:
    c = joined.shape[1] - len(v)
    result: Tensor = vmap(head.ell)(joined[:, :c], joined[:, c:], y)
    return result


def _curvature(losses: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Second derivative of losses (n,) of points (n, P), sample by sample: (n, P, P).

    One reverse pass for each of P entries of the gradient. All at once by vmap would take as long
    or longer: memory is what limits.
    """
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        gradient = slope(losses(leaf).sum(), leaf, create_graph=True)
        rows = [slope(entry, leaf) for entry in gradient.sum(0)]
    return torch.stack(rows, dim=1)
