"""Probings at initialisation over snr and aspect ratio: the static transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...models.heads import SoftmaxHead
from ...probes.measurement import Measurement
from ...probes.probe import SpectralProbe
from ...probes.records.outliers import outlier_count
from ...probes.records.record import Record
from ...probes.records.sweep import CountMap, Sweep, Threshold
from ...theory.mixture.effective_spectrum import EffectiveSpectrum
from ...theory.mixture.factors import Matrix
from ...theory.mixture.mixture_theory import MixtureTheory
from ...theory.scans.block_path import varied
from ...theory.scans.phase_diagram import phase_diagram, snr_aspect_ratio_plane
from ...theory.scans.transition_points import transition_points
from ...theory.spectrum import FloatArray
from ..executors import outcomes
from ..system import System
from .softmax_mixture import SoftmaxMixtureConfig

__all__ = ["count_maps", "snr_sweep"]

_MATRICES: tuple[Matrix, ...] = ("hessian", "information")
_BLOCK, _ROWS = "class 0", (0,)


def snr_sweep(
    config: SoftmaxMixtureConfig,
    snrs: FloatArray,
    tick: Callable[[], object] = lambda: None,
    executor: Executor | None = None,
) -> Sweep:
    """Largest eigenvalues of class 0 at the initial weights, one probing for each snr.

    Args:
        config: everything but the snr; its seed draws the weights.
        snrs: (N,) increasing.
        tick: called after each probing, for a progress bar.
        executor: does the probings; None for this process.
    """
    places = [(float(snr), config.aspect_ratio) for snr in snrs]
    records = _initial_records(config, places, tick, executor)
    spectrum = _Start.of(config).spectrum
    thresholds = [
        Threshold(matrix, _BLOCK, point.place, point.error)
        for matrix in _MATRICES
        for point in transition_points(
            lambda snr: varied(spectrum, snr=snr),
            matrix,
            _ROWS,
            float(snrs[0]),
            float(snrs[-1]),
        )
        if point.side == "top" and point.kind in ("appears", "disappears")
    ]
    return Sweep("snr", np.asarray(snrs), records, tuple(thresholds))


def count_maps(
    config: SoftmaxMixtureConfig,
    matrix: Matrix,
    fine: tuple[FloatArray, FloatArray],
    coarse: tuple[FloatArray, FloatArray],
    tick: Callable[[], object] = lambda: None,
    executor: Executor | None = None,
) -> tuple[CountMap, CountMap]:
    """Outliers of class 0 at the initial weights over (snr, phi): predicted, and measured.

    A measured eigenvalue counts if it lies beyond the predicted detection edge.

    Args:
        config: everything but snr and aspect ratio.
        matrix: "hessian" or "information".
        fine: snrs (nx,) and aspect ratios (ny,) of the prediction.
        coarse: the same of the measurement.
        tick: called after each probing, for a progress bar.
        executor: does the probings; None for this process.
    """
    spectrum = _Start.of(config).spectrum
    predicted = phase_diagram(
        snr_aspect_ratio_plane(spectrum, matrix, _ROWS),
        *fine,
        coarser=snr_aspect_ratio_plane(spectrum, matrix, _ROWS, coarser=True),
    )
    places = [(float(snr), float(phi)) for phi in coarse[1] for snr in coarse[0]]
    records = _initial_records(config, places, tick, executor)
    counts = [_count_beyond(record, matrix) for record in records]
    measured = np.array(counts, dtype=np.int64).reshape(len(coarse[1]), len(coarse[0]))
    subject = f"{'Hessian' if matrix == 'hessian' else 'Information matrix'}, {_BLOCK}"
    return (
        CountMap("snr", fine[0], "phi", fine[1], predicted.counts, subject, predicted.boundaries),
        CountMap("snr", coarse[0], "phi", coarse[1], measured, subject),
    )


@dataclass(frozen=True)
class _Start:
    """The initial weights of a configuration and the theory of its mixture."""

    system: System
    theory: MixtureTheory

    @classmethod
    def of(cls, config: SoftmaxMixtureConfig) -> _Start:
        system = config.build(torch.Generator(config.device).manual_seed(config.seed))
        law = config.mixture.build(config.dimension, getattr(torch, config.dtype), config.device)
        head = SoftmaxHead(law.classes)
        return cls(system, MixtureTheory(law, head, config.aspect_ratio))

    @property
    def spectrum(self) -> EffectiveSpectrum:
        theory = self.theory
        return EffectiveSpectrum(
            theory.head,
            theory.statistics(self.system.model),
            theory.law,
            theory.aspect_ratio,
            theory.mixture.dimension,
        )


def _initial_records(
    config: SoftmaxMixtureConfig,
    places: Sequence[tuple[float, float]],
    tick: Callable[[], object],
    executor: Executor | None,
) -> tuple[Record, ...]:
    """A probing for each snr and aspect ratio, in their order."""
    records: dict[int, Record] = {}
    calls = [(config, snr, aspect_ratio) for snr, aspect_ratio in places]
    for place, record in outcomes(_initial_record, calls, executor):
        records[place] = record
        tick()
    return tuple(records[place] for place in range(len(calls)))


def _initial_record(config: SoftmaxMixtureConfig, snr: float, aspect_ratio: float) -> Record:
    """One probing of class 0 at the initial weights."""
    mixture = replace(config.mixture, snr=snr)
    varied = replace(config, mixture=mixture, aspect_ratio=aspect_ratio)
    start = _Start.of(varied)
    probe = SpectralProbe(
        start.system.model,
        start.system.loss,
        start.system.sample,
        theory=start.theory,
        blocks=[block for block in start.system.blocks or () if block.name == _BLOCK],
        measurement=Measurement(smallest=0, density=False),
        seed=config.seed,
        on_failure="raise",
    )
    return probe(0)


def _count_beyond(record: Record, matrix: Matrix) -> int:
    """Number of measured eigenvalues beyond the predicted detection edge."""
    measured = record.measured.spectrum(matrix, _BLOCK)
    predicted = record.predicted.spectrum(matrix, _BLOCK) if record.predicted else None
    if measured is None or predicted is None or predicted.bulk is None:
        raise ValueError(f"record: expected spectra of {_BLOCK!r}, got {record.failure!r}")
    return outlier_count(measured, predicted.bulk, "top")
