"""Calls of a model and its loss at other parameters, with all that they write put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._pytree import tree_map

from .batches import Inputs
from .constants import Constants
from .generators import seeded, torch_generators
from .hooks import TensorHooks
from .kernels import TwiceDifferentiable
from .losses import scalar_loss
from .objects import with_others
from .reach import Changes, Data, Kind, Reach, noted
from .stand_ins import Copies, address, alias, dtype_of
from .walk import reached
from .weighted_mean import WeightedMean, weighted_mean_of
from .writes import Forbidden

__all__ = ["Calls"]

Result = TypeVar("Result")

# Arrays above this size are data, not state: bytes.
_LARGE = 2**24
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


class Calls:
    """A model and its loss as functions of the parameters that leave nothing behind.

    In `evaluated`, each tensor that their code can reach is stood in for: parameters by those that
    are given, buffers by copies, all else by another tensor on the same memory. What the code then
    assigns, appends or registers is undone. A write to the memory of an argument, an attribute or a
    frozen parameter is refused before it happens, and everything begins again with copies of all
    of that kind. Parameters that are trained get no copies: what writes to them is refused.

    Every evaluation starts from the same state, torch's generators included: all are of one
    function.

    Args:
        module: a bare module.
        loss: of (outputs, targets); None if it is not called.
        run_hooks: whether hooks that the code puts on tensors are run.
        seed: of torch's generators at the start of every evaluation; default: their present states.
        dtype: that all floating tensors are given to the code in; default: their own.

    Attributes:
        dtype: as it was given.
        reach: what the code can reach, as it was found last.
        tensor_hooks: names of the hooks that the code has put on tensors.
        constants: operations whose results count as constants though they are computed from
            parameters, as far as `watched` has seen.
        read: methods by which numbers computed from parameters were taken out of torch, likewise.
        forward: whether code was seen to take derivatives in forward mode, likewise.
        weighted_mean: the loss as a mean of terms, if it is known to be one.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Any] | None,
        run_hooks: bool,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.module, self.dtype = module, dtype
        self.tensor_hooks: dict[str, None] = {}
        self.constants: dict[str, None] = {}
        self.read: dict[str, None] = {}
        self.forward = False
        self._watch: Constants | None = None
        self._own_loss, self.run_hooks = loss, run_hooks
        self.weighted_mean = weighted_mean_of(loss)
        self._copied: set[Kind] = {"buffer"}
        places = torch_generators()
        start = [place.read() for place in places] if seed is None else seeded(seed)
        self._generators = list(zip(places, start, strict=True))
        self.reach = Reach()
        self._parameters: dict[str, Tensor] = {}
        # Of the evaluation that is going on, if one is: what refuses writes, copies that stand in
        # for others, and all that stands in, by what it stands in for at first.
        self._forbidden: Forbidden | None = None
        self._copies = Copies([])
        self._standing: dict[int, Any] = {}
        # Of the last one.
        self._moved, self._left = False, Copies([])

    def look(self) -> None:
        """Find anew what the code can reach.

        Raises:
            ValueError: if parameters that are trained cannot be replaced, as in a module that
                torch.jit has compiled.
        """
        given = self._own_loss
        loss = given.function if isinstance(given, WeightedMean) else given
        self.reach = reached({"": self.module, "loss": loss}, hooks=self.run_hooks)
        self._parameters = dict(self.module.named_parameters())
        compiled = {
            id(parameter)
            for part in self.module.modules()
            if isinstance(part, torch.jit.ScriptModule)
            for parameter in part.parameters()
        }
        hidden = [
            name
            for name, parameter in self._parameters.items()
            if parameter.requires_grad
            and (id(parameter) in compiled or id(parameter) not in self.reach.data)
        ]
        if hidden:
            raise ValueError(
                f"model: expected parameters that others can be put in the place of, got {hidden} "
                "where they cannot, as in a module compiled by torch.jit"
            )

    def forget(self) -> None:
        """Hold on to nothing of what was found."""
        self.reach, self._left = Reach(), Copies([])

    @property
    def changed(self) -> bool:
        """Whether the last evaluation had anything to undo."""
        return self._moved or self._left.written

    @property
    def written(self) -> list[str]:
        """Names of tensors that were written to in ways that were neither refused nor undone."""
        return [data.name for data in self.reach.data.values() if data.written]

    def evaluated(
        self, body: Callable[[], Result], parameters: Mapping[str, Tensor] | None = None
    ) -> Result:
        """What ``body`` returns, which calls `outputs` and `loss`; it may be called again.

        Args:
            body: of no arguments.
            parameters: in place of the module's own; those not given are there as constants.

        Raises:
            ValueError: if the model or the loss writes to a parameter that is trained.
        """
        while True:
            forbidden = Forbidden()
            with self._replaced(parameters or {}, forbidden):
                try:
                    result = body()
                except Exception:
                    if not forbidden.broken:
                        raise
            if not forbidden.broken:
                return result
            kinds = {data.kind for data in forbidden.broken}
            if kinds <= self._copied or "parameter" in kinds:
                raise _refused(sorted({data.name for data in forbidden.broken}))
            self._copied |= kinds

    def detached(self, body: Callable[[], Result]) -> Result:
        """`evaluated` with parameters that are constants, so that no graph is built on them.

        With a graph, if the code differentiates by them itself.
        """
        try:
            return self.evaluated(body)
        except RuntimeError:
            trained = {
                name: alias(parameter, self.dtype)
                for name, parameter in self._parameters.items()
                if parameter.requires_grad
            }
            return self.evaluated(body, trained)

    def apart(self, body: Callable[[Any], Result], batch: Any) -> Result:
        """What ``body`` returns of the batch, which may use module and loss as it likes.

        In it, the parameters are others on the same memory, with gradients as their own have.

        Args:
            body: of the batch.
            batch: any tree of tensors.

        Raises:
            ValueError: if it writes to a parameter.
        """
        parameters = {
            name: alias(parameter, self.dtype) for name, parameter in self._parameters.items()
        }

        def called() -> Result:
            result: Result = self._called(body, (batch,), {})
            return result

        return self.evaluated(called, parameters)

    def outputs(self, inputs: Inputs) -> Any:
        """model(x), model(*x) for a sequence, model(**x) for a mapping."""
        if isinstance(inputs, Tensor):
            return self._called(self.module, (inputs,), {})
        if isinstance(inputs, Mapping):
            return self._called(self.module, (), dict(inputs))
        return self._called(self.module, tuple(inputs), {})

    def outputs_at(self, inputs: Inputs, others: Mapping[Tensor, Any]) -> Any:
        """`outputs` with others in the place of tensors that stand in for parameters."""
        with self.reach.replaced({id(tensor): other for tensor, other in others.items()}):
            return self.outputs(inputs)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Of outputs and targets; what it writes is undone at once, not only at the end."""
        assert self._own_loss is not None
        with self.reach.replaced(self._copies.again()):
            return self._called(self._own_loss, (outputs, targets), {})

    def terms(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Those of a weighted mean: mean loss and weight of every unit, (n,) each.

        Raises:
            ValueError: if the loss is not finite.
        """
        assert self.weighted_mean is not None
        with self.reach.replaced(self._copies.again()):
            losses, weights = self._called(self.weighted_mean.terms, (outputs, targets), {})
        scalar_loss((weights * losses.detach()).sum())
        return losses, weights

    def total(self, outputs: Any, targets: Any, samples: int) -> tuple[Tensor, float]:
        """W loss, and W, what the batch counts by: its weights' sum, or its number of samples.

        Raises:
            ValueError: if the loss is not one finite number.
        """
        if self.weighted_mean is None:
            return scalar_loss(self.loss(outputs, targets)) * samples, samples
        losses, weights = self.terms(outputs, targets)
        return (weights * losses).sum(), float(weights.sum())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A block whose calls tell of `constants`, `read` and `forward`."""
        before, self._watch = self._watch, Constants()
        try:
            yield
        finally:
            self.constants.update(self._watch.found)
            self.read.update(self._watch.read)
            self.forward |= self._watch.forward
            self._watch = before

    @contextmanager
    def _replaced(self, parameters: Mapping[str, Tensor], forbidden: Forbidden) -> Iterator[None]:
        """Stand-ins in place, and what code does to all else undone."""
        standing, copies = self._stand_ins(self.reach.data, forbidden)
        unmoved = {}
        for name, tensor in parameters.items():
            standing[id(self._parameters[name])] = tensor
            unmoved[name] = tensor.detach()
            forbidden.protect(tensor, noted(tensor, ((), name), "parameter"))
        gradients = torch.is_grad_enabled()
        before = [place.read() for place, _ in self._generators]
        changes = Changes()
        # Inside of another evaluation it is that one's that are in their places.
        outer = self._forbidden, self._copies, self._standing
        now = {key: id(tensor) for key, tensor in self._standing.items()}
        substitutes = {now.get(key, key): tensor for key, tensor in standing.items()}
        self._forbidden, self._copies, self._standing = forbidden, copies, standing
        try:
            with self.reach.replaced(substitutes) as changes:
                for place, start in self._generators:
                    place.write(start)
                yield
        finally:
            self._forbidden, self._copies, self._standing = outer
            torch.set_grad_enabled(gradients)
            moved = any(not place.holds(start) for place, start in self._generators)
            for (place, _), state in zip(self._generators, before, strict=True):
                place.write(state)
            self._moved, self._left = moved or changes.found, copies
        for name, tensor in parameters.items():
            # ``parameter.data = ...`` leaves the memory as it is, and the parameter elsewhere.
            was = unmoved[name]
            if tensor.data_ptr() != was.data_ptr() and not torch.equal(tensor, was):
                tensor.data = was
                raise _refused([name])

    def _stand_ins(
        self, found: Mapping[int, Data], forbidden: Forbidden
    ) -> tuple[dict[int, Any], Copies]:
        """What stands in for data, by their identity; and the copies among them."""
        tensors = {key: data for key, data in found.items() if isinstance(data.value, Tensor)}
        substitutes = {
            key: _own_array(data.value) for key, data in found.items() if key not in tensors
        }
        chosen = {key: data.value for key, data in tensors.items() if data.kind in self._copied}
        memory = {address(tensor) for tensor in chosen.values()} - {None}
        chosen |= {
            key: data.value
            for key, data in tensors.items()
            if data.kind == "state" and address(data.value) in memory
        }
        copies = Copies(chosen.values(), self.dtype)
        for key, data in tensors.items():
            if key in chosen:
                substitutes[key] = copies.of(data.value)
            else:
                tensor = alias(data.value, self.dtype)
                substitutes[key] = tensor if data.kind == "state" else tensor.requires_grad_(False)
                forbidden.protect(substitutes[key], data)
        return substitutes, copies

    def _called(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The function of arguments that it may write to."""
        forbidden = self._forbidden
        assert forbidden is not None, "only inside of evaluated"
        own = partial(self._own, forbidden, function is not self.module)
        args, kwargs = tree_map(own, (args, kwargs))
        hooks = TensorHooks(self.run_hooks)
        try:
            watch = nullcontext() if self._watch is None else self._watch.watching()
            with hooks, watch, TwiceDifferentiable(), forbidden:
                return function(*args, **kwargs)
        finally:
            self.tensor_hooks.update(dict.fromkeys(hooks.found))

    def _own(self, forbidden: Forbidden, keep: bool, leaf: Any) -> Any:
        """An argument to be written to, off its graph unless that is to be kept."""
        if isinstance(leaf, np.ndarray):
            return _own_array(leaf)
        if isinstance(leaf, _PLAIN):
            return leaf
        if not isinstance(leaf, Tensor):
            return _own_object(leaf, partial(self._own, forbidden, keep))
        if self.dtype is not None:
            leaf = leaf.to(dtype_of(leaf, self.dtype))
        # What the loss is differentiated by, and what torch.func transforms, are themselves.
        itself = (keep and leaf.requires_grad) or is_functorch_wrapped_tensor(leaf)
        if "argument" in self._copied:
            return leaf.clone() if itself else Copies([]).of(leaf)
        tensor = leaf if itself else alias(leaf)
        forbidden.protect(tensor, noted(tensor, ((), "argument"), "argument"))
        return tensor


def _own_array(array: Any) -> Any:
    return array.copy() if array.nbytes <= _LARGE else array


def _own_object(value: Any, own: Callable[[Any], Any]) -> Any:
    """A copy of an object that is no tree of tensors, with tensors that are made to be its own."""
    inside = reached({"argument": value}).data
    try:
        return with_others(value, own, {key: own(data.value) for key, data in inside.items()})
    except Exception:  # it has no copies
        return value


def _refused(names: Sequence[str]) -> ValueError:
    return ValueError(
        "model: expected a forward pass and a loss that leave the parameters as they are, got a "
        f"write to {', '.join(names)}: write to them after the step instead"
    )
