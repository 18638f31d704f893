"""The figures that any run has, and those that its system, or a system without a run, adds.

A system names a module of its figures, see `TrainingConfig`. It may hold RUN_FIGURES (a tuple of
`RunFigure`), REPORT_TEXTS (a tuple of paragraphs for the report on a run) and a function
``system_figures(quick)`` (a tuple of `SystemFigure`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import TypeVar

from ..probes.records.record_file import Run
from ..training.config import TrainingConfig
from ..training.systems import SYSTEMS
from ..views.figures.figure import RunFigure, SystemFigure
from ..views.figures.run_figures import RUN_FIGURES
from .drawing import Drawing

__all__ = [
    "drawings_of_run",
    "drawings_without_run",
    "figure_names",
    "report_texts",
    "run_figures",
    "system_figures",
]

T = TypeVar("T", RunFigure, SystemFigure)


def run_figures(run: Run) -> tuple[RunFigure, ...]:
    """Those of any run, and those of its system."""
    return RUN_FIGURES + getattr(_module(run), "RUN_FIGURES", ())


def report_texts(run: Run) -> tuple[str, ...]:
    """What the report says of the run's system."""
    return tuple(getattr(_module(run), "REPORT_TEXTS", ()))


def system_figures(
    quick: bool, systems: Iterable[type[TrainingConfig]] | None = None
) -> tuple[SystemFigure, ...]:
    """Those that need no run, of these systems, or of all."""
    chosen = SYSTEMS.values() if systems is None else systems
    modules = dict.fromkeys(config.figures for config in chosen if config.figures)
    made = (getattr(import_module(name), "system_figures", None) for name in modules)
    return tuple(figure for make in made if make is not None for figure in make(quick))


def figure_names() -> tuple[list[str], list[str]]:
    """Of all figures that a run may have, whatever its system, and of those that need no run."""
    modules = [import_module(config.figures) for config in SYSTEMS.values() if config.figures]
    own = (figure for module in modules for figure in getattr(module, "RUN_FIGURES", ()))
    of_runs = dict.fromkeys(figure.name for figure in (*RUN_FIGURES, *own))
    return list(of_runs), [figure.name for figure in system_figures(quick=True)]


def drawings_of_run(run: Run, only: Sequence[str] = ()) -> dict[str, Drawing]:
    """The figures of a run by name.

    Args:
        run: what is drawn.
        only: names of the figures wanted; if empty, all that show something.

    Raises:
        ValueError: if a name is unknown.
    """
    known = run_figures(run)
    shown = [figure for figure in known if figure.shows(run)]
    found = _chosen(known, only, "of a run") if only else shown
    return {figure.name: partial(figure.draw, run) for figure in found}


def drawings_without_run(
    only: Sequence[str] = (),
    quick: bool = False,
    systems: Iterable[type[TrainingConfig]] | None = None,
) -> dict[str, Drawing]:
    """The figures that need no run by name.

    Args:
        only: names of the figures wanted; all if empty.
        quick: whether they are made of little.
        systems: whose figures they are; None for all.

    Raises:
        ValueError: if a name is unknown.
    """
    known = system_figures(quick, systems)
    found = _chosen(known, only, "that need no run") if only else known
    return {figure.name: figure.draw for figure in found}


def _chosen(known: Iterable[T], only: Sequence[str], kind: str) -> list[T]:
    named = {figure.name: figure for figure in known}
    unknown = [name for name in only if name not in named]
    if unknown:
        raise ValueError(f"only: expected figures {kind}, {sorted(named)}, got {unknown}")
    return [named[name] for name in only]


def _module(run: Run) -> object:
    """The module of the figures of a run's system; None if it has none."""
    config = SYSTEMS.get(str(run.config.get("system")))
    return import_module(config.figures) if config is not None and config.figures else None
