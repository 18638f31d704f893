"""One quadrature rule for each column of a random frame, beside the eigenvalues that are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .block_lanczos import Krylov, end_places

__all__ = [
    "ColumnRules",
    "column_rules",
    "eigenvalue_resolution",
    "may_miss_copies",
    "row_recurrences",
]

# A group of eigenvectors has converged if its distance from the other eigenvalues is so many
# times its residual: the angle between it and the true eigenspace is then below the inverse, and
# the weight of the others in it below the square of that.
_SEPARATED = 30.0
# The same for an atom, whose weight is an estimate, and wrong by the square of the angle.
_ATOM = 10.0


@dataclass(frozen=True)
class ColumnRules:
    """One quadrature rule for each column of a Krylov space's start.

    Attributes:
        nodes: (*batch, width, n + k) float64, those of Gauss's rules, then the joint ones, which
            are the eigenvalues of T; (*batch, 1, N) in a complete space.
        known: (*batch, 1, n + k) weights that are no estimates: 1/N at isolated eigenvalues.
        random: (*batch, width, n + k) the other weights; rows sum to free / N.
        free: (*batch,) int64, number of eigenvalues without known weights.
        points: (*batch, k) the joint nodes, all those of an atom at its one place.
        atoms: (*batch, k) bool, whether a point is that of an atom.
        doubt: (*batch, k) how far from a point the eigenvalues may lie that it stands for: its
            residual; 0 if it has converged.
        excess: (*batch, k) share of its weight that an atom may have from the eigenvalues next to
            it: (residual / gap)^2, the square of the angle to the true eigenspace.
        rounding: (*batch,) how far known eigenvalues may be from their nodes: residual^2 / gap, or
            what rounding makes of them; 0 in a complete space.
    """

    nodes: Tensor
    known: Tensor
    random: Tensor
    free: Tensor
    points: Tensor
    atoms: Tensor
    doubt: Tensor
    excess: Tensor
    rounding: Tensor

    @property
    def places(self) -> Tensor:
        """(*batch, width, n + k): the nodes, all those of an atom at its one place."""
        gauss = self.nodes.shape[-1] - self.points.shape[-1]
        joint = self.points[..., None, :].expand_as(self.nodes[..., gauss:])
        return torch.cat([self.nodes[..., :gauss], joint], -1)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Places, known weights and random weights."""
        return self.places, self.known, self.random


def column_rules(krylov: Krylov, steps: int | None = None) -> ColumnRules:
    """Gauss's rule of each column of a random frame on what is left beside converged eigenvalues.

    Converged eigenvalues that come fewer than ``width`` times have been found with their
    multiplicity, and have known weights. One that comes ``width`` times or more (zero, in a matrix
    without full rank) is an atom of any multiplicity: each column estimates its weight, and Gauss's
    rule takes the rest, because by itself it would put such an atom less sharply. The joint nodes
    with their weights would do worse than a rule for each column: they come in clusters of
    ``width``, at which such a law is off by half a node of a single rule.

    They are kept with the space, as its eigenvalues are.

    Args:
        krylov: a run from a random frame, or a complete one, whose rule is exact.
        steps: nodes n of each of Gauss's rules, by default as many as the space has steps.
    """
    kept: dict[int | None, ColumnRules] = vars(krylov).setdefault("column_rules", {})
    if steps not in kept:
        kept[steps] = _rules(krylov, steps)
    return kept[steps]


