"""SGD of models whose loss is a head of x^T Y, by gradients written by hand, many models at once.

    x_r <- x_r - lr [ (1/B) sum_b g_rb (x) Y_rb + decay x_r ]
    v_r <- v_r - lr [ (1/B) sum_b k_rb + decay v_r ],     (g, k)_rb = d ell/d(h, v) at x_r^T Y_rb

is torch's SGD on the mean loss of each model r, without a graph and without a loop over the models.
With momentum m the bracket goes into a buffer, u <- m u + [...], which the step follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.heads import LogisticHead, SoftmaxHead, TwoLayerHead
from ..models.logistic_regression import LogisticRegression
from ..models.softmax_regression import SoftmaxRegression
from ..models.two_layer import TwoLayerNetwork
from ..probes.curvature.losses import Loss

__all__ = ["HeadSGD", "head_sgd"]

# Exactly these: what a subclass computes, or a hook, is not known here.
_MODELS = (SoftmaxRegression, LogisticRegression, TwoLayerNetwork)
_ProvidedModel = SoftmaxRegression | LogisticRegression | TwoLayerNetwork
_ProvidedHead = SoftmaxHead | LogisticHead | TwoLayerHead
# Parameters that an optimiser trains, by their ids: the group of each, and the optimiser.
_Trained = dict[int, tuple[dict[str, Any], torch.optim.Optimizer | None]]

# Preactivations that are kept before losses are made of them.
_NUMBERS = 2**20


def head_sgd(model: nn.Module, loss: Loss, optimiser: torch.optim.Optimizer) -> HeadSGD | None:
    """The steps of one model by hand; None if they might be other ones than the optimiser's.

    They are the same for a provided model, without hooks, with the loss of its head, under SGD with
    weight decay and momentum.
    """
    return HeadSGD([model], [optimiser]) if _is_provided(model, loss, optimiser) else None


class HeadSGD:
    """Takes steps of several models that differ in their weights alone.

    The parameters of all models become parts of one tensor, and momentum buffers in the optimisers'
    states likewise: after each step they hold what torch's own steps would leave there, up to
    rounding. ``.grad`` is not touched.

    Args:
        models: provided ones of equal shape.
        optimisers: one `torch.optim.SGD` for each, with equal settings.

    Raises:
        ValueError: if a model or an optimiser is another one.
    """

    def __init__(
        self, models: Sequence[nn.Module], optimisers: Sequence[torch.optim.Optimizer]
    ) -> None:
        chosen: list[_ProvidedModel] = []
        for model, optimiser in zip(models, optimisers, strict=True):
            if not isinstance(model, _MODELS) or not _is_plain(optimiser):
                raise ValueError(
                    "models, optimisers: expected provided models under SGD with weight decay and "
                    f"momentum alone, got {type(model).__name__} and {type(optimiser).__name__}"
                )
            chosen.append(model)
        first = chosen[0]
        self._head: _ProvidedHead = first.head
        trained: list[_Trained] = [
            {id(p): (group, optimiser) for group in optimiser.param_groups for p in group["params"]}
            for optimiser in optimisers
        ]

        def part(names: Sequence[str]) -> _Part:
            return _Part(
                [[model.get_parameter(name) for name in names] for model in chosen], trained
            )

        count, dimension = first.weight.shape
        self._x = part([first.direction_name])
        # Views are made once: at every step they would take a tenth of it.
        self._directions = self._x.values.view(-1, count, dimension)
        self._columns = self._directions.mT
        self._v = part(first.head_parameter_names) if first.head_parameter_names else None
        self._no_parameters = self._x.values.new_zeros(len(chosen), 0)
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self._losses: list[Tensor] = []
        self._numbers = 0

    @torch.no_grad()
    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One step of each model r on a batch of its own.

        Args:
            inputs: (R, B, d), in the dtype of the models.
            targets: (R, B) int64.
        """
        x, v = self._directions, self._no_parameters if self._v is None else self._v.values
        h = torch.bmm(inputs, self._columns)
        trained = self._v if self._v is not None and self._v.is_trained else None
        slopes = self._head.gradient(h, v, targets, joint=trained is not None)
        if trained is not None:
            count = x.shape[1]
            v = v.clone()  # the losses are those of the parameters before the step
            trained.descend(slopes[..., count:].mean(-2))
            slopes = slopes[..., :count]
        self._x.descend_along(x, slopes, inputs, 1 / inputs.shape[1])
        self._keep(h, v, targets)

    def losses(self) -> Tensor:
        """Mean loss of each step since the last call on its batch, before it: (steps, R)."""
        self._evaluate()
        found = torch.cat(self._losses) if self._losses else self._directions.new_zeros(0, 1)
        self._losses = []
        return found

    @torch.no_grad()
    def last_loss(self) -> Tensor:
        """Mean loss of the last step on its batch, before it, of the first model: ()."""
        h, v, targets = self._last
        losses: Tensor = self._head.losses(self._head.output(h, v), targets)
        return losses[0].mean()

    def _keep(self, h: Tensor, v: Tensor, targets: Tensor) -> None:
        self._last = h, v, targets
        self._kept.append(self._last)
        self._numbers += h.numel()
        if self._numbers > _NUMBERS:
            self._evaluate()

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Of all steps at once: of each as it is taken they would cost more than the step."""
        for _, steps in groupby(self._kept, key=lambda kept: kept[2].shape):
            h, v, targets = (torch.stack(part) for part in zip(*steps, strict=True))
            self._losses.append(self._head.losses(self._head.output(h, v), targets).mean(-1))
        self._kept, self._numbers = [], 0


class _Part:
    """Some parameters of each model, as rows of one matrix that their tensors are parts of.

    Attributes:
        values: (R, entries).
        is_trained: whether the optimiser has any of them.
    """

    def __init__(
        self, parameters: Sequence[Sequence[nn.Parameter]], trained: Sequence[_Trained]
    ) -> None:
        self._sizes = [each.numel() for each in parameters[0]]
        # Empty for a parameter that is not trained.
        self._groups = [trained[0].get(id(each), ({}, None))[0] for each in parameters[0]]
        settings: dict[str, Any] = next(filter(None, self._groups), {})
        self.is_trained = bool(settings)
        self._momentum: float = settings.get("momentum", 0.0)
        self._decay: float = settings.get("weight_decay", 0.0)
        self.values = self._rows([[each.data for each in own] for own in parameters])
        for row, own in zip(self._parts(self.values, parameters), parameters, strict=True):
            for place, parameter in zip(row, own, strict=True):
                parameter.data = place
        self._buffer = self._buffers(parameters, trained) if self._momentum else None

    def descend_along(self, x: Tensor, slopes: Tensor, inputs: Tensor, share: float) -> None:
        """A step of the single tensor along share * slopes^T inputs; x is its view, (R, C, d)."""
        rate = self._groups[0]["lr"]
        if self._buffer is None:
            x.baddbmm_(slopes.mT, inputs, beta=1 - rate * self._decay, alpha=-rate * share)
            return
        buffer = self._buffer.view(x.shape)
        buffer.baddbmm_(slopes.mT, inputs, beta=self._momentum, alpha=share)
        if self._decay:
            buffer.add_(x, alpha=self._decay)
        x.sub_(buffer, alpha=rate)

    def descend(self, gradient: Tensor) -> None:
        """A step along a gradient (R, entries)."""
        if self._decay:
            gradient = gradient + self._decay * self.values
        if self._buffer is not None:
            gradient = self._buffer.mul_(self._momentum).add_(gradient)
        rates = [group.get("lr", 0.0) for group in self._groups]
        if len(set(rates)) == 1:
            self.values.sub_(gradient, alpha=rates[0])
        else:
            sizes = torch.tensor(self._sizes, device=gradient.device)
            each = torch.tensor(rates, dtype=gradient.dtype, device=gradient.device)
            self.values.sub_(gradient * each.repeat_interleave(sizes))

    def _buffers(
        self, parameters: Sequence[Sequence[nn.Parameter]], trained: Sequence[_Trained]
    ) -> Tensor:
        """Momentum buffers as they are in the optimisers' states, which get parts of the result."""
        states = [
            [{} if (by := own.get(id(p), ({}, None))[1]) is None else by.state[p] for p in row]
            for row, own in zip(parameters, trained, strict=True)
        ]
        held = [
            [
                torch.zeros_like(p.data) if buffer is None else buffer
                for p, state in zip(row, own, strict=True)
                for buffer in [state.get("momentum_buffer")]
            ]
            for row, own in zip(parameters, states, strict=True)
        ]
        rows = self._rows(held)
        for row, own in zip(self._parts(rows, parameters), states, strict=True):
            for part, state in zip(row, own, strict=True):
                state["momentum_buffer"] = part
        return rows

    def _rows(self, held: Sequence[Sequence[Tensor]]) -> Tensor:
        return torch.stack([torch.cat([each.flatten() for each in own]) for own in held])

    def _parts(
        self, rows: Tensor, parameters: Sequence[Sequence[nn.Parameter]]
    ) -> Iterator[list[Tensor]]:
        for row, own in zip(rows, parameters, strict=True):
            pieces = row.split(self._sizes)
            yield [piece.view(p.shape) for piece, p in zip(pieces, own, strict=True)]


