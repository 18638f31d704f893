"""What a probe asks of a theory, and what it answers; another system brings another theory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from .direction import Direction
from .geometry import Geometry
from .quantity import Quantity
from .source import Source

if TYPE_CHECKING:  # what reads a specification does without
    from torch import Tensor, nn

__all__ = [
    "INDEPENDENT",
    "Clock",
    "Reference",
    "SampleKind",
    "Selection",
    "Statistics",
    "Theory",
]

SampleKind = Literal["fresh", "held-out", "training"]

# Samples that the weights do not depend on.
INDEPENDENT: frozenset[SampleKind] = frozenset({"fresh", "held-out"})


class Statistics(Protocol):
    """Whatever a theory needs to know at one step; a probe looks at its quantities alone."""

    def quantities(self) -> tuple[Quantity, ...]:
        """What is recorded of it, enough for `Theory.restore`."""


@dataclass(frozen=True)
class Selection:
    """One spectrum that is asked for.

    Attributes:
        matrix: name of its `MatrixKind`.
        block: the block's name.
        parameters: names of its parameters, all of them trained.
        rows: rows of the (single) parameter; empty means all.
    """

    matrix: str
    block: str
    parameters: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Clock:
    """Where the dynamics stands.

    Attributes:
        time: NaN without dynamics.
        label: what is counted, for an axis: "time t = steps × c/d".
    """

    time: float = math.nan
    label: str = ""


@dataclass(frozen=True)
class Reference:
    """Directions that eigenvectors are compared with.

    Attributes:
        vectors: (d, r) float64, one direction a column, in the order of `Theory.directions`.
        axis: of a block's parameter, of length d, that they lie along.
    """

    vectors: Tensor
    axis: int = -1


S = TypeVar("S", bound=Statistics)


class Theory(Protocol[S]):
    """What a probe asks of a theory. Each answer follows from the arguments alone.

    A theory that extends this class says only what it has: there are no reference directions, no
    sources and no dynamics until it does.
    """

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The reference directions."""
        return ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """What its predictions rest on; a report cites these."""
        return ()

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """Kinds of probe sample that its predictions hold for."""
        return INDEPENDENT

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Refuse a model that it does not describe; record what it needs until it is left.

        Raises:
            ValueError: naming what is at odds with the theory.
        """
        return nullcontext()

    def clock(self, step: int) -> Clock:
        """The time of the dynamics after a number of steps."""
        return Clock()

    def reference(self, model: nn.Module) -> Reference | None:
        """The reference directions at the present weights; None without any."""
        return None

    def statistics(self, model: nn.Module, batch: Any) -> S:
        """The statistics at the present weights, on a probe sample (inputs, targets)."""

    def restore(self, quantities: Sequence[Quantity]) -> S:
        """The statistics with these quantities: from a record or a checkpoint."""

    def predict(self, statistics: S, selections: Sequence[Selection], density: bool) -> Geometry:
        """Loss, other quantities, and spectra of those selections that the theory covers."""

    def forecast(self, start: S, steps: int, selections: Sequence[Selection]) -> Geometry | None:
        """The same, without densities, so many steps later; None without dynamics.

        The statistics are among its quantities, with their bands over runs.
        """
        return None