def _rules(krylov: Krylov, steps: int | None) -> ColumnRules:
    joint, vectors = krylov.eigen
    size, width = krylov.basis.shape[-2], krylov.width
    if krylov.complete:
        known = torch.full_like(joint, 1 / size)[..., None, :]
        nothing = torch.zeros_like(known)
        none = torch.zeros_like(joint[..., 0], dtype=torch.int64)
        atoms = joint.abs() <= eigenvalue_resolution(krylov)
        certain = torch.zeros_like(joint)
        return ColumnRules(
            joint[..., None, :], known, nothing, none, joint, atoms, certain, certain,
            rounding=certain[..., 0],
        )  # fmt: skip
    found, atoms, points, excess, rounding = _converged(krylov)
    free = size - found.sum(-1)
    share = (free.double() / size)[..., None, None]
    start = torch.where(found[..., None, :], 0.0, vectors[..., :width, :])
    frame = torch.linalg.qr(start.mT).Q.mT
    at_atoms = torch.where(atoms[..., None, :], frame, 0.0)
    rest = frame - at_atoms
    length = rest.norm(dim=-1, keepdim=True)
    unit = rest / torch.where(length > 0, length, 1.0)
    alpha, beta = row_recurrences(joint, unit, steps or joint.shape[-1] // width)
    gauss, coordinates = torch.linalg.eigh(
        torch.diag_embed(alpha) + torch.diag_embed(beta, 1) + torch.diag_embed(beta, -1)
    )
    known = torch.cat(
        [torch.zeros_like(gauss[..., :1, :]), found[..., None, :].double() / size], -1
    )
    weights = torch.cat([(coordinates[..., 0, :] * length).square(), at_atoms.square()], -1)
    nodes = torch.cat([gauss, joint[..., None, :].expand_as(frame)], -1)
    doubt = torch.where(found | atoms, 0.0, krylov.residual_estimates())
    return ColumnRules(
        nodes, known, share * weights, free, points, atoms, doubt, excess, rounding
    )  # fmt: skip


def eigenvalue_resolution(krylov: Krylov) -> Tensor:
    """(*batch, 1): the distance below which eigenvalues differ by rounding errors only."""
    largest = krylov.eigen[0].abs().amax(-1, keepdim=True)
    precision = 10 * torch.finfo(krylov.basis.dtype).eps
    return torch.where(largest > 0, precision * largest, 1.0)


def may_miss_copies(krylov: Krylov, largest: int, smallest: int) -> bool:
    """Whether an eigenvalue comes as often as the start has columns, where more are wanted.

    It may then have more copies, in the place of what has been found instead. Those that are not
    more than the columns have all been found.

    Args:
        krylov: a run from a random frame, or a complete one.
        largest: number of eigenvalues wanted at the upper end.
        smallest: number wanted at the lower end.
    """
    upper, lower = (count if count > krylov.width else 0 for count in (largest, smallest))
    if krylov.complete or not upper + lower:
        return False
    _, atoms, *_ = _converged(krylov)
    columns = atoms.shape[-1]
    wanted = end_places(columns, min(upper, columns), min(lower, columns), atoms.device)
    return bool(atoms[..., wanted].any())


def _converged(krylov: Krylov) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Joint eigenvalues found with their multiplicity, atoms, points, excess and rounding.

    An atom is a group of one place: what lies within its residual is not told apart, while a bulk
    of which nothing has converged is a group as well, and a wide one. It is at zero if zero is
    within the error of its place, which is the square of the residual over the gap: ranks are the
    reason for so many equal eigenvalues.
    """
    joint, _ = krylov.eigen
    resolution = eigenvalue_resolution(krylov)
    residuals = torch.maximum(krylov.residual_estimates(), resolution)
    sharp = _Groups.of(joint, residuals, _SEPARATED)
    found = sharp.settled & (sharp.members < krylov.width)
    group = _Groups.of(joint, residuals, _ATOM)
    narrow = group.spread <= 2 * group.worst
    atoms = group.settled & (group.members >= krylov.width) & narrow & ~found
    angle = group.worst / group.gap
    error = torch.maximum(group.worst * angle, resolution)
    place = torch.where(group.centre.abs() <= error, 0.0, group.centre)
    # In a space that has closed the copies of zero are exact, whatever is next to them.
    zeros = (joint.abs() <= resolution) & (residuals <= resolution) & ~found & ~atoms
    points = torch.where(atoms, place, torch.where(zeros, 0.0, joint))
    excess = torch.where(atoms, angle.square(), 0.0)
    moved = torch.where(found, sharp.worst.square() / sharp.gap, resolution)
    rounding = torch.maximum(moved, resolution).amax(-1)
    return found, atoms | zeros, points, excess, rounding


@dataclass(frozen=True)
class _Groups:
    """Joint eigenvalues in groups that their residuals do not tell apart, (*batch, k) each.

    Attributes:
        settled: whether the group's eigenspace is that of the matrix.
        members: number of them.
        centre: their mean, each weighed by its inverse squared residual.
        spread: their range.
        worst: their largest residual.
        gap: distance to the nearest eigenvalue outside; infinite if there is none.
    """

    settled: Tensor
    members: Tensor
    centre: Tensor
    spread: Tensor
    worst: Tensor
    gap: Tensor

    @staticmethod
    def of(joint: Tensor, residuals: Tensor, ratio: float) -> _Groups:
        """Groups whose gaps, less what an outer neighbour may move, are ``ratio`` residuals."""
        left, right = residuals[..., :-1], residuals[..., 1:]
        # One of two neighbours may still move, but not as far as the other.
        gap = joint.diff(dim=-1) - torch.maximum(left, right)
        apart = gap > ratio * torch.minimum(left, right)
        group = torch.cat([torch.zeros_like(joint[..., :1]), apart.cumsum(-1)], -1).long()

        def over(values: Tensor, how: str) -> Tensor:
            each = torch.zeros_like(joint).scatter_reduce(
                -1, group, values, how, include_self=False
            )
            return each.gather(-1, group)

        # Inside a group the gap is 0 here: a group's own are those at its ends.
        gaps = torch.where(apart, gap, 0.0)
        outside = torch.full_like(joint[..., :1], torch.inf)
        lower = over(torch.cat([outside, gaps], -1), "amax")
        upper = over(torch.cat([gaps, outside], -1), "amax")
        certainty = residuals.square().reciprocal()
        distance, worst = torch.minimum(lower, upper), over(residuals, "amax")
        return _Groups(
            settled=distance > ratio * worst,
            members=over(torch.ones_like(joint), "sum"),
            centre=over(joint * certainty, "sum") / over(certainty, "sum"),
            spread=over(joint, "amax") - over(joint, "amin"),
            worst=worst,
            gap=distance,
        )


def row_recurrences(nodes: Tensor, vectors: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lanczos's algorithm for diag(nodes) from each row, a unit vector or zero, reorthogonalised.

    Args:
        nodes: (*batch, k).
        vectors: (*batch, rows, k).
        steps: at most k.

    Returns:
        alpha (*batch, rows, steps) and beta (*batch, rows, steps - 1); zeros from where a row has
        met fewer nodes than steps.
    """
    basis = vectors.new_zeros(*vectors.shape[:-1], steps, vectors.shape[-1])
    alpha = vectors.new_zeros(*vectors.shape[:-1], steps)
    beta = vectors.new_zeros(*vectors.shape[:-1], max(steps - 1, 0))
    smallest = 10 * torch.finfo(nodes.dtype).eps * nodes.abs().amax(-1)[..., None]
    vector = vectors
    for k in range(steps):
        basis[..., k, :] = vector
        product = nodes[..., None, :] * vector
        alpha[..., k] = (product * vector).sum(-1)
        if k == steps - 1:
            break
        built = basis[..., : k + 1, :]
        for _ in range(2):  # twice is enough to be orthogonal to rounding errors
            product = product - ((built @ product[..., None]).mT @ built).squeeze(-2)
        length = product.norm(dim=-1)
        beta[..., k] = torch.where(length > smallest, length, 0.0)
        vector = torch.where(
            (length > smallest)[..., None], product / length.clamp_min(1e-300)[..., None], 0.0
        )
    return alpha, beta
