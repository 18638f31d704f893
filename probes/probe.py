"""The probe: measures the local geometry of the loss, asks the theory, and hands over records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, distributed, nn

from ..models.heads import HeadModel
from ..theory.finite_law import COEFFICIENTS
from ..theory.mixture_theory import Selection, Theory
from ..theory.spectrum import Eigenpair, FloatArray, Matrix, Spectrum
from ..theory.statistics import Statistics
from ..theory.transitions import TransitionTracker
from .alignment import alignment
from .batches import Batch, Inputs, sample_number
from .block import Block
from .density import resolvent_traces, spectral_densities
from .distributed import Processes, SharedHeadCurvature, gathered, group_of, shared
from .eigenpairs import Eigenpairs, extreme_eigenpairs
from .estimate import Estimate, LiveTensors, krylov_cost
from .head_curvature import HeadCurvature, head_curvature
from .krylov import krylov_space, random_frame
from .law_jacobi import law_jacobi
from .loss_gradient import loss_gradient
from .losses import Loss
from .module_curvature import HessianOperator, InformationOperator
from .observe import ordinary, undisturbed, unwrap
from .operator import CurvatureOperator
from .record import Geometry, Record
from .scores import pooled, scores_of
from .sink import Sink, deliver
from .stability import LearningRate, critical_sharpness, require_learning_rate
from .track import Track
from .tracking import Tracker

__all__ = ["Batch", "Measurement", "Sample", "SpectralProbe"]

Sample = Batch | Callable[[torch.Generator], Batch]
SampleKind = Literal["fresh", "held-out", "training"]

MATRICES: tuple[Matrix, ...] = ("hessian", "information")
# Nodes of a density: its resolution; and random vectors it is averaged over.
_DENSITY_STEPS = 24
_WIDTH = 16
# Operators that know their traces and the spread over samples.
_HEADS = (HeadCurvature, SharedHeadCurvature)


@dataclass(frozen=True)
class Measurement:
    """What is measured of each block, and how closely.

    Attributes:
        eigenvalues: number of largest eigenvalues.
        smallest: number of smallest eigenvalues.
        tolerance: residual, as a share of the largest absolute eigenvalue, at which an eigenpair
            is settled.
        density: whether the spectral density is measured.
        width: vectors multiplied at once, more than the largest multiplicity that matters; None
            for 16 where a density or a warm start wants them, else as many as suit the operator.
        max_products: matrix-vector products of a block after which Lanczos stops, settled or not.
        draws: probe samples drawn at a thorough probing.
        tracking: whether eigenvectors are followed from one probing to the next, which keeps them
            (and the weights) in memory and in `SpectralProbe.state_dict`. Without a density, the
            search for the eigenvectors of differentiated modules then starts from those before.
    """

    eigenvalues: int = 6
    smallest: int = 3
    tolerance: float = 1e-3
    density: bool = True
    width: int | None = None
    max_products: int = 640
    draws: int = 1
    tracking: bool = True

    def __post_init__(self) -> None:
        for name in ("eigenvalues", "tolerance", "width", "max_products", "draws"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if self.smallest < 0:
            raise ValueError(f"smallest: expected at least 0, got {self.smallest}")
        if self.max_products < self.eigenvalues + self.smallest:
            raise ValueError(
                f"max_products: expected at least eigenvalues + smallest = "
                f"{self.eigenvalues + self.smallest}, got {self.max_products}"
            )

    def panel_width(self, operator: CurvatureOperator, *, density: bool, warm: bool) -> int:
        """Vectors multiplied at once for an operator."""
        return self.width or (_WIDTH if density or warm else operator.panel_width)


class SpectralProbe:
    """Attach to any training loop: call it with the number of steps taken.

    A probing leaves no trace in the training: weights, optimiser, ``.grad``, modes and torch's
    generators are bit for bit what they would be without it. All its randomness derives from
    (seed, step), and what else a record depends on is in `state_dict`, so that it can be taken
    again from a checkpoint.

    Args:
        model: any module. One that is a `HeadModel` gets hand-written products.
        loss: of (outputs, targets), the mean over samples, twice differentiable.
        sample: the probe sample: a batch (inputs, targets), or a function that draws one from a
            generator.
        sinks: receive every record.
        theory: predicts; without it everything is measured that can be.
        blocks: of parameters, one spectrum each for Hessian and information matrix; default: each
            direction of a `HeadModel`, or all parameters together.
        rare_blocks: blocks measured at thorough probings only.
        measurement: what is measured, and how closely.
        seed: of the probe samples and of the Lanczos starts.
        sample_kind: what the sample is to the training. Predictions hold for samples independent
            of the weights: none is made for "training".
        process_group: the processes that measure together, each on its own samples: those of a
            function ``sample`` are drawn independently, a batch is this process's share. All of
            them must call the probe, and get the same record; the first writes it to its sinks.
            Default: the group of a model in `DistributedDataParallel`, otherwise this process
            alone.
        skeleton: for a model sharded by `fully_shard`: the same module unsharded, best on the meta
            device. Every process then gathers all parameters for the time of a probing.
        learning_rate: the SGD optimiser, or a function of the step: the sharpness is compared with
            the one at which its steps grow. It is read and never changed.
        every: as a callback, probe at the start and after every so many epochs.
        thorough_epochs: epochs (0 is the start) at which a probing as a callback is thorough: it
            takes ``measurement.draws`` samples, and the rare blocks too.
        on_failure: "record" writes the reason into the record and lets the training go on;
            "raise" also raises. A sink that fails keeps the record from no other sink; it is told
            of by a warning, or raised.

    Raises:
        ValueError: naming the argument: an empty or unknown block, an empty batch, ...
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        sample: Sample,
        *,
        sinks: Sequence[Sink] = (),
        theory: Theory | None = None,
        blocks: Sequence[Block] | None = None,
        rare_blocks: Sequence[Block] = (),
        measurement: Measurement | None = None,
        seed: int = 0,
        sample_kind: SampleKind = "fresh",
        process_group: distributed.ProcessGroup | None = None,
        skeleton: nn.Module | None = None,
        learning_rate: LearningRate | None = None,
        every: int = 1,
        thorough_epochs: Collection[int] = (),
        on_failure: Literal["record", "raise"] = "record",
    ) -> None:
        self.model, self.loss, self.sample = model, loss, sample
        self.sinks, self.theory = tuple(sinks), theory
        self.measurement = measurement or Measurement()
        self.seed, self.sample_kind, self.on_failure = seed, sample_kind, on_failure
        self.every, self.thorough_epochs = every, frozenset(thorough_epochs)
        self.skeleton = skeleton
        module = unwrap(model) if skeleton is None else skeleton
        given = _default_blocks(module) if blocks is None else blocks
        self.blocks = tuple(_with_names(block, module) for block in given)
        self.rare_blocks = tuple(_with_names(block, module) for block in rare_blocks)
        names = [block.name for block in (*self.blocks, *self.rare_blocks)]
        if not self.blocks or len(set(names)) != len(names):
            raise ValueError(f"blocks: expected at least one, with different names, got {names}")
        if sample_kind not in ("fresh", "held-out", "training"):
            raise ValueError(
                f"sample_kind: expected 'fresh', 'held-out' or 'training', got {sample_kind!r}"
            )
        if on_failure not in ("record", "raise"):
            raise ValueError(f"on_failure: expected 'record' or 'raise', got {on_failure!r}")
        if every < 1:
            raise ValueError(f"every: expected at least 1, got {every}")
        if seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        if not callable(sample):
            _require_samples(sample)
        require_learning_rate(learning_rate)
        self.learning_rate = learning_rate
        if theory is not None:
            theory.reference(module)  # refuses a model that it does not describe
        device = next(unwrap(model).parameters()).device
        self.processes = Processes(process_group or group_of(model), device)
        self._tracker = Tracker()
        self._transitions = TransitionTracker()
        self._initial: tuple[int, Statistics] | None = None

    def __call__(self, step: int, epoch: float = math.nan, *, thorough: bool = False) -> Record:
        """Probe now.

        Args:
            step: optimiser steps taken so far.
            epoch: epochs finished, for the record.
            thorough: take ``measurement.draws`` probe samples, and the rare blocks too.

        Returns:
            The record, which every sink has received.

        Raises:
            Exception: what a probing, or a sink, failed with, if ``on_failure`` is "raise"; the
                other sinks have the record.
        """
        clock = self.theory.time(step) if self.theory else math.nan
        directions = self.theory.directions if self.theory else ()
        probing = _Probing(self, Record(step, epoch, clock, directions), thorough)
        failure: Exception | None = None
        with undisturbed(self.model) as trained:
            try:
                with self._whole(trained) as module:
                    probing.measure(module, self._tracker)
                if self.theory is not None and self.sample_kind != "training":
                    with self.processes.agreed():
                        probing.predict(self.theory, self._transitions)
                        self._forecast(self.theory, probing)
            except Exception as error:  # whatever it is, the training must not pay for it
                failure = error
                probing.keep(failure=f"{type(error).__name__}: {error}")
        record = probing.record
        with self.processes.agreed():
            if self.processes.rank == 0:
                deliver(record, self.sinks, self.on_failure)
        if failure is not None and self.on_failure == "raise":
            raise failure
        return record

    def estimate(self) -> Estimate:
        """What a probing that is not thorough will take, from trial products of each block.

        Takes some passes over a probe sample and, with theory, one prediction. Nothing is recorded
        and the training is left as it was. All processes of a group must call it.

        Raises:
            Exception: what the probing would fail with.
        """
        with undisturbed(self.model) as trained, self._whole(trained) as module:
            return _Probing(self, Record(0), thorough=False).estimate(module)

    def _whole(self, trained: nn.Module) -> AbstractContextManager[nn.Module]:
        return gathered(trained, self.skeleton) if self.skeleton else nullcontext(trained)

    def _forecast(self, theory: Theory, probing: _Probing) -> None:
        assert probing.statistics is not None
        if self._initial is None:
            self._initial = probing.record.step, probing.statistics
        start, initial = self._initial
        probing.forecast(theory, initial, theory.time(probing.record.step - start))

    def on_train_start(self, step: int, epoch: int) -> None:
        """Probe before the first step (not when a run is continued)."""
        if epoch == 0:
            self(step, epoch, thorough=0 in self.thorough_epochs)

    def on_step_end(self, step: int, epoch: int) -> None:
        """Nothing."""

    def on_epoch_end(self, step: int, epoch: int) -> None:
        """Probe after every so many epochs."""
        if epoch % self.every == 0:
            self(step, epoch, thorough=epoch in self.thorough_epochs)

    def on_train_end(self, step: int, epoch: int) -> None:
        """Nothing: sinks are closed by who opened them."""

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on: the initial statistics, and what was seen last."""
        initial = None
        if self._initial is not None:
            step, statistics = self._initial
            initial = {
                "step": step,
                "gram": torch.from_numpy(statistics.gram),
                "parameters": torch.from_numpy(statistics.parameters),
            }
        return {
            "initial": initial,
            "transitions": self._transitions.state_dict(),
            "tracker": self._tracker.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        initial = state["initial"]
        self._initial = initial and (
            initial["step"],
            Statistics(initial["gram"].numpy(), initial["parameters"].numpy()),
        )
        self._transitions.load_state_dict(state["transitions"])
        self._tracker.load_state_dict(state["tracker"])


class _Probing:
    """One probing; what it has found so far is in its record."""

    def __init__(self, probe: SpectralProbe, record: Record, thorough: bool) -> None:
        self.record = record
        self.statistics: Statistics | None = None
        self._probe = probe
        self._found: list[_Found] = []
        self._blocks = probe.blocks + (probe.rare_blocks if thorough else ())
        self._draws = probe.measurement.draws if thorough and callable(probe.sample) else 1

    def keep(self, **found: Any) -> None:
        """Put something into the record."""
        self.record = replace(self.record, **found)

    def measure(self, module: nn.Module, tracker: Tracker) -> None:
        """Gram matrix, loss, accuracy and spectra on one probe sample, eigenvalues on the rest."""
        probe = self._probe
        theory = probe.theory
        reference = None
        if theory is not None:
            self.statistics = theory.statistics(module)
            reference = theory.reference(module)
            self.keep(measured=Geometry(gram=self.statistics.gram))
        with self._timed("sample"):
            inputs, targets = self._batch(0)
        with self._timed("loss"):
            with probe.processes.agreed():
                own = scores_of(module, probe.loss, inputs, targets)
            scores, operator = pooled(own, probe.processes)
            self.keep(measured=replace(scores, gram=self.record.measured.gram), operator=operator)
        with self._timed("spectra"):
            spectra = self._spectra(module, inputs, targets, 0, reference, tracker)
            self.keep(measured=replace(self.record.measured, spectra=spectra))
        if probe.measurement.tracking:
            with self._timed("tracking"):
                self.keep(tracks=self._tracks(module, inputs, targets, tracker))
        if self._draws > 1:
            with self._timed("draws"):
                others = [
                    self._spectra(module, *self._batch(draw), draw, None)
                    for draw in range(1, self._draws)
                ]
                spectra = tuple(_with_draws(*same) for same in zip(spectra, *others, strict=True))
                self.keep(measured=replace(self.record.measured, spectra=spectra))

    def _tracks(
        self, module: nn.Module, inputs: Inputs, targets: Any, tracker: Tracker
    ) -> tuple[Track, ...]:
        """The tracks of all blocks, in the order of the selections."""
        probe = self._probe
        with probe.processes.agreed():
            gradient = loss_gradient(module, probe.loss, inputs, targets)
        gradient = probe.processes.mean(gradient, sample_number((inputs, targets)))
        trained = dict(unwrap(probe.model).named_parameters())
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
            if probe.learning_rate is not None and selection.matrix == "hessian":
                critical = critical_sharpness(
                    probe.learning_rate, self.record.step, [trained[n] for n in block.parameters]
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
                self.statistics, self._selections(), self._probe.measurement.density
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
        probe, measurement = self._probe, self._probe.measurement
        storage = dict.fromkeys(("basis", "coefficients", "products", "tracking"), 0)
        passes, spectra = 0, 0.0
        with self._timed("sample"):
            inputs, targets = self._batch(0)
        with self._timed("loss"):
            with probe.processes.agreed():
                own = scores_of(module, probe.loss, inputs, targets)
            self.keep(operator=pooled(own, probe.processes)[1])
        with self._timed("spectra"):
            for operator, selections in self._operators(module, inputs, targets):
                start = time.perf_counter()
                width = measurement.panel_width(operator, density=measurement.density, warm=False)
                cost = krylov_cost(
                    operator,
                    width=width,
                    min_steps=_DENSITY_STEPS if measurement.density else 0,
                    max_steps=max(1, measurement.max_products // width),
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
            with self._timed("tracking"), probe.processes.agreed():
                loss_gradient(module, probe.loss, inputs, targets)
        theory = probe.theory
        if theory is not None and probe.sample_kind != "training":
            with self._timed("prediction"), probe.processes.agreed():
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
        seed = np.random.SeedSequence([self._probe.seed, self.record.step, draw, *purpose])
        state = int(seed.generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(state)

    def _batch(self, draw: int) -> Batch:
        sample, processes = self._probe.sample, self._probe.processes
        with processes.agreed():
            if callable(sample):
                parameter = next(unwrap(self._probe.model).parameters())
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
        measurement = self._probe.measurement
        generator = self._generator(draw, (1,), "cpu")
        for operator, selections in self._operators(module, inputs, targets):
            start = None
            if tracker and not measurement.density and not isinstance(operator, _HEADS):
                start = tracker.start(selections[0].matrix, selections[0].block, operator.size)
            spectra, pairs, passes = _measured_spectra(
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
        processes = self._probe.processes
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
                    local = kind(module, self._probe.loss, (inputs, targets), block)
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


def _with_names(block: Block, module: nn.Module) -> Block:
    """The block with the names of its parameters, also where all are meant."""
    return replace(block, parameters=tuple(block.resolve(module)))


def _default_blocks(module: nn.Module) -> list[Block]:
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


def _measured_spectra(
    operator: CurvatureOperator,
    selections: Sequence[Selection],
    measurement: Measurement,
    generator: torch.Generator,
    reference: Tensor | None,
    density: bool,
    start: Tensor | None,
) -> tuple[list[Spectrum], Eigenpairs, int]:
    """Spectra of the operator's blocks from one Krylov run, their eigenpairs, and its passes."""
    width = measurement.panel_width(operator, density=density, warm=start is not None)
    krylov = krylov_space(
        operator,
        measurement.eigenvalues,
        measurement.smallest,
        generator=generator,
        width=width,
        min_steps=_DENSITY_STEPS if density else 0,
        max_steps=max(1, measurement.max_products // width),
        tolerance=measurement.tolerance,
        start=start,
    )
    pairs = extreme_eigenpairs(
        operator, krylov, measurement.eigenvalues, measurement.smallest, measurement.tolerance
    )
    traces = operator.traces() if isinstance(operator, _HEADS) else None
    densities = spectral_densities(krylov, traces) if density else ()
    coefficients = law_jacobi(krylov, COEFFICIENTS, traces) if density else ()
    sampling = None
    if isinstance(operator, _HEADS):
        sampling = operator.sampling_errors(pairs.vectors, resolvent_traces(krylov, pairs.values))
    columns = _eigenpairs(pairs, reference, sampling, len(selections))
    spectra = [
        Spectrum(
            matrix=selection.matrix,
            block=selection.block,
            size=operator.size,
            top=tuple(columns[i][: pairs.largest]),
            bottom=tuple(columns[i][pairs.largest :]),
            density=densities[i] if density else None,
            jacobi=coefficients[i] if density else None,
        )
        for i, selection in enumerate(selections)
    ]
    return spectra, pairs, krylov.basis.shape[-1] // krylov.width + 1


def _eigenpairs(
    pairs: Eigenpairs, reference: Tensor | None, sampling: Tensor | None, blocks: int
) -> list[list[Eigenpair]]:
    """The eigenpairs of each block, largest first, then smallest first."""
    count = pairs.values.shape[-1]

    def table(values: Tensor, *tail: int) -> FloatArray:
        result: FloatArray = values.double().cpu().numpy().reshape(blocks, count, *tail)
        return result

    values, residuals = table(pairs.values), table(pairs.residuals)
    errors = np.full((blocks, count), np.nan) if sampling is None else table(sampling)
    overlaps = np.full((blocks, count), np.nan)
    cosines = np.zeros((blocks, count, 0))
    if reference is not None and pairs.vectors.shape[-2] % len(reference) == 0:
        found = alignment(pairs.vectors, reference)
        overlaps, cosines = table(found.overlap), table(found.cosines, reference.shape[1])
    return [
        [
            Eigenpair(
                value=float(values[b, i]),
                error=float(residuals[b, i]),
                overlap=float(overlaps[b, i]),
                alignment=cosines[b, i],
                sampling_error=float(errors[b, i]),
                draws=values[b, i : i + 1],
            )
            for i in range(count)
        ]
        for b in range(blocks)
    ]


def _with_draws(first: Spectrum, *others: Spectrum) -> Spectrum:
    """The first spectrum, its eigenpairs with the eigenvalues of equal rank on the others."""

    def merged(side: Literal["top", "bottom"]) -> tuple[Eigenpair, ...]:
        return tuple(
            replace(
                pair,
                draws=np.array([pair.value, *(getattr(other, side)[i].value for other in others)]),
            )
            for i, pair in enumerate(getattr(first, side))
        )

    return replace(first, top=merged("top"), bottom=merged("bottom"))
