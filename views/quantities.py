"""Quantities of a record, number by number: measured beside predicted and forecast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..probes.records.columns import quantity_columns
from ..probes.records.numbers import SHARE, Kind, Number, quantity_numbers
from ..probes.records.record import Record

__all__ = [
    "Compared",
    "compared_quantities",
    "entry_title",
    "largest",
    "largest_deviations",
    "title",
    "worst",
]


@dataclass(frozen=True)
class Compared:
    """One number of a quantity; what is not known is not there.

    Attributes:
        measured: on the probe sample.
        predicted: from the statistics measured at the step.
        forecast: from the initial ones.
    """

    measured: Number | None = None
    predicted: Number | None = None
    forecast: Number | None = None

    @property
    def any(self) -> Number:
        """One of them, for what is the same of all."""
        found = self.measured or self.predicted or self.forecast
        assert found is not None
        return found

    @property
    def is_single(self) -> bool:
        """Whether the quantity is this number alone."""
        return self.any.name == self.any.quantity

    @property
    def expected(self) -> Number | None:
        """What theory says: predicted, or forecast where nothing is predicted."""
        return self.predicted or self.forecast

    @property
    def difference(self) -> float:
        """Measured minus expected; NaN where one of them is missing."""
        if self.measured is None or self.expected is None:
            return math.nan
        return self.measured.value - self.expected.value

    @property
    def spread(self) -> float:
        """Standard error of the measurement, or standard deviation over runs; NaN if unknown."""
        if self.measured is None or self.expected is None:
            return math.nan
        error = self.measured.standard_error
        return error if error > 0 else self.expected.band

    @property
    def deviation(self) -> float:
        """z = difference / spread; NaN where the spread is not known."""
        return self.difference / self.spread if self.spread > 0 else math.nan

    @property
    def relative(self) -> float:
        """difference / |expected|; NaN of a share, whose scale is 1, and where it is unknown."""
        if self.expected is None or self.any.unit == SHARE or not self.expected.value:
            return math.nan
        return self.difference / abs(self.expected.value)


def compared_quantities(record: Record) -> dict[str, tuple[Compared, ...]]:
    """The numbers of each quantity by its name, in order; unknown numbers are left out."""
    found: dict[str, dict[str, dict[Kind, Number]]] = {}
    for number in quantity_numbers(record):
        if not math.isnan(number.value):
            entries = found.setdefault(number.quantity, {})
            entries.setdefault(number.name, {})[number.kind] = number
    return {
        name: tuple(Compared(**kinds) for kinds in entries.values())
        for name, entries in found.items()
    }


def largest_deviations(record: Record) -> Iterator[tuple[str, float]]:
    """Of each quantity |relative| of a single number, max |difference| over several entries.

    What `compared_quantities` says, without an object for each number; NaN where nothing can be
    compared.
    """
    found: dict[str, dict[Kind, dict[str, float]]] = {}
    units: dict[str, str] = {}
    for heading, values, *_ in quantity_columns(record):
        known = {
            identity.name: value
            for identity, value in zip(heading.entries, values, strict=True)
            if not math.isnan(value)
        }
        if known:
            first = heading.entries[0]
            found.setdefault(first.quantity, {})[first.kind] = known
            units.setdefault(first.quantity, first.unit)
    for name, kinds in found.items():
        measured = kinds.get("measured", {})
        expected = kinds.get("forecast", {}) | kinds.get("predicted", {})
        common = measured.keys() & expected.keys()
        largest = max((abs(measured[each] - expected[each]) for each in common), default=math.nan)
        if measured.keys() | expected.keys() == {name}:
            is_relative = common and units[name] != SHARE and expected[name]
            yield name, largest / abs(expected[name]) if is_relative else math.nan
        else:
            yield name, largest


def worst(entries: Sequence[Compared]) -> Compared | None:
    """The number that is farthest from what is expected, in its own spread where that is known."""
    both = [each for each in entries if not math.isnan(each.difference)]
    known = [each for each in both if not math.isnan(each.deviation)]
    if known:
        return max(known, key=lambda each: abs(each.deviation))
    return max(both, key=lambda each: abs(each.difference), default=None)


def entry_title(entry: Compared) -> str:
    """The quantity's name, and of one of several numbers its place: "Strength, v0"."""
    found = entry.any
    place = found.name.removeprefix(found.quantity).removeprefix("/").replace(".", "·")
    return ", ".join(filter(None, (title(found.quantity), place)))


def title(name: str) -> str:
    """A quantity's name for people: words with a capital letter."""
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def largest(entries: Iterable[Compared]) -> float:
    """max |measured - expected|; NaN where nothing can be compared."""
    found = [abs(each.difference) for each in entries if not math.isnan(each.difference)]
    return max(found, default=math.nan)
