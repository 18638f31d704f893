"""The blocks of information matrices and covariances that are taken from one G."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from ..theory.protocol import Selection
from .curvature.batches import Batched, batches_of, sample_number
from .curvature.block import Block
from .curvature.borrowed import Borrowed
from .curvature.matrix import Covariance
from .curvature.sample_gradients import SampleGradients
from .curvature.sample_space import MOST, SampleRows, SampleSpace, sample_spaces
from .setup import Setup

__all__ = ["SharedSpaces"]

# Bytes, half of which G may take.
_MEMORY = 2**31


class SharedSpaces:
    """`SampleSpace` of many blocks, whose per-sample gradients are taken once, when first wanted.

    A block is in it if it has no more than `sample_space.MOST` parameters, or there are no more
    samples, and if G, (n, N) of all such blocks, takes a GiB at most in every process. For
    others, and where a module's samples have no gradients of their own, there are products.

    Args:
        setup: of the probe.
        module: unwrapped.
        batch: the probe sample of this process.
        selections: spectra of information matrices and covariances.
    """

    def __init__(
        self, setup: Setup, module: nn.Module, batch: Batched, selections: Sequence[Selection]
    ) -> None:
        self._setup, self._module, self._batch = setup, module, batch
        self._selections = selections
        self._found: dict[tuple[str, str], SampleSpace | None] | None = None

    def of(self, selection: Selection) -> SampleSpace | None:
        """The matrix of one of the selections, or None."""
        if self._found is None:
            self._found = self._taken()
        return self._found.pop((selection.matrix, selection.block), None)

    def _taken(self) -> dict[tuple[str, str], SampleSpace | None]:
        processes = self._setup.processes
        try:
            number = sum(map(sample_number, batches_of(self._batch)))
        except ValueError:
            number = 0
        numbers = processes.gather([number])
        if not numbers.all():
            return {}
        chosen = [s for s in self._selections if min(self._size(s), float(numbers.sum())) <= MOST]
        gradients = self._gradients(chosen) if chosen else None
        units = 0 if gradients is None else len(gradients.rows)
        if not processes.gather([units]).all():
            return {}
        lent = isinstance(self._batch, Borrowed)
        counts = processes.gather([0 if lent else units])
        assert gradients is not None
        chosen = [s for s in chosen if min(self._size(s), float(counts.sum())) <= MOST]
        found: dict[tuple[str, str], SampleSpace | None] = {}
        for name in dict.fromkeys(selection.matrix for selection in chosen):
            matrix = self._setup.matrix(name)
            rows = SampleRows(
                gradients, processes, centred=isinstance(matrix, Covariance), lent=lent
            )
            own = [selection for selection in chosen if selection.matrix == name]
            spaces = sample_spaces(rows, [_block(selection) for selection in own])
            found |= {
                (name, selection.block): space for selection, space in zip(own, spaces, strict=True)
            }
        return found

    def _size(self, selection: Selection) -> int:
        known = dict(self._module.named_parameters())
        shapes = [tuple(known[name].shape) for name in selection.parameters]
        if selection.rows:
            shapes = [(len(selection.rows), *shapes[0][1:])]
        return sum(map(prod, shapes))

    def _gradients(self, chosen: Sequence[Selection]) -> SampleGradients | None:
        """Of all parameters of these blocks; None where they cannot be had."""
        names = tuple(dict.fromkeys(name for each in chosen for name in each.parameters))
        try:
            return SampleGradients(
                self._module,
                self._setup.loss,
                self._batch,
                Block("all of these", names),
                memory=_MEMORY,
            )
        except Exception:  # the operator that multiplies has its own word for what is wrong
            return None


def _block(selection: Selection) -> Block:
    return Block(selection.block, selection.parameters, selection.rows)
