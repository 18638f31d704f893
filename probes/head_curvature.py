"""Hand-written curvature products for models whose loss is a head of x^T Y."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models.heads import HeadModel, curvature_factors, gradient_factors
from ..theory.spectrum import Matrix
from .operator import CurvatureOperator

__all__ = ["HeadCurvature", "head_curvature"]

# Entries of the projected panel (samples x blocks x rows x width) held at once: 64 MB in float32.
_ENTRIES = 2**24


class HeadCurvature(CurvatureOperator):
    """H_b = (1/n) sum_l D_bl (x) Y_l Y_l^T,  all blocks b in one product with the data.

    A vector of a block is its m rows of the direction parameter, one after the other.

    Args:
        inputs: Y, (n, d), one sample a row.
        factors: D, (b, n, m, m), symmetric in the last two axes, in the dtype of ``inputs``.

    Raises:
        ValueError: if the shapes do not fit, there is no sample, or a number is not finite.
    """

    def __init__(self, inputs: Tensor, factors: Tensor) -> None:
        if inputs.ndim != 2 or 0 in inputs.shape:
            raise ValueError(f"inputs: expected shape (n, d), n, d >= 1, got {tuple(inputs.shape)}")
        if factors.ndim != 4 or factors.shape[1:] != (len(inputs), *factors.shape[-1:] * 2):
            raise ValueError(
                f"factors: expected shape (blocks, {len(inputs)}, m, m), got {tuple(factors.shape)}"
            )
        if not bool(torch.isfinite(inputs).all() & torch.isfinite(factors).all()):
            raise ValueError("inputs, factors: expected finite numbers, got NaN or infinity")
        self._inputs = inputs
        # Samples last: the weighting then runs along contiguous memory.
        self._factors = factors.permute(0, 2, 3, 1).contiguous()

    @property
    def batch(self) -> tuple[int, ...]:
        """(blocks,)."""
        return (len(self._factors),)

    @property
    def rows(self) -> int:
        """m, the number of rows of the direction parameter in each block."""
        return int(self._factors.shape[1])

    @property
    def size(self) -> int:
        """Entries of a block vector, m d."""
        return self.rows * int(self._inputs.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """That of the inputs."""
        return self._inputs.dtype

    @property
    def device(self) -> torch.device:
        """That of the inputs."""
        return self._inputs.device

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (b, m d, width); same shape."""
        vectors = self._by_row(panel)
        product = torch.zeros_like(vectors)
        chunk = max(1, _ENTRIES // max(1, len(vectors)))
        for inputs, factors in zip(
            torch.split(self._inputs, chunk), torch.split(self._factors, chunk, dim=-1), strict=True
        ):
            weighted = _weighted(factors, self._projected(vectors, inputs))
            product.addmm_(weighted.flatten(0, 2), inputs)
        blocks, rows = self._factors.shape[:2]
        by_row = product.div_(len(self._inputs)).view(blocks, rows, -1, self._inputs.shape[1])
        return by_row.transpose(1, 2).flatten(2).mT

    @property
    def samples(self) -> int:
        """n."""
        return len(self._inputs)

    @property
    def noise(self) -> float:
        """sigma^2, the mean square of an input."""
        return float(self._inputs.square().mean())

    def traces(self) -> Tensor:
        """Tr H = (1/n) sum_l tr(D_l) |Y_l|^2 of each block, (b,)."""
        weights = self._factors.diagonal(dim1=1, dim2=2).sum(-1)
        traces: Tensor = weights @ self._inputs.square().sum(1) / len(self._inputs)
        return traces

    def sampling_errors(self, vectors: Tensor, resolvent: Tensor) -> Tensor:
        """Standard error of each eigenvalue over the draw of the samples.

        sqrt(Var_l[p_l^T D_l (I + t D_l) p_l] / n),  p_l = (u_a . Y_l)_a,  t = S sigma^2 d / n:  the
        spread of the changes that leaving out one sample makes. I + t D_l turns one of the two
        products with the eigenvector u, which has seen sample l, into one that has not; t is
        the T of the resolvent equation, with sigma^2 the mean square of an input. Meant for
        outliers; too large by up to a half where two of them nearly coincide.

        Args:
            vectors: (b, m d, k) unit eigenvectors u.
            resolvent: (b, k), S = tr (H - value)^-1 / (m d) without the eigenvalue itself, see
                `density.resolvent_traces`.

        Returns:
            (b, k), in the dtype of the inputs.
        """
        samples, dimension = self._inputs.shape
        influence = self.influences(vectors, resolvent * self.noise * (dimension / samples))
        errors: Tensor = influence.std(-1) / samples**0.5
        return errors

    def influences(self, vectors: Tensor, t: Tensor) -> Tensor:
        """p_l^T D_l (I + t D_l) p_l of each sample l, see `sampling_errors`.

        Args:
            vectors: (b, m d, k) unit eigenvectors.
            t: (b, k).

        Returns:
            (b, k, n), in the dtype of the inputs.
        """
        projected = self._projected(self._by_row(vectors), self._inputs)
        weighted = _weighted(self._factors, projected)
        t = t.to(self.dtype)[:, None, :, None]
        influence: Tensor = (projected * (weighted + t * _weighted(self._factors, weighted))).sum(1)
        return influence

    def _by_row(self, panel: Tensor) -> Tensor:
        """(b, m d, width) -> (b m width, d)."""
        blocks, size, width = panel.shape
        rows = panel.mT.reshape(blocks, width, self.rows, size // self.rows)
        return rows.transpose(1, 2).reshape(-1, size // self.rows)

    def _projected(self, vectors: Tensor, inputs: Tensor) -> Tensor:
        """Inner products with the samples: (b m width, d), (n, d) -> (b, m, width, n)."""
        return (vectors @ inputs.T).view(*self._factors.shape[:2], -1, len(inputs))


def _weighted(factors: Tensor, projected: Tensor) -> Tensor:
    """D_l p_l of each sample: (b, m, m, n), (b, m, width, n) -> (b, m, width, n)."""
    result = factors[:, :, 0, None] * projected[:, None, 0]
    for row in range(1, factors.shape[1]):
        result.addcmul_(factors[:, :, row, None], projected[:, None, row])
    return result


def head_curvature(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    selections: Sequence[tuple[Matrix, tuple[int, ...]]],
) -> HeadCurvature:
    """Hessian or information matrix of some rows of the direction parameter, for each selection.

    D_l = d^2 ell / dh^2 (Hessian) or (d ell/dh)(d ell/dh)^T (information matrix), restricted to
    the rows; arXiv 2502.15655. The factors are computed once for all selections.

    Args:
        model: a `HeadModel`.
        inputs: (n, d), in the dtype of the model.
        targets: (n,) int64.
        selections: matrix and rows of each block; an empty tuple of rows means all. Every
            selection must have the same number of rows.

    Raises:
        ValueError: if the model has no head, the batch does not fit it, there is no selection,
            selections differ in their number of rows, a row is out of range, or a number is not
            finite.
    """
    if not isinstance(model, HeadModel):
        raise ValueError(f"model: expected a HeadModel, got {type(model).__name__}")
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    directions = parameters[model.direction_name]
    count, dimension = directions.shape
    if inputs.ndim != 2 or inputs.shape[1] != dimension or inputs.dtype != directions.dtype:
        raise ValueError(
            f"inputs: expected {directions.dtype} of shape (n, {dimension}), "
            f"got {inputs.dtype} of shape {tuple(inputs.shape)}"
        )
    if not len(inputs) or targets.shape != (len(inputs),):
        raise ValueError(
            f"targets: expected one for each of n >= 1 samples, got {tuple(targets.shape)} "
            f"for {len(inputs)}"
        )
    chosen = [(matrix, rows or tuple(range(count))) for matrix, rows in selections]
    if len({len(rows) for _, rows in chosen}) != 1:
        raise ValueError(
            f"selections: expected one or more with equal numbers of rows, got {list(selections)}"
        )
    if not all(0 <= row < count for _, rows in chosen for row in rows):
        raise ValueError(f"selections: expected rows below {count}, got {list(selections)}")
    extra = [parameters[name].flatten() for name in model.head_parameter_names]
    v = torch.cat(extra) if extra else directions.new_zeros(0)
    h = inputs @ directions.T
    factors: dict[Matrix, Tensor] = {}
    if any(matrix == "hessian" for matrix, _ in chosen):
        factors["hessian"] = curvature_factors(model.head, h, v, targets)
    if any(matrix == "information" for matrix, _ in chosen):
        g, _ = gradient_factors(model.head, h, v, targets)
        factors["information"] = g[:, :, None] * g[:, None, :]
    blocks = [factors[matrix][:, rows][:, :, rows] for matrix, rows in chosen]
    return HeadCurvature(inputs, torch.stack(blocks))
