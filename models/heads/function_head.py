"""A head given by one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import require_fields, require_least
from .derivatives import joint_curvature_factors, sample_losses

__all__ = ["FunctionHead"]

_POINTS = 4


@dataclass(frozen=True)
class FunctionHead:
    """ell(h, v, y) as a torch function of one sample: h (C,), v (q,), y () int64 -> ().

    The function is called under torch.func.vmap, so it must not branch on values, and it must be
    twice differentiable. It is tried at random points with label 0 when the head is made.

    Attributes:
        ell: the loss of one sample.
        directions: C, the number of columns of x that ell reads, the teachers last.
        parameters: q, the number of entries of v.
        teachers: how many of the last directions are not trained.
        classes: labels are 0 to classes - 1; None if every number will do.
        shift_invariant: whether ell is unchanged by adding a constant to all entries of h.

    Raises:
        ValueError: naming the attribute, what was expected and what came.
    """

    ell: Callable[[Tensor, Tensor, Tensor], Tensor]
    directions: int
    parameters: int = 0
    teachers: int = 0
    classes: int | None = None
    shift_invariant: bool = False

    def __post_init__(self) -> None:
        require_fields(self)
        require_least("directions", self.directions, 1)
        require_least("parameters", self.parameters, 0)
        if not 0 <= self.teachers < self.directions:
            raise ValueError(
                f"teachers: expected fewer than the {self.directions} directions, "
                f"got {self.teachers}"
            )
        if self.classes is not None and self.classes < 1:
            raise ValueError(f"classes: expected at least 1, got {self.classes}")
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        h, v = normal(_POINTS, self.directions), normal(self.parameters)
        y = torch.zeros(_POINTS, dtype=torch.int64)
        expected = "ell: expected a twice differentiable torch function of (h, v, y), fit for vmap,"
        try:
            alone = self.ell(h[0], v, y[0])
            losses = sample_losses(self, h, v, y)
            curvature = joint_curvature_factors(self, h, v, y)
        except Exception as error:
            raise ValueError(f"{expected} got {type(error).__name__}: {error}") from error
        if alone.shape != ():
            raise ValueError(f"{expected} with a scalar value, got shape {tuple(alone.shape)}")
        if not bool(losses.isfinite().all() & curvature.isfinite().all()):
            raise ValueError(f"{expected} finite at random points, got NaN or infinity")
        if self.shift_invariant and not torch.allclose(
            sample_losses(self, h + 0.7, v, y), losses, rtol=1e-9, atol=1e-9
        ):
            raise ValueError(
                "shift_invariant: expected ell unchanged by adding a constant to h, "
                "got another value"
            )

    def classified(self, h: Tensor, v: Tensor, y: Tensor) -> None:
        """None: what a right answer is, the loss alone does not say."""
