"""The sharpness of each block beside the one at which the optimiser's steps grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..theory.matrix_kind import HESSIAN
from ..theory.protocol import Selection
from ..theory.quantity import Quantity
from ..theory.spectrum import Spectrum
from .curvature.batches import Batched
from .curvature.derived import Derived
from .curvature.operator import CurvatureOperator
from .curvature.wrappers import unwrap
from .krylov.eigenpairs import eigenpairs
from .operators import groups
from .setup import Setup
from .stability import CriticalCurvature, critical_curvature

__all__ = ["Preconditioned", "Sharpness", "sharpness_quantities", "sharpnesses"]

SHARPNESS = "sharpness"
PRECONDITIONED = "preconditioned_sharpness"
_UNITS = {
    SHARPNESS: HESSIAN.unit,
    PRECONDITIONED: "1 / learning rate",
}


class Preconditioned(Derived):
    """P^(-1/2) H P^(-1/2),  P diagonal and positive.

    Args:
        original: H.
        preconditioner: P, (N,); an infinite entry takes its row out.
    """

    def __init__(self, original: CurvatureOperator, preconditioner: Tensor) -> None:
        super().__init__(original)
        self._root = preconditioner.rsqrt().to(original.device, original.dtype)[:, None]

    def matmul(self, panel: Tensor) -> Tensor:
        """As the class says."""
        return self._root * (self.original @ (self._root * panel))


@dataclass(frozen=True)
class Sharpness:
    """Of one block.

    Attributes:
        block: its name.
        value: largest eigenvalue of P^(-1/2) H P^(-1/2); NaN if the critical curvature is unknown.
        error: of it: residual and, where P = 1, standard error over the draw of the samples.
        critical: the curvature at which steps grow.
    """

    block: str
    value: float
    error: float
    critical: CriticalCurvature

    @property
    def stability(self) -> float:
        """Value over threshold: above 1 steps grow."""
        return self.value / self.critical.threshold

    @property
    def name(self) -> str:
        """Of the quantity it is."""
        return SHARPNESS if self.critical.preconditioner is None else PRECONDITIONED


def sharpnesses(
    setup: Setup,
    step: int,
    module: nn.Module,
    batch: Batched,
    spectra: Sequence[tuple[Selection, Spectrum]],
    by_head: bool,
) -> list[Sharpness]:
    """Of each block whose Hessian was measured; products are taken only where P is not 1.

    Args:
        setup: of the probe, with a learning rate.
        step: optimiser steps taken.
        module: unwrapped.
        batch: the probe sample of this process.
        spectra: what was measured.
        by_head: see `groups`.
    """
    assert setup.learning_rate is not None
    trained = dict(unwrap(setup.model).named_parameters())
    found: list[Sharpness] = []
    for selection, spectrum in spectra:
        if selection.matrix != HESSIAN.name:
            continue
        parameters = [trained[name] for name in selection.parameters]
        critical = critical_curvature(setup.learning_rate, step, parameters, selection.rows)
        if math.isnan(critical.threshold):
            value, error = math.nan, math.nan
        elif critical.preconditioner is None:
            top = spectrum.top[0]
            known = [each for each in (top.error, top.sampling_error) if math.isfinite(each)]
            value, error = top.value, math.hypot(*known)
        else:
            (group,) = groups(setup, module, batch, [selection], by_head)
            operator = Preconditioned(group.build(), critical.preconditioner)
            generator = setup.generator(step, 0, (5, len(found)))
            value, error = _largest(operator, setup.measurement.tolerance, generator)
        found.append(Sharpness(selection.block, value, error, critical))
    return found


def sharpness_quantities(found: Sequence[Sharpness], blocks: Sequence[str]) -> list[Quantity]:
    """Quantities "sharpness" and "preconditioned_sharpness", steps growing at their thresholds.

    Args:
        found: of the blocks; those that are not known have no number.
        blocks: names of those that are always measured: each is a number by itself if there is one,
            else they are the entries.
    """
    quantities = []
    for name in (SHARPNESS, PRECONDITIONED):
        own = {each.block: each for each in found if each.name == name and each.block in blocks}
        own = {block: each for block, each in own.items() if not math.isnan(each.value)}
        if not own:
            continue
        one = len(blocks) == 1
        known = [own.get(block) for block in blocks]
        values, errors, thresholds = np.array(
            [
                (math.nan,) * 3
                if each is None
                else (each.value, each.error, each.critical.threshold)
                for each in known
            ]
        ).T
        quantities.append(
            Quantity(
                name,
                values[0] if one else values,
                _UNITS[name],
                () if one else (tuple(blocks),),
                errors=errors[0] if one else errors,
                threshold=thresholds[0] if one else thresholds,
            )
        )
    return quantities


def _largest(
    operator: CurvatureOperator, tolerance: float, generator: torch.Generator
) -> tuple[float, float]:
    found = eigenpairs(operator, largest=1, tolerance=tolerance, vectors=False, generator=generator)
    return float(found.values.flatten()[0]), float(found.residuals.flatten()[0])
