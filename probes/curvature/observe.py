"""Probing without a trace: the training after it is bit for bit the training without it."""

from __future__ import annotations

import gc
import random
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize

from .calls import Calls
from .generators import shared_generators
from .hooks import gradient_hooks, module_hooks
from .losses import Loss
from .places import Place
from .precision import without_autocast
from .reach import text
from .settings import settings
from .wrappers import unwrap

__all__ = ["Mode", "Observed", "undisturbed", "warn_of_constants", "warn_of_unreached"]

Mode = Literal["eval", "train"]

_ACTIVE: ContextVar[tuple[Observed, ...]] = ContextVar("_ACTIVE", default=())


@contextmanager
def undisturbed(
    model: nn.Module,
    loss: Loss | None = None,
    *,
    run_hooks: bool = False,
    seed: int | None = None,
    mode: Mode = "eval",
    dtype: torch.dtype | None = None,
) -> Iterator[Observed]:
    """A model and its loss to be looked at, until the block ends; see `Observed`.

    Within another such block of the same model and loss it is that one.

    Args:
        model: as it is trained: compiled or wrapped for distribution or not.
        loss: of (outputs, targets); None if only the model is called.
        run_hooks: whether the user's hooks are run.
        seed: of torch's generators at the start of every evaluation, and of Python's and NumPy's at
            the start of the block; default: their present states.
        mode: see `Observed`.
        dtype: likewise; another one than the outer block's makes a block of its own.
    """
    for active in _ACTIVE.get():
        same = active.module is unwrap(model) and (loss is None or active.given_loss is loss)
        if same and dtype in (None, active.dtype):
            yield active
            return
    observed = Observed(model, loss, run_hooks=run_hooks, seed=seed, mode=mode, dtype=dtype)
    with observed.still():
        yield observed


