"""A figure with what a page says of it: of a run, or of a system without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from ...probes.records.record_file import Run
from .style import Columns

__all__ = ["RunFigure", "SystemFigure"]


@dataclass(frozen=True)
class RunFigure:
    """A figure drawn from what the data file of a run holds.

    Attributes:
        name: of its files, and on the command line.
        title: first words of its caption.
        text: what there is to see, also for those who cannot.
        shows: whether a run holds what it shows; it is left out otherwise.
        draw: the figure, for so many columns of a page.
    """

    name: str
    title: str
    text: str
    shows: Callable[[Run], bool]
    draw: Callable[[Run, Columns], Figure]


@dataclass(frozen=True)
class SystemFigure:
    """A figure of a system that needs no run.

    Attributes:
        name: of its files, and on the command line.
        draw: the figure, for so many columns of a page.
    """

    name: str
    draw: Callable[[Columns], Figure]
