"""The figures of a run, and those that need none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from .probes.records.record_file import Run
from .training.systems import SoftmaxMixtureConfig
from .views import figures as views
from .views.figures import style
from .views.figures.run_figures import RUN_FIGURES

__all__ = ["NAMES", "RUN_FIGURES", "SWEEP_FIGURES", "Scale", "draw_figures"]


@dataclass(frozen=True)
class Scale:
    """How much is measured for the figures that need no run.

    Attributes:
        dimension: d of the static transition; the phase diagram takes 60 % of it.
        sweep: number of values of snr in the static transition.
        fine: values of snr, and of the aspect ratio, in the predicted phase diagram.
        coarse: the same in the measured one.
    """

    dimension: int = 1000
    sweep: int = 14
    fine: tuple[int, int] = (36, 36)
    coarse: tuple[int, int] = (6, 5)


def _static_transition(scale: Scale, columns: style.Columns) -> Figure:
    from .training.systems.mixture_sweeps import snr_sweep

    config = SoftmaxMixtureConfig(dimension=scale.dimension)
    snrs = np.geomspace(0.5, 8, scale.sweep)
    with tqdm(total=len(snrs), desc="static transition", unit="probing", disable=None) as bar:
        sweep = snr_sweep(config, snrs, bar.update)
    return views.static_transition(sweep, columns)


def _phase_diagram(scale: Scale, columns: style.Columns) -> Figure:
    from .training.systems.mixture_sweeps import count_maps

    config = SoftmaxMixtureConfig(dimension=round(0.6 * scale.dimension))
    fine = (np.geomspace(0.5, 8, scale.fine[0]), np.geomspace(0.5, 8, scale.fine[1]))
    coarse = (np.geomspace(0.6, 7, scale.coarse[0]), np.geomspace(0.6, 7, scale.coarse[1]))
    total = scale.coarse[0] * scale.coarse[1]
    with tqdm(total=total, desc="phase diagram", unit="probing", disable=None) as bar:
        maps = count_maps(config, "hessian", fine, coarse, bar.update)
    return views.phase_diagram(*maps, columns)


# Figures by name, those of a run apart. To add one: a function of its material, a line here.
SWEEP_FIGURES: dict[str, Callable[[Scale, style.Columns], Figure]] = {
    "static-transition": _static_transition,
    "phase-diagram": _phase_diagram,
}
NAMES = (*SWEEP_FIGURES, *RUN_FIGURES)


def draw_figures(
    output: Path,
    run: Run | None = None,
    only: Sequence[str] = (),
    scale: Scale | None = None,
    prefix: str = "",
    columns: style.Columns = 2,
) -> list[Path]:
    """Draw figures as PNG and PDF.

    Args:
        output: folder for the files, made if need be.
        run: draw the figures of this run; None draws those that need none.
        only: names of the figures wanted; empty means all.
        scale: of the figures that need no run.
        prefix: of the file names.
        columns: of a page that each figure spans.

    Returns:
        Paths of the PNG files.

    Raises:
        ValueError: if a name is unknown, or needs a run and there is none, or the other way round.
    """
    known = RUN_FIGURES if run is not None else SWEEP_FIGURES
    unknown = [name for name in only if name not in known]
    if unknown:
        kind = "of a run" if run is not None else "that need no run"
        raise ValueError(f"only: expected figures {kind}, {sorted(known)}, got {unknown}")
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name in only or known:
        if run is not None:
            figure = RUN_FIGURES[name](run, columns)
        else:
            figure = SWEEP_FIGURES[name](scale or Scale(), columns)
        written.append(style.save(figure, output / f"{prefix}{name}")[0])
    return written
