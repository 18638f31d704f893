"""Blocks of parameters: what a spectrum is restricted to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Block"]


@dataclass(frozen=True)
class Block:
    """Some parameters of a module, flattened in order.

    Attributes:
        name: shown in tags and figures, for example "class 0".
        parameters: names as in ``module.named_parameters()``; empty means all that require a
            gradient.
        rows: restrict the (single) parameter to these rows of its first axis; empty means whole.
    """

    name: str
    parameters: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.rows and len(self.parameters) != 1:
            raise ValueError(
                f"rows: expected one parameter to take rows of, got {self.parameters or 'all'}"
            )

    def resolve(self, module: nn.Module) -> dict[str, Tensor]:
        """The block's parameters by name.

        Raises:
            ValueError: if a name is unknown, a row out of range, or nothing requires a gradient.
        """
        known = dict(module.named_parameters())
        unknown = [name for name in self.parameters if name not in known]
        if unknown:
            raise ValueError(
                f"parameters of block {self.name!r}: expected names among {sorted(known)}, "
                f"got {unknown}"
            )
        names = self.parameters or tuple(known)
        chosen: dict[str, Tensor] = {
            name: known[name] for name in names if known[name].requires_grad
        }
        if not chosen or all(parameter.numel() == 0 for parameter in chosen.values()):
            raise ValueError(
                f"parameters of block {self.name!r}: expected at least one parameter that requires "
                f"a gradient, got {sorted(known) or 'none'}"
            )
        for row in self.rows:
            count = next(iter(chosen.values())).shape[0]
            if not 0 <= row < count:
                raise ValueError(
                    f"rows of block {self.name!r}: expected 0 <= row < {count}, got {row}"
                )
        return chosen
