"""Kinds of curvature matrices: what their numbers are called, and in which unit they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = [
    "COVARIANCE",
    "GAUSS_NEWTON",
    "HESSIAN",
    "INFORMATION",
    "SPHERE_HESSIAN",
    "MatrixKind",
    "kind_named",
]


@dataclass(frozen=True)
class MatrixKind:
    """A kind of matrix, as `Spectrum.matrix` names it.

    Attributes:
        name: in tags and files: "hessian".
        title: for people: "Hessian".
        letter: a short sign for tables and formulas.
        unit: of its eigenvalues.
    """

    name: str = field(metadata={"unit": "none"})
    title: str = field(metadata={"unit": "none"})
    letter: str = field(metadata={"unit": "none"})
    unit: str = field(metadata={"unit": "none"})


HESSIAN = MatrixKind("hessian", "Hessian", "H", "loss per squared parameter")
INFORMATION = MatrixKind(
    "information", "Information matrix", "I", "squared loss per squared parameter"
)
GAUSS_NEWTON = MatrixKind("gauss-newton", "Gauss-Newton matrix", "G", "loss per squared parameter")
COVARIANCE = MatrixKind(
    "covariance", "Gradient covariance", "C", "squared loss per squared parameter"
)
SPHERE_HESSIAN = MatrixKind(
    "sphere-hessian", "Hessian on the sphere", "H", "loss per squared parameter"
)

_KNOWN = {
    kind.name: kind for kind in (HESSIAN, INFORMATION, GAUSS_NEWTON, COVARIANCE, SPHERE_HESSIAN)
}


def kind_named(name: str, kinds: Iterable[MatrixKind] = ()) -> MatrixKind:
    """The kind of that name, among these or those of the package; else one that has its name."""
    for kind in kinds:
        if kind.name == name:
            return kind
    return _KNOWN.get(name) or MatrixKind(name, name, name[:1].upper(), HESSIAN.unit)
