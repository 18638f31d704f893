"""One probing: what is measured, predicted and forecast at one step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..models.heads import HeadModel
from ..theory.protocol import Selection, Theory
from ..theory.spectrum import Matrix, Spectrum
from ..theory.statistics import Statistics
from ..theory.transitions import TransitionTracker
from .curvature.batches import Batch, Inputs, sample_number
from .curvature.block import Block
from .curvature.distributed import Processes, shared
from .curvature.head_curvature import head_curvature
from .curvature.loss_gradient import loss_gradient
from .curvature.losses import Loss
from .curvature.module_curvature import HessianOperator, InformationOperator
from .curvature.observe import ordinary, unwrap
from .curvature.operator import CurvatureOperator
from .estimate import Estimate, LiveTensors, krylov_cost
from .krylov.block_lanczos import random_frame
from .krylov.eigenpairs import Eigenpairs
from .measured_spectra import HEADS, measured_spectra, with_draws
from .measurement import Measurement
from .records.record import Geometry, Record
from .records.track import Track
from .scores import pooled, scores_of
from .stability import LearningRate, critical_sharpness, require_learning_rate
from .tracking import Tracker

__all__ = ["MATRICES", "Probing", "Sample", "SampleKind", "Setup", "default_blocks", "named_blocks"]

Sample = Batch | Callable[[torch.Generator], Batch]
SampleKind = Literal["fresh", "held-out", "training"]

MATRICES: tuple[Matrix, ...] = ("hessian", "information")


@dataclass(frozen=True)
class Setup:
    """What all probings of a `SpectralProbe` have in common; its arguments say what each is.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    model: nn.Module
    loss: Loss
    sample: Sample
    theory: Theory | None
    blocks: tuple[Block, ...]
    rare_blocks: tuple[Block, ...]
    measurement: Measurement
    seed: int
    sample_kind: SampleKind
    learning_rate: LearningRate | None
    processes: Processes

    def __post_init__(self) -> None:
        names = [block.name for block in (*self.blocks, *self.rare_blocks)]
        if not self.blocks or len(set(names)) != len(names):
            raise ValueError(f"blocks: expected at least one, with different names, got {names}")
        if self.sample_kind not in get_args(SampleKind):
            raise ValueError(
                f"sample_kind: expected 'fresh', 'held-out' or 'training', got {self.sample_kind!r}"
            )
        if self.seed < 0:
            raise ValueError(f"seed: expected at least 0, got {self.seed}")
        if not callable(self.sample):
            _require_samples(self.sample)
        require_learning_rate(self.learning_rate)


