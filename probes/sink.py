"""Where records go."""

from __future__ import annotations

from typing import Protocol

from .record import Record

__all__ = ["Sink"]


class Sink(Protocol):
    """Receives every record; a probe without theory hands over records without predictions."""

    def write(self, record: Record) -> None:
        """Keep one record; it is durable when this returns."""

    def close(self) -> None:
        """Release files; a second call does nothing."""
