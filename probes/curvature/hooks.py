"""Hooks that the training has put on modules and tensors, and a probing leaves out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as shared
from torch.utils.hooks import RemovableHandle

from .interception import Functions

__all__ = ["TensorHooks", "gradient_hooks", "module_hooks"]

_KINDS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
# Where torch has hooks that make parameters (weight norm, spectral norm, pruning) or are a part of
# the model in another way (fake quantisation, tensor parallelism), not those that look on.
_TORCH = ("torch.nn.", "torch.ao.", "torch.distributed.")
_LOOKING_ON = ("torch.distributed.tensor.debug",)
_OWN = ("spectrain.",)


@contextmanager
def module_hooks(modules: Sequence[tuple[str, nn.Module]], run: bool) -> Iterator[list[str]]:
    """The user's hooks on modules, and on all modules at once, by name; out of place unless run.

    Those by which torch makes parameters stay: of `torch.nn.utils.weight_norm`, `spectral_norm` and
    `prune`. Those of this package, with which a theory looks on at the training, never do, and are
    nobody's.

    Args:
        modules: with their names.
        run: leave the hooks in place.
    """
    owners = [(f" of {name}" if name else "", vars(module)) for name, module in modules]
    everywhere = {f"_global{kind}": word for kind, word in _KINDS.items()}
    found: list[str] = []
    taken: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for where, attributes, kinds in (
            *((where, attributes, _KINDS) for where, attributes in owners),
            (" of all modules", vars(shared), everywhere),
        ):
            for kind, word in kinds.items():
                hooks = attributes.get(kind)
                if not hooks:
                    continue
                torchs = {key: hook for key, hook in hooks.items() if _is_from(hook, _TORCH)}
                users = {
                    key: hook
                    for key, hook in hooks.items()
                    if key not in torchs and not _is_from(hook, _OWN)
                }
                found += [f"{word} {_name(hook)}{where}" for hook in users.values()]
                stay = torchs.keys() | users.keys() if run else torchs.keys()
                if len(stay) < len(hooks):
                    taken.append((attributes, kind, hooks))
                    attributes[kind] = OrderedDict((k, h) for k, h in hooks.items() if k in stay)
        yield found
    finally:
        for attributes, kind, hooks in taken:
            attributes[kind] = hooks


def gradient_hooks(module: nn.Module) -> list[str]:
    """Names of the user's hooks on the gradients of parameters."""
    return [
        f"gradient hook {_name(hook)} of {name}"
        for name, parameter in module.named_parameters()
        for hook in (parameter._backward_hooks or {}).values()
        if not _is_from(hook, _TORCH)
    ]


class TensorHooks(Functions):
    """Hooks that code puts on tensors inside are left out, unless run.

    Args:
        run: leave them in place.

    Attributes:
        found: their names.
    """

    def __init__(self, run: bool) -> None:
        super().__init__()
        self.found: list[str] = []
        self._run = run

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func`` unless it is for such a hook."""
        if func is Tensor.register_hook:
            hook = args[1] if len(args) > 1 else kwargs["hook"]
            if not _is_from(hook, _TORCH):
                self.found.append(f"tensor hook {_name(hook)}")
                if not self._run:
                    return RemovableHandle(OrderedDict())
        elif func is Tensor.retain_grad and not self._run:
            return None
        return func(*args, **kwargs)


def _is_from(hook: Any, packages: tuple[str, ...]) -> bool:
    """Whether a hook is defined there, or a class that it is derived from, `nn.Module` apart."""
    function = _function(hook)
    if isinstance(function, FunctionType):
        owners: Sequence[Any] = [function]
    else:
        owners = type(function).__mro__[: None if not isinstance(function, nn.Module) else 1]
    homes = [str(owner.__module__) for owner in owners]
    return any(home.startswith(packages) and not home.startswith(_LOOKING_ON) for home in homes)


def _function(hook: Any) -> Any:
    """What a hook calls in the end."""
    while isinstance(hook, partial | MethodType):
        hook = hook.func if isinstance(hook, partial) else hook.__func__
    return hook


def _name(hook: Any) -> str:
    function = _function(hook)
    return str(getattr(function, "__qualname__", type(function).__qualname__))
