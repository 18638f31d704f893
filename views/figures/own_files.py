"""Pictures say who wrote them, so that no other file is replaced by one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["WRITER", "require_own"]

# In the metadata of every picture: "Software" of a PNG, "Creator" of a PDF, comment of a GIF.
WRITER = "spectrain"


def require_own(path: Path) -> None:
    """Check that a picture may be written here: nothing is there, or one that was written before.

    Raises:
        ValueError: if another file is there.
    """
    if not path.exists():
        return
    if not path.is_file() or (path.stat().st_size and WRITER.encode() not in path.read_bytes()):
        raise ValueError(f"output: expected a new file or a former picture, got {str(path)!r}")
