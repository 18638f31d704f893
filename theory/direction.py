"""Reference directions, which eigenvectors are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Direction"]


@dataclass(frozen=True)
class Direction:
    """A reference direction.

    Attributes:
        name: in tags and tables: "x0".
        symbol: the same for figures, in TeX without the dollars.
        trained: whether it moves in training.
    """

    name: str = field(metadata={"unit": "none"})
    symbol: str = field(metadata={"unit": "none"})
    trained: bool = field(metadata={"unit": "none"})
