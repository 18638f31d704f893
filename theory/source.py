"""Papers that numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A paper, and what is taken from it.

    Attributes:
        authors: as they are cited.
        title: of the paper.
        arxiv: its number there.
        used_for: what rests on it, in a few words.
    """

    authors: str = field(metadata={"unit": "none"})
    title: str = field(metadata={"unit": "none"})
    arxiv: str = field(metadata={"unit": "none"})
    used_for: str = field(metadata={"unit": "none"})
