"""The environment of a run: what its numbers depend on, without naming a user, host or place."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["environment"]

_PACKAGES = ("spectrain", "torch", "numpy", "scipy")


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that compute; system and number of processors."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count() or "unknown"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
