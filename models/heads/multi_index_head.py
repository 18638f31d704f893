"""The head of multi-index regression: a two-layer student of a fixed teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ..arguments import require_fields, require_whole
from .activations import (
    Activation,
    activation_derivatives,
    activation_function,
    activation_slope,
    require_activation,
)
from .arrays import Array, diagonal, functions
from .head import ArrayHead
from .two_layer_link import Expansion, TwoLayerLink

__all__ = ["MultiIndexHead"]


@dataclass(frozen=True)
class MultiIndexHead(ArrayHead):
    """ell = e^2 / 2,  e = A act(h_1..h_K + b) + c - sum_t w_t teacher_act(h_(K+t)).

    The student is a two-layer network on the first K directions with v = (A, b if there is one, c
    if there is one); the target is a function of the last directions, the teacher's, which are not
    trained. Labels are ignored. Both links may be any of the activations: with one direction, A
    fixed at 1 and the same link on both sides this is a generalised linear model.

    Attributes:
        directions: C = K + teachers.
        teacher_second_layer: w, one weight for each teacher direction.
        activation: of the student's hidden units; see `TwoLayerHead`, also for relu.
        teacher_activation: of the teacher's.
        hidden_bias: whether the student has a b, (K,).
        output_bias: whether the student has a c, (1,).

    Raises:
        ValueError: naming the attribute, what was expected and what came.
    """

    directions: int
    teacher_second_layer: tuple[float, ...]
    activation: Activation = "gelu"
    teacher_activation: Activation = "gelu"
    hidden_bias: bool = False
    output_bias: bool = False

    def __post_init__(self) -> None:
        require_fields(self)
        require_whole("directions", self.directions, 1)
        object.__setattr__(self, "teacher_second_layer", tuple(self.teacher_second_layer))
        if not 1 <= self.teachers < self.directions:
            raise ValueError(
                "teacher_second_layer: expected a weight for each teacher, at least 1 and fewer "
                f"than the {self.directions} directions, got {self.teachers}"
            )
        if not all(map(math.isfinite, self.teacher_second_layer)):
            raise ValueError(
                f"teacher_second_layer: expected finite numbers, got {self.teacher_second_layer}"
            )
        require_activation("teacher_activation", self.teacher_activation)
        _ = self._link  # checks its arguments

    @cached_property
    def _link(self) -> TwoLayerLink:
        students = self.directions - self.teachers
        return TwoLayerLink(students, self.activation, 1, self.hidden_bias, self.output_bias)

    @property
    def teachers(self) -> int:
        """Number of teacher directions, the last ones."""
        return len(self.teacher_second_layer)

    @property
    def parameters(self) -> int:
        """q = entries of A, b and c."""
        return self._link.parameters

    @property
    def classes(self) -> None:
        """Any label will do."""

    @property
    def shift_invariant(self) -> bool:
        """No."""
        return False

    def ell(self, h: Array, v: Array, y: Array) -> Array:
        """Half the squared error (...) of the student: h (..., C), v (q,); y is ignored."""
        students, teachers = self._split(h)
        target = activation_function(self.teacher_activation)(teachers) @ self._weights(h)
        return functions(h).square(self._link.output(students, v).squeeze(-1) - target) / 2

    def classified(self, h: Array, v: Array, y: Array) -> None:
        """None: there are no labels."""

    @property
    def takes_arrays(self) -> bool:
        """Unless an activation is a torch function."""
        return isinstance(self.activation, str) and isinstance(self.teacher_activation, str)

    def sample_losses(self, h: Array, v: Array, y: Array) -> Array:
        """`ell` of each sample, (n,), for h (n, C); y is ignored."""
        return self.ell(h, v, y)

    def sample_classified(self, h: Array, v: Array, y: Array) -> None:
        """None: there are no labels."""

    def gradient(self, h: Array, v: Array, y: Array) -> Array:
        """e de/d(h, v), (n, C + q)."""
        students, teachers = self._split(h)
        at = self._link.expansion(students, v, curved=False)
        value, first = activation_slope(self.teacher_activation, teachers)
        error, slope = self._error(at, value, first, self._weights(h), joint=True)
        return error * slope

    def curvature(self, h: Array, v: Array, y: Array, joint: bool) -> Array:
        """(de)(de)^T + e d^2 e in h, (n, C, C), or jointly in (h, v), (n, C + q, C + q)."""
        students, teachers = self._split(h)
        at, weights = self._link.expansion(students, v, curved=True), self._weights(h)
        value, first, second = activation_derivatives(self.teacher_activation, teachers)
        error, slope = self._error(at, value, first, weights, joint)
        student = at.bent(error, joint)
        c, k = self.directions, self._link.width
        result = slope[:, :, None] * slope[:, None, :]
        result[:, :k, :k] += student[:, :k, :k]
        teacher = diagonal(result, k, k, c - k)
        teacher -= error * weights * second
        if joint:
            result[:, :k, c:] += student[:, :k, k:]
            result[:, c:, :k] += student[:, k:, :k]
            result[:, c:, c:] += student[:, k:, k:]
        return result

    def _error(
        self, at: Expansion, value: Array, first: Array, weights: Array, joint: bool
    ) -> tuple[Array, Array]:
        """The error e (n, 1) and de (n, C or C + q).

        Args:
            at: the student.
            value: activation of the teachers' preactivations, (n, teachers).
            first: its derivative.
            weights: the teachers' second layer, (teachers,).
            joint: whether de holds the derivative in v.
        """
        error = at.outputs - (value @ weights)[:, None]
        f, k = functions(value), self._link.width
        by_student = at.pulled_back(f.ones_like(error), joint)
        return error, f.concatenate([by_student[:, :k], -weights * first, by_student[:, k:]], 1)

    def _split(self, h: Array) -> tuple[Array, Array]:
        k = self._link.width
        return h[..., :k], h[..., k:]

    def _weights(self, h: Array) -> Array:
        return functions(h).values(self.teacher_second_layer, h)
