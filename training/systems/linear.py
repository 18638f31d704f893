"""Linear regression, on the inputs or on random features of them (arXiv 2502.05074)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...models.arguments import require_positive
from .linear_covariance import CovarianceConfig
from .linear_training import LinearTrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ...theory.linear.problem import LinearProblem
    from ..system import System

__all__ = ["CovarianceConfig", "LinearConfig"]

_COVARIANCE = CovarianceConfig()


@dataclass(frozen=True, kw_only=True)
class LinearConfig(LinearTrainingConfig):
    """Linear regression with nn.MSELoss and torch's plain SGD, from v = 0.

    The probe sample is the training set, or fresh samples where every batch is fresh: its Hessian
    does not change in training, the losses are forecast from the spectrum alone.

    Attributes:
        covariance: of the inputs, with target and noise.
        features: N random features; None for the inputs themselves.
        probe_samples: of a fresh probe sample, where every batch is fresh.
    """

    system: ClassVar[str] = "linear"

    covariance: CovarianceConfig = _COVARIANCE
    features: int | None = None
    probe_samples: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("probe_samples", self.probe_samples)
        if self.features is not None:
            require_positive("features", self.features)

    @property
    def title(self) -> str:
        """System, sizes and algorithm."""
        inputs = len(self.covariance.eigenvalues())
        sizes = [f"D = {inputs}"]
        sizes += [f"N = {self.features}"] if self.features else []
        sizes += [f"P = {self.samples}"] if self.samples else []
        return f"{self.system}, {', '.join(sizes)}, {self.algorithm}"

    @classmethod
    def small(cls) -> Self:
        """Thirty inputs, forty samples."""
        return cls(
            dtype="float64", covariance=CovarianceConfig(dimension=30), samples=40, features=20
        )

    def problem(self) -> "LinearProblem":
        """The regression, as the theory has it."""
        import math

        import numpy as np

        from ...theory.linear.problem import LinearProblem

        w, tested = np.array(self.covariance.coefficients()), self.covariance.test_covariance()
        across = tested.ndim == 2
        return LinearProblem(
            np.array(self.covariance.eigenvalues()),
            w**2,
            test_spectrum=np.diag(tested) if across else tested,
            target_overlap=w[:, None] * tested * w if across else None,
            noise=self.covariance.noise,
            samples=float(self.samples or math.inf),
            features=float(self.features or math.inf),
        )

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block: all weights."""
        import torch
        from numpy.typing import ArrayLike

        from ...models.linear.law import LinearLaw
        from ...models.linear.regression import LinearRegression, RandomFeatures
        from .linear_system import linear_system

        dtype = getattr(torch, self.dtype)

        def tensor(numbers: ArrayLike) -> torch.Tensor:
            return torch.tensor(numbers, dtype=dtype, device=self.device)

        covariance = self.covariance
        sigma, target = tensor(covariance.eigenvalues()), tensor(covariance.coefficients())
        tested, vectors = tensor(covariance.test_covariance()), covariance.eigenvectors()
        if vectors is not None:
            turn = tensor(vectors)
            sigma, target = (turn * sigma) @ turn.T, turn @ target
            tested = torch.diag(tested) if tested.ndim == 1 else tested
            tested = turn @ tested @ turn.T
        law = LinearLaw(sigma, target, covariance.noise, covariance.entries)
        model: LinearRegression | RandomFeatures
        if self.features is None:
            model = LinearRegression(law.dimension, dtype, self.device)
        else:
            model = RandomFeatures(law.dimension, self.features, generator, dtype, self.device)

        def excess(trained: LinearRegression | RandomFeatures) -> torch.Tensor:
            missed = trained.effective() - target
            weighed = tested * missed if tested.ndim == 1 else tested @ missed
            return missed @ weighed

        return linear_system(
            self,
            model,
            law.sample,
            law.sample(self.samples, generator) if self.samples else None,
            excess,
            self.probe_samples,
            covariance.spikes,
        )
