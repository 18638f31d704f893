"""What a probe warns of, once for each kind."""

from __future__ import annotations

import warnings

from .curvature.observe import Observed, warn_of_unreached
from .probing import Probing

__all__ = ["Notices"]


class Notices:
    """Failures by part, matrix and kind of error; hooks left out; parameters out of reach."""

    def __init__(self) -> None:
        self._failures: set[tuple[str, str, type[Exception]]] = set()
        self._hooks = self._unreached = False

    def hooks(self, observed: Observed, stacklevel: int) -> None:
        """Warn of hooks that are not run."""
        self._hooks = self._hooks or observed.warn_of_hooks(stacklevel=stacklevel + 1)

    def outcome(self, probing: Probing, stacklevel: int) -> None:
        """Warn of what failed, and of parameters that no gradient reaches."""
        record = probing.record
        for failure, error in zip(record.failures, probing.errors, strict=True):
            kind = failure.part, failure.matrix, type(error)
            if kind not in self._failures:
                self._failures.add(kind)
                warnings.warn(
                    f"the probing at step {record.step} could not have {failure}",
                    RuntimeWarning,
                    stacklevel=stacklevel + 1,
                )
        if record.unreached and not self._unreached:
            self._unreached = True
            warn_of_unreached(record.unreached, stacklevel=stacklevel + 1)
