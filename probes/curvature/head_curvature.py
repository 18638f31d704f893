"""Hand-written curvature products for models whose loss is a head of x^T Y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.arguments import require_arguments
from ...models.heads import HeadModel, curvature_factors, gradient_factors
from .finite import all_finite
from .operator import CurvatureOperator

__all__ = ["HeadCurvature", "HeadMatrix", "head_curvature"]

HeadMatrix = Literal["hessian", "information"]

# Samples whose products with a panel are held at once: they stay in the cache between the two
# products with the data. Fewer would leave the threads too little work between their meetings.
_SAMPLES = 2048


# Strips in which a symmetric matrix is formed, each without what is above its diagonal block.
_STRIPS = 5


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
        require_arguments(HeadCurvature.__init__, locals())
        if inputs.ndim != 2 or 0 in inputs.shape:
            raise ValueError(f"inputs: expected shape (n, d), n, d >= 1, got {tuple(inputs.shape)}")
        if factors.ndim != 4 or factors.shape[1:] != (len(inputs), *factors.shape[-1:] * 2):
            raise ValueError(
                f"factors: expected shape (blocks, {len(inputs)}, m, m), got {tuple(factors.shape)}"
            )
        if not (all_finite(inputs) and all_finite(factors)):
            raise ValueError("inputs, factors: expected finite numbers, got NaN or infinity")
        self._inputs = inputs
        self._factors = factors.transpose(0, 1).contiguous()

    @property
    def batch(self) -> tuple[int, ...]:
        """(blocks,)."""
        return (int(self._factors.shape[1]),)

    @property
    def rows(self) -> int:
        """m, the number of rows of the direction parameter in each block."""
        return int(self._factors.shape[2])

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

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(m, d)."""
        return ((self.rows, int(self._inputs.shape[1])),)

    @property
    def panel_width(self) -> int:
        """48 columns of all blocks' rows together, but 4 to 16 of each."""
        return min(max(4, 48 // (self.batch[0] * self.rows)), 16)

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (b, m d, width); same shape."""
        vectors = self._by_dimension(panel)
        columns = vectors.shape[1]
        vectors = functional.pad(vectors, (0, _suitable(columns, self.dtype) - columns))
        product = torch.zeros_like(vectors)
        # Data times panel, not panel times data: a third faster for panels this narrow.
        for inputs, factors in zip(
            torch.split(self._inputs, _SAMPLES), torch.split(self._factors, _SAMPLES), strict=True
        ):
            projected = inputs @ vectors
            own = projected[:, :columns].view(-1, *self._factors.shape[1:3], panel.shape[2])
            own.copy_(_weighted(factors, own))
            product.addmm_(inputs.T, projected)
        by_row = product[:, :columns].div_(len(self._inputs))
        by_row = by_row.reshape(-1, *self._factors.shape[1:3], panel.shape[2])
        return by_row.permute(1, 2, 0, 3).reshape(panel.shape)

    @property
    def dense_cost(self) -> float:
        """(m + 1) d / 4, at most: one of a product's two steps for each pair of rows.

        Not less where only a half is computed: eigenvalues of a large matrix cost more than it.
        """
        return (self.rows + 1) * self._inputs.shape[1] / 4

    def dense(self) -> Tensor:
        """H, (b, m d, m d), from the pairs of rows: (1/n) sum_l (D_bl)_ac Y_l Y_l^T."""
        blocks, rows = self._factors.shape[1:3]
        dimension = self._inputs.shape[1]
        result = self._inputs.new_empty(blocks, rows, dimension, rows, dimension)
        for block in range(blocks):
            for first in range(rows):
                for second in range(first, rows):
                    part = self._second_moment(self._factors[:, block, first, second])
                    result[block, first, :, second] = result[block, second, :, first] = part
        return result.view(blocks, self.size, self.size)

    def _second_moment(self, weights: Tensor) -> Tensor:
        """(1/n) sum_l w_l Y_l Y_l^T, (d, d), from strips of its lower half."""
        weighted = (weights / len(self._inputs))[:, None] * self._inputs
        dimension = self._inputs.shape[1]
        moment = weighted.new_empty(dimension, dimension)
        for strip in range(_STRIPS):
            first, end = (dimension * edge // _STRIPS for edge in (strip, strip + 1))
            lower = self._inputs[:, first:end].T @ weighted[:, :end]
            moment[first:end, :end] = lower
            moment[:first, first:end] = lower[:, :first].T
        return moment

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
        weights = self._factors.diagonal(dim1=2, dim2=3).sum(-1)
        traces: Tensor = self._inputs.square().sum(1) @ weights / len(self._inputs)
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
        errors: Tensor = influence.std(0) / samples**0.5
        return errors

    def influences(self, vectors: Tensor, t: Tensor) -> Tensor:
        """p_l^T D_l (I + t D_l) p_l of each sample l, see `sampling_errors`.

        Args:
            vectors: (b, m d, k) unit eigenvectors.
            t: (b, k).

        Returns:
            (n, b, k), in the dtype of the inputs.
        """
        projected = self._projected(self._by_dimension(vectors), self._inputs)
        weighted = _weighted(self._factors, projected)
        left_out = weighted + t.to(self.dtype)[:, None, :] * _weighted(self._factors, weighted)
        influence: Tensor = (projected * left_out).sum(2)
        return influence

    def _by_dimension(self, panel: Tensor) -> Tensor:
        """(b, m d, width) -> (d, b m width)."""
        by_row = panel.reshape(len(panel), self.rows, -1, panel.shape[2])
        return by_row.permute(2, 0, 1, 3).flatten(1)

    def _projected(self, vectors: Tensor, inputs: Tensor) -> Tensor:
        """Inner products with the samples: (d, b m width), (n, d) -> (n, b, m, width)."""
        return (inputs @ vectors).view(len(inputs), *self._factors.shape[1:3], -1)


def _suitable(columns: int, dtype: torch.dtype) -> int:
    """How many columns, at least so many, a product with the data is fastest for.

    BLAS kernels are made for so many at a time. In float32, 12 columns take longer than 16; in
    float64, 16 columns three times as long as 12, and longer than 24.
    """
    return max(16, columns) if dtype == torch.float32 else 12 * math.ceil(columns / 12)


def _weighted(factors: Tensor, projected: Tensor) -> Tensor:
    """D_l p_l of each sample: (n, b, m, m), (n, b, m, width) -> (n, b, m, width)."""
    return factors * projected if factors.shape[-1] == 1 else factors @ projected


def head_curvature(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    selections: Sequence[tuple[HeadMatrix, tuple[int, ...]]],
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
    require_arguments(head_curvature, locals())
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
    factors: dict[HeadMatrix, Tensor] = {}
    if any(matrix == "hessian" for matrix, _ in chosen):
        factors["hessian"] = curvature_factors(model.head, h, v, targets)
    if any(matrix == "information" for matrix, _ in chosen):
        g, _ = gradient_factors(model.head, h, v, targets)
        factors["information"] = g[:, :, None] * g[:, None, :]
    blocks = [factors[matrix][:, rows][:, :, rows] for matrix, rows in chosen]
    return HeadCurvature(inputs, torch.stack(blocks))
