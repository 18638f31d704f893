"""Writing a file so that it holds either the old content or the new, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace a file; the new content is on the disk when this returns.

    Args:
        path: of the file.
        write: writes the content to the binary file it is given.

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
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # The new name itself is durable only once the directory is.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
