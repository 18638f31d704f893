"""One probing: what is measured, predicted and forecast at one step."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..theory.geometry import Geometry
from ..theory.protocol import Reference, Selection, Statistics, Theory
from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray, Spectrum
from ..theory.transitions import TransitionTracker
from .alone import Alone
from .budget import Meter
from .curvature.batches import Batch, Batched
from .curvature.borrowed import counted, in_halves, of_all
from .curvature.observe import undisturbed
from .curvature.operator import CurvatureOperator
from .curvature.out_of_memory import is_out_of_memory, let_go
from .curvature.sample_space import SampleSpace
from .measure import Measure
from .measured_spectra import measured_eigenvalues, measured_spectra, with_draws
from .measurement import Measurement
from .micro_batches import MicroBatches
from .operators import Group, groups
from .records.record import Failure, Record
from .scores import Scores, pooled, scores_over
from .setup import Setup
from .sharpness import Sharpness, sharpness_quantities, sharpnesses
from .size_bias import Bias, product_size_bias, size_bias, size_bias_quantities
from .spectral_shares import share_quantities
from .tracking import Tracker
from .tracks import Found, found_pairs, tracks

__all__ = ["Probing"]

# What the record's operator is followed by where there were matrices without products.
_BY_SAMPLES = ", sample space"

T = TypeVar("T")


class Probing:
    """One probing; what it has found so far is in its record.

    Each part succeeds or fails alone: what cannot be had is among the record's failures.

    Attributes:
        record: what has been found.
        statistics: of the theory; None without one, or as long as they are not known.
        errors: what the failures of the record were raised as, in their order.
    """

    def __init__(self, setup: Setup, record: Record, thorough: bool, meter: Meter) -> None:
        matrices = tuple(matrix.kind for matrix in setup.matrices)
        self.record = replace(record, matrices=matrices)
        self.statistics: Statistics | None = None
        self.errors: list[Exception] = []
        self._setup, self._thorough, self._meter = setup, thorough, meter
        self._selections: list[Selection] = []
        self._reference: Reference | None = None
        self._sharpnesses: dict[str, Sharpness] = {}
        self._biases: dict[tuple[str, str], Bias] = {}
        self._wholes: dict[Selection, tuple[Spectrum, Tensor]] = {}

    def measure(self, module: nn.Module, tracker: Tracker) -> None:
        """Loss, accuracy, statistics, measures and spectra on the probe sample of this step."""
        batch: Batched | None = None
        with self.alone("sample"), self._timed("sample"):
            batch = self._setup.batch(self.record.step, 0)
        if batch is None:
            return
        self._parts = MicroBatches(module, self._setup.loss, self._setup.processes)
        if self._setup.theory is not None:
            with self.alone("statistics"):
                self._take_statistics(self._setup.theory, module, batch)
        with self.alone("loss"), self._timed("loss"):
            self._take_scores(module, batch)
        if self.record.measured.quantity("loss") is None:  # it has no derivatives either
            return
        self._take_measures(module, batch)
        self._selections = self._resolved(module)
        with self._timed("spectra"):
            found = self._take_spectra(module, batch, tracker)
        if self._setup.theory is None:
            with self.alone("shares"):
                self._take_shares()
        if self._wholes:
            with self._timed("size bias"):
                self._take_size_biases(module, batch)
        if self._biases:
            with self.alone("size bias"):
                units = {matrix.kind.name: matrix.kind.unit for matrix in self._setup.matrices}
                biases = size_bias_quantities(self._biases, units)
                self._require_new(biases)
                self._keep_measured(quantities=(*self.record.measured.quantities, *biases))
        if self._setup.learning_rate is not None:
            with self.alone("sharpness"), self._timed("sharpness"):
                self._take_sharpness(module, self._parts.of(batch))
        if self._setup.measurement.tracking:
            with self.alone("tracking"), self._timed("tracking"):
                parts = self._parts.of(batch)
                self.keep(
                    tracks=tracks(*(self._setup, module, parts, found, tracker), self._sharpnesses)
                )
        if self._draws > 1:
            with self.alone("draws"), self._timed("draws"):
                self._take_draws(module)
        self.keep(micro_batch=self._parts.largest)

    def predict(self, theory: Theory[Any], transitions: TransitionTracker) -> None:
        """Quantities and spectra from the statistics measured now."""
        if self.statistics is None:
            return
        with self.alone("prediction"), self._timed("prediction"):
            found = theory.predict(
                self.statistics, self._selections, self._setup.measurement.density
            )
            self.keep(predicted=found, transitions=transitions.update(found.spectra))

    def forecast(self, theory: Theory[Any], initial: Statistics, steps: int) -> None:
        """Quantities and outliers from the initial statistics alone, so many steps later."""
        with self.alone("forecast"), self._timed("forecast"):
            self.keep(forecast=theory.forecast(initial, steps, self._selections))

    def end_early(self, part: str, reason: str, matrix: str = "", block: str = "") -> None:
        """Note what the budget has ended."""
        self.keep(early=(*self.record.early, Failure(part, reason, matrix, block)))

    @property
    def _draws(self) -> int:
        """Of the probe sample."""
        several = self._thorough and self._setup.source.varies
        return self._setup.measurement.draws if several else 1

    def keep(self, **found: Any) -> None:
        """Put something into the record."""
        self.record = replace(self.record, **found)

    def _take_statistics(self, theory: Theory[Any], module: nn.Module, batch: Batched) -> None:
        self._reference = theory.reference(module)
        whole = of_all(batch, self._setup.processes)
        with self._setup.processes.agreed(), undisturbed(module, self._setup.loss) as observed:
            statistics = None
            if whole is not None:
                statistics = observed.apart(lambda own: theory.statistics(module, own), whole)
        statistics = self._of_first(statistics, batch)
        self.keep(measured=Geometry(statistics.quantities()))
        self.statistics = statistics

    def _take_scores(self, module: nn.Module, batch: Batched) -> None:
        setup = self._setup

        def taken(batch: Batched) -> Scores:
            with setup.processes.agreed():
                own = scores_over(module, setup.loss, batch)
                return replace(own, weight=counted(batch, own.weight))

        own = self._parts.taken(batch, taken)
        scores, operator = pooled(own, setup.processes)
        quantities = (*scores, *self.record.measured.quantities)
        self.keep(measured=Geometry(quantities), operator=operator)

    def _take_measures(self, module: nn.Module, batch: Batched) -> None:
        for measure in self._setup.measures:
            with self.alone(measure.name), self._timed("measures"):
                whole = of_all(batch, self._setup.processes)
                with self._setup.processes.agreed():
                    found = () if whole is None else self._taken(measure, module, whole)
                    self._require_new(found)
                found = self._of_first(found, batch)
                self._keep_measured(quantities=(*self.record.measured.quantities, *found))

    def _of_first(self, found: Any, batch: Batched) -> Any:
        """What the first process that has samples found."""
        processes = self._setup.processes
        if processes.alone:
            return found
        first = int(processes.gather([counted(batch, 1.0)])[:, 0].argmax())
        return processes.told(found, by=first)

    def _taken(self, measure: Measure, module: nn.Module, batch: Batch) -> tuple[Quantity, ...]:
        setup = self._setup
        own = zlib.crc32(measure.name.encode())  # whatever other measures there are

        def body(batch: Batch) -> tuple[Quantity, ...]:
            generator = setup.generator(self.record.step, 0, (2, own))
            return tuple(measure(module, setup.loss, batch, generator))

        with undisturbed(module, setup.loss) as observed:
            return observed.apart(body, batch)

    def _require_new(self, found: Sequence[Quantity]) -> None:
        """Refuse quantities whose names are taken."""
        taken = {quantity.name for quantity in self.record.measured.quantities}
        for quantity in found:
            if quantity.name in taken:
                raise ValueError(
                    f"quantities: expected names of their own, got {quantity.name!r} a second time"
                )
            taken.add(quantity.name)

    def _resolved(self, module: nn.Module) -> list[Selection]:
        """The spectra that are asked for, with the parameters that are trained at this step."""
        found = []
        setup = self._setup
        for block in setup.blocks + (setup.rare_blocks if self._thorough else ()):
            for name in (matrix.kind.name for matrix in setup.matrices):
                with self.alone("spectra", name, block.name):
                    parameters = tuple(block.resolve(module))
                    found.append(Selection(name, block.name, parameters, block.rows))
        return found

    def _take_spectra(self, module: nn.Module, batch: Batched, tracker: Tracker) -> list[Found]:
        """Put the spectra into the record; their eigenpairs, in the same order."""
        found = self._spectra(module, batch, tracker)
        ordered = [found[key] for key in map(_key, self._selections) if key in found]
        self._keep_measured(spectra=tuple(spectrum for spectrum, _ in ordered))
        return [pairs for _, pairs in ordered if pairs is not None]

    def _take_shares(self) -> None:
        """Trace, effective rank and negative share of what is always measured."""
        setup, measured = self._setup, self.record.measured
        blocks = {block.name for block in setup.blocks}
        always = [spectrum for spectrum in measured.spectra if spectrum.block in blocks]
        units = {matrix.kind.name: matrix.kind.unit for matrix in setup.matrices}
        quantities = share_quantities(always, units)
        self._require_new(quantities)
        self._keep_measured(quantities=(*measured.quantities, *quantities))

    def _take_sharpness(self, module: nn.Module, batch: Batched) -> None:
        """Of each block, and what it is compared with."""
        setup, measured = self._setup, self.record.measured
        known = [
            (selection, spectrum)
            for selection in self._selections
            if (spectrum := measured.spectrum(selection.matrix, selection.block)) is not None
        ]
        by_head = self.record.operator.startswith("head")
        found = sharpnesses(setup, self.record.step, module, batch, known, by_head)
        self._sharpnesses = {each.block: each for each in found}
        quantities = sharpness_quantities(found, [block.name for block in setup.blocks])
        self._require_new(quantities)
        self._keep_measured(quantities=(*measured.quantities, *quantities))

    def _take_size_biases(self, module: nn.Module, batch: Batched) -> None:
        """Of the largest eigenvalues that were had by products."""
        setup, by_head = self._setup, self.record.operator.startswith("head")
        for place, (selection, (spectrum, vectors)) in enumerate(self._wholes.items()):
            generator = setup.generator(self.record.step, 0, (6,))

            def halves(
                selection: Selection = selection, generator: torch.Generator = generator
            ) -> Iterator[CurvatureOperator]:
                with setup.processes.agreed():
                    parts = in_halves(batch, generator)
                for part in parts:
                    half = self._parts.of(part)
                    (group,) = groups(setup, module, half, [selection], by_head)
                    yield group.build()

            with self.alone("size bias"), self._meter.part(len(self._wholes) - place):
                found = product_size_bias(
                    *(spectrum, vectors, halves, setup.measurement, generator)
                )
                if self._meter.early:
                    self.end_early("size bias", self._meter.early, *_key(selection))
                else:
                    self._biases[_key(selection)] = found

    def _take_draws(self, module: nn.Module) -> None:
        """Eigenvalues on more draws of the probe sample."""
        setup = self._setup
        first = {_key(spectrum): spectrum for spectrum in self.record.measured.spectra}
        selections = [each for each in self._selections if _key(each) in first]
        others: dict[tuple[str, str], list[FloatArray]] = {key: [] for key in first}
        for draw in range(1, self._draws):
            generator = setup.generator(self.record.step, draw, (1,))

            def eigenvalues(
                group: Group, operator: CurvatureOperator, own: torch.Generator = generator
            ) -> Sequence[FloatArray]:
                return list(measured_eigenvalues(operator, self._allowed(operator), own))

            batch = setup.batch(self.record.step, draw)
            for key, values in self._over(module, batch, selections, draw, eigenvalues).items():
                others[key].append(values)
        self._keep_measured(spectra=tuple(with_draws(first[key], others[key]) for key in first))

    def _spectra(
        self, module: nn.Module, batch: Batched, tracker: Tracker
    ) -> dict[tuple[str, str], tuple[Spectrum, Found | None]]:
        """What can be had of the spectra, with their eigenpairs, by matrix and block."""
        setup = self._setup
        generator = setup.generator(self.record.step, 0, (1,))
        density = setup.measurement.density

        def measured(
            group: Group, operator: CurvatureOperator
        ) -> Sequence[tuple[Spectrum, Found | None]]:
            start = None
            known = isinstance(operator, SampleSpace)
            if known and not self.record.operator.endswith(_BY_SAMPLES):
                self.keep(operator=self.record.operator + _BY_SAMPLES)
            if not density and not operator.batch and not known:
                first = group.selections[0]
                start = tracker.start(first.matrix, first.block, sum(map(prod, operator.shapes)))
                start = None if start is None else operator.coordinates(start)
            spectra, pairs, passes = measured_spectra(
                operator,
                group.selections,
                self._allowed(operator),
                generator,
                self._reference,
                density=density,
                start=start,
            )
            if self._thorough and isinstance(operator, SampleSpace):
                own = setup.generator(self.record.step, 0, (6,))
                self._biases[_key(spectra[0])] = size_bias(operator, spectra[0], own)
            elif self._thorough and not operator.batch and not spectra[0].unknown:
                self._wholes[group.selections[0]] = (
                    spectra[0],
                    pairs.vectors[:, : pairs.largest],
                )
            kept: Sequence[Found | None] = [None] * len(spectra)
            if setup.measurement.tracking:
                kept = found_pairs(pairs, group.selections, passes, start is not None)
            return list(zip(spectra, kept, strict=True))

        return self._over(module, batch, self._selections, 0, measured)

    def _allowed(self, operator: CurvatureOperator) -> Measurement:
        """The measurement with as many products as the budget leaves."""
        wanted = self._setup.measurement
        if isinstance(operator, SampleSpace):
            return wanted
        return self._meter.measurement(wanted, operator)

    def _over(
        self,
        module: nn.Module,
        batch: Batched,
        selections: Sequence[Selection],
        draw: int,
        take: Callable[[Group, CurvatureOperator], Sequence[T]],
    ) -> dict[tuple[str, str], T]:
        """What is taken of each of the selections, as far as it can be had, by matrix and block.

        Args:
            module: unwrapped.
            batch: of this draw.
            selections: the spectra.
            draw: of the probe sample.
            take: of those that share an operator, in their order.
        """
        meter, part = self._meter, "draws" if draw else "spectra"

        def taken(group: Group, parts: int) -> None:
            with meter.part(parts):
                results = take(group, group.build())
            for each in group.selections if meter.early else ():
                self.end_early(part, meter.early, each.matrix, each.block)
            if not (draw and meter.early):  # beside eigenvalues that are settled it says nothing
                found.update(zip(map(_key, group.selections), results, strict=True))

        def grouped(selections: Sequence[Selection], parts: Batched) -> list[Group]:
            by_head = self.record.operator.startswith("head")
            return groups(self._setup, module, parts, selections, by_head)

        def separate(group: Group | None, each: Selection, parts: int) -> None:
            """One spectrum, of a group that is known or of parts of the batch that fit."""

            def of(batch: Batched) -> None:
                nonlocal group
                own = grouped([each], batch)[0] if group is None else group
                group = None  # it was of larger parts
                taken(own, parts)

            self._parts.taken(batch, of)

        found: dict[tuple[str, str], T] = {}
        todo = grouped(selections, self._parts.of(batch))
        size = self._parts.samples
        for place, group in enumerate(todo):
            parts = len(todo) * (self._draws - draw) - place
            if len(group.selections) > 1:
                try:
                    taken(group, parts)
                    continue
                except Exception as error:
                    if is_out_of_memory(error):
                        let_go(error)
                # One of them is to blame: the others are had without it.
            known = len(group.selections) == 1 and self._parts.samples == size
            for each in group.selections:
                with self.alone(part, each.matrix, each.block):
                    separate(group if known else None, each, parts)
        return found

    def _keep_measured(self, **found: Any) -> None:
        self.keep(measured=replace(self.record.measured, **found))

    def alone(
        self, part: str, matrix: str = "", block: str = ""
    ) -> AbstractContextManager[None, bool]:
        """A block whose failure is one of the record's, and goes no further."""
        return Alone(self, part, matrix, block)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            before = self.record.seconds.get(part, 0.0)
            self.keep(seconds={**self.record.seconds, part: before + took})


def _key(each: Selection | Spectrum) -> tuple[str, str]:
    return each.matrix, each.block
