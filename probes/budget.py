"""What a probing may take: time, products, memory; and what it has taken."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .curvature.operator import CurvatureOperator
from .curvature.processes import Processes
from .krylov.allowance import allowance
from .measurement import Measurement

__all__ = ["Budget", "Meter", "SpentError"]

# Panels beside the Krylov basis that a run holds at once.
_PANELS = 7
# Columns of a panel, where the measurement says nothing.
_WIDTH = 16


@dataclass(frozen=True)
class Budget:
    """What a probing may take; None: without a bound.

    A probing that has used it up ends early with what it has: the Krylov run that is going on ends,
    its eigenpairs with the residuals that they have, and the spectra and draws still to come are
    left out. `Record.early` says which. Loss, quantities and predictions are had in any case. Each
    spectrum may take an equal part of what is left for those still to come.

    Attributes:
        seconds: of wall time from the beginning of the probing; looked at after every product with
            a panel.
        products: matrix-vector products of the Krylov runs of all spectra together, a panel
            counting by its columns. Checks and residuals take some more.
        memory: bytes that the basis of a Krylov run and the panels beside it may take: it is then
            given no more products than fit in. Graphs of the model take what the largest batch
            takes, at most about 1 GiB: give micro-batches.
    """

    seconds: float | None = None
    products: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "products", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value}")


class SpentError(Exception):
    """A part of a probing is left out: the budget is spent. It is no failure."""


class Meter:
    """What a probing has taken of its budget.

    Args:
        budget: of the probing.
        seconds: another bound of its time.
        processes: that measure together: the bounds are the first's, and all end at the same
            product.
    """

    def __init__(self, budget: Budget, seconds: float, processes: Processes) -> None:
        bounds = [
            math.inf if bound is None else float(bound)
            for bound in (budget.seconds, budget.products, budget.memory)
        ]
        bounds[0] = min(bounds[0], seconds)
        self._seconds, self._products, self._memory = bounds
        self._processes = processes
        self._start = time.perf_counter()
        self._until = self._limit = math.inf
        self._why = self._capped = ""
        self._taken = self._panel = self._most = self._size = 0

    def begin(self) -> None:
        """Let all processes have the bounds of the first."""
        if not self._processes.alone:
            bounds = [self._seconds, self._products, self._memory]
            self._seconds, self._products, self._memory = self._processes.gather(bounds)[0].tolist()

    @contextmanager
    def part(self, parts: int) -> Iterator[None]:
        """One of so many parts that are still to come.

        Raises:
            SpentError: at once, if nothing is left.
        """
        elapsed = self._elapsed()
        left = self._seconds - elapsed
        if left <= 0:
            raise SpentError(f"not begun: {self._told_time()}")
        if self._products <= 0:
            raise SpentError("not begun: the products of the budget are spent")
        self._until = elapsed + left / parts
        self._limit, self._why, self._capped = self._products / parts, "", ""
        self._taken = self._panel = 0
        with allowance(self._spend):
            yield

    def measurement(self, wanted: Measurement, operator: CurvatureOperator) -> Measurement:
        """The measurement with as many products as there may be.

        Raises:
            SpentError: if the wanted eigenvalues do not fit in.
        """
        most, why = self._limit, "products"
        column = math.prod(operator.batch) * operator.size * operator.dtype.itemsize
        fitting = self._memory / column - _PANELS * (wanted.width or _WIDTH)
        if fitting < most:
            most, why = fitting, "memory"
        if most >= wanted.max_products:
            return wanted
        fewest = wanted.eigenvalues + wanted.smallest
        if most < fewest:
            raise SpentError(f"not begun: the {why} of the budget do not hold {fewest} vectors")
        self._capped = f"no more than {int(most)} products, by the budget of {why}"
        self._most, self._size = int(most), operator.size
        return replace(wanted, max_products=int(most))

    @property
    def early(self) -> str:
        """Why the last part ended early; empty if it did not."""
        full = self._taken + self._panel > self._most and self._taken < self._size
        return self._why or (self._capped if self._capped and full else "")

    def _spend(self, products: int) -> bool:
        self._products -= products
        self._taken += products
        self._panel = products or self._panel
        if self._elapsed() >= self._until:
            self._why = self._told_time()
            return True
        return False

    def _elapsed(self) -> float:
        """Seconds so far, of the first process."""
        if math.isinf(self._seconds):
            return 0.0
        elapsed = time.perf_counter() - self._start
        return elapsed if self._processes.alone else float(self._processes.gather([elapsed])[0, 0])

    def _told_time(self) -> str:
        return f"the {self._seconds:.3g} s of the budget are spent"
