"""What happens to eigenvectors between probings: which is which, and where the training moves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..theory.spectrum import ENDS, FloatArray
from .curvature.block import Block
from .records.track import Followed, Track

__all__ = ["Tracker", "block_vector"]

# Eigenvalues closer than this share of their size count as one: which vectors of their common
# space come out is then a matter of chance.
_TOGETHER = 0.01
# The least share of a branch's vector that its next vector must hold: two cannot both have more.
_SAME = 0.5


@dataclass
class _Branches:
    """Vectors (N, k) that carry the numbers ``ids``; ``unused`` is the next free number."""

    vectors: Tensor
    ids: list[int]
    unused: int


class Tracker:
    """Follows the eigenvectors and the weights of every block from probing to probing.

    It keeps the vectors of the last probing, and a copy of the weights.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Branches] = {}
        self._weights: dict[str, Tensor] = {}

    @property
    def seen(self) -> tuple[str, ...]:
        """Whose vectors are kept."""
        return tuple(sorted(self._seen))

    def start(self, matrix: str, block: str, size: int) -> Tensor | None:
        """The vectors of this size found last at both ends, (size, k); None if there are none."""
        ends = [self._seen.get(_key(matrix, block, side)) for side in ENDS]
        found = [end.vectors for end in ends if end is not None and len(end.vectors) == size]
        return torch.cat(found, dim=1) if found else None

    def follow(
        self,
        matrix: str,
        block: Block,
        values: Tensor,
        vectors: Tensor,
        residuals: Tensor,
        largest: int,
        gradient: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
    ) -> Track:
        """Find the eigenpairs of one block among those of the probing before.

        Args:
            matrix: whose they are.
            block: whose they are.
            values: (k,) eigenvalues: the largest, largest first, then the smallest.
            vectors: (N, k) unit eigenvectors.
            residuals: (k,) of the eigenpairs.
            largest: how many of the k are from the upper end.
            gradient: of the loss, by parameter.
            weights: now, by parameter.
        """
        direction = block_vector(block, gradient)
        change = None
        if self._weights.keys() >= set(block.parameters):
            change = block_vector(block, weights) - block_vector(block, self._weights)
        sides = {}
        for side, chosen in zip(ENDS, (slice(0, largest), slice(largest, None)), strict=True):
            key = _key(matrix, block.name, side)
            found = vectors[:, chosen]
            before = self._seen.get(key)
            overlap = torch.full((found.shape[1],), math.nan, dtype=torch.float64)
            if before is not None:
                if len(before.vectors) == len(found):
                    before.vectors = before.vectors.to(found)
                else:  # the block has lost or won parameters: all of its vectors are new
                    before = _Branches(found[:, :0], [], before.unused)
                overlap = subspace_overlaps(before.vectors, found)
            groups = degenerate_groups(values[chosen], residuals[chosen])
            self._seen[key] = continued(before, found, groups)
            sides[side] = Followed(
                branches=np.array(self._seen[key].ids, dtype=np.int64),
                subspace_overlap=_array(overlap),
                gradient=_array(squared_cosines(found, direction)),
                update=_array(squared_cosines(found, change)),
            )
        return Track(matrix, block.name, sides["top"], sides["bottom"])

    def remember(self, weights: Mapping[str, Tensor], used: Collection[str]) -> None:
        """Keep a copy of the weights that are used, or were: the next updates start from them."""
        kept = {*used, *self._weights}
        weights = {name: weight for name, weight in weights.items() if name in kept}
        self._weights = {name: weight.detach().clone() for name, weight in weights.items()}

    def state_dict(self, vectors: bool = True) -> dict[str, Any]:
        """What the next probing is compared with.

        Args:
            vectors: whether it holds the eigenvectors and the weights; without them branches are
                begun anew with numbers that were not used before.
        """
        return {
            "seen": {
                key: {
                    "vectors": each.vectors if vectors else each.vectors.new_empty(0, 0),
                    "ids": list(each.ids) if vectors else [],
                    "unused": each.unused,
                }
                for key, each in self._seen.items()
            },
            "weights": dict(self._weights) if vectors else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, and warn if the branches cannot be gone on with."""
        self._seen = {
            key: _Branches(each["vectors"], list(each["ids"]), each["unused"])
            for key, each in state["seen"].items()
        }
        self._weights = dict(state["weights"])
        if any(each.unused and not each.ids for each in self._seen.values()):
            warnings.warn(
                "the state holds no eigenvectors: at the next probing branches get new numbers, "
                "and overlaps with the probing before and shares of the update are not known; "
                "state_dict(vectors=True) keeps them",
                RuntimeWarning,
                stacklevel=3,
            )


def block_vector(block: Block, values: Mapping[str, Tensor]) -> Tensor:
    """The values of a block's parameters as one vector, (N,), in the order of its eigenvectors."""
    parts = [values[name] for name in block.parameters]
    if block.rows:
        parts = [part[list(block.rows)] for part in parts]
    return torch.cat([part.detach().reshape(-1) for part in parts])


def subspace_overlaps(before: Tensor, now: Tensor) -> Tensor:
    """|U_j^T V_j|_F^2 / j,  U_j and V_j the first j columns, for each j up to those of V.

    Args:
        before: U, (N, p) orthonormal columns.
        now: V, (N, k) orthonormal columns.

    Returns:
        (k,) float64; NaN where U has fewer than j columns.
    """
    squares = (before.mT @ now).double().square()
    count = min(squares.shape)
    blocks = squares.cumsum(0).cumsum(1).diagonal() if count else squares.new_zeros(0)
    overlaps = squares.new_full((now.shape[1],), math.nan)
    overlaps[:count] = blocks / torch.arange(1, count + 1, device=squares.device)
    return overlaps


def squared_cosines(vectors: Tensor, direction: Tensor | None) -> Tensor:
    """(u . g)^2 / |g|^2 for unit columns u, (k,) float64; NaN for no or a zero direction."""
    if direction is None:
        return vectors.new_full((vectors.shape[1],), math.nan, dtype=torch.float64)
    direction = direction.to(vectors.device).double()
    cosines: Tensor = (vectors.mT.double() @ (direction / direction.norm())).square()
    return cosines


def degenerate_groups(values: Tensor, residuals: Tensor) -> list[list[int]]:
    """Ranks of neighbours that count as one eigenvalue, in order.

    Two do if they differ by less than a hundredth of their size or than their residuals.

    Args:
        values: (k,) eigenvalues, monotonic.
        residuals: (k,) errors.
    """
    groups: list[list[int]] = []
    numbers = list(zip(values.tolist(), residuals.tolist(), strict=True))
    for rank, (value, error) in enumerate(numbers):
        if rank:
            last, last_error = numbers[rank - 1]
            distance = max(_TOGETHER * max(abs(value), abs(last)), error + last_error)
            if abs(value - last) <= distance:
                groups[-1].append(rank)
                continue
        groups.append([rank])
    return groups


def continued(
    before: _Branches | None, found: Tensor, groups: Sequence[Sequence[int]]
) -> _Branches:
    """The found vectors with the numbers of the branches that they continue.

    The assignment maximises the sum, over branches, of the share of a branch's vector in the
    eigenspace it is assigned to; a share below one half continues nothing. In a degenerate
    eigenspace a branch is represented by the vector closest to its own before, so that it is
    recognised when the eigenvalues part again.

    Args:
        before: branches so far; None at the first probing.
        found: (N, k) orthonormal columns.
        groups: of equal eigenvalues, a partition of the k ranks.
    """
    count = found.shape[1]
    if before is None:
        return _Branches(found.clone(), list(range(count)), count)
    from scipy.optimize import linear_sum_assignment  # slow to import

    inner = (before.vectors.mT @ found).double()
    shares = inner.square().cpu()
    in_group = torch.zeros_like(shares)
    for group in groups:
        in_group[:, group] = shares[:, group].sum(1, keepdim=True)
    # Within a group all places are equal; the single vectors decide there.
    rows, columns = linear_sum_assignment((in_group + 1e-6 * shares).numpy(), maximize=True)
    matches = {
        int(column): int(row)
        for row, column in zip(rows, columns, strict=True)
        if in_group[row, column] > _SAME
    }
    vectors, ids, unused = found.clone(), [-1] * count, before.unused
    for group in groups:
        known = [rank for rank in group if rank in matches]
        new = [rank for rank in group if rank not in matches]
        if known and len(group) > 1:
            coordinates = inner[:, group][[matches[rank] for rank in known]].mT
            left, _, right = torch.linalg.svd(coordinates, full_matrices=True)
            turned = found[:, group] @ torch.cat(
                [left[:, : len(known)] @ right, left[:, len(known) :]], dim=1
            ).to(found)
            vectors[:, [*known, *new]] = turned
        for rank in known:
            ids[rank] = before.ids[matches[rank]]
        for rank in new:
            ids[rank] = unused
            unused += 1
    return _Branches(vectors, ids, unused)


def _key(matrix: str, block: str, side: str) -> str:
    return f"{matrix}/{block}/{side}"


def _array(values: Tensor) -> FloatArray:
    array: FloatArray = values.double().cpu().numpy()
    return array
