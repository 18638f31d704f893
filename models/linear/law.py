"""Inputs of a given covariance and targets that are linear in them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ..arguments import require_fields

__all__ = ["Entries", "LinearLaw"]

Entries = Literal["gaussian", "rademacher"]


@dataclass(frozen=True, eq=False)
class LinearLaw:
    """x = Sigma^(1/2) z,  y = w* . x + noise^(1/2) g,  z of independent entries, g ~ N(0, 1).

    Attributes:
        covariance: Sigma, (D,) its diagonal or (D, D); its dtype and device are the samples'.
        target: w*, (D,).
        noise: variance of the label noise.
        entries: law of the entries of z: standard normal, or signs.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    covariance: Tensor
    target: Tensor
    noise: float = 0.0
    entries: Entries = "gaussian"
    _root: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_fields(self)
        shape = tuple(self.covariance.shape)
        if not self.covariance.is_floating_point() or len(shape) not in (1, 2) or 0 in shape:
            raise ValueError(
                "covariance: expected a floating tensor of shape (D,) or (D, D), "
                f"got {self.covariance.dtype} of shape {shape}"
            )
        if shape != (shape[0],) * len(shape):
            raise ValueError(f"covariance: expected a square matrix, got shape {shape}")
        if not bool(torch.isfinite(self.covariance).all()):
            raise ValueError("covariance: expected finite numbers, got NaN or infinity")
        if self.target.shape != shape[:1] or not bool(torch.isfinite(self.target).all()):
            raise ValueError(
                f"target: expected {shape[0]} finite numbers, got shape {tuple(self.target.shape)}"
            )
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise: expected a variance of at least 0, got {self.noise}")
        if self.entries not in get_args(Entries):
            raise ValueError(
                f"entries: expected one of {', '.join(get_args(Entries))}, got {self.entries!r}"
            )
        object.__setattr__(self, "_root", _root(self.covariance))

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.target)

    def shifted(self, covariance: Tensor) -> LinearLaw:
        """The same targets without noise on inputs of another covariance: what is tested on."""
        return replace(self, covariance=covariance, noise=0.0)

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw independent samples.

        Args:
            size: number of samples n >= 1.
            generator: source of all randomness, on the device of ``covariance``.

        Returns:
            inputs (n, D) and targets (n,).
        """
        if size < 1:
            raise ValueError(f"size: expected at least 1 sample, got {size}")
        z = self._entries((size, self.dimension), generator)
        inputs = z * self._root if self._root.ndim == 1 else z @ self._root
        targets = inputs @ self.target
        if self.noise > 0:
            targets = targets + self.noise**0.5 * self._normal((size,), generator)
        return inputs, targets

    def _entries(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if self.entries == "gaussian":
            return self._normal(shape, generator)
        heads = torch.rand(shape, generator=generator, device=self.target.device) < 0.5
        one = torch.ones((), dtype=self.target.dtype, device=self.target.device)
        return torch.where(heads, one, -one)

    def _normal(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(
            shape, generator=generator, device=self.target.device, dtype=self.target.dtype
        )


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root; of the diagonal, if only that is given."""
    if covariance.ndim == 1:
        if bool((covariance < 0).any()):
            raise ValueError(
                f"covariance: expected variances of at least 0, got {covariance.min():g}"
            )
        return covariance.sqrt()
    scale = float(covariance.abs().max())
    if float((covariance - covariance.T).abs().max()) > 1e-6 * scale:
        raise ValueError("covariance: expected a symmetric matrix")
    values, vectors = torch.linalg.eigh(covariance)
    if float(values.min()) < -1e-5 * scale:
        raise ValueError(
            f"covariance: expected no negative eigenvalue, got {float(values.min()):.3g}"
        )
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
