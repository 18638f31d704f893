"""A callback class of a package that may not be installed, made where it is first asked for."""

from __future__ import annotations

import importlib

__all__ = ["late_class"]


def late_class(hooks: type, module: str, base: str) -> type:
    """``SpectrumCallback``: the hooks, and the base class that the package's trainer looks for.

    Args:
        hooks: what it does; it is found, also by pickle, in the module of these.
        module: of the base class; its first name is the package, and the extra that brings it.
        base: name of the class.

    Raises:
        ImportError: if the package is not installed.
    """
    package = module.partition(".")[0]
    try:
        parent = getattr(importlib.import_module(module), base)
    except ImportError as error:
        raise ImportError(
            f"SpectrumCallback: expected the package {package}, which is not installed; "
            f"pip install 'spectrain[{package}]'"
        ) from error
    names = {"__module__": hooks.__module__, "__doc__": hooks.__doc__}
    return type("SpectrumCallback", (hooks, parent), names)
