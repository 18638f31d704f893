"""That no eigenvalue lies beyond a value, with the probability that this is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...theory.spectrum import End

__all__ = ["ACCEPTED", "Certificate", "failure_probability"]

# A certificate's failure probability is at most this.
ACCEPTED = 1e-6
# The spread of the spectrum is bounded by that of the Ritz values, this much enlarged.
_ENLARGED = 1.25


@dataclass(frozen=True)
class Certificate:
    """How many eigenvalues lie beyond a value, and how surely.

    With orthonormal X whose Ritz values are all above v, H has at least as many eigenvalues above
    v as X has columns; with none of H restricted to the complement of X above v, it has no more
    (Cauchy's interlacing). The Ritz values are those of all of X together: vectors that were found
    one after another may each be above v, and one of their common Ritz values below. There is no
    certificate where that cannot be mended, or where a Ritz value is at v to within rounding. The
    first is seen, the second has the failure probability: see `failure_probability`.

    Attributes:
        value: v.
        side: "top" if eigenvalues above v are counted, "bottom" if below.
        count: (*batch,) int64, eigenvalues beyond v.
        failure: (*batch,) float64, bound of the probability that there are more; 0 where the matrix
            was formed.
        remaining: (*batch,) float64, the closest Ritz value that is not beyond v.
    """

    value: float
    side: End
    count: Tensor
    failure: Tensor
    remaining: Tensor

    @property
    def certified(self) -> bool:
        """Whether the failure probability of every matrix is at most 1e-6."""
        return bool((self.failure <= ACCEPTED).all())

    @property
    def outcome(self) -> str:
        """The count and its failure probability, or why the count is not certain."""
        counts = [int(count) for count in self.count.reshape(-1).tolist()]
        count = str(counts[0]) if len(set(counts)) == 1 else str(counts)
        beyond = "above" if self.side == "top" else "below"
        claim = f"{count} eigenvalues {beyond} {self.value:.6g}"
        if self.certified:
            return f"certified: {claim}, failure probability <= {float(self.failure.max()):.1g}"
        worst = int(self.failure.reshape(-1).argmax())
        return (
            f"not certified: at least {claim}, and the next Ritz value is "
            f"{float(self.remaining.reshape(-1)[worst]):.6g}: raise max_products or memory, or "
            "take a value in a gap"
        )


def failure_probability(
    size: int, steps: int, columns: int, smallest: Tensor, largest: Tensor, value: float
) -> Tensor:
    """Bound of the probability that an eigenvalue above ``value`` has not shown.

    (1.648 sqrt(N) exp(-(2 s - 1) sqrt(eps)))^columns bounds the probability that after s steps of
    Lanczos from that many random columns the largest Ritz value is off by more than a share eps
    of the spread lambda_1 - lambda_N (Kuczynski and Wozniakowski, SIAM J. Matrix Anal. Appl. 13,
    1992, Theorem 4.2, for one column; the space contains that of every column, and they are
    independent). An eigenvalue above the value means eps > (value - largest) / spread. The
    spread is at most 1.25 times that of the Ritz values, or else one of the two ends is off by
    eps > 1/10: the probability of that is added.

    It is a p-value: for any matrix with an eigenvalue above the value, the probability over the
    start that this function returns p or less is at most p.

    Args:
        size: N.
        steps: s, without a restart.
        columns: random columns of the start, uniform and independent of the matrix.
        smallest: (*batch,) float64, smallest Ritz value.
        largest: (*batch,) float64, largest Ritz value.
        value: the value.

    Returns:
        (*batch,) float64; above 1 it says nothing.
    """
    spread = _ENLARGED * (largest - smallest)
    share = ((value - largest) / spread.clamp_min(torch.finfo(spread.dtype).tiny)).clamp(0, 1)
    narrow = (1 - 1 / _ENLARGED) / 2
    missed, too_narrow = (
        (1.648 * size**0.5 * torch.exp(-(2 * steps - 1) * eps.sqrt())) ** columns
        for eps in (share, torch.full_like(share, narrow))
    )
    failure: Tensor = missed + 2 * too_narrow
    return failure
