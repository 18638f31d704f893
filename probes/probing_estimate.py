"""What a whole probing will take, from trial products of each of its operators."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import nn

from ..theory.protocol import Selection
from .curvature.batches import together
from .curvature.borrowed import counted
from .curvature.loss_gradient import mean_gradient
from .curvature.observe import undisturbed
from .curvature.sample_space import SampleSpace
from .estimate import Estimate, LiveTensors, krylov_cost
from .krylov.frames import random_frame
from .operators import groups
from .sample_spectra import sample_spectrum
from .scores import pooled, scores_over
from .setup import Setup

__all__ = ["probing_estimate"]


def probing_estimate(setup: Setup, module: nn.Module) -> Estimate:
    """Seconds, bytes and passes of a probing that is not thorough.

    Args:
        setup: of the probe.
        module: unwrapped, inside `undisturbed`.

    Raises:
        Exception: what the probing would fail with.
    """
    measurement, theory = setup.measurement, setup.predicting_theory
    selections = [
        Selection(matrix.kind.name, block.name, tuple(block.resolve(module)), block.rows)
        for block in setup.blocks
        for matrix in setup.matrices
    ]
    parts: dict[str, float] = {}
    storage = dict.fromkeys(("basis", "coefficients", "products", "tracking"), 0)
    passes, spared = 0, 0.0
    with _timed(parts, "sample"):
        batch = setup.batch(0, 0)
    with _timed(parts, "loss"):
        with setup.processes.agreed():
            own = scores_over(module, setup.loss, batch)
            own = replace(own, weight=counted(batch, own.weight))
        by_head = pooled(own, setup.processes)[1] == "head"
    with _timed(parts, "spectra"):
        for group in groups(setup, module, batch, selections, by_head):
            operator = group.build()
            wanted = measurement.eigenvalues + measurement.smallest
            if measurement.tracking:
                kept = len(group.selections) * operator.size * min(wanted, operator.size)
                storage["tracking"] += kept * operator.dtype.itemsize
            generator = setup.generator(0, 0, (1,))
            if isinstance(operator, SampleSpace):  # as long as it takes: there is no trial of it
                sample_spectrum(operator, measurement, generator, density=measurement.density)
                continue
            start = time.perf_counter()
            width = measurement.widths(operator, density=measurement.density, warm=False)[0]
            min_steps, max_steps = measurement.steps(operator, width, density=measurement.density)
            cost = krylov_cost(
                operator,
                width=width,
                min_steps=min_steps,
                max_steps=max_steps,
                density=measurement.density,
                generator=generator,
            )
            # The trials took this long, a run will take that long.
            spared += cost.seconds - (time.perf_counter() - start)
            passes += cost.passes
            storage["basis"] = max(storage["basis"], cost.basis)
            storage["coefficients"] = max(storage["coefficients"], cost.coefficients)
    parts["spectra"] += spared
    if measurement.tracking:
        with _timed(parts, "tracking"), setup.processes.agreed():
            mean_gradient(module, setup.loss, batch)
    if theory is not None:
        with _timed(parts, "prediction"), setup.processes.agreed():
            with undisturbed(module, setup.loss) as observed:
                statistics = observed.apart(
                    lambda own: theory.statistics(module, own), together(batch)
                )
            theory.predict(statistics, selections, measurement.density)
        # A forecast is another prediction.
        parts["forecast"] = parts["prediction"] if not math.isnan(theory.clock(0).time) else 0.0
    with LiveTensors() as live:
        for group in groups(setup, module, batch, selections, by_head):
            operator = group.build()
            width = measurement.widths(operator, density=measurement.density, warm=False)[0]
            operator @ random_frame(
                operator, min(width, operator.size), setup.generator(0, 0, (1,))
            )
    storage["products"] = live.peak
    return Estimate(
        sum(parts.values()), sum(storage.values()), passes, parts=parts, storage=storage
    )


@contextmanager
def _timed(parts: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - start