def _is_provided(model: nn.Module, loss: Loss, optimiser: torch.optim.Optimizer) -> bool:
    if type(model) not in _MODELS:
        return False
    assert isinstance(model, _MODELS)
    is_own = loss == model.head.criterion or (
        loss is functional.cross_entropy and isinstance(model.head, SoftmaxHead)
    )
    followed = {id(p) for group in optimiser.param_groups for p in group["params"]}
    is_whole = id(model.weight) in followed <= {id(p) for p in model.parameters()}
    return is_own and is_whole and _is_plain(optimiser) and not _has_hooks(model, optimiser)


def _is_plain(optimiser: torch.optim.Optimizer) -> bool:
    """Whether its steps are SGD's with weight decay and momentum, the same for all parameters."""
    if type(optimiser) is not torch.optim.SGD:
        return False
    groups = optimiser.param_groups
    alike = all(len({group[key] for group in groups}) == 1 for key in ("weight_decay", "momentum"))
    return alike and not any(
        group["dampening"] or group["nesterov"] or group["maximize"] or group["differentiable"]
        for group in groups
    )


def _has_hooks(model: nn.Module, optimiser: torch.optim.Optimizer) -> bool:
    of_module = (
        model._forward_hooks,
        model._forward_pre_hooks,
        model._backward_hooks,
        model._backward_pre_hooks,
        optimiser._optimizer_step_pre_hooks,
        optimiser._optimizer_step_post_hooks,
    )
    return any(of_module) or any(
        parameter._backward_hooks or parameter._post_accumulate_grad_hooks
        for parameter in model.parameters()
    )
