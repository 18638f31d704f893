"""Fused kernels of torch whose second derivative is wrong or missing, computed in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import forward_ad
from torch.nn import functional

from .interception import Functions

__all__ = ["TwiceDifferentiable", "layer_norm"]

# Their fused kernels on accelerators have no second derivative.
_RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})

# Where the argument ``sparse``, the last, is.
_EMBEDDINGS: dict[Any, int] = {functional.embedding: 6, torch.embedding: 4}


class TwiceDifferentiable(Functions):
    """Weight norm by hand, recurrent layers without cuDNN, dense embeddings: the same values.

    The second derivative of `torch._weight_norm` is wrong, that of cuDNN's recurrent layers is
    missing, and sparse gradients have none. Of layer norm's derivative in forward mode the first is
    wrong, and the third one of its own in reverse (torch 2.13): by hand where `torch.func` or dual
    numbers take it.
    """

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func``, or what stands in for it."""
        if func is torch._weight_norm:
            return _weight_norm(*args, **kwargs)
        if func is functional.layer_norm and _differentiates():
            return layer_norm(*args, **kwargs)
        if func in _EMBEDDINGS:
            place = _EMBEDDINGS[func]
            return func(*args[:place], **{**kwargs, "sparse": False})
        if getattr(func, "__name__", "") in _RECURRENT:
            with torch.backends.cudnn.flags(enabled=False):
                return func(*args, **kwargs)
        return func(*args, **kwargs)


def _differentiates() -> bool:
    """Whether the code that calls is itself being differentiated, by dual numbers or torch.func."""
    derivatives = (TransformType.Grad, TransformType.Jvp)
    levels = get_interpreter_stack() or ()
    return forward_ad._current_level >= 0 or any(each.key() in derivatives for each in levels)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g v / |v|, the norm over all axes but ``dim``; over all for -1."""
    others = [axis for axis in range(v.ndim) if axis != dim]
    norm: Tensor = torch.linalg.vector_norm(v, dim=others, keepdim=True)
    return v * (g / norm)


def layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / (variance + eps)^(1/2), times weight, plus bias, over the last axes."""
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    found: Tensor = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    found = found if weight is None else found * weight
    return found if bias is None else found + bias
