"""What automatic differentiation finds of functions that say nothing of their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..threads import single_thread
from .head import Head
from .slope import slope

__all__ = [
    "automatic_classified",
    "automatic_curvature",
    "automatic_gradient",
    "automatic_losses",
    "entry_derivatives",
    "on_tensors",
    "require_entry_function",
]

_OVER_SAMPLES = (0, None, 0)


def on_tensors(
    function: Callable[..., Any], head: Head, h: np.ndarray, v: np.ndarray, y: np.ndarray
) -> Any:
    """A function of a head and tensors, of arrays of NumPy: what it returns are arrays as well."""
    with single_thread():
        found = function(head, torch.from_numpy(h), torch.from_numpy(v), torch.from_numpy(y))
    if isinstance(found, tuple):
        return tuple(part.numpy() for part in found)
    return None if found is None else found.numpy()


def automatic_losses(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """ell of each sample, (n,), for h (n, C), v (q,), y (n,) int64."""
    result: Tensor = vmap(head.ell, in_dims=_OVER_SAMPLES)(h, v, y)
    return result


def automatic_classified(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor | None:
    """Whether each sample's label is predicted, (n,) bool; where labels mean something.

    Arguments as for `automatic_losses`.
    """
    return vmap(head.classified, in_dims=_OVER_SAMPLES)(h, v, y)


def automatic_gradient(head: Head, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """d ell/d(h, v) of each sample, (n, C + q); arguments as for `automatic_losses`."""
    with torch.enable_grad():
        leaf = _joined(h, v).requires_grad_()
        return slope(_losses(head, leaf, v, y).sum(), leaf)


def automatic_curvature(head: Head, h: Tensor, v: Tensor, y: Tensor, joint: bool) -> Tensor:
    """d^2 ell/dh^2 of each sample, (n, C, C), or jointly in (h, v); arguments as above."""
    if joint:
        return _curvature(lambda leaf: _losses(head, leaf, v, y), _joined(h, v))
    return _curvature(lambda leaf: automatic_losses(head, leaf, v, y), h)


def entry_derivatives(
    function: Callable[[Tensor], Tensor], h: Tensor, order: int
) -> tuple[Tensor, ...]:
    """A function entry by entry, with its derivatives up to an order, each of the shape of h."""
    with torch.enable_grad():
        leaf = h.detach().requires_grad_()
        found = [function(leaf)]
        for each in range(order):
            found.append(slope(found[-1].sum(), leaf, create_graph=each + 1 < order))
    return tuple(each.detach() for each in found)


def require_entry_function(key: str, function: Callable[[Tensor], Tensor]) -> None:
    """Check that a function works entry by entry and is twice differentiable.

    Raises:
        ValueError: naming the key, what was expected and what came.
    """
    expected = f"{key}: expected a name or a torch function, entry by entry, twice differentiable"
    h = torch.linspace(-1.3, 1.1, 5, dtype=torch.float64)
    try:
        found = entry_derivatives(function, h, 2)
        alone = torch.stack([function(entry) for entry in h])
    except Exception as error:
        raise ValueError(f"{expected}, got {function!r} ({error})") from error
    if not all(part.shape == h.shape and bool(part.isfinite().all()) for part in found):
        raise ValueError(f"{expected}, got {function!r}")
    if not torch.allclose(alone, found[0], rtol=1e-9, atol=1e-9):
        raise ValueError(f"{expected}, got {function!r}, which mixes the entries")


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
