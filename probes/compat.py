"""PyHessian's interface on this package's engine: change the import, keep the script."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..models.arguments import require_arguments
from .curvature.batches import Batch, Inputs
from .curvature.block import Block
from .curvature.losses import Loss, scalar_loss
from .curvature.module_curvature import HessianOperator
from .curvature.wrappers import unwrap
from .krylov.frame_mean import frame_mean
from .krylov.frames import random_frame
from .krylov.krylov_space import krylov_space
from .krylov.lanczos_quadrature import lanczos_quadrature

__all__ = ["hessian"]

# Vectors multiplied at once; multiplicities up to it are seen.
_WIDTH = 8


class hessian:  # noqa: N801  PyHessian's name
    """H = d^2 loss / d theta^2 of all parameters that require a gradient.

    Constructor, methods and return formats are those of PyHessian's class of this name
    (arXiv 1912.07145); see "Coming from PyHessian" in docs/how-to.md for what differs.

    The model is neither put into evaluation mode for good nor are its ``.grad`` or torch's global
    random numbers touched. Randomness follows from the seed of ``torch.manual_seed``, read but not
    advanced; later calls of one object draw other vectors. The weights are those at each call.

    Args:
        model: any module; compiled or distributed wrappers are taken off.
        criterion: of (outputs, targets), a mean over samples, twice differentiable.
        data: one batch (inputs, targets).
        dataloader: batches (inputs, targets) that can be iterated repeatedly; each batch counts by
            its number of samples.
        cuda: ignored: the work is done where the model is, and batches are moved there.

    Raises:
        ValueError: unless exactly one of ``data`` and ``dataloader`` is given.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Loss,
        data: tuple[Inputs, Any] | None = None,
        dataloader: Iterable[tuple[Inputs, Any]] | None = None,
        cuda: bool = True,
    ) -> None:
        require_arguments(hessian.__init__, locals())
        if (data is None) == (dataloader is None):
            given = "neither" if data is None else "both"
            raise ValueError(f"data, dataloader: expected exactly one of them, got {given}")
        self._model = model
        self._criterion = criterion
        self._data = data
        self._dataloader = () if dataloader is None else dataloader
        self._generator = torch.Generator().manual_seed(torch.initial_seed())

    def eigenvalues(
        self, maxIter: int = 100, tol: float = 1e-3, top_n: int = 1
    ) -> tuple[list[float], list[list[Tensor]]]:
        """Eigenvalues of largest absolute value, and unit eigenvectors.

        Args:
            maxIter: products to spend for each eigenvalue.
            tol: wanted |H u - value u| as a share of the largest absolute eigenvalue.
            top_n: how many (fewer if H is smaller).

        Returns:
            ``top_n`` numbers, by decreasing absolute value, and as many lists of tensors with the
            shapes of the parameters. Warns of those that have not converged.

        Raises:
            ValueError: if a number is not positive, or as `HessianOperator`.
        """
        if maxIter < 1 or top_n < 1:
            raise ValueError(f"maxIter, top_n: expected positive numbers, got {maxIter}, {top_n}")
        operator = self._operator()
        budget = maxIter * top_n
        width = min(_WIDTH, budget)
        # One end's outliers are found on the way to the other's: a second run is for those.
        wanted = (min(top_n, operator.size), 0)
        for _ in range(2):
            krylov = krylov_space(
                operator,
                *wanted,
                generator=self._generator,
                width=width,
                min_steps=0,
                max_steps=max(budget // width, -(-top_n // width)),
                tolerance=tol,
            )
            values, coordinates = krylov.eigen
            order = values.abs().argsort(descending=True)[:top_n]
            negative = int((values[order] < 0).sum())
            if krylov.complete or negative == wanted[1]:
                break
            wanted = (len(order) - negative, negative)
        residuals = krylov.residual_estimates()[order]
        missing = 0 if krylov.complete else int((residuals > tol * values.abs().max()).sum())
        if missing:
            warnings.warn(
                f"{missing} of {len(order)} eigenvalues not converged after "
                f"{krylov.basis.shape[-1]} products: raise maxIter or tol, or lower top_n",
                stacklevel=2,
            )
        vectors = krylov.basis @ coordinates[:, order].to(krylov.basis.dtype)
        unit = vectors / vectors.norm(dim=0)
        return values[order].tolist(), [self._split(vector) for vector in unit.unbind(-1)]

    def trace(self, maxIter: int = 100, tol: float = 1e-3) -> list[float]:
        """v^T H v of random vectors with |v|^2 = N;  their mean estimates tr H.

        All N vectors of an orthogonal basis, with the trace itself as mean, if ``maxIter`` allows.

        Args:
            maxIter: vectors at most.
            tol: stop once the standard error of the mean is below this share of it.

        Raises:
            ValueError: if ``maxIter`` is not positive, or as `HessianOperator`.
        """
        if maxIter < 1:
            raise ValueError(f"maxIter: expected a positive number, got {maxIter}")
        operator = self._operator()
        count = min(maxIter, operator.size)
        frame = random_frame(operator, count, self._generator)
        forms: list[Tensor] = []
        for panel in torch.split(frame, _WIDTH, dim=-1):
            forms.append(operator.size * (panel * (operator @ panel)).sum(0).double())
            mean = frame_mean(torch.cat(forms).cpu().numpy(), operator.size)
            # A whole basis costs little more than its first half and has no error.
            if count < operator.size and float(mean.error) <= tol * abs(float(mean.value)):
                break
        samples: list[float] = torch.cat(forms).tolist()
        return samples

    def density(self, iter: int = 100, n_v: int = 1) -> tuple[list[list[float]], list[list[float]]]:
        """Nodes and weights of ``n_v`` quadrature rules, for PyHessian's ``get_esd_plot``.

        Args:
            iter: Lanczos steps of each.
            n_v: random starts, multiplied together.

        Returns:
            ``n_v`` lists of nodes and of weights, each of equal length: ``iter``, with isolated
            eigenvalues added where ``n_v`` is above 1. Weights of each list sum to 1. The exact
            eigenvalues, each 1/N, if N is not above n_v (iter + 1).

        Raises:
            ValueError: if a number is not positive, or as `HessianOperator`.
        """
        (found,) = lanczos_quadrature(self._operator(), n_v, iter, self._generator)
        rules = [
            (found.nodes[i % found.starts], found.weights[i % found.starts]) for i in range(n_v)
        ]
        return [nodes.tolist() for nodes, _ in rules], [weights.tolist() for _, weights in rules]

    def _operator(self) -> _BySamples:
        device = next(self._model.parameters()).device
        data = (
            _Moved(self._dataloader, device) if self._data is None else _moved(self._data, device)
        )
        return _BySamples(self._model, self._criterion, data, Block("all"))

    def _split(self, vector: Tensor) -> list[Tensor]:
        parameters = Block("all").resolve(unwrap(self._model)).values()
        pieces = torch.split(vector, [parameter.numel() for parameter in parameters])
        return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]


class _BySamples(HessianOperator):
    """Batches count by their samples, whatever the criterion weighs: PyHessian's numbers."""

    def _total(self, outputs: Any, targets: Any, samples: int) -> tuple[Tensor, float]:
        return scalar_loss(self._loss(outputs, targets)) * samples, samples


class _Moved:
    """The batches of a loader on a device."""

    def __init__(self, batches: Iterable[Any], device: torch.device) -> None:
        self._batches, self._device = batches, device

    def __iter__(self) -> Iterator[Batch]:
        return (_moved(batch, self._device) for batch in self._batches)


def _moved(batch: Batch, device: torch.device) -> Batch:
    inputs, targets = tree_map(
        lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, tuple(batch)
    )
    return inputs, targets
