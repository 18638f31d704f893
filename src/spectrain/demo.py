"""The demo: two trainings, measured beside predicted, with figures and a closing table."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .figures.catalogue import drawings_of_run, drawings_without_run
from .figures.drawing import Drawing, draw_figures
from .training.callbacks import ProgressBar
from .training.config import TrainingConfig
from .training.run import run
from .training.systems import SYSTEMS
from .views.figures.own_files import require_own
from .views.sinks.tensorboard import TensorBoardSink
from .views.table import format_table

__all__ = ["FULL", "QUICK", "Programme", "demo"]


@dataclass(frozen=True)
class Programme:
    """What the demo shows.

    Attributes:
        trainings: are run one after the other, each of another system.
        drawings: the figures that need no run, by name.
    """

    trainings: tuple[TrainingConfig, ...]
    drawings: Mapping[str, Drawing]


def _programme(quick: bool) -> Programme:
    """What the systems show of themselves that take part, in the order of the registry."""
    shown = (config.shown(quick) for config in SYSTEMS.values())
    trainings = tuple(config for config in shown if config is not None)
    drawings = drawings_without_run(quick=quick, systems=[type(each) for each in trainings])
    return Programme(trainings, drawings)


FULL = _programme(quick=False)
QUICK = _programme(quick=True)


def demo(
    folder: Path,
    figures: Path,
    programme: Programme = FULL,
    say: Callable[[str], None] = print,
) -> None:
    """Train what each system shows of itself, probe it, draw, and compare with theory.

    Args:
        folder: gets one run folder for each system; must hold none of them yet.
        figures: folder for the transition figures.
        programme: what is trained, and at which size.
        say: receives the lines of text.

    Raises:
        ValueError: if a run folder exists already; before anything is trained, if another program's
            picture has the name of a figure.
    """
    names = (*(f"{each.system}-" for each in programme.trainings), *programme.drawings)
    for path in sorted(figures.glob("*")):
        if path.name.startswith(names):
            require_own(path)
    start = time.perf_counter()
    for config in programme.trainings:
        result = run(
            config,
            folder / config.system,
            # At the probings that are thorough, which have blocks that others lack.
            sinks=[_board(config, pictures_every=max(1, config.epochs // 2))],
            callbacks=[ProgressBar(config.epochs * config.steps_per_epoch, config.system)],
        )
        draw_figures(figures, drawings_of_run(result), prefix=f"{config.system}-")
        say(f"\n{config.title}")
        say(format_table(result.records))
    draw_figures(figures, programme.drawings)
    say(f"\ndone in {time.perf_counter() - start:.0f} s")
    say(f"figures: {figures}/")
    say(f"records: spectrain.load({str(folder / programme.trainings[0].system)!r})")
    say(f"board:   spectrain board {shlex.quote(str(folder))}")


def _board(config: TrainingConfig, pictures_every: int) -> Callable[[Path, int], TensorBoardSink]:
    return lambda path, step: TensorBoardSink(
        path,
        step,
        figures_every=pictures_every,
        dimension=config.to_dict().get("dimension"),
        config=config.to_dict(),
    )
