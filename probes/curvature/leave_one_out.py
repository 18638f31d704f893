"""How far eigenvalues move when one sample's rank-one term is taken away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["removals"]

# Terms of the series, and the relative error up to which it is taken.
_TERMS, _SETTLED = 6, 1e-6
_STEPS = 30
# Of the change: the last step. What is left is of the order of its square.
_ACCURACY = 1e-4


def removals(values: Tensor, coordinates: Tensor, places: Sequence[int]) -> Tensor:
    """lambda_k - lambda_k',  lambda_k' the k-th eigenvalue of diag(lambda) - a_l a_l^T, for each l.

    The root d of  d (1 + s(d)) = a_lk^2,  s the sum over i != k of a_li^2 / (lambda_k - lambda_i -
    d),  with lambda_k - d above lambda_(k-1), where no other sample enters. Most changes are small
    beside the distance to the next eigenvalue: those are had together, for all l and k, from the
    series of s in d, see `_series`; the others from s itself, see `_roots`.

    Args:
        values: lambda, (r,) float64, ascending, not negative.
        coordinates: a, (n, r) float64, of the samples' terms in the eigenbasis.
        places: of each k.

    Returns:
        (n, len(places)) float64.
    """
    chosen = torch.tensor(places, dtype=torch.long, device=values.device)
    squares = coordinates.square()
    changes, settled = _series(values, squares, chosen)
    sample, rank = (~settled).nonzero().T
    if len(sample):
        guess = changes[sample, rank]
        changes[sample, rank] = _roots(values, squares[sample], chosen[rank], guess)
    return changes


def _series(values: Tensor, squares: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """d by fixed points of a_lk^2 / (1 + s), and where it is as good as the root, (n, k) each.

    s = sum_j s_j d^j,  s_j = sum_i a_li^2 / (lambda_k - lambda_i)^(j + 1),  up to j = 5. What is
    left out is at most s_1 d q^5 / (1 - q), q the change over the distance to the next eigenvalue.
    s grows with d: relatively, d is off by no more than 1 + s.
    """
    own = squares[:, places]
    inverse = (values[places] - values[:, None]).reciprocal()
    inverse[places, torch.arange(len(places), device=places.device)] = 0.0
    sums = [squares @ inverse**power for power in range(1, _TERMS + 1)]
    sums[0] += 1
    factor = sums[0]
    for _ in range(_TERMS):
        before, change = factor, own / factor
        factor = sums[-1]
        for each in sums[-2::-1]:
            factor = each + change * factor
    share = change * inverse.abs().amax(0)
    left_out = sums[1] * change * share ** (_TERMS - 1) / (1 - share)
    # A number that is not finite settles nothing.
    settled = (left_out + (factor - before).abs() <= _SETTLED * factor) & (share < 0.5)
    return change, settled & (change >= 0)


def _roots(values: Tensor, squares: Tensor, places: Tensor, guess: Tensor) -> Tensor:
    """d of pairs of a sample and an eigenvalue, (m,), squares (m, r) and places (m,) being theirs.

    By Newton's method for  (lambda_k - x) (1 + s) = a_lk^2,  x = lambda_k - d,  between bounds that
    every step tightens.
    """
    every = torch.arange(len(places), device=places.device)
    own, end = squares[every, places], values[places]
    below = values[(places - 1).clamp_min(0)].where(places > 0, -torch.inf)
    lower, upper = torch.maximum(end - squares.sum(1), below), end
    others = squares.index_put((every, places), squares.new_zeros(()))
    ranks = torch.arange(len(values), device=values.device)
    sides = torch.where(ranks < places[:, None], 1.0, -1.0).to(values.dtype)
    tiny = torch.finfo(values.dtype).eps * values.abs().max().clamp_min(1e-300)
    x = _between(end - guess, lower, upper)
    found, moving = torch.empty_like(end), every
    for _ in range(_STEPS):
        inverse = (x[:, None] - values).abs_().clamp_min_(tiny).reciprocal_().mul_(sides)
        quotient = others * inverse
        factor = 1 + quotient.sum(1)
        slope = -torch.linalg.vecdot(quotient, inverse)
        value = (end - x) * factor - own  # positive below the root
        lower = torch.where(value > 0, torch.maximum(lower, x), lower)
        upper = torch.where(value > 0, upper, torch.minimum(upper, x))
        before = x
        x = _between(x - value / ((end - x) * slope - factor), lower, upper)
        found[moving] = end - x
        left = (x - before).abs() > _ACCURACY * (end - x) + tiny
        if not bool(left.any()):
            break
        moving, x, own, end, lower, upper, others, sides = (
            each[left] for each in (moving, x, own, end, lower, upper, others, sides)
        )
    return found


def _between(guess: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The guess where it is between the bounds, elsewhere their mean."""
    return torch.where((guess >= lower) & (guess <= upper), guess, (lower + upper) / 2)
