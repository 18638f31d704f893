"""The run folder: where one run, and only one, keeps its files.

config.yaml (resolved configuration), records.jsonl, checkpoint.pt and the one before it, lock.
"""

from __future__ import annotations

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..probes.records.atomic import write_atomically
from ..probes.records.lines import LONGEST, whole_header
from ..probes.records.record_file import CONFIG, RECORDS, read_records

__all__ = ["RunFolder", "open_run_folder"]


class RunFolder:
    """The files of a run folder.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / CONFIG
        self.records = path / RECORDS
        self.checkpoint = path / "checkpoint.pt"
        self._set_aside = path / "records.first-epoch.jsonl"

    def begin_anew(self, steps_per_epoch: int) -> None:
        """Make room for records of a run that was killed before its first checkpoint.

        Those that it wrote stay beside them until the first epoch is through again.

        Raises:
            ValueError: if there are later records: their run had checkpoints, which are lost.
        """
        if not self.records.exists():
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the line at which it was killed
            last = max((record.step for record in read_records(self.records)), default=0)
        if last > steps_per_epoch:
            raise ValueError(
                f"folder: expected the checkpoint of a run with records to step {last}, got "
                f"{str(self.path)!r} without one; the records are whole and can be looked at, but "
                "not gone on with: train in another folder"
            )
        if self._set_aside.exists() and _size(self._set_aside) > _size(self.records):
            self.records.unlink()
        else:
            self.records.replace(self._set_aside)

    def require_records(self, size: int) -> None:
        """Refuse to go on without the records that the checkpoint knows of.

        Args:
            size: of the record file, in bytes, when the checkpoint was written.

        Raises:
            ValueError: if the file is gone, or shorter.
        """
        found = _size(self.records) if self.records.exists() else 0
        if found < size:
            raise ValueError(
                f"folder: expected the {size} bytes of records that the checkpoint knows of, got "
                f"{found} in {str(self.records)!r}; put the file back, or train in another folder"
            )

    def begun(self) -> None:
        """Forget the records that were set aside: they have been written again."""
        self._set_aside.unlink(missing_ok=True)


@contextmanager
def open_run_folder(
    path: str | os.PathLike[str], config: dict[str, Any], *, resume: bool
) -> Iterator[RunFolder]:
    """Create the folder, or go on in it, and keep other processes out until the end.

    Args:
        path: of the folder.
        config: the resolved configuration, of what YAML can hold.
        resume: whether to go on with the run that the folder holds; it must have the same
            configuration.

    Raises:
        ValueError: if the folder is in use or holds what it should not; every byte is kept.
    """
    if not os.fspath(path):
        raise ValueError("folder: expected a path, got ''")
    folder = RunFolder(Path(path))
    if resume and not folder.path.exists():
        raise ValueError(f"folder: expected a run to go on with, got no folder {str(path)!r}")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"folder: expected a folder, got the file {str(path)!r}") from None
    lock_file = folder.path / "lock"
    for file in (lock_file, folder.config, folder.records, folder.checkpoint):
        # Some things that are no files, such as a pipe, would be waited for.
        if file.exists() and not file.is_file():
            raise ValueError(f"folder: expected a file {str(file)!r}, got something else there")
    with lock_file.open("a") as lock:
        try:
            # The lock goes with the process, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"folder: expected one that no other process uses, got {str(path)!r}"
            ) from None
        # What a process killed while it replaced a file has left.
        for name in (folder.checkpoint.name, folder.config.name, "events.out.tfevents.*"):
            for unfinished in folder.path.glob(f".{name}.*.new"):
                unfinished.unlink()
        if folder.config.exists():
            _check_stored(folder, config, resume)
        elif folder.records.exists() and _size(folder.records):
            raise ValueError(
                f"folder: expected one without records, or with the {CONFIG} of the run that wrote "
                f"them, got {str(path)!r} with {RECORDS} alone; train in another folder"
            )
        else:
            text = yaml.safe_dump(config, sort_keys=False)
            write_atomically(folder.config, lambda file: file.write(text.encode("utf-8")))
        yield folder


def _size(path: Path) -> int:
    return path.stat().st_size


def _check_stored(folder: RunFolder, config: dict[str, Any], resume: bool) -> None:
    if not resume:
        raise ValueError(
            f"folder: expected one without a run (or resume), got {str(folder.path)!r}"
        )
    try:
        stored = yaml.safe_load(folder.config.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{folder.config}: expected a configuration in YAML, got {error}"
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"{folder.config}: expected keys and values, got {stored!r}")
    # The records say it too: what was edited since must not be taken for what they were made with.
    for began in (stored, _written(folder.records)):
        for key in sorted(began.keys() | config.keys()) if began else ():
            if began.get(key) != config.get(key):
                raise ValueError(
                    f"{key}: expected {began.get(key)!r}, as the run to resume began, "
                    f"got {config.get(key)!r}"
                )


def _written(records: Path) -> dict[str, Any]:
    """The configuration in the header of a record file; empty if there is none."""
    if not records.is_file():
        return {}
    with records.open("rb") as file:
        header = whole_header(file.readline(LONGEST), records)
    found: dict[str, Any] = (header or {}).get("config", {})
    return found
