"""The largest eigenvalue and the trace against an independent library, PyHessian."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..models.arguments import require_arguments, require_least
from .curvature.batches import Inputs
from .curvature.block import Block
from .curvature.losses import Loss
from .curvature.module_curvature import HessianOperator
from .curvature.observe import Observed, undisturbed
from .curvature.stand_ins import alias
from .krylov.eigenpairs import extreme_eigenpairs
from .krylov.frames import random_frame
from .krylov.krylov_space import krylov_space

__all__ = ["CrossCheck", "crosscheck"]

_CURVATURE = {"unit": "loss per squared parameter"}


@dataclass(frozen=True)
class CrossCheck:
    """The Hessian of one model, loss and batch, measured by two libraries.

    Attributes:
        size: N, number of parameters.
        eigenvalue: ours, the largest by magnitude.
        eigenvalue_error: |H u - value u| of ours.
        reference_eigenvalue: PyHessian's, by power iteration.
        trace: ours: the sum of all eigenvalues, or N times the mean of v^T H v over random unit
            vectors.
        trace_error: its standard error; 0 for the sum.
        reference_trace: PyHessian's: mean of v^T H v over random signs.
        reference_trace_error: its standard error.
    """

    size: int = field(metadata={"unit": "parameters"})
    eigenvalue: float = field(metadata=_CURVATURE)
    eigenvalue_error: float = field(metadata=_CURVATURE)
    reference_eigenvalue: float = field(metadata=_CURVATURE)
    trace: float = field(metadata=_CURVATURE)
    trace_error: float = field(metadata=_CURVATURE)
    reference_trace: float = field(metadata=_CURVATURE)
    reference_trace_error: float = field(metadata=_CURVATURE)

    @property
    def eigenvalue_difference(self) -> float:
        """(PyHessian's - ours) / |ours|."""
        return _relative(self.reference_eigenvalue, self.eigenvalue)

    @property
    def trace_difference(self) -> float:
        """(PyHessian's - ours) / |ours|."""
        return _relative(self.reference_trace, self.trace)

    def text(self) -> str:
        """A table of two lines: ours, PyHessian's, relative difference, errors."""
        return (
            f"Hessian of {self.size} parameters\n"
            f"largest eigenvalue  ours {self.eigenvalue:.6g} (residual {self.eigenvalue_error:.1g})"
            f"  PyHessian {self.reference_eigenvalue:.6g}  difference"
            f" {self.eigenvalue_difference:+.2%}\n"
            f"trace               ours {self.trace:.6g} (s.e. {self.trace_error:.1g})"
            f"  PyHessian {self.reference_trace:.6g} (s.e. {self.reference_trace_error:.1g})"
            f"  difference {self.trace_difference:+.2%}"
        )


def crosscheck(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    targets: Any,
    generator: torch.Generator,
    draws: int = 64,
) -> CrossCheck:
    """Compare our largest eigenvalue and trace with PyHessian's on the same batch.

    PyHessian sees other tensors in the place of the parameters, so its changes of ``.grad`` reach
    nobody; its random numbers are seeded from ``generator`` and the global state is put back.

    Args:
        model: any module whose trainable parameters all enter the loss.
        loss: twice differentiable, of (outputs, targets).
        inputs: passed as model(x), model(*x) for a sequence, model(**x) for a mapping.
        targets: second argument of the loss.
        generator: source of all randomness.
        draws: random vectors for either trace, at least 2.

    Raises:
        ValueError: as `HessianOperator`, or if ``draws`` is below 2.
    """
    require_arguments(crosscheck, locals())
    require_least("draws", draws, 2)
    operator = HessianOperator(model, loss, (inputs, targets), Block("all"))
    krylov = krylov_space(operator, 1, 1, generator=generator, min_steps=0, tolerance=1e-5)
    ends = extreme_eigenpairs(operator, krylov, 1, 1)
    top = int(ends.values.abs().argmax())
    if krylov.complete:
        trace, trace_error = float(krylov.coefficients.trace()), 0.0
    else:
        frame = random_frame(operator, min(draws, operator.size), generator)
        trace, trace_error = _mean(operator.size * (frame * (operator @ frame)).sum(0))
    reference, traces = _pyhessian(model, loss, inputs, targets, generator, draws)
    reference_trace, reference_trace_error = _mean(torch.tensor(traces))
    return CrossCheck(
        size=operator.size,
        eigenvalue=float(ends.values[top]),
        eigenvalue_error=float(ends.residuals[top]),
        reference_eigenvalue=reference,
        trace=trace,
        trace_error=trace_error,
        reference_trace=reference_trace,
        reference_trace_error=reference_trace_error,
    )


class _Closed(nn.Module):
    """The loss of a module, inputs and targets: PyHessian passes on a single tensor only."""

    def __init__(self, observed: Observed, inputs: Inputs, targets: Any) -> None:
        super().__init__()
        self.module = observed.module
        self._observed, self._inputs, self._targets = observed, inputs, targets

    def forward(self, _: Tensor) -> Any:
        return self._observed.loss(self._observed.outputs(self._inputs), self._targets)

    def train(self, mode: bool = True) -> _Closed:
        """Nothing: the module is in evaluation mode, and its own method may do anything."""
        return self


def _pyhessian(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    targets: Any,
    generator: torch.Generator,
    draws: int,
) -> tuple[float, list[float]]:
    """PyHessian's largest eigenvalue, and its samples of the trace."""
    from pyhessian import hessian

    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    with undisturbed(model, loss) as observed:
        named = observed.module.named_parameters()
        # It writes to their ``.grad``.
        leaves = {name: alias(parameter) for name, parameter in named if parameter.requires_grad}
        device = next(iter(leaves.values())).device
        nothing = torch.empty(0, device=device)

        def measured() -> tuple[float, list[float]]:
            torch.manual_seed(seed)
            library = hessian(
                _Closed(observed, inputs, targets),
                lambda value, _: value,
                data=(nothing, nothing),
                cuda=device.type == "cuda",
            )
            values, _ = library.eigenvalues(maxIter=500, tol=1e-6)
            # No early stop: it would come where two successive means happen to agree.
            traces = library.trace(maxIter=draws, tol=-math.inf)
            return float(values[0]), [float(value) for value in traces]

        with warnings.catch_warnings():
            # It calls backward(create_graph=True), which torch warns of.
            warnings.simplefilter("ignore")
            found = observed.evaluated(measured, leaves)
        for leaf in leaves.values():
            leaf.grad = None  # breaks the cycle of parameter and graph
    return found


def _mean(samples: Tensor) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(samples.mean()), float(samples.std()) / len(samples) ** 0.5


def _relative(value: float, base: float) -> float:
    return (value - base) / abs(base) if base else math.nan
