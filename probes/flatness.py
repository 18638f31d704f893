"""Flatness of a minimum: how error and loss grow as the weights are perturbed at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..models.arguments import require_fields, require_least
from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray
from .curvature.batches import Batch, Inputs
from .curvature.losses import Loss, sample_losses, scalar_loss

__all__ = ["FlatnessProfile", "Wrong", "wrong_labels"]

# Whether each sample's output is wrong, (n,), of outputs and targets; None where nothing is.
Wrong = Callable[[Any, Any], Tensor | None]


def wrong_labels(outputs: Any, targets: Any) -> Tensor | None:
    """arg max of logits (n, k) against labels (n,); the sign of scores (n,) against -1, 1.

    None for outputs and targets of any other kind.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or targets.ndim != 1:
        return None
    if outputs.ndim == 2 and not targets.is_floating_point():
        return outputs.argmax(-1) != targets
    if outputs.shape == targets.shape and bool((targets.abs() == 1).all()):
        return outputs * targets < 0
    return None


@dataclass(frozen=True)
class FlatnessProfile:
    """E error and E loss at w + s |w| g / N^(1/2),  g ~ N(0, I_N),  for each s; a `Measure`.

    Quantities are "flatness_error" and "flatness_loss" of the probe sample, or of each named batch,
    "flatness_NAME_error", with one entry an s. Their standard errors hold both that of the draws of
    g and that of the draw of the samples: (Var_g / draws + Var_samples / n)^(1/2), each variance of
    means over the other. Costs draws * len(perturbations) evaluations of each batch.

    Attributes:
        perturbations: s >= 0.
        draws: of g, at least 2; the same for every s and batch.
        data: named batches; the probe sample if empty.
        parameters: names of those that are perturbed, as one vector w of N entries; all that are
            trained if empty.
        wrong: which samples count as errors.
        name: for messages.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    perturbations: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0)
    draws: int = 16
    data: Mapping[str, Batch] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    wrong: Wrong = wrong_labels
    name: str = "flatness"

    def __post_init__(self) -> None:
        require_fields(self)
        wrong = [s for s in self.perturbations if not (math.isfinite(s) and s >= 0)]
        if wrong or not self.perturbations:
            got = wrong[0] if wrong else "none"
            raise ValueError(f"perturbations: expected numbers of at least 0, got {got}")
        if len(set(self.perturbations)) < len(self.perturbations):
            raise ValueError(f"perturbations: expected each once, got {self.perturbations}")
        require_least("draws", self.draws, 2)

    def __call__(
        self, model: nn.Module, loss: Loss, batch: Batch, generator: torch.Generator
    ) -> Sequence[Quantity]:
        """The profiles.

        Args:
            model: any.
            loss: mean over samples of (outputs, targets).
            batch: the probe sample, used if there is no ``data``.
            generator: on the CPU, source of g.

        Raises:
            ValueError: if a parameter is unknown.
        """
        start = self._start(model)
        named = self.data or {"": batch}
        tables: dict[str, list[list[tuple[Tensor, Tensor | None]]]] = {key: [] for key in named}
        with torch.no_grad():
            for _ in range(self.draws):
                noise = _noise(start, generator)
                for table in tables.values():
                    table.append([])
                for s in self.perturbations:
                    moved = {name: w + s * noise[name] for name, w in start.items()}
                    for key, (inputs, targets) in named.items():
                        outputs = _called(model, moved, inputs)
                        row = _losses(loss, outputs, targets), self.wrong(outputs, targets)
                        tables[key][-1].append(row)
        found: list[Quantity] = []
        for key, table in tables.items():
            prefix = f"{self.name}_{key}_" if key else f"{self.name}_"
            columns = list(zip(*table, strict=True))
            if all(wrong is not None for column in columns for _, wrong in column):
                errors = [[wrong for _, wrong in column if wrong is not None] for column in columns]
                found.append(self._quantity(f"{prefix}error", errors, "share"))
            losses = [[each for each, _ in column] for column in columns]
            found.append(self._quantity(f"{prefix}loss", losses, "loss"))
        return found

    def _start(self, model: nn.Module) -> dict[str, Tensor]:
        trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        unknown = [name for name in self.parameters if name not in trained]
        if unknown or not trained:
            raise ValueError(
                f"parameters: expected names among {list(trained)}, got {unknown or 'none'}"
            )
        return {name: trained[name] for name in self.parameters or trained}

    def _quantity(self, name: str, columns: Sequence[Sequence[Tensor]], unit: str) -> Quantity:
        axis = tuple(f"s={s:g}" for s in self.perturbations)
        rows = np.array([_mean_and_error(column) for column in columns])
        return Quantity(name, rows[:, 0], unit, (axis,), errors=rows[:, 1])


def _noise(start: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """|w| g / N^(1/2) over all the tensors together."""
    length = math.sqrt(sum(float(w.double().square().sum()) for w in start.values()))
    scale = length / math.sqrt(sum(w.numel() for w in start.values()))
    return {
        name: scale * torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
        for name, w in start.items()
    }


def _called(model: nn.Module, parameters: dict[str, Tensor], inputs: Inputs) -> Any:
    if isinstance(inputs, Tensor):
        return functional_call(model, parameters, (inputs,))
    if isinstance(inputs, Mapping):
        return functional_call(model, parameters, (), dict(inputs))
    return functional_call(model, parameters, tuple(inputs))


def _losses(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """Each sample's, (n,), or the one number of a loss that is no mean over samples, (1,)."""
    try:
        return sample_losses(loss, outputs, targets)
    except ValueError:
        return scalar_loss(loss(outputs, targets))[None]


def _mean_and_error(draws: Sequence[Tensor]) -> FloatArray:
    """Of values (n,) at each draw: the mean of all, and its standard error."""
    table = torch.stack([each.double() for each in draws])
    over_draws = table.mean(1).var() / len(table)
    over_samples = table.mean(0).var() / table.shape[1] if table.shape[1] > 1 else 0.0
    error = math.sqrt(float(over_draws + over_samples))
    return np.array([float(table.mean()), error])
