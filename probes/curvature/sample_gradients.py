"""The gradient of every sample's loss, as rows of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from .batches import Batch, divided, sample_number
from .graph import Graph
from .graph_ends import graph_ends
from .interception import Functions
from .losses import differentiable_copies
from .module_curvature import InformationOperator
from .objects import flattened
from .strategy import Strategy, column_spans

__all__ = ["SampleGradients"]

# Samples up to which they are gone through one by one, where they cannot be all at once.
_ONE_BY_ONE = 256
# Terms of a sample up to which each is a row: every one is a pass of its own.
_TERMS = 16
# Bytes of the gradients that are taken together on a CPU, or eight samples: the memory of so few is
# used again for the next, that of more is had from the system every time.
_TOGETHER, _FEWEST = 2**24, 8
# Relative difference of two ways to compute the same gradient beyond which they are two gradients.
_SAME = 1e-4


@dataclass(frozen=True)
class _Seen:
    """What a whole batch tells of its units' losses.

    Attributes:
        losses: of every unit, (n m,): a sample's m units one after the other.
        weights: theirs, (n m,).
        check: sum_u cos(u) g_u by leaf, through the whole batch.
        places: of the outputs' leaves that the loss depends on.
        slopes: for each of a sample's units, d loss / d output of these leaves, (n, ...) each.
    """

    losses: Tensor
    weights: Tensor
    check: list[Tensor]
    places: list[int]
    slopes: list[list[Tensor]]


class _NothingSet(Functions):
    """Refuses to set attributes of tensors, which torch.func's transforms are not made for."""

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func`` unless it sets an attribute."""
        if getattr(func, "__name__", "") == "__set__":
            raise RuntimeError("torch.func transforms no model that sets attributes of tensors")
        return func(*args, **kwargs)


class SampleGradients(InformationOperator):
    """The information matrix with its G, (n, N), at hand: row l is J_l^T (d loss_l / d outputs_l).

    The slopes in the outputs are those of the whole batch; J_l^T is applied for every sample alone,
    by `torch.func.vmap` over as many as fit in the memory, or one sample after another where vmap
    fails or the model writes to anything as it is called. G^T w for one vector w must be the
    gradient through the whole batch.

    Arguments as in `InformationOperator`; ``memory`` is for G, once while it is built up and once
    beside it for the graphs of the samples that are gone through together.

    Raises:
        ValueError: as `InformationOperator`; and where `InformationOperator` is the way: samples
            that are not independent, a loss that reads parameters, outputs without samples along
            their first axis, too many samples to go through one by one, or more than the memory
            holds.
    """

    @property
    def rows(self) -> Tensor:
        """G, (n, N): the gradient of every unit's loss."""
        return self._rows

    @property
    def weights(self) -> Tensor:
        """What every unit counts by, (n,); ones unless the loss is a `WeightedMean`."""
        return self._unit_weights

    def columns(self) -> dict[str, slice]:
        """Where each parameter's entries are in a row."""
        found, start = {}, 0
        for name, leaf in zip(self._own, self._leaves, strict=True):
            found[name] = slice(start, start + leaf.numel())
            start += leaf.numel()
        return found

    def tell_of(self, names: Sequence[str]) -> None:
        """Let the probe know which of these parameters no gradient reaches."""
        self._observed.unreached.update(
            dict.fromkeys(name for name in names if name in self._unreached)
        )

    def _tell_of_unreached(self) -> None:
        """Not yet: a block that none reaches is refused."""

    def matmul(self, panel: Tensor) -> Tensor:
        """F V for V (size, width); same shape."""
        pushed = self._rows @ panel
        product: Tensor = self._rows.mT @ (self._unit_weights[:, None] * pushed)
        return product / self._weight if self._reduction == "mean" else product

    def _first_pass(self, strategy: Strategy | None) -> None:
        self._samples, self._weight = 0, 0.0
        found: list[Tensor] = []
        shares: list[Tensor] = []
        for batch in self._batches:
            self._require_device(batch)
            if not self._samples:
                per_sample, _ = self._measured(batch)
                self._part = max(1, int(self._memory / per_sample))
            for part in self._parts(batch):
                rows, weights = self._taken(part, per_sample)
                found.append(rows)
                shares.append(weights)
                self._samples += sample_number(part)
                self._weight += float(weights.sum())
                self._require_room(sum(map(len, found)))
        self._first = False
        if not self._weight > 0:
            raise ValueError("loss: expected terms with a weight, got a sum of weights of 0")
        self._rows = _joined(found)
        self._unit_weights = shares[0] if len(shares) == 1 else torch.cat(shares)
        self._require_in_range()

    def _require_room(self, units: int) -> None:
        if units * self.size * self.dtype.itemsize > self._memory / 2:
            raise ValueError(
                f"data: expected gradients within {self._memory // 2} bytes, got {units} of "
                f"{self.size} entries"
            )

    def _require_in_range(self) -> None:
        """Refuse squares beyond the numbers' range."""
        limits = torch.finfo(self.dtype)
        largest = float(torch.linalg.vector_norm(self._rows, dim=1).max()) ** 2
        small = largest < limits.tiny / limits.eps and bool(self._rows.count_nonzero())
        if small or not math.isfinite(largest) or largest > limits.max * limits.eps:
            raise ValueError(
                f"loss: expected one whose squared gradients are within {self.dtype}, got "
                f"{largest:.2g}"
            )

    def _graph(self, outputs: Any, targets: Any, samples: int) -> Graph:
        """Of the losses alone, for its size."""
        losses, _ = self._units(outputs, targets, samples)
        return Graph(losses.sum(), samples, samples, list)

    def _taken(self, batch: Batch, per_sample: float) -> tuple[Tensor, Tensor]:
        """The rows of one batch, and their weights."""
        number = sample_number(batch)
        self._require_room(number)
        seen = self._observed.evaluated(lambda: self._seen(batch, number), self._placed)
        writes = self._observed.changed
        units = len(seen.losses)
        self._require_room(units)
        # Beside its graph its rows, in the making and as they are put together.
        row = units // number * self.size * self.dtype.itemsize
        at_once = max(1, min(number, int(self._memory / 2 / (per_sample + 3 * row))))
        if self.device.type == "cpu":
            at_once = min(at_once, max(_FEWEST, _TOGETHER // row))
        rows = torch.empty(units, self.size, dtype=self.dtype, device=self.device)
        if writes or not self._is_transformed(batch, seen, at_once, rows):
            if number > _ONE_BY_ONE:
                raise ValueError(
                    f"model: expected one that torch.func.vmap takes sample by sample, or at most "
                    f"{_ONE_BY_ONE} samples, got {number}"
                )
            self._one_by_one(batch, seen, rows)
        expected = torch.cat([part.reshape(-1) for part in seen.check])
        if not bool((_phases(seen.losses) @ rows - expected).norm() <= _SAME * expected.norm()):
            raise ValueError(
                "model: expected samples that it treats independently, got gradients of samples "
                "alone that are not those through the whole batch"
            )
        return rows, seen.weights

    def _seen(self, batch: Batch, number: int) -> _Seen:
        inputs, targets = batch
        outputs = self._observed.outputs(inputs)
        losses, shares = self._units(outputs, targets, number)
        if len(losses) % number or len(losses) > _TERMS * number:
            raise ValueError(
                f"loss: expected up to {_TERMS} terms for each of {number} samples, "
                f"got {len(losses)} terms"
            )
        check = self._gradient([losses], [_phases(losses)], differentiable=False)
        copies, ends = differentiable_copies(outputs)
        alone, _ = self._units(copies, targets, number)
        own = {id(leaf) for leaf in self._leaves}
        if any(id(end) in own for end in graph_ends(alone)):
            raise ValueError("loss: expected a function of the outputs, got one of parameters too")
        slopes = [
            torch.autograd.grad(
                part.sum(), ends, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for part in alone.view(number, -1).unbind(1)
        ]
        leaves, _ = flattened(copies)
        places, chosen = [], []
        for place, end in enumerate(ends):
            if not any(bool(slope[place].count_nonzero()) for slope in slopes):
                continue
            if not end.ndim or len(end) != number:
                raise ValueError(
                    f"model: expected outputs with {number} samples along their first axis, got "
                    f"shape {tuple(end.shape)}"
                )
            places.append(next(i for i, leaf in enumerate(leaves) if leaf is end))
            chosen.append(place)
        weights = torch.ones_like(losses) if shares is None else shares
        return _Seen(
            losses.detach(),
            weights.detach(),
            [part.detach() for part in check],
            places,
            [[slope[place] for place in chosen] for slope in slopes],
        )

    def _is_transformed(self, batch: Batch, seen: _Seen, at_once: int, rows: Tensor) -> bool:
        """Whether the rows could be filled in by torch.func, so many samples together."""
        try:
            self._all_at_once(batch, seen, at_once, rows)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # for what it cannot transform, of any kind
            return False
        return True

    def _all_at_once(self, batch: Batch, seen: _Seen, at_once: int, rows: Tensor) -> None:
        """Fill in the rows, so many samples together."""
        number = sample_number(batch)
        leaves, spec = tree_flatten(batch[0])
        split = [
            i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.ndim and len(x) == number
        ]
        constants = [leaf.detach() for leaf in self._leaves]
        units = rows.view(number, -1, self.size)

        def pulled(samples: list[Tensor], slopes: list[list[Tensor]]) -> list[tuple[Tensor, ...]]:
            own = list(leaves)
            for i, sample in zip(split, samples, strict=True):
                own[i] = sample.unsqueeze(0)

            def outputs(*parameters: Tensor) -> list[Tensor]:
                others = dict(zip(self._leaves, parameters, strict=True))
                with _NothingSet():
                    found = self._observed.outputs_at(tree_unflatten(own, spec), others)
                every, _ = flattened(found)
                return [every[place] for place in seen.places]

            pull = vjp(outputs, *constants)[1]
            return [pull([slope.unsqueeze(0) for slope in unit]) for unit in slopes]

        def body() -> None:
            with torch.no_grad():
                for part in column_spans(number, at_once):
                    samples = [leaves[i][part] for i in split]
                    slopes = [[slope[part] for slope in unit] for unit in seen.slopes]
                    for unit, found in enumerate(vmap(pulled)(samples, slopes)):
                        for gradient, columns in zip(found, self.columns().values(), strict=True):
                            units[part, unit, columns] = gradient.flatten(1)

        self._observed.evaluated(body, self._placed)

    def _one_by_one(self, batch: Batch, seen: _Seen, rows: Tensor) -> None:
        """Fill in the rows, one sample after another."""
        units = rows.view(sample_number(batch), -1, self.size)
        for place, (inputs, _) in enumerate(divided(batch, 1)):

            def body(inputs: Any = inputs, place: int = place) -> list[Tensor]:
                every, _ = flattened(self._observed.outputs(inputs))
                outputs = [every[i] for i in seen.places]
                return [
                    self._flat_gradient(outputs, [slope[place : place + 1] for slope in slopes])
                    for slopes in seen.slopes
                ]

            for unit, row in enumerate(self._observed.evaluated(body, self._placed)):
                units[place, unit] = row

    def _flat_gradient(self, outputs: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        found = self._gradient(outputs, slopes, differentiable=False, retain=True)
        return torch.cat([part.reshape(-1) for part in found])


def _joined(parts: list[Tensor]) -> Tensor:
    """All rows one below the other; every part goes as soon as it is copied."""
    if len(parts) == 1:
        return parts[0]
    rows = parts[0].new_empty(sum(map(len, parts)), parts[0].shape[1])
    stop = len(rows)
    while parts:
        part = parts.pop()
        rows[stop - len(part) : stop] = part
        stop -= len(part)
        del part
    return rows


def _phases(losses: Tensor) -> Tensor:
    """Weights of the units that no symmetry of theirs cancels, (n,)."""
    return torch.arange(len(losses), dtype=losses.dtype, device=losses.device).cos()
