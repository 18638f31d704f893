"""Seconds of processor time of one build; run as a program, in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["ensemble_seconds", "run_seconds", "step_seconds"]

STEPS, ROUNDS = 500, 8


def run_seconds(config: Any) -> float:
    """Of a single run, probed and predicted."""
    from spectrain.training.run import run

    with tempfile.TemporaryDirectory() as folder:
        return _took(lambda: run(config, f"{folder}/run"))


def ensemble_seconds(config: Any, seeds: int) -> float:
    """Of an ensemble, all its members and the mean."""
    from spectrain.training.ensemble import ensemble

    with tempfile.TemporaryDirectory() as folder:
        return _took(lambda: ensemble(config, f"{folder}/runs", seeds=seeds))


def step_seconds(config: Any) -> tuple[float, float]:
    """Of a step of SGD, the draw of its batch included: by autograd, and by hand as `run` has it.

    The least of several, in turn, so that a busy spell of the machine meets both.
    """
    from spectrain.training.head_sgd import head_sgd
    from spectrain.training.loop import fit

    system = config.build(torch.Generator().manual_seed(0))
    batches = system.batches(torch.Generator().manual_seed(1))
    by_hand = head_sgd(system.model, system.loss, system.optimiser)

    def steps(sgd: Any) -> None:
        fit(
            *(system.model, system.loss, batches, system.optimiser),
            epochs=1,
            steps_per_epoch=STEPS,
            by_hand=sgd,
        )

    steps(None)
    rounds = [[_took(lambda sgd=sgd: steps(sgd)) for sgd in (None, by_hand)] for _ in range(ROUNDS)]
    autograd, hand = (min(each) / STEPS for each in zip(*rounds, strict=True))
    return autograd, hand


def _took(job: Callable[[], object]) -> float:
    start = time.process_time()
    job()
    return time.process_time() - start


def main() -> None:
    """Print the seconds as JSON."""
    from spectrain.training.systems import SYSTEMS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    what, system, key, size, *rest = sys.argv[1:]
    config = SYSTEMS[system](**{key: int(size)})
    # Modules that torch and the theory import late are not what is timed.
    SYSTEMS[system](**{key: 20}).build(torch.Generator().manual_seed(0))
    if what == "run":
        print(json.dumps(run_seconds(config)))
    elif what == "ensemble":
        print(json.dumps(ensemble_seconds(config, int(rest[0]))))
    else:
        print(json.dumps(step_seconds(config)))


if __name__ == "__main__":
    main()
