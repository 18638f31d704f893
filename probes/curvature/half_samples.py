"""What a sample's size does to the largest eigenvalues, from halves of it."""

from __future__ import annotations

import torch
from torch import Tensor

from .sample_space import SampleSpace

__all__ = ["half_sample_bias"]

# Divisions of the sample into two halves, each at random.
_DIVISIONS = 8


def half_sample_bias(
    operator: SampleSpace, values: Tensor, errors: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """b = mean over divisions of (lambda' + lambda'') / 2 - lambda,  with its standard error.

    lambda' and lambda'' are the eigenvalues of the same rank on the two halves. An eigenvalue on n
    samples is lambda(n) = lambda(infinity) + c / n on average, to first order; to that order b is
    c / n: what the value is too large by. Halves are no more samples than the whole: fluctuations
    of first order cancel in b, and what is left has two parts,

        (spread over divisions^2 / divisions + (b s / lambda)^2)^(1/2),  s the sampling error,

    for b goes with lambda where samples differ in scale. Over 200 draws the error was .72 (of an
    outlier near the bulk) to 1.53 (of n = N / 2) of the spread of b. It costs two small
    eigenproblems a division, without a gradient.

    Args:
        operator: the matrix.
        values: (k,) its largest eigenvalues, largest first.
        errors: (k,) their sampling errors s.
        generator: draws the divisions.

    Returns:
        (k,) each, float64; NaN with fewer than four samples that count, and for ranks that half of
        the samples does not have.
    """
    counted = operator.counted
    samples = len(counted)
    if samples < 4:
        unknown = torch.full_like(values, torch.nan)
        return unknown, unknown
    found = []
    for _ in range(_DIVISIONS):
        places = torch.randperm(samples, device=generator.device, generator=generator)
        order = counted[places.to(counted.device)]
        halves = [
            _largest(operator.eigenvalues_of(half), len(values)) for half in order.tensor_split(2)
        ]
        found.append(torch.stack(halves).mean(0) - values)
    biases = torch.stack(found)
    bias = biases.mean(0)
    spread = biases.std(0) / _DIVISIONS**0.5
    return bias, torch.hypot(spread, bias * errors / values)


def _largest(ascending: Tensor, count: int) -> Tensor:
    """So many, largest first; NaN where there are not so many."""
    found = ascending.flip(0)[:count]
    return torch.cat([found, found.new_full((count - len(found),), torch.nan)])