class Probing:
    """One probing; what it has found so far is in its record."""

    def __init__(self, setup: Setup, record: Record, thorough: bool) -> None:
        self.record = record
        self.statistics: Statistics | None = None
        self._setup = setup
        self._found: list[_Found] = []
        self._blocks = setup.blocks + (setup.rare_blocks if thorough else ())
        self._draws = setup.measurement.draws if thorough and callable(setup.sample) else 1

    def keep(self, **found: Any) -> None:
        """Put something into the record."""
        self.record = replace(self.record, **found)

    def measure(self, module: nn.Module, tracker: Tracker) -> None:
        """Gram matrix, loss, accuracy and spectra on one probe sample, eigenvalues on the rest."""
        setup = self._setup
        theory = setup.theory
        reference = None
        if theory is not None:
            self.statistics = theory.statistics(module)
            reference = theory.reference(module)
            self.keep(measured=Geometry(gram=self.statistics.gram))
        with self._timed("sample"):
            inputs, targets = self._batch(0)
        with self._timed("loss"):
            with setup.processes.agreed():
                own = scores_of(module, setup.loss, inputs, targets)
            scores, operator = pooled(own, setup.processes)
            self.keep(measured=replace(scores, gram=self.record.measured.gram), operator=operator)
        with self._timed("spectra"):
            spectra = self._spectra(module, inputs, targets, 0, reference, tracker)
            self.keep(measured=replace(self.record.measured, spectra=spectra))
        if setup.measurement.tracking:
            with self._timed("tracking"):
                self.keep(tracks=self._tracks(module, inputs, targets, tracker))
        if self._draws > 1:
            with self._timed("draws"):
                others = [
                    self._spectra(module, *self._batch(draw), draw, None)
                    for draw in range(1, self._draws)
                ]
                spectra = tuple(with_draws(*same) for same in zip(spectra, *others, strict=True))
                self.keep(measured=replace(self.record.measured, spectra=spectra))

    def _tracks(
        self, module: nn.Module, inputs: Inputs, targets: Any, tracker: Tracker
    ) -> tuple[Track, ...]:
        """The tracks of all blocks, in the order of the selections."""
        setup = self._setup
        with setup.processes.agreed():
            gradient = loss_gradient(module, setup.loss, inputs, targets)
        gradient = setup.processes.mean(gradient, sample_number((inputs, targets)))
        trained = dict(unwrap(setup.model).named_parameters())
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
        tracks: dict[tuple[str, Matrix], Track] = {}
        for found in self._found:
            selection = found.selection
            block = Block(selection.block, selection.parameters, selection.rows)
            block = _with_names(block, module)  # some may have been frozen since
            track = tracker.follow(
                selection.matrix,
                block,
                found.values,
                found.vectors,
                found.residuals,
                found.largest,
                gradient,
                weights,
            )
            stability = math.nan
            if setup.learning_rate is not None and selection.matrix == "hessian":
                critical = critical_sharpness(
                    setup.learning_rate, self.record.step, [trained[n] for n in block.parameters]
                )
                stability = float(found.values[0]) / critical
            tracks[selection.block, selection.matrix] = replace(
                track, stability=stability, passes=found.passes, warm=found.warm
            )
        used = {name for block in self._blocks for name in block.parameters}
        tracker.remember({name: weights[name] for name in used})
        return tuple(tracks[selection.block, selection.matrix] for selection in self._selections())

    def predict(self, theory: Theory, transitions: TransitionTracker) -> None:
        """Spectra and loss from the statistics measured now."""
        assert self.statistics is not None
        with self._timed("prediction"):
            found = theory.predict(
                self.statistics, self._selections(), self._setup.measurement.density
            )
        self.keep(
            predicted=Geometry(loss=found.loss, loss_error=found.loss_error, spectra=found.spectra),
            transitions=transitions.update(found.spectra),
        )

    def forecast(self, theory: Theory, initial: Statistics, elapsed: float) -> None:
        """Statistics, loss and outliers from the initial statistics alone."""
        with self._timed("forecast"):
            statistics = theory.forecast(initial, elapsed)
            band = theory.forecast_band(initial, elapsed)
            if statistics is None or band is None:
                return
            if statistics is self.statistics and self.record.predicted is not None:
                # At the start the forecast is the prediction.
                spectra = self.record.predicted.spectra
                found = replace(
                    self.record.predicted,
                    spectra=tuple(replace(one, density=None, jacobi=None) for one in spectra),
                )
            else:
                at = theory.predict(statistics, self._selections(), False)
                found = Geometry(loss=at.loss, loss_error=at.loss_error, spectra=at.spectra)
        self.keep(forecast=replace(found, gram=statistics.gram, gram_band=band))

    def estimate(self, module: nn.Module) -> Estimate:
        """Seconds, bytes and passes of what `measure`, `predict` and `forecast` would do."""
        setup, measurement = self._setup, self._setup.measurement
        storage = dict.fromkeys(("basis", "coefficients", "products", "tracking"), 0)
        passes, spectra = 0, 0.0
        with self._timed("sample"):
            inputs, targets = self._batch(0)
        with self._timed("loss"):
            with setup.processes.agreed():
                own = scores_of(module, setup.loss, inputs, targets)
            self.keep(operator=pooled(own, setup.processes)[1])
        with self._timed("spectra"):
            for operator, selections in self._operators(module, inputs, targets):
                start = time.perf_counter()
                width = measurement.panel_width(operator, density=measurement.density, warm=False)
                min_steps, max_steps = measurement.steps(width, density=measurement.density)
                cost = krylov_cost(
                    operator,
                    width=width,
                    min_steps=min_steps,
                    max_steps=max_steps,
                    density=measurement.density,
                    generator=self._generator(0, (1,), "cpu"),
                )
                # The trials took this long, a run will take that long.
                spectra += cost.seconds - (time.perf_counter() - start)
                passes += cost.passes
                storage["basis"] = max(storage["basis"], cost.basis)
                storage["coefficients"] = max(storage["coefficients"], cost.coefficients)
                if measurement.tracking:
                    wanted = measurement.eigenvalues + measurement.smallest
                    kept = len(selections) * operator.size * min(wanted, operator.size)
                    storage["tracking"] += kept * operator.dtype.itemsize
        spectra += self.record.seconds["spectra"]
        if measurement.tracking:
            with self._timed("tracking"), setup.processes.agreed():
                loss_gradient(module, setup.loss, inputs, targets)
        theory = setup.theory
        if theory is not None and setup.sample_kind != "training":
            with self._timed("prediction"), setup.processes.agreed():
                theory.predict(theory.statistics(module), self._selections(), measurement.density)
            if not math.isnan(theory.time(0)):
                # A forecast is another prediction.
                seconds = self.record.seconds
                self.keep(seconds={**seconds, "forecast": seconds["prediction"]})
        with LiveTensors() as live:
            for operator, _ in self._operators(module, inputs, targets):
                generator = self._generator(0, (1,), "cpu")
                width = measurement.panel_width(operator, density=measurement.density, warm=False)
                operator @ random_frame(operator, min(width, operator.size), generator)
        storage["products"] = live.peak
        parts = {**self.record.seconds, "spectra": spectra}
        return Estimate(
            sum(parts.values()), sum(storage.values()), passes, parts=parts, storage=storage
        )

    def _selections(self) -> list[Selection]:
        return [
            Selection(matrix, block.name, block.parameters, block.rows)
            for block in self._blocks
            for matrix in MATRICES
        ]

    def _generator(
        self, draw: int, purpose: tuple[int, ...], device: torch.device | str
    ) -> torch.Generator:
        seed = np.random.SeedSequence([self._setup.seed, self.record.step, draw, *purpose])
        state = int(seed.generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(state)

    def _batch(self, draw: int) -> Batch:
        sample, processes = self._setup.sample, self._setup.processes
        with processes.agreed():
            if callable(sample):
                parameter = next(unwrap(self._setup.model).parameters())
                # Alone or first, a process draws the same samples.
                purpose = (0, processes.rank) if processes.rank else (0,)
                sample = sample(self._generator(draw, purpose, parameter.device))
            _require_samples(sample)
        return sample

    def _spectra(
        self,
        module: nn.Module,
        inputs: Inputs,
        targets: Any,
        draw: int,
        reference: Tensor | None,
        tracker: Tracker | None = None,
    ) -> tuple[Spectrum, ...]:
        """Spectra of all blocks and matrices, in the order of the selections."""
        found: dict[tuple[str, Matrix], Spectrum] = {}
        measurement = self._setup.measurement
        generator = self._generator(draw, (1,), "cpu")
        for operator, selections in self._operators(module, inputs, targets):
            start = None
            if tracker and not measurement.density and not isinstance(operator, HEADS):
                start = tracker.start(selections[0].matrix, selections[0].block, operator.size)
            spectra, pairs, passes = measured_spectra(
                operator,
                selections,
                measurement,
                generator,
                reference,
                density=measurement.density and draw == 0,
                start=start,
            )
            found.update({(spectrum.block, spectrum.matrix): spectrum for spectrum in spectra})
            if tracker and measurement.tracking:
                self._found += _found(pairs, selections, passes, start is not None)
        return tuple(found[selection.block, selection.matrix] for selection in self._selections())

    def _operators(
        self, module: nn.Module, inputs: Inputs, targets: Any
    ) -> Iterator[tuple[CurvatureOperator, list[Selection]]]:
        """Operators that cover all selections; blocks of equal size of a head share one."""
        processes = self._setup.processes
        by_rows: dict[int, list[Selection]] = {}
        for selection in self._selections():
            if self.record.operator == "head" and _is_of_directions(module, selection):
                assert isinstance(module, HeadModel)
                count = len(selection.rows) or module.head.directions
                by_rows.setdefault(count, []).append(selection)
            else:
                kind = HessianOperator if selection.matrix == "hessian" else InformationOperator
                block = Block(selection.block, selection.parameters, selection.rows)
                with processes.agreed():
                    local = kind(module, self._setup.loss, (inputs, targets), block)
                yield shared(local, local.samples, processes), [selection]
        for group in by_rows.values():
            chosen = [(selection.matrix, selection.rows) for selection in group]
            with processes.agreed():
                head = head_curvature(module, ordinary(inputs), ordinary(targets), chosen)
            yield shared(head, head.samples, processes), group

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.keep(seconds={**self.record.seconds, part: time.perf_counter() - start})


def named_blocks(blocks: Sequence[Block], module: nn.Module) -> tuple[Block, ...]:
    """The blocks with the names of their parameters.

    Raises:
        ValueError: if one is of no parameters, or of unknown ones.
    """
    return tuple(_with_names(block, module) for block in blocks)


def _with_names(block: Block, module: nn.Module) -> Block:
    """The block with the names of its parameters, also where all are meant."""
    return replace(block, parameters=tuple(block.resolve(module)))


def default_blocks(module: nn.Module) -> list[Block]:
    """Each direction of a head model, or all parameters together."""
    if isinstance(module, HeadModel):
        return [
            Block(f"direction {row}", (module.direction_name,), (row,))
            for row in range(module.head.directions)
        ]
    return [Block("all")]


def _is_of_directions(module: nn.Module, selection: Selection) -> bool:
    """Whether the block is made of rows of a head's direction parameter."""
    return isinstance(module, HeadModel) and selection.parameters == (module.direction_name,)


def _require_samples(batch: Batch) -> None:
    """Refuse what is not a pair (inputs, targets) with at least one sample."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"sample: expected (inputs, targets), got {type(batch).__name__}")
    targets = batch[1]
    if isinstance(targets, Tensor) and (targets.ndim == 0 or len(targets) == 0):
        raise ValueError(f"sample: expected at least one sample, got {tuple(targets.shape)}")


@dataclass(frozen=True)
class _Found:
    """The eigenpairs of one block, (k,) and (N, k), to be followed."""

    selection: Selection
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: int
    passes: int
    warm: bool


def _found(
    pairs: Eigenpairs, selections: Sequence[Selection], passes: int, warm: bool
) -> list[_Found]:
    values, vectors, residuals = (
        array.reshape(len(selections), *array.shape[-axes:])
        for array, axes in ((pairs.values, 1), (pairs.vectors, 2), (pairs.residuals, 1))
    )
    return [
        _Found(selection, values[i], vectors[i], residuals[i], pairs.largest, passes, warm)
        for i, selection in enumerate(selections)
    ]
