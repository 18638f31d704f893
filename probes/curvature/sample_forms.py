"""How far a Hessian's eigenvalues would move with other samples: from the samples' own forms."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributed import Processes, SharedOperator
from .module_curvature import HessianOperator
from .operator import CurvatureOperator
from .out_of_memory import is_out_of_memory

__all__ = ["form_errors"]

# The least 1 + s: beyond it, what a sample's own part does is no correction.
_LEAST = 0.5


def form_errors(
    operator: CurvatureOperator, vectors: Tensor, values: Tensor, resolvent: Tensor
) -> Tensor | None:
    """Standard error of a Hessian's eigenvalues over the draw of the samples.

    (n / (n - 1) sum_l w_l^2 (q_l - lambda)^2)^(1/2) / (1 + s),  q_l = u^T H_l u, w_l the weights,
    summing to 1. An eigenvector u has seen sample l, which makes q_l too far from what a new sample
    has. Without sample l the eigenvalue moves by w_l q_l / (1 + s_l); for H_l of rank one s_l is
    the sum over the other eigenvectors of w_l u_i^T H_l u_i / (lambda - lambda_i), and here it is
    the mean of that over samples,

        s = (1/n) sum_i lambda_i / (lambda - lambda_i) = -(N - 1 + lambda N S) / n,

    S as in `density.resolvent_traces`. It is exact where the traces of the H_l are equal, as in a
    linear model of many features. Meant for outliers: at an edge of the bulk the error is two to
    three times too large (docs/concepts.md). NaN where one sample decides the eigenvalue, so that s
    is below -1/2. Units are taken to be drawn independently.

    Args:
        operator: of one module, here or in several processes; for another the result is None.
        vectors: (N, k) unit eigenvectors.
        values: (k,) eigenvalues.
        resolvent: (k,) S.

    Returns:
        (k,) float64, NaN where the loss has no units or the model no third derivative.

    Raises:
        Exception: whatever else the user's code fails with as it is called once more.
    """
    processes = Processes(None, operator.device)
    local, counts = operator, True
    if isinstance(operator, SharedOperator):
        local, processes, counts = operator.original, operator.processes, operator.counts
    if not isinstance(local, HessianOperator):
        return None
    number, spread = _moments(local, vectors, processes, counts)
    excess = -(operator.size - 1 + values * operator.size * resolvent) / number
    seen = 1 + excess
    return spread / torch.where((seen >= _LEAST) & (number > 1), seen, torch.nan)


def _moments(
    local: HessianOperator, vectors: Tensor, processes: Processes, counts: bool
) -> tuple[Tensor, Tensor]:
    """Number of units, and the standard error without s."""
    count = vectors.shape[1]
    try:
        with processes.agreed():
            forms, weights = local.forms(vectors)
    except (ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        # The loss has no units, or the model no third derivative.
        forms = vectors.new_full((1, count), torch.nan, dtype=torch.float64)
        weights = forms.new_ones(1)
    weights = weights * counts  # of borrowed samples 0
    own = [float((weights > 0).sum()), float(weights.sum()), *(weights @ forms).tolist()]
    number, total, *sums = processes.gather(own).sum(0)
    mean = torch.stack(sums).to(forms) / total.to(forms)
    squares = (weights[:, None] * (forms - mean)).square().sum(0)
    spread = processes.gather(squares.tolist()).sum(0).to(forms).sqrt() / total.to(forms)
    number = number.to(forms)
    return number, spread * (number / (number - 1)).sqrt()
