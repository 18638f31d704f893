"""How far eigenvalues move when one sample's rank-one term is taken away."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["removals"]

_STEPS = 30
# Of the largest change: the last step. What is left is of the order of its square.
_ACCURACY = 1e-4


def removals(values: Tensor, coordinates: Tensor, place: int) -> Tensor:
    """lambda_k - lambda_k',  lambda_k' the k-th eigenvalue of diag(lambda) - a_l a_l^T, for each l.

    The root x in (lambda_(k-1), lambda_k) of  1 = sum_i a_li^2 / (lambda_i - x),  where no other
    sample enters: by Newton's method for  (lambda_k - x) (1 + s(x)) = a_lk^2,  s the sum over
    i != k of a_li^2 / (x - lambda_i),  between bounds that every step tightens.

    Args:
        values: lambda, (r,) float64, ascending, not negative.
        coordinates: a, (n, r) float64, of the samples' terms in the eigenbasis.
        place: k.

    Returns:
        (n,) float64.
    """
    squares = coordinates.square()
    own, total = squares[:, place], squares.sum(1)
    rest = [i for i in range(len(values)) if i != place]
    others, places = squares[:, rest], values[rest]
    end = values[place].expand_as(own)
    lower, upper = end - total, end
    if place:
        lower = torch.maximum(lower, values[place - 1].expand_as(own))
    tiny = float(torch.finfo(values.dtype).eps * values.abs().max().clamp_min(1e-300))
    # The first step, from lambda_k, has the same distances for every sample.
    factor = 1 + others @ (end[0] - places).abs().clamp_min(tiny).reciprocal().copysign(
        end[0] - places
    )
    x = _between(end - own / factor, lower, upper)
    found = x.clone()
    moving = torch.arange(len(own), device=own.device)
    for _ in range(_STEPS):
        inverse = x[:, None] - places
        inverse[:, :place].clamp_(min=tiny)
        inverse[:, place:].clamp_(max=-tiny)
        quotient = others * inverse.reciprocal_()
        factor = 1 + quotient.sum(1)
        slope = -torch.linalg.vecdot(quotient, inverse)
        value = (end - x) * factor - own  # positive below the root
        lower = torch.where(value > 0, torch.maximum(lower, x), lower)
        upper = torch.where(value > 0, upper, torch.minimum(upper, x))
        before = x
        x = _between(x - value / ((end - x) * slope - factor), lower, upper)
        found[moving] = x
        # Most are there after a step or two.
        left = (x - before).abs() > _ACCURACY * (values[place] - found).max()
        if not bool(left.any()):
            break
        moving, x, own, end, lower, upper, others = (
            each[left] for each in (moving, x, own, end, lower, upper, others)
        )
    return values[place] - found


def _between(guess: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The guess where it is between the bounds, elsewhere their mean."""
    return torch.where((guess >= lower) & (guess <= upper), guess, (lower + upper) / 2)
