"""Probing without a trace: the training after it is bit for bit the training without it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

__all__ = ["inner_modules", "ordinary", "undisturbed", "unwrap"]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """The bare module in evaluation mode, with second derivatives possible, until the block ends.

    Inside, gradients are enabled, autocast and inference mode are left, compiled code runs
    uncompiled, and attention runs in the one implementation that can be differentiated twice.
    Afterwards the training mode of every submodule and the state of torch's generators (CPU, and
    CUDA where it is in use) are what they were. Take derivatives with `torch.autograd.grad` only:
    ``.grad`` then stays untouched.

    Args:
        model: as it is trained: compiled or wrapped for distribution or not.
    """
    module = unwrap(model)
    modes = [(part, part.training) for part in module.modules()]
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            for kind in {"cpu", *(p.device.type for p in module.parameters())}:
                if torch.amp.is_autocast_available(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if "torch._dynamo" in sys.modules:  # otherwise nothing can have been compiled
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            module.eval()
            yield module
    finally:
        for part, training in modes:
            part.training = training
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        # torch's tree_flatten, and vmap with it, leaves a reference cycle that holds the tensors it
        # saw, and with them whole graphs, until the garbage collector comes by.
        gc.collect(0)


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile`` and data-parallel wrappers."""
    *_, innermost = inner_modules(model)
    return innermost


def inner_modules(model: nn.Module) -> Iterator[nn.Module]:
    """The model and what its wrappers hold one inside the other, outermost first."""
    while True:
        yield model
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = cast(nn.Module, model.module)
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = cast(nn.Module, model._orig_mod)
        else:
            return


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def ordinary(batch: Any) -> Any:
    """The batch with tensors made under inference mode replaced by copies autograd can use."""

    def cloned(leaf: Any) -> Any:
        return leaf.clone() if isinstance(leaf, Tensor) and leaf.is_inference() else leaf

    return tree_map(cloned, batch)
