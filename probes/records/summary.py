"""A record in a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ...theory.geometry import Geometry
from ...theory.matrix_kind import kind_named
from ...theory.quantity import Quantity
from ...theory.spectrum import Eigenpair, Spectrum
from .record import Record

__all__ = ["summary"]

# Of blocks, failures and entries of a vector; the table has them all.
_MOST = 6


def summary(record: Record) -> str:
    """When, what was measured beside what was predicted, and what could not be had.

    A line for the numbers, one for each spectrum, one for each vector, and one for each failure;
    errors are standard errors over the draw of the sample.
    """
    return "\n".join(_lines(record))


def _lines(record: Record) -> Iterator[str]:
    epoch = "" if math.isnan(record.epoch) else f", epoch {record.epoch:g}"
    time = "" if math.isnan(record.time) else f", {record.clock or 'time'} {record.time:.4g}"
    yield f"step {record.step}{epoch}{time}"
    single = [each for each in record.measured.quantities if not each.axes]
    if single:
        yield "  " + ", ".join(_number(each, record.predicted) for each in single)
    spectra = (_spectrum(spectrum, record) for spectrum in record.measured.spectra)
    yield from (f"  {line}" for line in _few(spectra))
    for quantity in record.measured.quantities:
        if len(quantity.axes) == 1:
            entries = zip(quantity.axes[0], quantity.values.tolist(), strict=True)
            shown = _few(f"{name} {_short(value)}" for name, value in entries)
            yield f"  {_words(quantity.name)} ({quantity.unit}): {', '.join(shown)}"
    for track in record.tracks:
        if track.reason:
            yield f"  stability of {track.block} is not known: {track.reason}"
    if record.micro_batch:
        yield f"  memory ran out: taken in micro-batches of {record.micro_batch} samples"
    yield from (f"  {line}" for line in _few(f"failed: {failure}" for failure in record.failures))


def _few(lines: Iterable[str]) -> list[str]:
    """The first of them, and how many there are more."""
    found = list(lines)
    rest = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return found[:_MOST] + rest


def _number(quantity: Quantity, predicted: Geometry | None) -> str:
    error = math.nan if quantity.errors is None else float(quantity.errors)
    text = f"{_words(quantity.name)} {_with_error(float(quantity.values), error)}"
    expected = predicted.quantity(quantity.name) if predicted is not None else None
    if expected is not None and not expected.axes:
        text += f" (predicted {_short(float(expected.values))})"
    if quantity.threshold is not None:
        text += f" (threshold {_short(float(quantity.threshold))})"
    return text


def _spectrum(spectrum: Spectrum, record: Record) -> str:
    title = kind_named(spectrum.matrix, record.matrices).title
    parts = [f"{title}, {spectrum.block}: {spectrum.size} eigenvalues"]
    if spectrum.top:
        parts.append(f"largest {_pair(spectrum.top[0])}")
    if spectrum.bottom:
        parts.append(f"smallest {_pair(spectrum.bottom[0])}")
    expected = record.predicted and record.predicted.spectrum(spectrum.matrix, spectrum.block)
    if expected:
        outliers = ", ".join(_short(pair.value) for pair in expected.top) or "none"
        parts.append(f"predicted outliers above: {outliers}")
    track = record.track(spectrum.matrix, spectrum.block)
    if track is not None and not math.isnan(track.stability):
        parts.append(f"stability {_short(track.stability)}")
    if spectrum.unknown:
        parts.append(f"sampling errors not known: {spectrum.unknown}")
    return ", ".join(parts)


def _pair(pair: Eigenpair) -> str:
    return _with_error(pair.value, pair.sampling_error)


def _with_error(value: float, error: float) -> str:
    return f"{_short(value)} ± {error:.2g}" if math.isfinite(error) and error else _short(value)


def _short(value: float) -> str:
    return f"{value:.4g}"


def _words(name: str) -> str:
    return name.replace("_", " ")
