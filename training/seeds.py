"""One seed for each stream of random numbers of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Seeds"]


@dataclass(frozen=True)
class Seeds:
    """Seeds of independent streams: the probe's draws change neither the weights nor the data.

    Attributes:
        weights: of the system's build.
        data: of its batches.
        probe: of the probe.
    """

    weights: int
    data: int
    probe: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """From the seed of a configuration."""
        return cls(*np.random.SeedSequence(seed).generate_state(3, np.uint64).tolist())