class Observed(Calls):
    """The bare module with second derivatives possible, in `still` and `quiet`.

    There gradients are enabled, autocast, inference mode and anomaly detection are left, compiled
    code runs uncompiled, and attention runs in the one implementation that can be differentiated
    twice. The module's ``training`` flags are set; its methods ``train`` and ``eval`` are not
    called. The user's hooks on modules and tensors are not run unless asked for.

    Calls are made in `evaluated`. Take derivatives with `torch.autograd.grad` only: ``.grad`` then
    stays untouched.

    Args:
        model: as it is trained: compiled or wrapped for distribution or not.
        loss: of (outputs, targets); None if only the model is called.
        run_hooks: whether the user's hooks are run.
        seed: of torch's generators at the start of every evaluation, and of Python's and NumPy's at
            the start of the block; None: their present states.
        mode: "eval": all ``training`` flags are False. "train": as the training has them if the
            model is in training mode, else all are True: batch norm takes the statistics of the
            batch, and dropout drops the same in every evaluation.
        dtype: that all floating tensors are given to the code in; None: their own.

    Attributes:
        mode: as it was given.
        given_loss: the loss as it was given.
        unreached: names of parameters that no gradient reached: their curvature counts as 0.
        own_functions: names of the `torch.autograd.Function` that Hessians go through.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None,
        *,
        run_hooks: bool,
        seed: int | None,
        mode: Mode = "eval",
        dtype: torch.dtype | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode: expected one of {list(get_args(Mode))}, got {mode!r}")
        if dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"dtype: expected float32 or float64, got {dtype}")
        super().__init__(unwrap(model), loss, run_hooks, seed, dtype)
        self.mode = mode
        self.given_loss, self._seed = loss, seed
        self.unreached: dict[str, None] = {}
        self.own_functions: dict[str, None] = {}
        self._module_hooks: dict[str, None] = {}
        self._modules: list[tuple[str, nn.Module]] = []
        self._quiet = False

    @property
    def hooks(self) -> tuple[str, ...]:
        """The user's hooks, each with what becomes of it: "left out" or "run".

        Those on parameters are always left out: the gradients that they are for are never made.
        """
        fate = "run" if self.run_hooks else "left out"
        called = {**self._module_hooks, **self.tensor_hooks}
        never = gradient_hooks(self.module)
        return (*(f"{name}: {fate}" for name in called), *(f"{name}: left out" for name in never))

    def warn_of_hooks(self, stacklevel: int) -> bool:
        """Warn of hooks that are left out and might be a part of the model; False if none is."""
        called = {**self._module_hooks, **self.tensor_hooks}
        if self.run_hooks or not called:
            return False
        warnings.warn(
            f"hooks are left out while the model is measured: {', '.join(called)}; run_hooks=True "
            "runs them, as it must be if what the model returns depends on them",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
        return True

    @property
    def active(self) -> bool:
        """Whether a block of `still` is going on."""
        return self in _ACTIVE.get()

    def look(self) -> None:
        """Find anew what the code can reach; see `Calls.look`."""
        super().look()
        self._modules = [(text(path), module) for path, module in self.reach.modules]

    @contextmanager
    def still(self) -> Iterator[None]:
        """A block that ends with everything as it began.

        Raises:
            RuntimeError: at the end, for what was written to in ways that cannot be undone.
        """
        if self.active:
            yield
            return
        names = self._tensors()
        with _kept([*settings(), *shared_generators()]):
            if self._seed is not None:
                random.seed(self._seed)
                np.random.seed(self._seed % 2**32)  # noqa: NPY002
            self.look()
            token = _ACTIVE.set((self, *_ACTIVE.get()))
            try:
                with self.quiet():
                    yield
                changed = {name for name, _ in names ^ self._tensors()}.union(self.written)
            finally:
                _ACTIVE.reset(token)
                self.forget()
        if changed:
            raise RuntimeError(
                f"model: expected {', '.join(sorted(changed))} as before the probing, got another: "
                "code of the model or the loss writes there past torch's operators"
            )

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """A block without calls, but for those that graphs make of their own."""
        if self._quiet:
            yield
            return
        parts = list(self.module.modules())
        flags = [part.training for part in parts]
        default = torch.get_default_dtype()
        self._quiet = True
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
                stack.enter_context(torch.autograd.set_detect_anomaly(False))
                for kind in {"cpu", *(p.device.type for p in self.module.parameters())}:
                    if torch.amp.is_autocast_available(kind):
                        stack.enter_context(torch.autocast(kind, enabled=False))
                stack.enter_context(without_autocast())
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
                if "torch._dynamo" in sys.modules:  # otherwise nothing can have been compiled
                    stack.enter_context(torch.compiler.set_stance("force_eager"))
                found = stack.enter_context(module_hooks(self._modules, self.run_hooks))
                self._module_hooks.update(dict.fromkeys(found))
                if self.mode == "eval" or not self.module.training:
                    for part in parts:
                        _set_flag(part, self.mode == "train")
                if self.dtype is not None:
                    torch.set_default_dtype(self.dtype)
                yield
        finally:
            for part, flag in zip(parts, flags, strict=True):
                _set_flag(part, flag)
            torch.set_default_dtype(default)
            self._quiet = False
            # torch's tree_flatten, and vmap with it, leaves a reference cycle that holds the
            # tensors it saw, and with them whole graphs, until the garbage collector comes by.
            gc.collect(0)

    def _tensors(self) -> set[tuple[str, int]]:
        """Names and identities of parameters and buffers."""
        return {
            (name, id(tensor))
            for named in (self.module.named_parameters, self.module.named_buffers)
            for name, tensor in named(remove_duplicate=False)
        }


def warn_of_unreached(names: Collection[str], stacklevel: int) -> None:
    """Warn of parameters that no gradient reaches, if there are some."""
    if names:
        warnings.warn(
            f"no gradient of the loss reaches {', '.join(names)}: their curvature counts as 0",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_constants(names: Collection[str], stacklevel: int) -> None:
    """Warn of what is computed from parameters and counts as constant, if there is something."""
    if names:
        warnings.warn(
            f"what {', '.join(names)} gives is computed from parameters without a gradient: second "
            "derivatives are those with it held constant",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )


def _set_flag(module: nn.Module, training: bool) -> None:
    """Not by ``train`` or ``eval``, in which modules may do anything."""
    if "training" in vars(module):
        vars(module)["training"] = training
    else:
        module.training = training


@contextmanager
def _kept(places: Sequence[Place]) -> Iterator[None]:
    """Shared places in which the end holds what the beginning held."""
    before = [place.read() for place in places]
    # Weights that are remembered from the training are not those of other parameters.
    parametrize._cache_enabled, parametrize._cache = 0, {}
    try:
        yield
    finally:
        for place, contents in zip(places, before, strict=True):
            if not place.holds(contents):
                place.write(contents)
