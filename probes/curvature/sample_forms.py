"""How far eigenvalues would move with other samples: from the samples' own forms."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributed import Processes, SharedOperator
from .module_operator import ModuleOperator
from .operator import CurvatureOperator
from .out_of_memory import is_out_of_memory
from .processes import ProcessesLostError

__all__ = ["form_errors"]

# The least 1 + s: beyond it, what a sample's own part does is no correction.
_LEAST = 0.5
# Of the forms' root mean square: where their mean is farther from the eigenvalue, they are wrong,
# as behind a torch.autograd.Function whose second derivative is a constant to torch. And of the
# largest eigenvalue: rounding.
_APART, _ROUNDING = 0.01, 1e-5


def form_errors(
    operator: CurvatureOperator, vectors: Tensor, values: Tensor, resolvent: Tensor
) -> tuple[Tensor, str]:
    """Standard error of a module's eigenvalues over the draw of the samples.

    (n / (n - 1) sum_l w_l^2 (q_l - lambda)^2)^(1/2) / (1 + s),  q_l = u^T H_l u, w_l the weights,
    summing to 1, H_l what sample l adds to the matrix, see `ModuleOperator.forms`. An eigenvector u
    has seen sample l, which makes q_l too far from what a new sample has. Without sample l the
    eigenvalue moves by w_l q_l / (1 + s_l); for H_l of rank one s_l is the sum over the other
    eigenvectors of w_l u_i^T H_l u_i / (lambda - lambda_i), and here it is the mean of that over
    samples,

        s = (1/n) sum_i lambda_i / (lambda - lambda_i) = -(N - 1 + lambda N S) / n,

    S as in `density.resolvent_traces`. It is exact where the traces of the H_l are equal, as in a
    linear model of many features. Meant for outliers: at an edge of the bulk the error is two to
    three times too large (docs/concepts.md). NaN where one sample decides the eigenvalue, so that s
    is below -1/2. Units are taken to be drawn independently.

    Args:
        operator: of one module, here or in several processes; another one's errors are unknown.
        vectors: (N, k) unit eigenvectors.
        values: (k,) eigenvalues.
        resolvent: (k,) S.

    Returns:
        (k,) float64, and why some of them are NaN; empty if none is.

    Raises:
        Exception: what the user's code fails with as it is called once more, unless it is that the
            loss has no units or an operation lacks a derivative.
    """
    processes = Processes(None, operator.device)
    local, counts, deviation = operator, True, None
    if isinstance(operator, SharedOperator):
        local, processes, counts = operator.original, operator.processes, operator.counts
        deviation = operator.deviation
    unknown = torch.full_like(values, torch.nan, dtype=torch.float64)
    if not isinstance(local, ModuleOperator):
        return unknown, f"{type(local).__name__} does not tell its samples apart"
    try:
        with processes.agreed():
            forms, weights = local.forms(vectors)
    except (ValueError, RuntimeError) as error:
        if is_out_of_memory(error) or isinstance(error, ProcessesLostError):
            raise
        return unknown, f"{type(error).__name__}: {error}"
    if deviation is not None:
        forms = forms + (deviation.mT @ vectors).double().square()
    number, mean, spread = _moments(forms, weights * counts, processes)
    if number < 2:
        return unknown, "a single sample has no spread"
    scale = torch.hypot(mean, spread * number**0.5)
    allowed = _APART * scale + _ROUNDING * values.abs().max()
    if not bool(((mean - values).abs() <= allowed).all()):
        return unknown, "the samples' forms u'H_l u do not have the eigenvalues as their means"
    seen = 1 - (operator.size - 1 + values * operator.size * resolvent) / number
    errors = spread / torch.where(seen >= _LEAST, seen, torch.nan)
    reason = "" if bool(errors.isfinite().all()) else "single samples decide some eigenvalues"
    return errors, reason


def _moments(forms: Tensor, weights: Tensor, processes: Processes) -> tuple[float, Tensor, Tensor]:
    """Number of units that count, the forms' mean, and the standard error without s."""
    own = [float((weights > 0).sum()), float(weights.sum()), *(weights @ forms).tolist()]
    number, total, *sums = processes.gather(own).sum(0).tolist()
    mean = forms.new_tensor(sums) / total
    squares = (weights[:, None] * (forms - mean)).square().sum(0)
    spread = processes.gather(squares.tolist()).sum(0).to(forms).sqrt() / total
    return number, mean, spread * (number / max(1.0, number - 1)) ** 0.5
