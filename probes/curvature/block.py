"""Blocks of parameters: what a spectrum is restricted to."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from ...models.arguments import require_fields

__all__ = ["Block"]


@dataclass(frozen=True)
class Block:
    """Some parameters of a module, flattened in order.

    Frozen parameters (``requires_grad=False``) are left out. A parameter that the module holds
    under several names is there once, under the first of them.

    Attributes:
        name: shown in tags and figures, for example "class 0".
        parameters: names as in ``module.named_parameters()``, or patterns of them: "encoder.*";
            empty means all.
        rows: restrict the (single) parameter to these rows of its first axis; empty means whole.
    """

    name: str
    parameters: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require_fields(self)
        if not self.name:
            raise ValueError("name: expected a text that is not empty, got ''")
        if self.rows and len(self.parameters) != 1:
            raise ValueError(
                f"rows: expected one parameter to take rows of, got {self.parameters or 'all'}"
            )

    def resolve(self, module: nn.Module) -> dict[str, Tensor]:
        """The block's parameters by name: in the order given, those of a pattern in the module's.

        Raises:
            ValueError: if a name or pattern fits no parameter, rows are wanted of several, a row
                is out of range or there twice, or nothing requires a gradient.
        """
        known = dict(module.named_parameters(remove_duplicate=False))
        first = {id(parameter): name for name, parameter in reversed(known.items())}
        chosen: dict[str, Tensor] = {}
        unknown = []
        for wanted in self.parameters or ("*",):
            fitting = [wanted] if wanted in known else [n for n in known if fnmatchcase(n, wanted)]
            if not fitting and self.parameters:
                unknown.append(wanted)
            for parameter in (known[name] for name in fitting):
                if parameter.requires_grad:
                    chosen[first[id(parameter)]] = parameter
        if unknown:
            raise ValueError(
                f"parameters of block {self.name!r}: expected names among {sorted(known)}, "
                f"got {unknown}"
            )
        if not chosen or all(parameter.numel() == 0 for parameter in chosen.values()):
            raise ValueError(
                f"parameters of block {self.name!r}: expected at least one parameter that requires "
                f"a gradient, got {sorted(known) or 'none'}"
            )
        if self.rows:
            if len(chosen) > 1:
                raise ValueError(
                    f"rows of block {self.name!r}: expected one parameter to take rows of, "
                    f"got {list(chosen)}"
                )
            if len(set(self.rows)) < len(self.rows):
                raise ValueError(f"rows of block {self.name!r}: expected each row once")
            shape = next(iter(chosen.values())).shape
            for row in self.rows:
                if not shape or not 0 <= row < shape[0]:
                    count = shape[0] if shape else 0
                    raise ValueError(
                        f"rows of block {self.name!r}: expected 0 <= row < {count}, got {row}"
                    )
        return chosen
