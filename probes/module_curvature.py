"""Curvature products of any module and twice-differentiable loss, by automatic differentiation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from .block import Block
from .observe import ordinary, undisturbed
from .operator import CurvatureOperator

__all__ = [
    "HessianOperator",
    "InformationOperator",
    "Inputs",
    "Loss",
    "module_outputs",
    "sample_losses",
    "scalar_loss",
]

# Passed to the module as model(x), model(*x) for a sequence, model(**x) for a mapping.
Inputs = Tensor | Sequence[Any] | Mapping[str, Any]
Loss = Callable[[Any, Any], Tensor]

# Relative difference between the loss of a batch and the mean of its samples' losses.
_MEAN_TOLERANCE = 1e-3


class _ModuleOperator(CurvatureOperator):
    """Products one vector at a time, on a graph built once and kept.

    The block's parameters are replaced by copies that share their memory: neither the parameters'
    gradients nor their hooks see anything, and nothing else is differentiated.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, block: Block) -> None:
        self._block = block
        with undisturbed(model) as module:
            parameters = ordinary({name: p.detach() for name, p in module.named_parameters()})
            self._leaves: list[Tensor] = []
            for name in block.resolve(module):
                leaf = parameters[name]
                if block.rows:
                    index = torch.tensor(block.rows, device=leaf.device)
                    leaf = leaf[index].requires_grad_()
                    parameters[name] = parameters[name].index_copy(0, index, leaf)
                self._leaves.append(leaf.requires_grad_())
            kinds = {(leaf.dtype, str(leaf.device)) for leaf in self._leaves}
            if len(kinds) != 1 or self.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"parameters of block {block.name!r}: expected one device and one dtype, "
                    f"float32 or float64, got {sorted(map(str, kinds))}"
                )
            self._outputs = module_outputs(module, inputs, parameters)

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """Number of parameters in the block."""
        return sum(leaf.numel() for leaf in self._leaves)

    @property
    def dtype(self) -> torch.dtype:
        """That of the parameters."""
        return self._leaves[0].dtype

    @property
    def device(self) -> torch.device:
        """That of the parameters."""
        return self._leaves[0].device

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (size, width); same shape."""
        return torch.stack([self._product(vector) for vector in panel.unbind(-1)], dim=-1)

    @abstractmethod
    def _product(self, vector: Tensor) -> Tensor:
        """H v for v (size,)."""

    def _differentiated(self, value: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """weights^T d value / d leaf for each leaf, differentiable; zeros where independent."""
        gradient: Sequence[Tensor | None] = (None,)
        if value.requires_grad:
            gradient = torch.autograd.grad(
                value, self._leaves, weights, create_graph=True, allow_unused=True
            )
        if all(part is None for part in gradient):
            raise ValueError(
                f"loss: expected one that depends on the parameters of block {self._block.name!r}, "
                "got one that does not"
            )
        return tuple(
            torch.zeros_like(leaf) if part is None else part
            for part, leaf in zip(gradient, self._leaves, strict=True)
        )

    def _split(self, vector: Tensor) -> list[Tensor]:
        pieces = torch.split(vector, [leaf.numel() for leaf in self._leaves])
        return [piece.view_as(leaf) for piece, leaf in zip(pieces, self._leaves, strict=True)]


class HessianOperator(_ModuleOperator):
    """H v = d/dtheta (g(theta) . v),  g = d loss / dtheta;  the graph of g is built once.

    Args:
        model: any module; compiled or distributed wrappers are taken off.
        loss: of (outputs, targets); twice differentiable.
        inputs: passed as model(x), model(*x) for a sequence, model(**x) for a mapping.
        targets: second argument of the loss.
        block: the parameters that H is restricted to.

    Raises:
        ValueError: if the loss is not one finite number, does not depend on the block's parameters
            or has no second derivative in them, or the block is empty.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, inputs: Inputs, targets: Any, block: Block
    ) -> None:
        super().__init__(model, inputs, block)
        with undisturbed(model):
            value = scalar_loss(loss(self._outputs, ordinary(targets)))
            self._gradient = self._differentiated(value, torch.ones_like(value))
        expected = f"loss: expected a second derivative in block {block.name!r}, got "
        if not any(part.requires_grad for part in self._gradient):
            raise ValueError(expected + "a gradient that does not depend on any parameter")
        try:
            self._product(torch.zeros(self.size, dtype=self.dtype, device=self.device))
        except RuntimeError as error:
            raise ValueError(expected + str(error)) from error

    def _product(self, vector: Tensor) -> Tensor:
        return _flat(_pullback(self._gradient, self._leaves, self._split(vector)))


