"""Kernel regression on the sphere, with a dot-product kernel whose eigenvalues are known."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...models.arguments import require_least, require_positive
from ..config import ProbeConfig
from .linear_training import LinearTrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ...theory.linear.problem import LinearProblem
    from ...theory.spectrum import FloatArray
    from ..system import System

__all__ = ["KernelConfig"]

_PROBE = ProbeConfig(eigenvalues=12, smallest=0)
_DEGREES = 60  # of harmonics that are counted
_MISSED = 1e-12  # of k(1), that may be in higher ones


@dataclass(frozen=True, kw_only=True)
class KernelConfig(LinearTrainingConfig):
    """Regression with the kernel exp((x.x' - 1)/scale) on the unit sphere of R^d.

    It is the Gaussian kernel of variance ``scale`` there. The kernel matrix of the training points
    is the Hessian of what is trained, one weight a point, with nn.MSELoss and torch's plain SGD.

    Attributes:
        dimension: d >= 3.
        scale: of the kernel.
        powers: mean square of the target's harmonics of degree 0, 1, ...
        noise: variance of the label noise.
        samples: P, the size of the training set.
        algorithm: "flow" (descent in small steps), "gd", "sgd" (batches with replacement) or
            "shuffled" (passes in a new order each).
    """

    system: ClassVar[str] = "kernel"

    dimension: int = 10
    scale: float = 0.6
    powers: tuple[float, ...] = (0.2, 0.5, 0.2, 0.1)
    noise: float = 0.05
    samples: int = 300
    algorithm: Literal["flow", "gd", "sgd", "shuffled"] = "gd"
    dtype: Literal["float32", "float64"] = "float64"
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least("dimension", self.dimension, 3)
        require_positive("scale", self.scale)
        require_least("noise", self.noise, 0)
        if not all(math.isfinite(power) and power >= 0 for power in self.powers):
            raise ValueError(f"powers: expected numbers of at least 0, got {self.powers}")
        if not 0 < len(self.powers) <= _DEGREES or not sum(self.powers):
            raise ValueError(
                f"powers: expected 1 to {_DEGREES} numbers, at least one positive, "
                f"got {len(self.powers)}"
            )

    @property
    def title(self) -> str:
        """System, sizes and algorithm."""
        return f"{self.system}, d = {self.dimension}, P = {self.samples}, {self.algorithm}"

    @classmethod
    def small(cls) -> Self:
        """Forty points on the sphere of R^4."""
        return cls(dimension=4, samples=40)

    def harmonics(self) -> "tuple[FloatArray, FloatArray]":
        """Eigenvalues s_l of the kernel and how many harmonics of degree l there are, (L,) each.

        s_l = Gamma(d/2) (2 scale)^nu e^(-1/scale) I_(l + nu)(1/scale),  nu = d/2 - 1: the integral
        of the exponential with a Gegenbauer polynomial, DLMF 18.17.16 with an imaginary argument.

        Raises:
            ValueError: if the kernel is so narrow that it needs harmonics of higher degree.
        """
        import numpy as np
        from scipy.special import gammaln, ive

        from ...models.linear.sphere import harmonics

        nu = self.dimension / 2 - 1
        degrees = np.arange(_DEGREES, dtype=np.float64)
        front = math.exp(gammaln(nu + 1) + nu * math.log(2 * self.scale))
        s = np.asarray(front * ive(degrees + nu, 1 / self.scale), dtype=np.float64)
        counts = np.array([float(harmonics(self.dimension, int(each))) for each in degrees])
        missed = 1 - np.cumsum(s * counts)
        if missed[-1] > _MISSED:
            raise ValueError(
                f"scale: expected a kernel of harmonics below degree {_DEGREES}, "
                f"got {self.scale}, of which {missed[-1]:.2g} is in higher ones"
            )
        kept = max(int(np.argmax(missed <= _MISSED)) + 1, len(self.powers))
        return s[:kept], counts[:kept]

    def problem(self) -> "LinearProblem":
        """The regression on harmonics, as the theory has it."""
        import numpy as np

        from ...theory.linear.problem import LinearProblem

        s, counts = self.harmonics()
        powers = np.zeros(len(s))
        powers[: len(self.powers)] = self.powers
        return LinearProblem(s, powers / s, counts, noise=self.noise, samples=float(self.samples))

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block: all weights."""
        import torch

        from ...models.linear.kernel import KernelRegression
        from ...models.linear.sphere import SphereLaw, SphereRisk
        from .linear_system import linear_system

        s, _ = self.harmonics()
        dtype: torch.dtype = getattr(torch, self.dtype)
        law = SphereLaw.random(self.dimension, self.powers, generator, self.noise, dtype=dtype)
        points, targets = law.sample(self.samples, generator)

        def kernel(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            return torch.exp((one @ two.T - 1) / self.scale)

        risk = SphereRisk(law, s.tolist(), points)
        return linear_system(
            self,
            KernelRegression(kernel, points),
            law.sample,
            (points, targets),
            lambda trained: risk(trained.coefficients()),
            # The constant is the one harmonic of degree 0.
            spikes=(float(s[0]),),
        )
