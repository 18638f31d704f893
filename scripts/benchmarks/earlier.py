"""Earlier builds of the package, from the repository's own history."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["TODAY", "build_of", "run_with"]

SCRIPTS = Path(__file__).parents[1]
TODAY = SCRIPTS.parent


@contextmanager
def build_of(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit, which is gone afterwards.

    Raises:
        ValueError: if the repository has no such commit.
    """
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=TODAY, capture_output=True, check=False
    )
    if done.returncode:
        raise ValueError(f"commit: expected one of this repository, got {commit!r}")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="tar")
        yield Path(folder)


def run_with(build: Path, module: str, *arguments: str) -> str:
    """What a module of these scripts prints in a process of its own, with that build's package.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    path = os.pathsep.join([str(build / "src"), str(SCRIPTS)])
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