class InformationOperator(_ModuleOperator):
    """F v = (1/n) G^T (G v),  row l of G the gradient of the loss of sample l;  G is never formed.

    F is the second moment of the gradients, not centred. G^T u is one backward pass; it is linear
    in u, so its derivative in u along v, on a graph built once, is G v.

    Args:
        model: any module that treats samples (first axis) independently in evaluation mode.
        loss: of (outputs, targets); a mean over samples that `torch.func.vmap` can take apart.
        inputs: passed as model(x), model(*x) for a sequence, model(**x) for a mapping.
        targets: second argument of the loss; samples along the first axis.
        block: the parameters that F is restricted to.

    Raises:
        ValueError: if the loss is not one finite number, is no mean over samples or does not
            depend on the block's parameters, or the block is empty.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, inputs: Inputs, targets: Any, block: Block
    ) -> None:
        super().__init__(model, inputs, block)
        with undisturbed(model):
            self._losses = sample_losses(loss, self._outputs, ordinary(targets))
            self._weights = torch.zeros_like(self._losses, requires_grad=True)
            self._gradient = self._differentiated(self._losses, self._weights)

    def _product(self, vector: Tensor) -> Tensor:
        pushed = _pullback(self._gradient, [self._weights], self._split(vector))
        return _flat(_pullback([self._losses], self._leaves, pushed)) / len(self._losses)


def module_outputs(module: nn.Module, inputs: Inputs, parameters: dict[str, Tensor]) -> Any:
    """The module at these parameters (its own where missing) on ``inputs``, see `Inputs`."""
    if isinstance(inputs, Tensor):
        return functional_call(module, parameters, (ordinary(inputs),))
    if isinstance(inputs, Mapping):
        return functional_call(module, parameters, (), ordinary(dict(inputs)))
    return functional_call(module, parameters, tuple(ordinary(list(inputs))))


def scalar_loss(value: Any) -> Tensor:
    """The value of a loss.

    Raises:
        ValueError: unless it is a tensor of shape () with a finite number.
    """
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss: expected a tensor of shape (), got {shape}")
    if not bool(torch.isfinite(value)):
        raise ValueError(f"loss: expected a finite number, got {float(value.detach())}")
    return value


def sample_losses(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    """The loss of every sample alone, (n,).

    Raises:
        ValueError: if the loss is not the mean over samples, or `torch.func.vmap` cannot take it
            apart.
    """

    def single(output: Any, target: Any) -> Tensor:
        return loss(*tree_map(lambda part: part.unsqueeze(0), (output, target)))

    total = float(scalar_loss(loss(outputs, targets)).detach())
    try:
        losses: Tensor = vmap(single)(outputs, targets)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"loss: expected a function that torch.func.vmap takes sample by sample, got {error}"
        ) from error
    mean, spread = float(losses.detach().mean()), float(losses.detach().abs().mean())
    if not abs(mean - total) <= _MEAN_TOLERANCE * max(spread, abs(total)):
        raise ValueError(
            f"loss: expected the mean over samples ({mean:g}), got {total:g} for the batch"
        )
    return losses


def _pullback(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """J^T w of outputs by inputs, zero where there is no dependence; the graph is kept."""
    pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    return torch.autograd.grad(
        [output for output, _ in pairs],
        inputs,
        [weight for _, weight in pairs],
        retain_graph=True,
        materialize_grads=True,
    )


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])
