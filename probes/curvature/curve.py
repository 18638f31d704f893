"""Tensors along curves, to second order: what a model makes of them, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn import functional
from torch.overrides import enable_reentrant_dispatch
from torch.utils._pytree import tree_flatten, tree_unflatten

from .filtered_warnings import filtered_warnings
from .kernels import layer_norm

__all__ = ["Curves"]

_ATEN = torch.ops.aten

# torch's own type knows no auxiliary results.
_dual: Callable[..., Any] = partial(jvp, has_aux=True)

# Two tensors to their product.
_Multiply = Callable[[Tensor, Tensor], Tensor]


class Curves(Tensor):
    """x + t x_k' + t^2 x_k'' / 2,  k = 1, 2, ..,  as one tensor that a model can be called with.

    Linear operations and products of two tensors have rules of their own; any other is
    differentiated twice in forward mode, alone. A product of two then takes five multiplications
    for each k, where dual numbers in dual numbers take eight, and no graph is built. Without
    gradients only.

    Args:
        value: x, floating.
        first: x_k', of its shape.
        second: x_k'', likewise; None for 0.
    """

    value: Tensor
    first: list[Tensor]
    second: list[Tensor | None]

    @staticmethod
    def __new__(
        cls: type[Curves], value: Tensor, first: list[Tensor], second: list[Tensor | None]
    ) -> Curves:
        """A tensor in the memory of x: what reads it past torch's operators finds a constant."""
        made: Curves = Tensor._make_subclass(cls, value)
        made.value, made.first, made.second = value, first, second
        return made

    # Functions are met as the operations that they are made of.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What ``func`` makes of them."""
        if func._schema.is_mutable:
            return _in_place(func, args, kwargs or {})
        rule: Callable[..., Any] = _RULES.get(func, _differentiated)
        return rule(func, *args, **kwargs or {})

    def curvature(self, place: int) -> Tensor:
        """x_k''."""
        found = self.second[place]
        return torch.zeros_like(self.first[place]) if found is None else found

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Curves:
        """Of a linear function, and whatever shares memory with its values as the results do."""
        second = [None if part is None else function(part) for part in self.second]
        return Curves(function(self.value), [function(part) for part in self.first], second)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _differentiated(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation, by dual numbers in dual numbers."""
    leaves, spec = tree_flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Curves)]
    curves: list[Curves] = [leaves[i] for i in places]
    # Dual numbers have a memory of their own for each entry.
    values = tuple(curve.value.contiguous() for curve in curves)
    seen: list[Any] = []

    def called(*own: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        given = list(leaves)
        for i, tensor in zip(places, own, strict=True):
            given[i] = tensor
        given_args, given_kwargs = tree_unflatten(given, spec)
        found, shape = tree_flatten(func(*given_args, **given_kwargs))
        seen[:] = found, shape
        rest = [leaf for leaf in found if isinstance(leaf, Tensor) and not _is_floating(leaf)]
        # With the first tensor itself, for an operation that gives no number.
        return [*(leaf for leaf in found if _is_floating(leaf)), own[0]], rest

    def along(own: tuple[Tensor, ...], slopes: tuple[Tensor, ...]) -> Any:
        value, slope, rest = _dual(called, own, slopes)
        return (value, slope), rest

    first, second = [], []
    # Modes have had their turn.
    with enable_reentrant_dispatch(), torch._C._DisableTorchDispatch():
        _load_rules()
        for k in range(len(curves[0].first)):
            slopes = tuple(curve.first[k].contiguous() for curve in curves)
            rates = tuple(curve.curvature(k).contiguous() for curve in curves)
            (value, slope), (_, rate), rest = _dual(along, (values, slopes), (slopes, rates))
            first.append(slope)
            second.append(rate)
    found, shape = seen
    varying = map(_joined, value, zip(*first, strict=True), zip(*second, strict=True))
    others = iter(rest)
    own = [
        (next(varying) if _is_floating(leaf) else next(others))
        if isinstance(leaf, Tensor)
        else leaf
        for leaf in found
    ]
    return tree_unflatten(own, shape)


@cache
def _load_rules() -> None:
    """Those of forward mode, which warn of what torch itself has deprecated as they are loaded."""
    one = torch.ones(())
    with filtered_warnings("ignore", DeprecationWarning):
        jvp(torch.sin, (one,), (one,))


def _joined(value: Tensor, first: Sequence[Tensor], second: Sequence[Tensor]) -> Curves:
    return Curves(value, list(first), list(second))


def _in_place(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation that writes to its first argument."""
    name, overload = func._schema.name.split("::")[1], func._overloadname
    written = args[0]
    other = getattr(_ATEN, name[:-1], None) if name.endswith("_") else None
    if not isinstance(written, Curves) or not hasattr(other, overload):
        raise NotImplementedError(f"{func} of tensors along curves")
    found = getattr(other, overload)(*args, **kwargs)
    if not isinstance(found, Curves):
        found = Curves(found, [0 * part for part in written.first], [None] * len(written.first))
    written.value.copy_(found.value)
    for k, part in enumerate(written.first):
        part.copy_(found.first[k])
        rate = written.second[k]
        if rate is not None:
            rate.copy_(found.curvature(k))
        elif found.second[k] is not None:
            written.second[k] = found.curvature(k).clone()
    return written


def _linear(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation that is linear in its first argument, a tensor."""
    if not isinstance(x, Curves):
        return _differentiated(func, x, *args, **kwargs)
    return x.mapped(lambda part: func(part, *args, **kwargs))


def _view(func: Any, x: Curves, *args: Any) -> Any:
    """A view of the values; of derivatives that lie otherwise in memory, a copy."""

    def viewed(part: Tensor) -> Tensor:
        return part.reshape(*args)

    second = [None if part is None else viewed(part) for part in x.second]
    return Curves(func(x.value, *args), list(map(viewed, x.first)), second)


def _parts(func: Any, x: Curves, *args: Any, **kwargs: Any) -> list[Curves]:
    """Likewise, with several results."""
    values = func(x.value, *args, **kwargs)
    first = [func(part, *args, **kwargs) for part in x.first]
    second = [None if part is None else func(part, *args, **kwargs) for part in x.second]
    return [
        Curves(value, [each[i] for each in first], [None if s is None else s[i] for s in second])
        for i, value in enumerate(values)
    ]


def _together(func: Any, parts: Sequence[Any], *args: Any) -> Any:
    """An operation that is linear in a list of tensors."""
    numbers = next(len(part.first) for part in parts if isinstance(part, Curves))

    def of(take: Callable[[Curves], Tensor], other: Callable[[Tensor], Tensor]) -> Tensor:
        own = [take(part) if isinstance(part, Curves) else other(part) for part in parts]
        found: Tensor = func(own, *args)
        return found

    return Curves(
        of(lambda part: part.value, lambda part: part),
        [of(lambda part, k=k: part.first[k], torch.zeros_like) for k in range(numbers)],  # type: ignore[misc]
        [of(lambda part, k=k: part.curvature(k), torch.zeros_like) for k in range(numbers)],  # type: ignore[misc]
    )


def _sum(func: Any, x: Any, y: Any, *, alpha: float = 1) -> Any:
    """x + alpha y, or x - alpha y."""
    if not (isinstance(x, Curves) and isinstance(y, Curves)):
        own, other = (x, y) if isinstance(x, Curves) else (y, x)
        factor = 1 if own is x else func(0, 1, alpha=alpha)
        value = (
            func(own.value, other, alpha=alpha) if own is x else func(other, own.value, alpha=alpha)
        )

        def shaped(part: Tensor | None) -> Any:
            if part is None:
                return None
            return (part if factor == 1 else part * factor).expand_as(value)

        return Curves(value, list(map(shaped, own.first)), list(map(shaped, own.second)))

    def rate(a: Tensor | None, b: Tensor | None, k: int) -> Tensor | None:
        if a is None and b is None:
            return None
        found: Tensor = func(x.curvature(k), y.curvature(k), alpha=alpha)
        return found

    return Curves(
        func(x.value, y.value, alpha=alpha),
        [func(a, b, alpha=alpha) for a, b in zip(x.first, y.first, strict=True)],
        [rate(a, b, k) for k, (a, b) in enumerate(zip(x.second, y.second, strict=True))],
    )


def _product(multiply: _Multiply, x: Any, y: Any, value: Tensor | None = None) -> Curves:
    """(x y)' = x'y + xy',  (x y)'' = x''y + 2 x'y' + xy''."""
    curve = x if isinstance(x, Curves) else y
    nothing = [None] * len(curve.first)
    x0, xs, xss = (x.value, x.first, x.second) if isinstance(x, Curves) else (x, nothing, nothing)
    y0, ys, yss = (y.value, y.first, y.second) if isinstance(y, Curves) else (y, nothing, nothing)

    def total(*pairs: tuple[Any, Any], start: Tensor | None = None) -> Tensor | None:
        found = start
        for a, b in pairs:
            if a is not None and b is not None:
                part = multiply(a, b)
                found = part if found is None else found.add_(part)
        return found

    first: list[Any] = []
    second: list[Tensor | None] = []
    for x1, y1, x2, y2 in zip(xs, ys, xss, yss, strict=True):
        first.append(total((x1, y0), (x0, y1)))
        both = None if x1 is None or y1 is None else multiply(x1, y1).mul_(2)
        second.append(total((x2, y0), (x0, y2), start=both))
    return Curves(multiply(x0, y0) if value is None else value, first, second)


def _of_two(func: Any, x: Any, y: Any) -> Curves:
    """An operation that is linear in each of its two arguments."""
    return _product(func, x, y)


def _divided(func: Any, x: Any, y: Any) -> Any:
    """x / y."""
    if isinstance(y, Curves):
        return x * y.reciprocal()
    return x.mapped(lambda part: func(part, y))


def _convolution(func: Any, x: Any, weight: Any, bias: Any, *args: Any) -> Any:
    found: Any = _product(lambda a, b: func(a, b, None, *args), x, weight)
    return found if bias is None else found + bias.view(-1, *[1] * (found.ndim - 2))


def _addmm(func: Any, bias: Any, x: Any, y: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    found: Any = _product(torch.mm, x, y)
    found = found if alpha == 1 else found * alpha
    return found + (bias if beta == 1 else bias * beta)


def _pointwise(func: Any, x: Curves, *args: Any, **kwargs: Any) -> Curves:
    """With f' and f'' from one curve of slope 1."""
    unit = Curves(x.value, [torch.ones_like(x.value)], [None])
    found: Curves = _differentiated(func, unit, *args, **kwargs)
    return _composed(x, found.value, found.first[0], found.curvature(0))


def _composed(x: Curves, value: Tensor, slope: Tensor, rate: Tensor) -> Curves:
    """f(x)' = f' x',  f(x)'' = f'' x'^2 + f' x'',  slope f' and rate f''."""
    second: list[Tensor | None] = []
    for one, two in zip(x.first, x.second, strict=True):
        own = one.square().mul_(rate)
        second.append(own if two is None else own.addcmul_(slope, two))
    return Curves(value, [slope * one for one in x.first], second)


def _softmax(func: Any, x: Curves, dim: int, *args: Any, **kwargs: Any) -> Curves:
    """p' = p (x' - p.x'),  p'' = p' (x' - p.x') + p (x'' - p.x'' - p'.x')."""
    p = func(x.value, dim, *args, **kwargs)
    first, second = [], []
    for k, slope in enumerate(x.first):
        inner = slope - (p * slope).sum(dim, keepdim=True)
        own = p * inner
        change = x.second[k]
        rest = (own * slope).sum(dim, keepdim=True).neg()
        if change is not None:
            rest = change - (p * change).sum(dim, keepdim=True) + rest
        second.append((own * inner).addcmul_(p, rest))
        first.append(own)
    return _joined(p, first, second)


def _log_softmax(func: Any, x: Curves, dim: int, *args: Any) -> Curves:
    """y' = x' - p.x',  y'' = x'' - p.x'' - p.y'^2,  p the softmax."""
    value = func(x.value, dim, *args)
    p = value.exp()

    def without_mean(part: Tensor) -> Tensor:
        found: Tensor = part - (p * part).sum(dim, keepdim=True)
        return found

    first, second = [], []
    for slope, change in zip(x.first, x.second, strict=True):
        own = without_mean(slope)
        rate = (p * own.square()).sum(dim, keepdim=True).neg()
        second.append(rate.expand_as(value) if change is None else without_mean(change).add_(rate))
        first.append(own)
    return _joined(value, first, second)


def _likelihood(func: Any, x: Curves, *args: Any) -> Any:
    """An operation that is linear in the logits, and the sum of weights besides."""
    value, weight = func(x.value, *args)
    second = [None if part is None else func(part, *args)[0] for part in x.second]
    return Curves(value, [func(part, *args)[0] for part in x.first], second), weight


def _entrywise(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A loss of every entry; of several, as their mean, like any other operation."""
    alone = isinstance(x, Curves) and not any(isinstance(each, Curves) for each in args)
    if not alone or func(x.value, *args, **kwargs).shape != x.shape:
        return _differentiated(func, x, *args, **kwargs)
    return _pointwise(func, x, *args, **kwargs)


def _binary(
    func: Any, x: Any, target: Any, weight: Tensor | None = None, positive: Tensor | None = None,
    reduction: int = 1,
) -> Any:  # fmt: skip
    """w ((1 - t) x - c log p),  p the sigmoid,  c = 1 + (w_+ - 1) t."""
    if reduction or isinstance(target, Curves):
        return _differentiated(func, x, target, weight, positive, reduction)
    value, p = func(x.value, target, weight, positive, reduction), x.value.sigmoid()
    slope, rate = p - target, p * (1 - p)
    if positive is not None:
        both = 1 + (positive - 1) * target
        slope, rate = 1 - target - both * (1 - p), rate * both
    if weight is not None:
        slope, rate = slope * weight, rate * weight
    return _composed(x, value, slope, rate)


def _where(func: Any, condition: Tensor, x: Any, y: Any) -> Any:
    curve = x if isinstance(x, Curves) else y
    nothing = curve.value.new_zeros(())
    value = func(condition, *(each.value if isinstance(each, Curves) else each for each in (x, y)))

    def chosen(take: Callable[[Curves], Tensor]) -> Tensor:
        own = (take(each) if isinstance(each, Curves) else nothing for each in (x, y))
        found: Tensor = func(condition, *own).expand_as(value)
        return found

    numbers = range(len(curve.first))
    first = [chosen(lambda each, k=k: each.first[k]) for k in numbers]  # type: ignore[misc]
    second = [chosen(lambda each, k=k: each.curvature(k)) for k in numbers]  # type: ignore[misc]
    return _joined(value, first, second)


def _compared(func: Any, *args: Any) -> Any:
    """A comparison, of the values."""
    return func(*(each.value if isinstance(each, Curves) else each for each in args))


def _relu(func: Any, x: Curves) -> Curves:
    value = func(x.value)

    def above(part: Tensor) -> Tensor:
        found: Tensor = _ATEN.threshold_backward(part, value, 0)
        return found

    second = [None if part is None else above(part) for part in x.second]
    return Curves(value, list(map(above, x.first)), second)


def _max_pool(func: Any, x: Curves, *args: Any) -> Any:
    value, index = func(x.value, *args)
    flat = index.flatten(-2)

    def chosen(part: Tensor) -> Tensor:
        return part.flatten(-2).gather(-1, flat).view_as(value)

    second = [None if part is None else chosen(part) for part in x.second]
    return Curves(value, list(map(chosen, x.first)), second), index


# Dual numbers are wrong in norms, see `TwiceDifferentiable`, or lack a derivative: from what they
# are made of. Nothing reads the mean and the deviation that norms give besides.


def _layer_norm(func: Any, x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return layer_norm(x, shape, weight, bias, eps), None, None


def _group_norm(
    func: Any, x: Any, weight: Any, bias: Any, n: int, channels: int, rest: int, groups: int,
    eps: float,
) -> Any:  # fmt: skip
    found = layer_norm(x.reshape(n, groups, -1), (channels // groups * rest,), eps=eps)
    return _scaled(found.view(x.shape), weight, bias), None, None


def _batch_norm(
    func: Any, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool,
    momentum: float, eps: float,
) -> Any:  # fmt: skip
    if training:  # what it writes to the running statistics is undone anyway
        axes = (0, *range(2, x.ndim))
        x = x - x.mean(axes, keepdim=True)
        return _scaled(_scaled(x, (x.square().mean(axes) + eps).rsqrt()), weight, bias), None, None
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    return _scaled(x, scale, shift if bias is None else shift + bias), None, None


def _scaled(x: Any, weight: Any, bias: Any = None) -> Any:
    """Each channel times its weight, plus its bias."""
    tail = [1] * (x.ndim - 2)
    found = x if weight is None else x * weight.view(-1, *tail)
    return found if bias is None else found + bias.view(-1, *tail)


def _silu(func: Any, x: Curves) -> Any:
    return x * x.sigmoid()


def _mish(func: Any, x: Curves) -> Any:
    return x * functional.softplus(x).tanh()


def _glu(func: Any, x: Curves, dim: int = -1) -> Any:
    part, gate = x.chunk(2, dim)
    return part * gate.sigmoid()


def _abs(func: Any, x: Curves) -> Any:
    sign = x.value.sign()
    return x.mapped(lambda part: part * sign)


def _square(func: Any, x: Curves) -> Any:
    return _product(torch.mul, x, x)


def _constant(func: Any, x: Curves, *args: Any, **kwargs: Any) -> Any:
    """An operation that reads the shape alone."""
    return func(x.value, *args, **kwargs)


_RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(
        [
            _ATEN.t.default,
            _ATEN.transpose.int, _ATEN.permute.default, _ATEN.expand.default,
            _ATEN.slice.Tensor, _ATEN.select.int, _ATEN.unsqueeze.default,
            _ATEN.squeeze.dim, _ATEN.squeeze.dims, _ATEN.clone.default, _ATEN.alias.default,
            _ATEN.detach.default, _ATEN.neg.default, _ATEN.sum.default, _ATEN.sum.dim_IntList,
            _ATEN.mean.default, _ATEN.mean.dim, _ATEN.mul.Scalar, _ATEN.div.Scalar,
            _ATEN.gather.default, _ATEN.index_select.default, _ATEN.embedding.default,
            _ATEN.avg_pool2d.default, _ATEN._adaptive_avg_pool2d.default,
        ],
        _linear,
    ),
    **dict.fromkeys([_ATEN.view.default, _ATEN._unsafe_view.default], _view),
    **dict.fromkeys(
        [_ATEN.split.Tensor, _ATEN.split_with_sizes.default, _ATEN.unbind.int], _parts
    ),
    **dict.fromkeys([_ATEN.cat.default, _ATEN.stack.default], _together),
    **dict.fromkeys([_ATEN.add.Tensor, _ATEN.sub.Tensor], _sum),
    **dict.fromkeys([_ATEN.mm.default, _ATEN.bmm.default, _ATEN.mul.Tensor], _of_two),
    **dict.fromkeys(
        [
            _ATEN.empty_like.default, _ATEN.zeros_like.default, _ATEN.ones_like.default,
            _ATEN.full_like.default,
        ],
        _constant,
    ),
    **dict.fromkeys(
        [
            _ATEN.gelu.default, _ATEN.tanh.default, _ATEN.sigmoid.default, _ATEN.exp.default,
            _ATEN.log.default, _ATEN.sqrt.default, _ATEN.rsqrt.default, _ATEN.reciprocal.default,
            _ATEN.softplus.default, _ATEN.elu.default, _ATEN.sin.default, _ATEN.cos.default,
            _ATEN.erf.default,
        ],
        _pointwise,
    ),
    **dict.fromkeys(
        [
            _ATEN.binary_cross_entropy.default,
            _ATEN.mse_loss.default, _ATEN.smooth_l1_loss.default,
        ],
        _entrywise,
    ),
    **dict.fromkeys(
        [
            getattr(getattr(_ATEN, name), kind)
            for name in ("eq", "ne", "lt", "le", "gt", "ge")
            for kind in ("Tensor", "Scalar")
        ],
        _compared,
    ),
    **dict.fromkeys([_ATEN._softmax.default, _ATEN._safe_softmax.default], _softmax),
    **dict.fromkeys(
        [_ATEN.nll_loss_forward.default, _ATEN.nll_loss2d_forward.default], _likelihood
    ),
    _ATEN._log_softmax.default: _log_softmax,
    _ATEN.where.self: _where,
    _ATEN.binary_cross_entropy_with_logits.default: _binary,
    _ATEN.div.Tensor: _divided,
    _ATEN.abs.default: _abs,
    _ATEN.square.default: _square,
    _ATEN.convolution.default: _convolution,
    _ATEN.addmm.default: _addmm,
    _ATEN.relu.default: _relu,
    _ATEN.max_pool2d_with_indices.default: _max_pool,
    _ATEN.silu.default: _silu,
    _ATEN.mish.default: _mish,
    _ATEN.glu.default: _glu,
    _ATEN.native_layer_norm.default: _layer_norm,
    _ATEN.native_group_norm.default: _group_norm,
    _ATEN.native_batch_norm.default: _batch_norm,
}  # fmt: skip
