"""Curvature products of any module and twice-differentiable loss, by automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .batches import Batch, first_samples, sample_number
from .curve import Curves
from .graph import Graph
from .graph_ends import next_node, own_functions
from .losses import require_nothing_left
from .module_operator import Forms, ModuleOperator
from .objects import flattened
from .out_of_memory import is_out_of_memory
from .pullback import Pullback
from .strategy import Strategy

__all__ = ["CovarianceOperator", "GaussNewtonOperator", "HessianOperator", "InformationOperator"]

# Samples on which two ways to the same forms are compared, and the relative difference, of the
# largest, beyond which they are not the same.
_COMPARED = 4
_SAME = 1e-3


class HessianOperator(ModuleOperator):
    """H v = d/dtheta (g(theta) . v),  g = d loss / dtheta.

    Over batches, H is the mean of the batches' matrices weighted by their numbers of samples (by
    their sums of weights for a `WeightedMean`), or for ``reduction="sum"`` their sum. Arguments and
    errors as in `ModuleOperator`; also a ValueError if the loss has no second derivative in the
    block.

    `forms` are d^2/dt^2 loss_l(theta + t u) by `Curves`, in about two gradients a vector; where
    these do not give what derivatives in reverse do on a few samples, or give nothing, d/dw_l of
    u^T (sum_l w_l H_l) u by three backward passes, in three times as many. (Second differences of
    the losses are wrong wherever a step meets a kink of ReLU.)
    """

    def _graph(self, outputs: Any, targets: Any, samples: int) -> Graph:
        value, weight = self._total(outputs, targets, samples)
        if not self._samples:
            self._observed.own_functions.update(dict.fromkeys(own_functions(value)))
        gradient = self._gradient([value], [torch.ones_like(value)])
        product = Pullback(gradient, self._leaves)
        return Graph(value.detach(), samples, weight, product, constant=product.constant)

    def _measured(self, batch: Batch) -> tuple[float, float]:
        # The one graph that is made for no products: a closer look at it costs them nothing.
        with self._observed.watched():
            return super()._measured(batch)

    def _forms_of(self, vectors: Tensor) -> Forms:
        return self._curved_forms if self._is_curved(vectors) else self._part_forms

    def _is_curved(self, vectors: Tensor) -> bool:
        """Whether the forms of a few samples along curves are those in reverse."""
        few = first_samples(self._parts(next(iter(self._batches)))[0], _COMPARED)
        panel = vectors.sum(1, keepdim=True)
        try:
            found, _ = self._observed.evaluated(
                lambda: self._curved_forms(few, panel), self._placed
            )
            expected, _ = self._observed.evaluated(
                lambda: self._part_forms(few, panel), self._placed
            )
        except Exception as error:  # of any kind: for what cannot be called with curves
            if is_out_of_memory(error):
                raise
            return False
        apart = (found - expected).abs().max()
        return bool(apart <= _SAME * expected.abs().max())

    def _curved_forms(self, batch: Batch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            outputs = self._observed.outputs_at(batch[0], self._curves(vectors))
            losses, shares = self._units(outputs, batch[1], sample_number(batch))
            return _rates(losses, shares, vectors.shape[1])

    def _curves(self, vectors: Tensor) -> dict[Tensor, Curves]:
        """The block's parameters along each of the vectors, by what stands in for them."""
        every = [self._pieces(vector) for vector in vectors.mT]
        found = {}
        for place, whole in enumerate(self._placed.values()):
            slopes = [pieces[place] for pieces in every]
            if self._block.rows:
                index = torch.tensor(self._block.rows, device=self.device)
                nothing = torch.zeros_like(whole)
                slopes = [nothing.index_copy(0, index, slope) for slope in slopes]
            found[whole] = Curves(whole.detach(), slopes, [None] * len(slopes))
        return found

    def _part_forms(self, batch: Batch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self._observed.outputs(batch[0])
        losses, shares = self._units(outputs, batch[1], sample_number(batch), check=True)
        scales = torch.zeros_like(losses, requires_grad=True)
        slope = self._gradient([losses], [scales])
        columns = []
        for direction in vectors.mT:
            parts = self._pieces(direction)
            product = torch.autograd.grad(
                slope, self._leaves, parts, create_graph=True, allow_unused=True,
                materialize_grads=True,
            )  # fmt: skip
            (form,) = torch.autograd.grad(product, scales, parts, retain_graph=True)
            columns.append(form.double())
        weights = torch.ones_like(losses) if shares is None else shares
        return torch.stack(columns, dim=1), weights.detach().double()


class GaussNewtonOperator(ModuleOperator):
    """G v = J^T (L (J v)),  J = d outputs / dtheta,  L the Hessian of the loss in the outputs.

    The generalised Gauss-Newton matrix: the Hessian without the curvature of the outputs. It is
    semidefinite if the loss is convex in the outputs. The outputs are any tree of tensors. Over
    batches as for `HessianOperator`; arguments and errors as in `ModuleOperator`; also a ValueError
    if the loss has no second derivative in the outputs.
    """

    @property
    def semidefinite(self) -> bool:
        """True: the loss is taken to be convex in the outputs."""
        return True

    @property
    def _variables(self) -> str:
        return "the outputs"

    def _forms_of(self, vectors: Tensor) -> Forms:
        return self._part_forms

    def _part_forms(self, batch: Batch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(J u)^T L_l (J u): the second derivative of the losses along straight outputs."""
        found, rebuilt = flattened(self._observed.outputs(batch[0]))
        varying = [i for i, leaf in enumerate(found) if _varies(leaf)]
        weights = [torch.zeros_like(found[i], requires_grad=True) for i in varying]
        forward = Pullback(self._gradient([found[i] for i in varying], weights), weights)
        slopes = [forward(self._pieces(vector)) for vector in vectors.mT]
        number = sample_number(batch)
        straight = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in found]
        self._units(rebuilt(straight), batch[1], number, check=True)
        with torch.no_grad():
            for place, i in enumerate(varying):
                own = [slope[place] for slope in slopes]
                straight[i] = Curves(straight[i], own, [None] * len(own))
            losses, shares = self._units(rebuilt(straight), batch[1], number)
            return _rates(losses, shares, vectors.shape[1])

    def _graph(self, outputs: Any, targets: Any, samples: int) -> Graph:
        found, rebuilt = flattened(outputs)
        varying = [leaf for leaf in found if _varies(leaf)]
        # The loss sees copies, so that its derivatives end at the outputs.
        copies = {id(leaf): leaf.detach().requires_grad_() for leaf in varying}
        ends, before = [copies[id(leaf)] for leaf in varying], next_node()
        try:
            value, weight = self._total(
                rebuilt([copies.get(id(leaf), leaf) for leaf in found]), targets, samples
            )
        except RuntimeError as error:
            raise ValueError(
                "loss: expected a function of the values of the outputs, got one that "
                f"differentiates through the model ({error})"
            ) from error
        require_nothing_left(value, self._since, before)
        if not value.requires_grad:
            nothing = Pullback([torch.zeros_like(leaf) for leaf in self._leaves], self._leaves)
            return Graph(value.detach(), samples, weight, nothing, constant=True)
        slope = torch.autograd.grad(value, ends, create_graph=True, materialize_grads=True)
        weights = [torch.zeros_like(leaf, requires_grad=True) for leaf in varying]
        # J^T w is linear in w: its derivative in w along v is J v.
        forward = Pullback(self._gradient(varying, weights), weights)
        curvature, backward = Pullback(slope, ends), Pullback(varying, self._leaves)
        return Graph(
            value.detach(),
            samples,
            weight,
            lambda vectors: backward(curvature(forward(vectors))),
            constant=curvature.constant,
        )


class InformationOperator(ModuleOperator):
    """F v = (1/n) G^T (G v),  row l of G the gradient of the loss of sample l;  G is never formed.

    F is the second moment of the gradients, not centred: see `CovarianceOperator`. For
    ``reduction="sum"`` F = G^T G, without 1/n. For a `WeightedMean`, row l of G is the gradient of
    unit l's mean loss and F = G^T W G / tr W with the units' weights on the diagonal of W. G^T u is
    one backward pass; it is linear in u, so its derivative in u along v is G v: memory grows as
    n + N.

    Arguments and errors as in `ModuleOperator`; also a ValueError if the loss is no `WeightedMean`
    and not the mean (sum) of what it is for batches of one sample, in value or in gradient, or
    `torch.func.vmap` cannot take it apart. The module
    treats samples (first axis) independently in evaluation mode.
    """

    # The mean gradient where it is taken off; empty as long as it is unknown.
    _mean: list[Tensor] | None = None

    @property
    def semidefinite(self) -> bool:
        """True."""
        return True

    def _forms_of(self, vectors: Tensor) -> Forms:
        return self._part_forms

    def _part_forms(self, batch: Batch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(g_l^T u)^2, by one backward pass on the graph of another."""
        losses, shares = self._units(
            self._observed.outputs(batch[0]), batch[1], sample_number(batch), check=True
        )
        scales = torch.zeros_like(losses, requires_grad=True)
        forward = Pullback(self._gradient([losses], [scales]), [scales])
        mean = self._mean[0] if self._mean else torch.zeros_like(vectors[:, 0])
        slopes = [forward(self._pieces(vector))[0] - mean @ vector for vector in vectors.mT]
        weights = torch.ones_like(losses) if shares is None else shares
        return torch.stack(slopes, dim=1).double().square(), weights.detach().double()

    def _graph(self, outputs: Any, targets: Any, samples: int) -> Graph:
        losses, shares = self._units(outputs, targets, samples)
        weights = torch.zeros_like(losses, requires_grad=True)
        forward = Pullback(self._gradient([losses], [weights]), [weights])
        backward = Pullback([losses], self._leaves)

        mean = self._mean  # not self: the graph would keep its operator alive

        def product(vectors: Sequence[Tensor]) -> list[Tensor]:
            (pushed,) = forward(vectors)
            if mean is not None:
                pushed = _centred(pushed, vectors, mean)
            return backward([pushed if shares is None else pushed * shares])

        value, weight = losses.detach(), float(samples)
        if shares is not None:
            value, weight = value * shares, float(shares.sum())
        ones = torch.ones_like(losses)
        return Graph(value.sum(), samples, weight, product, gradient=lambda: backward([ones]))

    def _require_sound(self, graph: Graph, rows: Tensor, products: Tensor) -> None:
        """Also refuse products beyond the numbers' range, where the gradients are within it."""
        limits = torch.finfo(self.dtype)
        largest = float(products.abs().max())
        small = largest < limits.tiny / limits.eps and (largest > 0 or _any(graph.gradient()))
        if small or not math.isfinite(largest) or largest > limits.max * limits.eps:
            raise ValueError(
                f"loss: expected one whose squared gradients are within {self.dtype}, got products "
                f"of {largest:.2g}: multiply the loss by a constant, or use float64"
            )
        if self._mean is None:  # otherwise the products are not yet those of the matrix
            super()._require_sound(graph, rows, products)


class CovarianceOperator(InformationOperator):
    """C v = (1/n) G^T (I - 11^T/n) G v,  row l of G the gradient of the loss of sample l.

    For a `WeightedMean` C = sum_l W_l (g_l - g)(g_l - g)^T / sum_l W_l, g the weighted mean.

    The covariance of the gradients with denominator n; G is never formed. For ``reduction="sum"``
    the scatter matrix n C. The mean gradient is taken over all batches at once, in one more pass
    at the beginning. Arguments and errors as in `InformationOperator`.
    """

    def _first_pass(self, strategy: Strategy | None) -> None:
        self._mean = []
        super()._first_pass(strategy)
        # As long as the mean is unknown, every product is G^T 1.
        total = self.matmul(torch.zeros(self.size, 1, dtype=self.dtype, device=self.device))
        self._mean.append(total[:, 0] / (self.weight if self._reduction == "sum" else 1))

    @property
    def mean(self) -> Tensor:
        """g = (1/n) G^T 1, the mean gradient, (size,)."""
        assert self._mean
        return self._mean[0]


def _rates(losses: Tensor, shares: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """Second derivatives of losses along curves, (n, count), and weights (n,), float64."""
    if not isinstance(losses, Curves):
        raise NotImplementedError("loss: expected operations that curves go through")
    weights = torch.ones_like(losses.value) if shares is None else shares
    rates = [losses.curvature(k).double() for k in range(count)]
    return torch.stack(rates, dim=1), weights.double()


def _varies(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _any(parts: Sequence[Tensor]) -> bool:
    return any(bool(part.count_nonzero()) for part in parts)


def _centred(pushed: Tensor, vectors: Sequence[Tensor], mean: Sequence[Tensor]) -> Tensor:
    """(I - 11^T/n) G v from G v (..., n) and v by leaf (..., *shape); 1 where no mean is known."""
    if not mean:
        return torch.ones_like(pushed)
    flat = torch.cat([vector.reshape(*pushed.shape[:-1], -1) for vector in vectors], dim=-1)
    return pushed - (flat @ mean[0])[..., None]
