"""Second derivatives against differences of the gradient: what autograd gets wrong in silence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .curvature.batches import Batch, sample_number
from .curvature.block import Block
from .curvature.losses import Loss
from .curvature.module_curvature import HessianOperator
from .curvature.observe import Mode, undisturbed
from .curvature.stand_ins import alias

__all__ = ["SecondDerivative", "require_second_derivatives", "second_derivative"]

# Lengths of the steps, as shares of the parameters' norm.
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
# Relative difference beyond which the two are not the same matrix's.
_ACCEPTED = 1e-3


@dataclass(frozen=True)
class SecondDerivative:
    """H u by autograd beside (g(theta + t u) - g(theta - t u)) / 2t, for a random unit vector u.

    Attributes:
        block: whose Hessian.
        difference: |the two apart| / |H u|, the least over t = 1e-3, ..., 1e-7 of |theta|.
        step: the t of that.
    """

    block: str = field(metadata={"unit": "none"})
    difference: float = field(metadata={"unit": "1"})
    step: float = field(metadata={"unit": "parameters"})

    @property
    def agrees(self) -> bool:
        """Whether the difference is at most 1e-3."""
        return self.difference <= _ACCEPTED


def second_derivative(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    block: Block,
    generator: torch.Generator,
    *,
    mode: Mode = "eval",
) -> SecondDerivative:
    """Compare along one random direction, in float64 copies; ten gradients and one product.

    The gradient is trusted: a wrong first derivative is not seen. Where a loss has kinks, as by
    ReLU, small steps meet none.

    Args:
        model: any module.
        loss: of (outputs, targets).
        batch: (inputs, targets).
        block: its parameters, whole; rows are not told apart.
        generator: draws u, on the CPU.
        mode: see `SpectralProbe`.

    Raises:
        ValueError: as `HessianOperator`.
    """
    whole = Block(block.name, block.parameters)
    with undisturbed(model, loss, mode=mode, dtype=torch.float64) as observed:
        operator = HessianOperator(model, loss, batch, whole, dtype=torch.float64)
        chosen = whole.resolve(observed.module)
        values = {name: alias(p.detach(), torch.float64) for name, p in chosen.items()}
        direction = torch.randn(operator.size, dtype=torch.float64, generator=generator)
        direction = (direction / direction.norm()).to(operator.device)
        product = (operator @ direction[:, None])[:, 0]
        size = torch.cat([value.detach().reshape(-1) for value in values.values()]).norm()
        length = float(size) or operator.size**0.5
        parts = torch.split(direction, [value.numel() for value in values.values()])

        def gradient(t: float) -> Tensor:
            leaves = {
                name: (value.detach() + t * part.view_as(value)).requires_grad_()
                for (name, value), part in zip(values.items(), parts, strict=True)
            }

            def body() -> Sequence[Tensor]:
                total, weight = observed.total(
                    observed.outputs(batch[0]), batch[1], sample_number(batch)
                )
                found: Sequence[Tensor] = torch.autograd.grad(
                    total / weight,
                    list(leaves.values()),
                    allow_unused=True,
                    materialize_grads=True,
                )
                return found

            return torch.cat([part.reshape(-1) for part in observed.evaluated(body, leaves)])

        found = []
        for share in _STEPS:
            t = share * length
            quotient = (gradient(t) - gradient(-t)) / (2 * t)
            scale = max(float(product.norm()), float(quotient.norm()))
            apart = float((quotient - product).norm())
            found.append((apart / scale if scale else 0.0, t))
    return SecondDerivative(block.name, *min(found))


def require_second_derivatives(
    checks: Sequence[SecondDerivative],
    constants: Collection[str] = (),
    own_functions: Collection[str] = (),
) -> None:
    """Refuse blocks in which autograd and differences are not the same.

    Args:
        checks: of blocks.
        constants: see `Calls`: what it may be for.
        own_functions: see `Observed`: likewise.

    Raises:
        ValueError: with their names, the relative differences, and what they may be for.
    """
    wrong = [f"{each.block} ({each.difference:.2g} apart)" for each in checks if not each.agrees]
    if wrong:
        reasons = []
        if constants:
            reasons.append(
                f"what {', '.join(constants)} gives is computed from parameters without a gradient "
                "and counts as constant"
            )
        if own_functions:
            reasons.append(f"{', '.join(own_functions)} may have a derivative that is not its own")
        raise ValueError(
            "loss: expected second derivatives that are those of the gradient, got others in "
            f"{', '.join(wrong)}: "
            + (" and ".join(reasons) or "an operation's second derivative is wrong or left out")
        )
