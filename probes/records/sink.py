"""Where records go."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, Protocol

from .record import Record

__all__ = ["Sink", "deliver"]


class Sink(Protocol):
    """Receives every record; a probe without theory hands over records without predictions.

    What `write` fails with stops neither other sinks nor, unless asked, the training. A sink that
    can write the record later does so before the next.
    """

    def write(self, record: Record) -> None:
        """Keep one record; it will outlive the process when this returns."""

    def close(self) -> None:
        """Release files; a second call does nothing."""


def deliver(record: Record, sinks: Sequence[Sink], on_failure: Literal["record", "raise"]) -> None:
    """Give a record to every sink, whatever one of them fails with.

    Args:
        record: to be kept.
        sinks: are served in order.
        on_failure: "record" warns of each failure; "raise" raises the first of them, after every
            sink was served.
    """
    failures: list[tuple[Sink, Exception]] = []
    for sink in sinks:
        try:
            sink.write(record)
        except Exception as error:  # whatever it is, other sinks must not pay for it
            failures.append((sink, error))
    if failures and on_failure == "raise":
        raise failures[0][1]
    for sink, failure in failures:
        warnings.warn(
            f"{type(sink).__name__} failed at step {record.step}, the training goes on: "
            f"{type(failure).__name__}: {failure}",
            RuntimeWarning,
            stacklevel=3,
        )
