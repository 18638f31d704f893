"""The learning rate at which training stops converging.

Gradient descent: eta = 2 / lam_+ (weight decay r: 2 / (lam_+ + r)). Batches of nu = 1/B, at r = 0:

    nu aP sum_k m_k s_k / (u - s_k) = 1 + chi nu,   eta = 2 / ((1 + chi nu) x(u)),
    x(u) = u (1 + d/N) (1 + d/P),   d = sum_k m_k s_k / (u - s_k),

unless u is inside the edge, where eta = 2 / ((1 + chi nu) lam_+): the sum over t of the kernel K
reaches 1, or |G| does.
"""

from __future__ import annotations

import numpy as np

from .algorithm import Algorithm
from .filters import Noise
from .problem import LinearProblem
from .renormalisation import Renormalisation, sign_change

__all__ = ["critical_learning_rate"]


def critical_learning_rate(problem: LinearProblem, algorithm: Algorithm) -> float | None:
    """eta beyond which the loss grows; None for the flow, which always converges.

    For shuffled passes it is that of batches drawn with replacement, an approximation: in training
    (D 200, P 150) they turn at 0.9 to 1.0 of it for B = 1, 1.0 to 1.1 for 3 and 1.2 for 10, where
    drawing with replacement turns at 0.9 to 1.0, 0.9 to 1.0 and 1.0 to 1.1. At B = P it is a little
    lower than that of descent, which such passes are.
    """
    if algorithm.name == "flow":
        return None
    law = Renormalisation.of(problem)
    top, decay = law.top[0], algorithm.weight_decay
    if algorithm.batch_size is None:
        return 2 / (top + decay)
    noise = Noise.of(algorithm.batch_size, problem.samples)
    excess, strength = noise.excess, noise.inverse_batch * noise.gain
    if decay == 0:
        needed = (1 + excess) / strength
        u = law.top[1]
        if strength and -float(law.degrees(-u * (1 + 1e-12))) > needed:
            u = _total_of(law, needed)
        return float(2 / ((1 + excess) * -law.ridge(-u)[0]))
    # Beyond it |G| > 1 at the top of the spectrum.
    highest = 2 * (top + decay) / ((top + decay) ** 2 + excess * top**2)

    def missing(rate: float) -> float:
        """1 - sum_t K(t)."""
        # 1 - b(z) = eta (1 + chi nu) (above - z) (z - below)
        half = (1 - rate * decay) / (rate * (1 + excess))
        product = decay * (2 - rate * decay) / (rate * (1 + excess))
        root = (half * half + product) ** 0.5
        above, below = half + root, half - root
        total = above * -float(law.degrees(-law.beyond(above)))
        total += below * float(law.degrees(law.solve(np.array([-below]))[0]))
        return float(1 - strength * total / ((1 + excess) * (above - below)))

    edge = highest * (1 - 1e-12)
    if missing(edge) >= 0:
        return highest
    return sign_change(missing, 1e-12 * highest, edge, decreasing=True)


def _total_of(law: Renormalisation, needed: float) -> float:
    """u beyond the edge at which sum m s / (u - s) is ``needed``."""
    low = law.top[1]
    high = low + float(law.weights.sum()) / needed
    return sign_change(lambda u: needed + float(law.degrees(-u)), low, high)
