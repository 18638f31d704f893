"""An answer: one document of strict JSON for other tools, and lines of text for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .documents import Document, json_text, plain
from .text import document_lines

__all__ = ["Answer", "numerical_failures"]


@dataclass(frozen=True)
class Answer:
    """What `spectrain predict` or `spectrain dynamics` prints.

    Attributes:
        document: of plain values, arrays, or numbers that are not finite (null in JSON).
        lines: the same for people; made from the document if empty.
    """

    document: Document
    lines: tuple[str, ...] = ()

    @property
    def json(self) -> str:
        """The document on one line."""
        return json_text(plain(self.document))

    @property
    def text(self) -> str:
        """The lines."""
        return "\n".join(self.lines or document_lines(plain(self.document)))


@contextmanager
def numerical_failures() -> Iterator[None]:
    """Report as a numerical failure what goes wrong after the input was found good.

    NumPy and SciPy raise a ValueError for a matrix or a bracket that has no solution.
    """
    try:
        yield
    except ValueError as error:
        raise ArithmeticError(str(error)) from error
