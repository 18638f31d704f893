"""How far eigenvalues move when one sample's rank-one term is taken away."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["removals"]

_STEPS = 30
# Of the largest change: errors need no more digits.
_ACCURACY = 1e-6


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
    others = squares.clone()
    others[:, place] = 0.0
    end = values[place].expand_as(own)
    lower, upper = end - total, end
    if place:
        lower = torch.maximum(lower, values[place - 1].expand_as(own))
    tiny = torch.finfo(values.dtype).eps * values.abs().max().clamp_min(1e-300)
    x = end
    for _ in range(_STEPS):
        distance = x[:, None] - values
        inverse = torch.where(distance.abs() > tiny, distance, tiny).reciprocal()
        quotient = others * inverse
        factor = 1 + quotient.sum(1)
        slope = -(quotient * inverse).sum(1)
        value = (end - x) * factor - own  # positive below the root
        lower = torch.where(value > 0, torch.maximum(lower, x), lower)
        upper = torch.where(value > 0, upper, torch.minimum(upper, x))
        guess = x - value / ((end - x) * slope - factor)
        before = x
        x = torch.where((guess >= lower) & (guess <= upper), guess, (lower + upper) / 2)
        if not bool((x - before).abs().max() > _ACCURACY * (end - x).max()):
            break
    return end - x
