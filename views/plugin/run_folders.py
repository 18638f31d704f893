"""The runs below TensorBoard's log folders: their names, and nothing outside of them."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

from ...probes.records.record_file import RECORDS

__all__ = ["NO_FILE", "NO_RECORDS", "RunFolders", "log_folders"]

NO_RECORDS = f"has no data file: nothing wrote a {RECORDS} beside its event files"

NO_FILE = f"has something else than a file as {RECORDS}"

_FRESH = 1.0  # seconds
_EVENTS = "events.out.tfevents."


def log_folders(logdir: str, logdir_spec: str) -> dict[str, Path]:
    """The log folders of TensorBoard's flags under the names that its runs begin with.

    Args:
        logdir: one folder, without a name: the key is empty.
        logdir_spec: NAME:PATH or PATH, separated by commas; used if there is no ``logdir``. It is
            read as TensorBoard reads it: a path that starts with / may hold colons. Where there
            are several, one without a name has that of its folder.
    """
    if logdir:
        return {"": Path(logdir).expanduser()}
    folders = {}
    parts = [part for part in logdir_spec.split(",") if part]
    for part in parts:
        name, colon, path = part.partition(":")
        if not colon or part.startswith("/") or os.path.splitdrive(part)[0]:
            name, path = Path(part).name if len(parts) > 1 else "", part
        folders[name] = Path(path).expanduser()
    return folders


class RunFolders:
    """The folders below the log folders that hold a data file or event files.

    A run is named as TensorBoard names it, by its path from the log folder, behind the name of the
    log folder if it has one; "." is a log folder without a name.

    Args:
        roots: the log folders under their names; they may not exist yet.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self.roots = dict(roots)
        self._lock = threading.Lock()
        self._found: tuple[tuple[str, str], ...] = ()
        self._fresh_until = -math.inf

    def names(self) -> tuple[tuple[str, str], ...]:
        """Name of every run, sorted within each folder, and why its data cannot be read.

        Requests at the same time share one walk through the folders, which counts for a second
        and ten times as long as it took.
        """
        with self._lock:
            began = monotonic()
            if began >= self._fresh_until:
                self._found = tuple(self._walked())
                now = monotonic()
                self._fresh_until = now + _FRESH + 10 * (now - began)
            return self._found

    def _walked(self) -> Iterator[tuple[str, str]]:
        for root, path in self.roots.items():
            for folder, inner, files in os.walk(path):
                inner.sort()
                there = RECORDS in files or RECORDS in inner
                if there or any(name.startswith(_EVENTS) for name in files):
                    below = Path(folder).relative_to(path).as_posix()
                    is_file = there and Path(folder, RECORDS).is_file()
                    problem = "" if is_file else NO_FILE if there else NO_RECORDS
                    yield _joined(root, below), problem

    def records(self, name: str) -> Path:
        """Where the data file of a run is, or would be.

        Raises:
            ValueError: if it is outside the log folders, by its name or through a symbolic link.
        """
        # The longest name first: that of another folder may begin with it.
        for root in sorted(self.roots, key=len, reverse=True):
            if root and name != root and not name.startswith(f"{root}/"):
                continue
            path = _inside(self.roots[root], name[len(root) :].removeprefix("/") if root else name)
            if path is not None:
                return path
        raise ValueError(f"run: expected a folder below the log folder, got {name!r}")


def _joined(root: str, below: str) -> str:
    if not root:
        return below
    return root if below == "." else f"{root}/{below}"


def _inside(root: Path, below: str) -> Path | None:
    """The data file of a folder below a log folder, or None if it is not below."""
    try:
        path = (root / below / RECORDS).resolve()
        return path if path.is_relative_to(root.resolve()) else None
    except (OSError, RuntimeError, ValueError):  # a loop of links, a null byte
        return None
