"""Schedules that watch: a loss that jumps, a sharpness near its limit, a transition ahead."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from ..theory.spectrum import ENDS, Spectrum
from .schedules import Schedule

if TYPE_CHECKING:
    from .records.record import Record

from ..models.arguments import require_least

__all__ = ["LossSpike", "SharpnessCrossing", "TransitionNear"]

# Losses without which nothing is said of a jump.
_FEWEST = 10
# Outliers that are closer are one, see `TransitionTracker`.
_ONE = 0.01


class LossSpike(Schedule):
    """Where the loss of a batch exceeds ``factor`` times the median of the last, or is not finite.

    Once for each jump: not again before as many steps as the median is over.

    Args:
        factor: above 1.
        window: losses that the median is over, at least 10.

    Raises:
        ValueError: if a number is out of range, or it is asked without a loss, but for the first
            time.
    """

    def __init__(self, factor: float = 2.0, window: int = 50) -> None:
        if not factor > 1:
            raise ValueError(f"factor: expected more than 1, got {factor}")
        if window < _FEWEST:
            raise ValueError(f"window: expected at least {_FEWEST}, got {window}")
        self._factor, self._losses = factor, deque[float](maxlen=window)
        self._quiet_until = -1
        self._step: int | None = None

    @property
    def alike(self) -> bool:
        """False: each process has its own losses."""
        return False

    @property
    def reads_loss(self) -> bool:
        """True."""
        return True

    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether this loss is a jump."""
        asked, self._step = self._step, step
        if loss is None and asked is not None:
            raise ValueError("loss: expected that of the last batch, got none")
        if loss is None or step == asked:  # before the first batch, or again
            return False
        known = len(self._losses) >= _FEWEST
        jump = not math.isfinite(loss) or (known and loss > self._factor * median(self._losses))
        if math.isfinite(loss):
            self._losses.append(loss)
        if not jump or step <= self._quiet_until:
            return False
        self._quiet_until = step + (self._losses.maxlen or 0)
        return True

    def state_dict(self) -> dict[str, Any]:
        """The last losses, and until which step nothing is said."""
        return {"losses": list(self._losses), "quiet until": self._quiet_until}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from them."""
        self._losses.clear()
        self._losses.extend(state["losses"])
        self._quiet_until = state["quiet until"]


class _Watch(Schedule):
    """Every so many steps as long as the last records say that something is near."""

    def __init__(self, steps: int) -> None:
        require_least("steps", steps, 1)
        self._steps, self._near, self._last = steps, False, 0

    @abstractmethod
    def _is_near(self, record: Record) -> bool:
        """Whether it is, by this record and those before."""

    def due(self, step: int, epoch: float = math.nan, loss: float | None = None) -> bool:
        """Whether it is near, and so many steps have passed."""
        return self._near and step >= self._last + self._steps

    def probed(self, record: Record) -> None:
        """Look whether it is near."""
        self._near, self._last = self._is_near(record), record.step

    def state_dict(self) -> dict[str, Any]:
        """Whether it was near, and when that was seen."""
        return {"near": self._near, "last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from that."""
        self._near, self._last = state["near"], state["last"]


class SharpnessCrossing(_Watch):
    """Every so many steps near the sharpness beyond which gradient steps grow, 2 / learning rate.

    Near: `Track.stability` of a block is within the margin of 1, or has crossed 1 since the record
    before. The probe has to have a ``learning_rate``, and some other schedule has to make the
    records that this one reads: ``EverySteps(500) | SharpnessCrossing(20)``.

    Args:
        steps: between probings as long as it is near.
        margin: as a share of the critical sharpness.

    Raises:
        ValueError: if a number is not positive.
    """

    def __init__(self, steps: int, margin: float = 0.1) -> None:
        super().__init__(steps)
        self._margin = _positive(margin)
        self._before: dict[str, float] = {}

    def _is_near(self, record: Record) -> bool:
        now = {
            f"{track.matrix}/{track.block}": track.stability
            for track in record.tracks
            if not math.isnan(track.stability)
        }
        before, self._before = self._before, now
        return any(
            abs(value - 1) <= self._margin or (before.get(key, value) - 1) * (value - 1) < 0
            for key, value in now.items()
        )

    def state_dict(self) -> dict[str, Any]:
        """Also the last values."""
        return {**super().state_dict(), "before": dict(self._before)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from them."""
        super().load_state_dict(state)
        self._before = dict(state["before"])


class TransitionNear(_Watch):
    """Every so many steps near a transition of the predicted outliers.

    Near: the record has one; or a predicted outlier is closer to the edge of the bulk than the
    margin, as a share of the bulk's width; or two outliers are closer to each other than that, as a
    share of their value, and not yet within the 1 % that makes them one. An outlier that is still
    in the bulk cannot be seen coming.

    Args:
        steps: between probings as long as it is near.
        margin: that share.

    Raises:
        ValueError: if a number is not positive.
    """

    def __init__(self, steps: int, margin: float = 0.1) -> None:
        super().__init__(steps)
        self._margin = _positive(margin)

    def _is_near(self, record: Record) -> bool:
        if record.predicted is None:
            return False
        return bool(record.transitions) or any(map(self._about, record.predicted.spectra))

    def _about(self, spectrum: Spectrum) -> bool:
        bulk = spectrum.bulk
        for end in ENDS:
            values = [pair.value for pair in getattr(spectrum, end)]
            for one, other in pairwise(values):
                distance = abs(one - other) / max(abs(one), abs(other))
                if _ONE < distance <= self._margin:
                    return True
            if bulk is None or not values:
                continue
            edge = (bulk.upper if end == "top" else bulk.lower).value
            width = bulk.upper.value - bulk.lower.value
            if math.isfinite(width) and abs(values[-1] - edge) <= self._margin * width:
                return True
        return False


def _positive(margin: float) -> float:
    if not margin > 0:
        raise ValueError(f"margin: expected a positive share, got {margin}")
    return margin
