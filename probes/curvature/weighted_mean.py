"""Losses that are a weighted mean of terms: class and sample weights, masks, tokens, nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.arguments import require_arguments

__all__ = ["Per", "Terms", "WeightedMean", "weighted_mean_of"]

Per = Literal["sample", "term"]
# Losses of terms, and their weights; without weights, all weigh 1.
Terms = Callable[[Any, Any], Tensor | tuple[Tensor, Tensor]]

# Losses of torch that are means over classified entries, and over all entries: their modules, and
# what they are set by besides the reduction.
_CLASSIFIED: dict[Any, tuple[type[nn.Module], set[str]]] = {
    functional.cross_entropy: (nn.CrossEntropyLoss, {"weight", "ignore_index", "label_smoothing"}),
    functional.nll_loss: (nn.NLLLoss, {"weight", "ignore_index"}),
}
_ENTRYWISE: dict[Any, tuple[type[nn.Module], set[str]]] = {
    functional.binary_cross_entropy_with_logits: (nn.BCEWithLogitsLoss, {"weight", "pos_weight"}),
    functional.binary_cross_entropy: (nn.BCELoss, {"weight"}),
    functional.mse_loss: (nn.MSELoss, set()),
    functional.l1_loss: (nn.L1Loss, set()),
    functional.smooth_l1_loss: (nn.SmoothL1Loss, {"beta"}),
    functional.huber_loss: (nn.HuberLoss, {"delta"}),
}


class WeightedMean:
    """loss = sum_i w_i l_i / sum_i w_i  over the terms i of a batch.

    To be given as the loss. The mean goes over the terms of all batches and processes: a batch
    counts by its sum of weights. The information matrix is the same mean,
    F = sum_u W_u g_u g_u^T / sum_u W_u, g_u the gradient of unit u's own mean and W_u its weight:
    a unit is a sample, all entries of the terms' first axis together, or a single term.

    Args:
        function: of (outputs, targets); the terms l (n, ...) or a pair (l, w) with w >= 0 that
            broadcasts with l and does not depend on parameters. Or a loss of torch that is known:
            `nn.CrossEntropyLoss`, `nn.NLLLoss`, `nn.BCEWithLogitsLoss`, `nn.BCELoss`, `nn.MSELoss`,
            `nn.L1Loss`, `nn.SmoothL1Loss`, `nn.HuberLoss`, the function of one of them in
            `torch.nn.functional` or a `functools.partial` of that with keywords, each with
            reduction "mean".
        per: what a unit is: "sample", as sequences, or "term", as tokens.

    Raises:
        ValueError: if ``per`` is neither.
    """

    def __init__(self, function: Terms | Callable[[Any, Any], Tensor], per: Per = "sample") -> None:
        require_arguments(WeightedMean.__init__, locals())
        if per not in get_args(Per):
            raise ValueError(f"per: expected one of {list(get_args(Per))}, got {per!r}")
        self.function, self.per = function, per

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The loss, ()."""
        losses, weights = self.terms(outputs, targets)
        return (weights * losses).sum() / weights.sum()

    def terms(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Mean loss and weight of every unit, (n,) each; both 0 for a unit without weight.

        Raises:
            ValueError: if the terms are no floating tensor, or weights are negative, not finite or
                on a graph.
        """
        read = _of_torch(self.function)
        found = (read or self.function)(outputs, targets)
        losses, weights = found if isinstance(found, tuple) else (found, None)
        if not isinstance(losses, Tensor) or not losses.is_floating_point():
            raise ValueError(f"loss: expected floating terms, got {type(losses).__name__}")
        units = (-1, 1) if self.per == "term" or not losses.ndim else (len(losses), -1)
        if weights is None:
            means = losses.reshape(units).mean(1)
            return means, torch.full_like(means, losses.numel() / len(means))
        if weights.requires_grad:
            raise ValueError("loss: expected weights that are constants, got some on a graph")
        weights = weights.to(losses.dtype).expand_as(losses)
        if not bool(((weights >= 0) & weights.isfinite()).all()):
            raise ValueError("loss: expected finite weights of at least 0, got others")
        # A term without weight may be of any size, also infinite.
        weighted = torch.where(weights > 0, weights * losses, 0.0).reshape(units).sum(1)
        shares = weights.reshape(units).sum(1)
        return weighted / torch.where(shares > 0, shares, 1.0), shares


def weighted_mean_of(loss: Any) -> WeightedMean | None:
    """The loss as a weighted mean, if it is known to be one."""
    if isinstance(loss, WeightedMean):
        return loss
    return None if _of_torch(loss) is None else WeightedMean(loss)


def _of_torch(loss: Any) -> Terms | None:
    """The terms of a loss of torch with reduction "mean"; None for any other."""
    for known, read in ((_CLASSIFIED, _classified), (_ENTRYWISE, _entrywise)):
        for function, (kind, names) in known.items():
            settings = _settings(loss, function, kind, names | {"reduction"})
            if settings is not None:
                return (
                    read(function, settings)
                    if settings.get("reduction", "mean") == "mean"
                    else None
                )
    return None


def _settings(
    loss: Any, function: Callable[..., Tensor], kind: type[nn.Module], names: set[str]
) -> dict[str, Any] | None:
    """What the function is called with where the loss is it, its module or a partial of it."""
    if loss is function:
        return {}
    if isinstance(loss, kind) and type(loss).forward is kind.forward:
        return {name: getattr(loss, name) for name in names}
    partly = isinstance(loss, partial) and loss.func is function and not loss.args
    return loss.keywords if partly and loss.keywords.keys() <= names else None


def _entrywise(function: Callable[..., Tensor], settings: dict[str, Any]) -> Terms:
    """The terms of a mean over all entries."""
    return partial(function, **{**settings, "reduction": "none"})


def _classified(function: Callable[..., Tensor], settings: dict[str, Any]) -> Terms | None:
    """The terms of cross entropy or negative log likelihood."""
    class_weights = settings.get("weight")
    smooth = bool(settings.get("label_smoothing"))
    if smooth and class_weights is not None and not bool((class_weights > 0).all()):
        return None  # terms without weight that count in the sum
    ignored = settings.get("ignore_index", -100)

    def terms(outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        sums = function(outputs, targets, **{**settings, "reduction": "none"})
        if targets.is_floating_point():  # probabilities: torch divides by their number alone
            return sums, torch.ones_like(sums)
        weights = (targets != ignored).to(sums.dtype)
        if class_weights is not None:
            weights = weights * class_weights[torch.where(targets == ignored, 0, targets)]
        return sums / torch.where(weights > 0, weights, 1.0), weights

    return terms
