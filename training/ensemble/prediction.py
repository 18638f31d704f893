"""Prediction and forecast for an ensemble: one of each, from the mean of the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from ...probes.records.record import Failure, Record
from ...theory.protocol import Selection
from ...theory.transitions import TransitionTracker
from ..config import TrainingConfig
from ..system import System

__all__ = ["predicted"]

T = TypeVar("T")


def predicted(
    records: Sequence[Record], config: TrainingConfig, system: System
) -> Iterator[Record]:
    """Mean records with what the theory says of the mean statistics, at them and from the first.

    Args:
        records: mean ones, in the order of the steps.
        config: of the first run.
        system: likewise, built.
    """
    theory = system.theory
    if theory is None or system.sample_kind not in theory.holds_for:
        yield from records
        return
    transitions, initial = TransitionTracker(), None
    with theory.attach(system.model):
        for record in records:
            asked = _selections(record, system)
            failures: list[Failure] = []
            statistics = _alone("statistics", failures, theory.restore, record.measured.quantities)
            found = forecast = None
            if statistics is not None:
                initial = statistics if initial is None else initial
                density = config.probe.density
                found = _alone("prediction", failures, theory.predict, statistics, asked, density)
                steps = record.step - records[0].step
                forecast = _alone("forecast", failures, theory.forecast, initial, steps, asked)
            yield replace(
                record,
                sources=theory.sources,
                predicted=found,
                forecast=forecast,
                transitions=() if found is None else transitions.update(found.spectra),
                failures=(*record.failures, *failures),
            )


def _selections(record: Record, system: System) -> list[Selection]:
    blocks = {block.name: block for block in (*(system.blocks or ()), *system.rare_blocks)}
    return [
        Selection(each.matrix, each.block, tuple(block.resolve(system.model)), block.rows)
        for each in record.measured.spectra
        if (block := blocks.get(each.block)) is not None
    ]


def _alone(
    part: str, failures: list[Failure], call: Callable[..., T], *arguments: object
) -> T | None:
    """What fails costs itself alone."""
    try:
        return call(*arguments)
    except Exception as error:
        failures.append(Failure(part, f"{type(error).__name__}: {error}"))
        return None
