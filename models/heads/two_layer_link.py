"""What a two-layer network makes of its preactivations, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import require_fields, require_least
from .activations import (
    Activation,
    activation_derivatives,
    activation_function,
    activation_slope,
    require_activation,
)
from .arrays import Array, diagonal, functions

__all__ = ["Expansion", "TwoLayerLink"]


@dataclass(frozen=True)
class TwoLayerLink:
    """f(h, v) = A act(h + b) + c,  v = (A row by row, b if there is one, c if there is one).

    Attributes:
        width: K, the number of hidden units.
        activation: one of `ACTIVATIONS`, or a torch function, entry by entry.
        outputs: O, the number of rows of A.
        hidden_bias: whether there is a b.
        output_bias: whether there is a c.

    Raises:
        ValueError: naming the attribute, what was expected and what came.
    """

    width: int
    activation: Activation = "gelu"
    outputs: int = 1
    hidden_bias: bool = False
    output_bias: bool = False

    def __post_init__(self) -> None:
        require_fields(self)
        if self.width < 1:
            raise ValueError(f"directions: expected at least 1 hidden unit, got {self.width}")
        require_least("outputs", self.outputs, 1)
        require_activation("activation", self.activation)

    @property
    def parameters(self) -> int:
        """q = O K, + K and + O for the biases."""
        return (
            self.outputs * self.width
            + self.hidden_bias * self.width
            + self.output_bias * self.outputs
        )

    def split(self, v: Array) -> tuple[Array, Array | None, Array | None]:
        """A (..., O, K), b (..., 1, K) and c (..., 1, O) of v (..., q); None for no such bias."""
        if v.shape[-1] != self.parameters:
            raise ValueError(f"v: expected {self.parameters} parameters, got {v.shape[-1]}")
        k, o = self.width, self.outputs
        rest = v[..., None, o * k :]
        b = rest[..., :k] if self.hidden_bias else None
        c = rest[..., -o:] if self.output_bias else None
        return v[..., : o * k].reshape(*v.shape[:-1], o, k), b, c

    def output(self, h: Array, v: Array) -> Array:
        """f, (..., O), of preactivations h (..., K) and v (q,), or h (..., n, K) and v (..., q)."""
        a, b, c = self.split(v)
        if v.ndim == 1:
            b, c = (None if bias is None else bias.squeeze(0) for bias in (b, c))
        units = activation_function(self.activation)(h if b is None else h + b)
        outputs = units @ a.swapaxes(-1, -2)
        return outputs if c is None else outputs + c

    def expansion(self, h: Array, v: Array, curved: bool) -> Expansion:
        """f and its first derivatives for n samples, h (n, K); if ``curved`` the second too.

        The first derivatives of several networks at once, for h (..., n, K) and v (..., q).
        """
        a, b, c = self.split(functions(v).constant(v))
        at = h if b is None else h + b
        if curved:
            value, first, second = activation_derivatives(self.activation, at)
        else:
            (value, first), second = activation_slope(self.activation, at), None
        if self.outputs == 1:  # as below, at a fraction of the overhead for few samples
            outputs = (value * a).sum(-1, keepdims=True)
        else:
            outputs = value @ a.swapaxes(-1, -2)
        return Expansion(self, a, value, first, second, outputs if c is None else outputs + c)


@dataclass(frozen=True)
class Expansion:
    """f(h, v) of n samples with its first and second derivatives in h, or jointly in (h, v).

    Several networks have their axes before all others; `pulled_back` alone takes them.

    Attributes:
        link: the network.
        second_layer: A, (O, K).
        value: act(h + b), (n, K).
        first: act'(h + b), (n, K).
        second: act''(h + b), (n, K); None if it was not asked for.
        outputs: f, (n, O).
    """

    link: TwoLayerLink
    second_layer: Array
    value: Array
    first: Array
    second: Array | None
    outputs: Array

    def jacobian(self, joint: bool) -> Array:
        """df/dh (n, O, K), or df/d(h, v) (n, O, K + q)."""
        by_h = self.second_layer * self.first[:, None, :]
        if not joint:
            return by_h
        f, (n, o, k) = functions(by_h), by_h.shape
        eye = f.values([[float(row == column) for column in range(o)] for row in range(o)], by_h)
        by_second_layer = (eye[:, :, None] * self.value[:, None, None, :]).reshape(n, o, o * k)
        parts = [by_h, by_second_layer]
        if self.link.hidden_bias:
            parts.append(by_h)
        if self.link.output_bias:
            parts.append(f.broadcast_to(eye, (n, o, o)))
        return f.concatenate(parts, 2)

    def pulled_back(self, slopes: Array, joint: bool) -> Array:
        """sum_o r_o df_o/d(h, v) for slopes r (..., n, O): (..., n, K) or (..., n, K + q)."""
        a = self.second_layer
        by_h = (slopes * a if self.link.outputs == 1 else slopes @ a) * self.first
        if not joint:
            return by_h
        by_second_layer = slopes[..., :, None] * self.value[..., None, :]
        parts = [by_h, by_second_layer.reshape(*slopes.shape[:-1], self.link.outputs * a.shape[-1])]
        if self.link.hidden_bias:
            parts.append(by_h)
        if self.link.output_bias:
            parts.append(slopes)
        return functions(by_h).concatenate(parts, -1)

    def bent(self, slopes: Array, joint: bool) -> Array:
        """sum_o r_o d^2 f_o/d(h, v)^2 for slopes r (n, O): (n, K, K) or (n, K + q, K + q)."""
        assert self.second is not None
        k, size = self.link.width, self.link.width + (self.link.parameters if joint else 0)
        result = functions(self.value).zeros((len(self.value), size, size), self.value)
        by_h = (slopes @ self.second_layer) * self.second
        # What is added to a hidden unit: h, and b if there is one.
        inner = [0, k * (1 + self.link.outputs)] if joint and self.link.hidden_bias else [0]
        for row in inner:
            for column in inner:
                diagonal(result, row, column, k)[...] = by_h
            if joint:
                for o in range(self.link.outputs):
                    mixed, weights = slopes[:, o : o + 1] * self.first, k * (1 + o)
                    diagonal(result, row, weights, k)[...] = mixed
                    diagonal(result, weights, row, k)[...] = mixed
        return result
