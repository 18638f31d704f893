"""What a head is: everything a loss does after the projection h = x^T Y.

A head together with the Gram matrix of (x, mu) determines the spectra and the dynamics, so a new
architecture is one function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .arrays import Array

if TYPE_CHECKING:  # theory does without
    from torch import Tensor

__all__ = [
    "ArrayHead",
    "DifferentiatedHead",
    "Head",
    "HeadModel",
    "LossHead",
    "ModelHead",
    "OutputHead",
    "require_labels",
]


class Head(Protocol):
    """ell(h, v; y): the loss of one sample as a function of its preactivations. Hashable.

    Attributes:
        directions: C, the number of columns of x that ell reads, the teachers last.
        teachers: how many of the last directions are not trained.
        parameters: q, the number of finite extra parameters v.
        classes: labels are 0 to classes - 1; None if every number will do.
        shift_invariant: whether ell is unchanged by adding a constant to all entries of h.
    """

    @property
    def directions(self) -> int:
        """C."""

    @property
    def teachers(self) -> int:
        """See above."""

    @property
    def parameters(self) -> int:
        """Return q."""

    @property
    def classes(self) -> int | None:
        """See above."""

    @property
    def shift_invariant(self) -> bool:
        """See above."""

    def ell(self, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """Loss () of one sample: h (C,), v (q,), y () int64; smooth, and fit for torch.func."""

    def classified(self, h: Tensor, v: Tensor, y: Tensor) -> Tensor | None:
        """Whether the sample's label is predicted, () bool; None if labels have no meaning."""


class ModelHead(Head, Protocol):
    """The head of a model whose output is a function of h and v: n samples at once."""

    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Return the model output for preactivations h (..., C) and parameters v (q,)."""

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss () of outputs (n, ...) against targets (n,) int64."""

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each of n outputs predicts its label, (n,) bool."""


class OutputHead(ABC):
    """ell(h, v; y) = criterion(output(h, v), y): base of heads of models.

    A subclass is hashable, has ``directions`` and the three methods, and overrides the properties
    that differ.
    """

    @property
    def teachers(self) -> int:
        """None: every direction is the model's."""
        return 0

    @property
    def parameters(self) -> int:
        """No extra parameters."""
        return 0

    @property
    def classes(self) -> int | None:
        """Any label."""
        return None

    @property
    def shift_invariant(self) -> bool:
        """No."""
        return False

    @abstractmethod
    def output(self, h: Tensor, v: Tensor) -> Tensor:
        """Return the model output for preactivations h (..., C) and parameters v (q,)."""

    @abstractmethod
    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss () of outputs (n, ...) against targets (n,) int64."""

    @abstractmethod
    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each of n outputs predicts its label, (n,) bool."""

    def ell(self, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """Loss () of one sample: h (C,), v (q,), y () int64."""
        return self.criterion(self.output(h, v).unsqueeze(0), y.unsqueeze(0))

    def classified(self, h: Tensor, v: Tensor, y: Tensor) -> Tensor | None:
        """Whether the sample's label is predicted, () bool."""
        return self.correct(self.output(h, v).unsqueeze(0), y.unsqueeze(0)).squeeze(0)


@runtime_checkable
class DifferentiatedHead(Protocol):
    """A head that knows its own derivatives, faster than automatic differentiation finds them.

    For n samples at once: h (n, C), v (q,), y (n,) int64. The gradients of the provided heads are
    those of several models as well: h (..., n, C), v (..., q), y (..., n).
    """

    def gradient(self, h: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """d ell/d(h, v), (n, C + q)."""

    def curvature(self, h: Tensor, v: Tensor, y: Tensor, joint: bool) -> Tensor:
        """d^2 ell/d(h, v)^2, (n, C + q, C + q), if joint; else d^2 ell/dh^2, (n, C, C)."""


class ArrayHead(ABC):
    """A differentiated head written for arrays of NumPy as well as for tensors: the provided ones.

    Theory needs no torch for it. Shapes as of `DifferentiatedHead`; what is returned is of the kind
    of the arguments.
    """

    @property
    def takes_arrays(self) -> bool:
        """Yes; no if a function of tensors is part of the head."""
        return True

    @abstractmethod
    def sample_losses(self, h: Array, v: Array, y: Array) -> Array:
        """ell of each sample, (n,)."""

    @abstractmethod
    def sample_classified(self, h: Array, v: Array, y: Array) -> Array | None:
        """Whether each sample's label is predicted, (n,) bool; None if labels have no meaning."""

    @abstractmethod
    def gradient(self, h: Array, v: Array, y: Array) -> Array:
        """d ell/d(h, v), (n, C + q)."""

    @abstractmethod
    def curvature(self, h: Array, v: Array, y: Array, joint: bool) -> Array:
        """d^2 ell/d(h, v)^2, or d^2 ell/dh^2."""


class LossHead(OutputHead, ArrayHead):
    """ell(h, v; y) = losses(output(h, v), y): base of the provided heads of models."""

    @abstractmethod
    def losses(self, outputs: Array, targets: Array) -> Array:
        """Loss of each sample, (...), for outputs (..., ...) against labels (...)."""

    def criterion(self, outputs: Array, targets: Array) -> Array:
        """Mean loss (), of n outputs against labels (n,)."""
        return self.losses(outputs, targets).mean()

    def sample_losses(self, h: Array, v: Array, y: Array) -> Array:
        """ell of each sample, (n,)."""
        return self.losses(self.output(h, v), y)

    def sample_classified(self, h: Array, v: Array, y: Array) -> Array:
        """Whether each sample's label is predicted, (n,) bool."""
        return self.correct(self.output(h, v), y)


@runtime_checkable
class HeadModel(Protocol):
    """A module whose output is head.output(x^T Y, v): it has hand-written curvature products.

    Attributes:
        head: the head.
        direction_name: name of the parameter (C, d) whose rows are the columns of x.
        head_parameter_names: names of the parameters that, flattened in order, are v.
    """

    head: ModelHead
    direction_name: str
    head_parameter_names: tuple[str, ...]


def require_labels(head: Head, labels: Sequence[int]) -> None:
    """Check that the loss of a head is defined for all of these labels.

    Raises:
        ValueError: ``labels: expected ..., got ...``.
    """
    expected = "at least 0" if head.classes is None else f"0 to {head.classes - 1}"
    limit = float("inf") if head.classes is None else head.classes
    if not all(0 <= label < limit for label in labels):
        raise ValueError(f"labels: expected {expected}, got {list(labels)}")
