"""What all probings of one probe have in common: what is measured, on which sample, by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from ..models.arguments import require_least
from ..models.heads import HeadModel
from ..theory.protocol import SampleKind, Theory
from .curvature.batches import Batched
from .curvature.block import Block
from .curvature.borrowed import borrowed_if_empty
from .curvature.layers import Layers, layer_blocks
from .curvature.losses import Loss
from .curvature.matrix import CurvatureMatrix
from .curvature.processes import Processes
from .curvature.wrappers import unwrap
from .measure import Measure
from .measurement import Measurement
from .records.tag_names import safe
from .samples import Sample, Source, source_of
from .stability import LearningRate, require_learning_rate

__all__ = ["Sample", "Setup", "chosen_blocks", "default_blocks", "default_measurement"]


@dataclass(frozen=True)
class Setup:
    """What all probings of a `SpectralProbe` have in common; its arguments say what each is.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    model: nn.Module
    loss: Loss
    sample: Sample
    theory: Theory[Any] | None
    blocks: tuple[Block, ...]
    rare_blocks: tuple[Block, ...]
    matrices: tuple[CurvatureMatrix, ...]
    measures: tuple[Measure, ...]
    measurement: Measurement
    seed: int
    sample_kind: SampleKind
    learning_rate: LearningRate | None
    processes: Processes
    max_samples: int | None = None

    def __post_init__(self) -> None:
        names = [block.name for block in (*self.blocks, *self.rare_blocks)]
        if not self.blocks or len(set(names)) != len(names):
            raise ValueError(f"blocks: expected at least one, with different names, got {names}")
        for argument, given in (
            ("blocks", names),
            ("matrices", [matrix.kind.name for matrix in self.matrices]),
            ("measures", [measure.name for measure in self.measures]),
        ):
            if len(set(given)) != len(given):
                raise ValueError(f"{argument}: expected different names, got {given}")
            if len(set(map(safe, given))) != len(given):
                tags = [safe(name) for name in given]
                raise ValueError(
                    f"{argument}: expected names that differ in tags, got {given}, which are {tags}"
                )
        if self.sample_kind not in get_args(SampleKind):
            raise ValueError(
                f"sample_kind: expected 'fresh', 'held-out' or 'training', got {self.sample_kind!r}"
            )
        require_least("seed", self.seed, 0)
        self.source  # noqa: B018 (refuses what is no sample)
        require_learning_rate(self.learning_rate)

    @property
    def predicting_theory(self) -> Theory[Any] | None:
        """The theory, if its predictions hold for samples of this kind."""
        holds = self.theory is not None and self.sample_kind in self.theory.holds_for
        return self.theory if holds else None

    def matrix(self, name: str) -> CurvatureMatrix:
        """The matrix of that name."""
        return next(matrix for matrix in self.matrices if matrix.kind.name == name)

    def generator(
        self, step: int, draw: int, purpose: tuple[int, ...], device: torch.device | str = "cpu"
    ) -> torch.Generator:
        """A generator that depends on the seed and on these numbers alone."""
        seed = np.random.SeedSequence([self.seed, step, draw, *purpose])
        state = int(seed.generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(state)

    @cached_property
    def source(self) -> Source:
        """Where the batches come from."""
        return source_of(
            self.sample, self.model, self.max_samples, least=0 if self.processes.size > 1 else 1
        )

    def batch(self, step: int, draw: int) -> Batched:
        """The probe sample of this process, or one more draw of it: a batch, or several.

        A process without samples borrows some, which do not count: a `Borrowed`.

        Raises:
            ValueError: if it is not of pairs (inputs, targets), or is empty on all processes.
        """
        processes = self.processes
        # Alone or first, a process draws the same samples.
        purpose = (0, processes.rank) if processes.rank else (0,)

        def generator(by_step: bool) -> torch.Generator:
            device = next(unwrap(self.model).parameters()).device
            return self.generator(step if by_step else 0, draw, purpose, device)

        with processes.agreed():
            own = self.source.batches(generator, draw)
        return own if processes.alone else borrowed_if_empty(own, processes)


def chosen_blocks(module: nn.Module, blocks: Sequence[Block] | Layers | None) -> tuple[Block, ...]:
    """The blocks that are meant, see `SpectralProbe`.

    Raises:
        ValueError: if it is neither a list of blocks nor what `layer_blocks` takes.
    """
    if blocks is None:
        return tuple(default_blocks(module))
    if isinstance(blocks, str | int):
        return tuple(layer_blocks(module, blocks))
    return tuple(blocks)


def default_blocks(module: nn.Module) -> list[Block]:
    """Each direction of a head model, or all parameters together."""
    if isinstance(module, HeadModel):
        return [
            Block(f"direction {row}", (module.direction_name,), (row,))
            for row in range(module.head.directions)
        ]
    return [Block("all")]


def default_measurement(module: nn.Module, theory: Theory[Any] | None) -> Measurement:
    """A cheap one where products are derivatives and no prediction asks for more."""
    if theory is None and not isinstance(module, HeadModel):
        return Measurement.cheap()
    return Measurement.moderate()
