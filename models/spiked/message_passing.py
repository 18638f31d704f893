"""Maximum-likelihood approximate message passing on a planted landscape."""

from __future__ import annotations

from torch import Tensor

from ..arguments import require_arguments, require_least
from .landscape import SpikedLandscape

__all__ = ["message_passing"]


def message_passing(landscape: SpikedLandscape, start: Tensor, iterations: int) -> list[Tensor]:
    """x <- chi B,  B = -grad H(x) - chi' Q''(x.x'/N) x',  chi = N^(1/2) / |B|.

    x' and chi' are those of the iteration before: the term of Onsager, which takes out of B what x
    has seen of the noise through x'. Overlaps follow state evolution (arXiv 1902.00139).

    Args:
        landscape: H.
        start: x, (N,).
        iterations: how many.

    Returns:
        x, the start first, iterations + 1 of them, each (N,).

    Raises:
        ValueError: if the number of iterations is negative.
    """
    require_arguments(message_passing, locals())
    require_least("iterations", iterations, 0)
    path = [start.detach()]
    chi: Tensor | None = None
    for _ in range(iterations):
        x = path[-1]
        field = -landscape.at(x).gradient
        if chi is not None:
            curvature = landscape.covariance(x @ path[-2] / landscape.dimension)[2]
            field = field - chi * curvature * path[-2]
        chi = landscape.dimension**0.5 / field.norm()
        path.append(chi * field)
    return path
