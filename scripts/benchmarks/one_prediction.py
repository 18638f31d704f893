"""What predictions and forecasts take with one build; run as a program, in a process of its own.

It uses what every build has, under whichever name that build has it.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["seconds"]

_STATISTICS = ("theory.mixture.statistics", "theory.statistics")
_SELECTION = ("theory.protocol", "theory.mixture_theory")
_MATRICES = ("hessian", "information")


def seconds(config: Any, grams: list[list[list[float]]]) -> dict[str, list[float]]:
    """Processor seconds of the prediction and of the forecast at each epoch.

    Args:
        config: of a training on a mixture, whose initial head parameters stay.
        grams: Gram matrix at the start and after each epoch. The whole layer is predicted too at
            the start, in the middle and at the end, as the probe asks.
    """
    system = config.build(torch.Generator().manual_seed(0))
    theory, last = system.theory, len(grams) - 1
    parameters = theory.statistics(system.model).parameters
    found = [_of(_STATISTICS, "Statistics")(np.array(gram), parameters) for gram in grams]
    steps = config.steps_per_epoch
    taken: dict[str, list[float]] = {"predictions": [], "forecasts": []}
    for epoch, statistics in enumerate(found):
        thorough = epoch in (0, (last + 1) // 2, last)
        blocks = (*system.blocks, *(system.rare_blocks if thorough else ()))
        asked = [
            _of(_SELECTION, "Selection")(matrix, block.name, block.parameters, block.rows)
            for block in blocks
            for matrix in _MATRICES
        ]
        if epoch == 0:  # what depends on the head alone is found once
            theory.predict(statistics, asked[: len(_MATRICES)], True)
        taken["predictions"].append(_took(theory.predict, statistics, asked, True))
        taken["forecasts"].append(_took(_forecast, theory, found[0], epoch * steps, asked))
    return taken


def _forecast(theory: Any, start: Any, steps: int, asked: list[Any]) -> None:
    if hasattr(theory, "clock"):
        theory.forecast(start, steps, asked)
        return
    at = theory.time(steps)
    theory.forecast_band(start, at)
    theory.predict(theory.forecast(start, at), asked, False)


def _took(job: Callable[..., object], *arguments: object) -> float:
    start = time.process_time()
    job(*arguments)
    return time.process_time() - start


def _of(modules: tuple[str, ...], name: str) -> Any:
    """What a build has under this name, in the first of these modules that it has."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"spectrain.{module}"), name)
        except ModuleNotFoundError:
            continue
    raise ImportError(f"no {name} in {modules}")


def main() -> None:
    """Print the seconds as JSON."""
    from spectrain.training.systems import SYSTEMS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    given = json.loads(Path(sys.argv[1]).read_text())
    config = SYSTEMS["two-layer-mixture"](epochs=len(given) - 1)
    print(json.dumps(seconds(config, given)))


if __name__ == "__main__":
    main()
