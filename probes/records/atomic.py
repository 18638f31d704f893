"""Writing a file so that it holds either the old content or the new, whatever happens."""

from __future__ import annotations

import glob
import os
import shutil
import socket
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
    _sweep(path)
    # Of this process alone: two that write the same file do not disturb each other.
    temporary = path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.new")
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


def _machine() -> str:
    """Its name as a part of a file name."""
    return socket.gethostname().replace("/", "_").replace(".", "_")


def _sweep(path: Path) -> None:
    """Take away what processes of this machine left that were killed while they wrote the file."""
    for found in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(_machine())}.*.new"):
        process = found.name.removesuffix(".former.new").removesuffix(".new").rpartition(".")[2]
        if process.isdecimal() and not _is_running(int(process)):
            found.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another's
        pass
    return True


def _keep(path: Path, former: Path) -> None:
    """Give the file a second name, in the place of what had it."""
    second = former.with_name(f".{path.name}.{_machine()}.{os.getpid()}.former.new")
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
