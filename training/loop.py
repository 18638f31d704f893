"""The training loop: gradient steps with callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..models.arguments import require_arguments, require_least
from ..probes.curvature.batches import Batch, Inputs
from ..probes.curvature.losses import Loss
from .callbacks import Callback
from .head_sgd import HeadSGD

__all__ = ["fit", "require_finite"]


def fit(
    model: nn.Module,
    loss: Loss,
    data: Iterable[Batch],
    optimiser: torch.optim.Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    callbacks: Sequence[Callback] = (),
    finished_epochs: int = 0,
    by_hand: HeadSGD | None = None,
) -> None:
    """Train: each step takes one batch, and ``optimiser`` follows the gradient of its loss.

    Args:
        model: is trained in place.
        loss: of (outputs, targets), a scalar: the mean over the batch.
        data: gives (inputs, targets) at least once a step; the model is called as model(inputs),
            model(*inputs) for a sequence, or model(**inputs) for a mapping.
        optimiser: of the parameters of ``model``; one with an attribute ``needs_closure`` that is
            true evaluates the gradient on the batch itself, as often as it likes.
        epochs: number of epochs, those of ``finished_epochs`` included.
        steps_per_epoch: number of steps that are called an epoch.
        callbacks: are called in order.
        finished_epochs: of a run that is continued.
        by_hand: takes the optimiser's steps in its place, up to rounding; gradients are then not
            left in ``.grad``.

    Raises:
        ValueError: if an argument is out of range, or ``data`` ends.
        FloatingPointError: at the end of an epoch, before its callbacks, if a loss in it was not
            finite.
    """
    require_arguments(fit, locals())
    for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
        require_least(name, value, 1)
    if not 0 <= finished_epochs <= epochs:
        raise ValueError(f"finished_epochs: expected 0 to {epochs}, got {finished_epochs}")
    batches = iter(data)
    step = finished_epochs * steps_per_epoch
    listeners = [hear for each in callbacks if (hear := getattr(each, "on_loss", None)) is not None]
    model.train()
    for callback in callbacks:
        callback.on_train_start(step, finished_epochs)
    for epoch in range(finished_epochs, epochs):
        losses: list[Tensor] = []
        for _ in range(steps_per_epoch):
            batch = _next(batches, step)
            if by_hand is None:
                losses.append(_gradient_step(model, loss, batch, optimiser))
            else:
                inputs, targets = batch
                assert isinstance(inputs, Tensor)
                by_hand.step(inputs[None], targets[None])
            step += 1
            for hear in listeners:
                hear(losses[-1] if by_hand is None else by_hand.last_loss())
            for callback in callbacks:
                callback.on_step_end(step, epoch)
        found = torch.stack(losses) if by_hand is None else by_hand.losses()[:, 0]
        require_finite(found, step, epoch + 1)
        for callback in callbacks:
            callback.on_epoch_end(step, epoch + 1)
    for callback in callbacks:
        callback.on_train_end(step, epochs)


def _gradient_step(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
) -> Tensor:
    inputs, targets = batch

    def evaluate() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        value = loss(_outputs(model, inputs), targets)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    if getattr(optimiser, "needs_closure", False):
        return torch.as_tensor(optimiser.step(evaluate)).detach()  # type: ignore[arg-type]
    value = evaluate()
    optimiser.step()
    return value.detach()


def _outputs(model: nn.Module, inputs: Inputs) -> Any:
    if isinstance(inputs, Tensor):
        return model(inputs)
    return model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)


def _next(batches: Iterator[Batch], step: int) -> Batch:
    batch = next(batches, None)
    if batch is None:
        raise ValueError(f"data: expected a batch at every step, got none at step {step + 1}")
    return batch


def require_finite(losses: Tensor, step: int, epoch: int) -> None:
    """Refuse losses (steps,) of an epoch up to a step unless all are finite.

    Raises:
        FloatingPointError: naming the first step whose loss is not.
    """
    # Looked at once an epoch: asking each loss would make a device wait at every step.
    broken = losses.isfinite().logical_not().nonzero().flatten().tolist()
    if broken:
        first = step - len(losses) + broken[0] + 1
        raise FloatingPointError(
            f"loss: expected finite numbers, got {losses[broken[0]].item()} "
            f"at step {first} (epoch {epoch})"
        )
