"""Checkpoints: all that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..probes.records.atomic import write_atomically
from ..probes.records.record_file import RecordFile
from .callbacks import Callback

__all__ = ["Checkpoint", "Checkpointer", "Stateful"]


class Stateful(Protocol):
    """Something whose state can be taken out and put back."""

    def state_dict(self) -> dict[str, Any]:
        """The state, of tensors and plain types."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Go on from a state."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run at the end of an epoch.

    Attributes:
        epoch: number of epochs finished.
        offset: length of the record file in bytes.
        parts: state of each part of the run, by name.
    """

    epoch: int
    offset: int
    parts: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """The checkpoint in a file, None if there is no file."""
        if not path.exists():
            return None
        return cls(**torch.load(path, map_location="cpu", weights_only=True))

    def write(self, path: Path) -> None:
        """Replace a file by this checkpoint.

        Raises:
            OSError: if it cannot be written; the former file then stays.
        """
        write_atomically(path, lambda file: torch.save(vars(self), file))

    def restore(self, parts: Mapping[str, Stateful], records: RecordFile) -> None:
        """Put every part back to its state, and cut off the records written since."""
        for name, part in parts.items():
            part.load_state_dict(self.parts[name])
        records.truncate(self.offset)


class Checkpointer(Callback):
    """Writes a checkpoint after every epoch; it comes after the probe.

    Args:
        path: of the checkpoint file.
        parts: what has a state, by name.
        records: the record file of the run.
    """

    def __init__(self, path: Path, parts: Mapping[str, Stateful], records: RecordFile) -> None:
        self._path = path
        self._parts = parts
        self._records = records

    def on_epoch_end(self, step: int, epoch: int) -> None:
        """Replace the last checkpoint by the present state.

        Raises:
            OSError: if it, or a record before it, cannot be written; the last one then stays.
        """
        # A run that goes on from here would never write them again.
        self._records.flush()
        states = {name: part.state_dict() for name, part in self._parts.items()}
        Checkpoint(epoch, self._records.offset, states).write(self._path)
