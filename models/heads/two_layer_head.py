"""The head of a two-layer network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..arguments import require_fields
from .activations import Activation
from .arrays import Array, functions
from .head import LossHead
from .losses import LossName, OutputLoss, output_loss
from .two_layer_link import TwoLayerLink

__all__ = ["TwoLayerHead"]


@dataclass(frozen=True)
class TwoLayerHead(LossHead):
    """ell = loss(A act(h + b) + c, y):  a two-layer network and its loss.

    The head's parameters are v = (A row by row, b if there is one, c if there is one). The loss of
    an output f is

        binary-cross-entropy    log(1 + e^f) - y f,  y in {0, 1}
        squared                 (f - y)^2 / 2
        softmax                 -f_y + log sum_o e^(f_o)

    relu is taken with its generalised derivative: its second derivative is a point mass at 0, which
    is dropped. Hessian blocks are then those that hold almost everywhere (the generalised
    Gauss-Newton matrix), D jumps where a unit switches on, and gaps of its support may be missed.
    The information matrix is not affected.

    Attributes:
        directions: K, the number of hidden units.
        activation: one of `ACTIVATIONS` (gelu is the exact one), or a smooth torch function, entry
            by entry.
        loss: of the output; one of `LOSSES`.
        outputs: rows of A: the number of classes for softmax, otherwise 1.
        hidden_bias: whether there is a b, (K,).
        output_bias: whether there is a c, (outputs,).

    Raises:
        ValueError: naming the attribute, what was expected and what came.
    """

    directions: int
    activation: Activation = "gelu"
    loss: LossName = "binary-cross-entropy"
    outputs: int = 1
    hidden_bias: bool = False
    output_bias: bool = False

    def __post_init__(self) -> None:
        require_fields(self)
        _ = self._link, self._loss  # both check their arguments

    @cached_property
    def _link(self) -> TwoLayerLink:
        return TwoLayerLink(
            self.directions, self.activation, self.outputs, self.hidden_bias, self.output_bias
        )

    @cached_property
    def _loss(self) -> OutputLoss:
        return output_loss(self.loss, self.outputs)

    @property
    def parameters(self) -> int:
        """q = entries of A, b and c."""
        return self._link.parameters

    @property
    def classes(self) -> int | None:
        """Two, the number of outputs for softmax, or any for squared."""
        return self._loss.classes

    @property
    def takes_arrays(self) -> bool:
        """Unless its activation is a torch function."""
        return isinstance(self.activation, str)

    def output(self, h: Array, v: Array) -> Array:
        """f of h (..., K) and v (q,): (...), or logits (..., classes) for softmax."""
        outputs = self._link.output(h, v)
        return outputs if self.loss == "softmax" else outputs.squeeze(-1)

    def losses(self, outputs: Array, targets: Array) -> Array:
        """Loss of each sample: outputs (...), or (..., classes), against labels (...)."""
        return self._loss.values(self._columns(outputs), targets)

    def correct(self, outputs: Array, targets: Array) -> Array:
        """Whether sign, rounded value or largest logit is the label's, (n,) bool."""
        return self._loss.correct(self._columns(outputs), targets)

    def gradient(self, h: Array, v: Array, y: Array, joint: bool = True) -> Array:
        """sum_o r_o df_o/d(h, v), (..., n, K + q), r = d loss/df; in h alone unless joint."""
        at = self._link.expansion(h, v, curved=False)
        return at.pulled_back(self._loss.gradients(at.outputs, y), joint)

    def curvature(self, h: Array, v: Array, y: Array, joint: bool) -> Array:
        """J^T (d^2 loss/df^2) J + sum_o r_o d^2 f_o in h, or jointly in (h, v); J = df."""
        at = self._link.expansion(h, v, curved=True)
        result = at.bent(self._loss.gradients(at.outputs, y), joint)
        curvatures, jacobian = self._loss.curvatures(at.outputs, y), at.jacobian(joint)
        if self.outputs == 1:  # as below, several times as fast
            rows = (curvatures * jacobian).swapaxes(-1, -2)
            return functions(h).add_product(result, rows, jacobian)
        result += jacobian.swapaxes(-1, -2) @ (curvatures @ jacobian)
        return result

    def _columns(self, outputs: Array) -> Array:
        return outputs if self.loss == "softmax" else outputs[..., None]
