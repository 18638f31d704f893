"""Checkpoints: all that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..models.arguments import require_arguments
from ..probes.records.atomic import write_atomically
from ..probes.records.record_file import RecordFile
from .callbacks import Callback
from .seal import seal, sealed

__all__ = ["Checkpoint", "Checkpointer", "Stateful", "earlier"]


class Stateful(Protocol):
    """Something whose state can be taken out and put back."""

    def state_dict(self) -> dict[str, Any]:
        """The state, of tensors and plain types."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Go on from a state."""


def earlier(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is: checkpoint.pt, checkpoint.earlier.pt."""
    return path.with_suffix(f".earlier{path.suffix}")


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
        """The last checkpoint that is whole, None if there never was one.

        It is the one in the file, or the one before it, with a warning, if that is damaged or
        gone.

        Raises:
            ValueError: if neither is whole, or the file is of another version or program.
            OSError: if it cannot be read.
        """
        found: list[str] = []
        for file in (path, earlier(path)):
            if not file.exists():
                found.append(f"{file.name} is not there")
                continue
            checkpoint = cls._of(file)
            if checkpoint is not None:
                if found:
                    warnings.warn(
                        f"{path}: {found[0]}; the run goes on from the earlier checkpoint, of "
                        f"epoch {checkpoint.epoch}",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                return checkpoint
            found.append(f"{file.name} is damaged")
        if not any("damaged" in each for each in found):
            return None
        raise ValueError(
            f"checkpoint: expected one that is whole in {str(path.parent)!r}, got none: "
            f"{', '.join(found)}; the records are untouched, the run must be begun anew elsewhere"
        )

    @classmethod
    def _of(cls, path: Path) -> Checkpoint | None:
        """The checkpoint in a file, None if it is damaged."""
        data = path.read_bytes()
        try:
            if not sealed(data):
                return None
            return cls(**torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"checkpoint {str(path)!r}: {error}; go on with the release that wrote it, or "
                "begin the run anew elsewhere"
            ) from error

    def write(self, path: Path) -> None:
        """Replace a file by this checkpoint; the former one stays as the earlier one.

        Raises:
            OSError: if it cannot be written; the former files then stay.
        """
        archive = io.BytesIO()
        torch.save(vars(self), archive)
        content = seal(archive.getvalue())
        write_atomically(path, lambda file: file.write(content), former=earlier(path))

    def restore(self, parts: Mapping[str, Stateful]) -> None:
        """Put every part back to its state."""
        for name, part in parts.items():
            part.load_state_dict(self.parts[name])


class Checkpointer(Callback):
    """Writes a checkpoint after every epoch; it comes after the probe.

    Args:
        path: of the checkpoint file.
        parts: what has a state, by name.
        records: the record file of the run.
    """

    def __init__(self, path: Path, parts: Mapping[str, Stateful], records: RecordFile) -> None:
        require_arguments(Checkpointer.__init__, locals())
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
