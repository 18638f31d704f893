"""Errors of the operating system in words."""

from __future__ import annotations

__all__ = ["os_error"]


def os_error(error: OSError) -> str:
    """Which file, and what is wrong with it."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
