"""A member of an ensemble: the run of one configuration, measured without predictions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ...probes.measurement import Measurement
from ...probes.probe import SpectralProbe
from ...theory.direction import Direction
from ...theory.geometry import Geometry
from ...theory.protocol import Clock, Reference, SampleKind, Selection, Statistics, Theory
from ...theory.quantity import Quantity
from ..config import TrainingConfig
from ..seeds import Seeds
from ..system import Running

__all__ = ["Member"]


class Member:
    """A run with the random numbers of a single one, before its first step.

    Args:
        config: of the run.

    Attributes:
        config: likewise.
        running: what is trained.
        probe: measures it: one draw of the probe sample, statistics of the theory, no predictions.
    """

    def __init__(self, config: TrainingConfig) -> None:
        seeds = Seeds.of(config.seed)
        system = config.build(_generator(seeds.weights, config.device))
        settings = asdict(config.probe)
        every = settings.pop("every")
        self.config = config
        self.running = Running(system, system.batches(_generator(seeds.data, config.device)))
        self.probe = SpectralProbe(
            system.model,
            system.loss,
            system.sample,
            theory=None if system.theory is None else _Observed(system.theory),
            blocks=system.blocks,
            rare_blocks=system.rare_blocks,
            matrices=system.matrices,
            measures=system.measures,
            measurement=Measurement(**(settings | {"draws": 1}), tracking=False),
            seed=seeds.probe,
            sample_kind=system.sample_kind,
            learning_rate=system.learning_rate,
            every=every,
            thorough_epochs={0, config.epochs // 2, config.epochs},
        )


def _generator(seed: int, device: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


class _Observed(Theory[Any]):
    """The statistics of a theory without its predictions: these are made of the mean of all runs.

    Args:
        theory: of the member.
    """

    def __init__(self, theory: Theory[Any]) -> None:
        self._theory = theory

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those of the theory."""
        return self._theory.directions

    @property
    def holds_for(self) -> frozenset[SampleKind]:
        """None: nothing is predicted."""
        return frozenset()

    def attach(self, model: nn.Module) -> AbstractContextManager[Any]:
        """As the theory."""
        return self._theory.attach(model)

    def clock(self, step: int) -> Clock:
        """As the theory."""
        return self._theory.clock(step)

    def reference(self, model: nn.Module) -> Reference | None:
        """As the theory."""
        return self._theory.reference(model)

    def statistics(self, model: nn.Module, batch: Any) -> Statistics:
        """As the theory."""
        found: Statistics = self._theory.statistics(model, batch)
        return found

    def restore(self, quantities: Sequence[Quantity]) -> Statistics:
        """As the theory."""
        found: Statistics = self._theory.restore(quantities)
        return found

    def predict(
        self, statistics: Statistics, selections: Sequence[Selection], density: bool
    ) -> Geometry:
        """Nothing."""
        return Geometry()
