"""Writing a file so that it holds either the old content or the new, whatever happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically"]


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], *, former: Path | None = None
) -> None:
    """Replace a file; the new content is on the disk when this returns.

    Args:
        path: of the file.
        write: writes the content to the binary file it is given.
        former: where what ``path`` held stays; there is always a whole file at ``path``.

    Raises:
        OSError: if the content cannot be written; ``path`` is then as it was.
    """
    # Of this process alone: two that write the same file do not disturb each other.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if former is not None and path.exists():
            _keep(path, former)
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None:
            error.filename = os.fspath(path)  # which the temporary name need not tell
        raise
    finally:
        temporary.unlink(missing_ok=True)
    # The new name itself is durable only once the directory is.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keep(path: Path, former: Path) -> None:
    """Give the file a second name, in the place of what had it."""
    second = former.with_name(f".{path.name}.{os.getpid()}.former.new")
    second.unlink(missing_ok=True)
    try:
        try:
            second.hardlink_to(path)
        except OSError:  # a file system without them
            second.unlink(missing_ok=True)  # or one over a network, whose answer was lost
            shutil.copyfile(path, second)
        second.replace(former)
    finally:
        second.unlink(missing_ok=True)
