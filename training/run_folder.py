"""The run folder: where one run, and only one, keeps its files.

config.yaml (resolved configuration), records.jsonl, checkpoint.pt, lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..probes.records.atomic import write_atomically
from ..probes.records.record_file import CONFIG, RECORDS

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


@contextmanager
def open_run_folder(
    path: str | os.PathLike[str], config: dict[str, Any], *, resume: bool
) -> Iterator[RunFolder]:
    """Create the folder, or go on in it, and keep other processes out until the end.

    Args:
        path: of the folder.
        config: the resolved configuration, of what YAML can hold.
        resume: whether the folder may hold a run already; it must have the same configuration.

    Raises:
        ValueError: if the folder is in use or holds what it should not.
    """
    folder = RunFolder(Path(path))
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"folder: expected a folder, got the file {str(path)!r}") from None
    with (folder.path / "lock").open("a") as lock:
        try:
            # The lock goes with the process, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"folder: expected one that no other process uses, got {str(path)!r}"
            ) from None
        # What a process killed while it wrote a checkpoint has left.
        for unfinished in folder.path.glob(f".{folder.checkpoint.name}.*.new"):
            unfinished.unlink()
        if folder.config.exists():
            _check_stored(folder, config, resume)
        else:
            text = yaml.safe_dump(config, sort_keys=False)
            write_atomically(folder.config, lambda file: file.write(text.encode("utf-8")))
        yield folder


def _check_stored(folder: RunFolder, config: dict[str, Any], resume: bool) -> None:
    if not resume:
        raise ValueError(
            f"folder: expected one without a run (or resume), got {str(folder.path)!r}"
        )
    stored = yaml.safe_load(folder.config.read_text("utf-8"))
    for key in sorted(stored.keys() | config.keys()):
        if stored.get(key) != config.get(key):
            raise ValueError(
                f"{key}: expected {stored.get(key)!r}, as the run to resume began, "
                f"got {config.get(key)!r}"
            )
