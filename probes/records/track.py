"""What a record holds of eigenvectors followed from probing to probing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...theory.deferred import Deferred
from ...theory.spectrum import FloatArray

__all__ = ["Followed", "IntArray", "Track"]

IntArray = NDArray[np.int64]

_SHARE = {"unit": "1, between 0 and 1"}


@dataclass(frozen=True)
class Followed(Deferred):
    """The eigenvectors at one end of a spectrum, followed from the probing before.

    Attributes:
        branches: (k,) the branch that each belongs to, most extreme first: a number that stays with
            an eigenvector when eigenvalues cross, and is never used again when it is lost.
        subspace_overlap: (k,) |U^T V|_F^2 / j for j = 1..k, U and V the j most extreme eigenvectors
            before and now; NaN where there was none before.
        gradient: (k,) squared cosine with the gradient of the loss on the probe sample; NaN if the
            gradient is zero. Sums of it are shares of the gradient in a space.
        update: (k,) squared cosine with the change of the weights since the probing before; NaN if
            there was none.
    """

    branches: IntArray = field(metadata={"unit": "none"})
    subspace_overlap: FloatArray = field(metadata=_SHARE)
    gradient: FloatArray = field(metadata=_SHARE)
    update: FloatArray = field(metadata=_SHARE)


@dataclass(frozen=True)
class Track:
    """How one measured spectrum goes on from the probing before, and where the training moves.

    Attributes:
        matrix: "hessian" or "information".
        block: name of the block of parameters.
        top: the eigenvectors of `Spectrum.top`.
        bottom: those of `Spectrum.bottom`.
        stability: the largest eigenvalue, preconditioned as the optimiser's steps are, over the one
            beyond which these grow (see `critical_curvature`); NaN if unknown, and for other
            matrices than the Hessian.
        reason: why the stability is not known though a learning rate was given.
        passes: products with a panel that the eigenpairs took.
        warm: whether the search started from the eigenvectors found before.
    """

    matrix: str = field(metadata={"unit": "none"})
    block: str = field(metadata={"unit": "none"})
    top: Followed = field(metadata={"unit": "see Followed"})
    bottom: Followed = field(metadata={"unit": "see Followed"})
    stability: float = field(default=math.nan, metadata={"unit": "1"})
    reason: str = field(default="", metadata={"unit": "none"})
    passes: int = field(default=0, metadata={"unit": "panel products"})
    warm: bool = field(default=False, metadata={"unit": "none"})
