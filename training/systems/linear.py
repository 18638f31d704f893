"""Linear regression, on the inputs or on random features of them (arXiv 2502.05074)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ..config import ProbeConfig, TrainingConfig, require_positive

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ...theory.linear.algorithm import Algorithm
    from ...theory.linear.problem import LinearProblem
    from ..system import System

__all__ = ["CovarianceConfig", "LinearConfig"]


@dataclass(frozen=True)
class CovarianceConfig:
    """Covariance of the inputs, target and label noise; diagonal, since only its basis differs.

    Eigenvalues are powers s_k = k^-exponent scaled to sum 1, or those of ``spectrum``, each as
    often as ``multiplicity`` says; coefficients of the target are w_k = k^(-target_exponent/2).

    Attributes:
        dimension: D of the power law.
        exponent: of the eigenvalues.
        spectrum: eigenvalues instead of the power law.
        multiplicity: how often each occurs; once by default.
        spikes: further eigenvalues, one each, without target.
        target_exponent: of the squared coefficients.
        noise: variance of the label noise.
        entries: "gaussian" or "rademacher", of the inputs in the eigenbasis.
        test_exponent: the test covariance is k^-test_exponent scaled to sum 1; the same as the
            inputs' if None.
    """

    dimension: int = 400
    exponent: float = 1.2
    spectrum: tuple[float, ...] = ()
    multiplicity: tuple[int, ...] = ()
    spikes: tuple[float, ...] = ()
    target_exponent: float = 0.4
    noise: float = 0.05
    entries: Literal["gaussian", "rademacher"] = "gaussian"
    test_exponent: float | None = None

    def __post_init__(self) -> None:
        require_positive("covariance.dimension", self.dimension)
        for name in ("spectrum", "multiplicity", "spikes"):
            for value in getattr(self, name):
                require_positive(f"covariance.{name}", value)
        if self.multiplicity and len(self.multiplicity) != len(self.spectrum):
            raise ValueError(
                f"covariance.multiplicity: expected {len(self.spectrum)} numbers (one for each of "
                f"spectrum), got {len(self.multiplicity)}"
            )
        if self.noise < 0:
            raise ValueError(f"covariance.noise: expected at least 0, got {self.noise}")

    def eigenvalues(self) -> list[float]:
        """All of them, one by one, the spikes first."""
        if self.spectrum:
            counts = self.multiplicity or (1,) * len(self.spectrum)
            rest = [s for s, count in zip(self.spectrum, counts, strict=True) for _ in range(count)]
        else:
            rest = _power(self.dimension, self.exponent)
        return [*self.spikes, *rest]

    def coefficients(self) -> list[float]:
        """w*, in the same order."""
        count = len(self.eigenvalues()) - len(self.spikes)
        rest = [k ** (-self.target_exponent / 2) for k in range(1, count + 1)]
        return [0.0] * len(self.spikes) + rest

    def test_eigenvalues(self) -> list[float]:
        """Diagonal of the test covariance, in the same order."""
        if self.test_exponent is None:
            return self.eigenvalues()
        rest = _power(len(self.eigenvalues()) - len(self.spikes), self.test_exponent)
        return [*self.spikes, *rest]


def _power(count: int, exponent: float) -> list[float]:
    powers = [k**-exponent for k in range(1, count + 1)]
    total = sum(powers)
    return [power / total for power in powers]


_PROBE = ProbeConfig(eigenvalues=6, smallest=0)


@dataclass(frozen=True, kw_only=True)
class LinearConfig(TrainingConfig):
    """Linear regression with nn.MSELoss and torch's plain SGD, from v = 0.

    The probe sample is the training set, or fresh samples where every batch is fresh: its Hessian
    does not change in training, the losses are forecast from the spectrum alone.

    Attributes:
        covariance: of the inputs, with target and noise.
        samples: P, the size of the training set; not for one-pass.
        features: N random features; None for the inputs themselves.
        algorithm: "flow" (descent in small steps), "gd", "sgd" (batches with replacement),
            "one-pass" (fresh batches) or "shuffled" (passes in a new order each).
        lr: torch's learning rate, half of the theory's; None for half of the critical one, for the
            flow for a fiftieth.
        batch_size: B; for sgd, one-pass and shuffled.
        weight_decay: torch's.
        schedule: pairs (step, factor): from that step on lr is the factor times the above.
        steps: of the optimiser in an epoch.
        probe_samples: of a fresh probe sample, where every batch is fresh.
    """

    system: ClassVar[str] = "linear"
    answers: ClassVar[str] = "spectrain.answers.linear"
    figures: ClassVar[str] = "spectrain.figures.linear"

    covariance: CovarianceConfig = CovarianceConfig()
    samples: int | None = 300
    features: int | None = None
    algorithm: Literal["flow", "gd", "sgd", "one-pass", "shuffled"] = "sgd"
    lr: float | None = None
    batch_size: int = 4
    weight_decay: float = 0.0
    schedule: tuple[tuple[int, float], ...] = ()
    steps: int = 50
    probe_samples: int = 1000
    epochs: int = 20
    probe: ProbeConfig = _PROBE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "steps", "probe_samples"):
            require_positive(name, getattr(self, name))
        if self.lr is not None:
            require_positive("lr", self.lr)
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay: expected at least 0, got {self.weight_decay}")
        if (self.samples is None) != (self.algorithm == "one-pass"):
            expected = "none" if self.algorithm == "one-pass" else "a number"
            raise ValueError(
                f"samples: expected {expected} for {self.algorithm}, got {self.samples}"
            )
        if self.samples is not None:
            require_positive("samples", self.samples)
        if self.features is not None:
            require_positive("features", self.features)
        if self.algorithm == "shuffled" and self.samples and self.samples % self.batch_size:
            raise ValueError(
                f"batch_size: expected a divisor of the {self.samples} samples for shuffled, "
                f"got {self.batch_size}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimiser in an epoch."""
        return self.steps

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

        return LinearProblem(
            np.array(self.covariance.eigenvalues()),
            np.array(self.covariance.coefficients()) ** 2,
            test_spectrum=np.array(self.covariance.test_eigenvalues()),
            noise=self.covariance.noise,
            samples=float(self.samples or math.inf),
            features=float(self.features or math.inf),
        )

    def learning_rate(self) -> float:
        """torch's lr."""
        if self.lr is not None:
            return self.lr
        from ...theory.linear.stability import critical_learning_rate

        name = "gd" if self.algorithm == "flow" else self.algorithm
        critical = critical_learning_rate(self.problem(), self._algorithm(name, 1.0))
        assert critical is not None
        return critical / 2 * (0.02 if self.algorithm == "flow" else 0.5)

    def trained(self) -> "Algorithm":
        """The algorithm, as the theory has it; the flow as descent in its small steps."""
        name = "gd" if self.algorithm == "flow" else self.algorithm
        return self._algorithm(name, self.learning_rate())

    def _algorithm(
        self, name: Literal["gd", "sgd", "one-pass", "shuffled"], lr: float
    ) -> "Algorithm":
        from ...theory.linear.algorithm import Algorithm

        batch_size = None if name == "gd" else self.batch_size
        return Algorithm.of_torch(
            name, lr, batch_size, self.weight_decay, schedule=tuple(self.schedule)
        )

    def build(self, generator: "torch.Generator") -> "System":
        """The system, with one block: all weights."""
        import torch
        from torch import nn

        from ...models.linear.law import LinearLaw
        from ...models.linear.regression import LinearRegression, RandomFeatures
        from ...probes.curvature.block import Block
        from ...probes.curvature.matrix import Hessian
        from ...theory.linear.linear_theory import LinearTheory
        from ..system import System
        from .linear_data import batches

        dtype = getattr(torch, self.dtype)

        def tensor(numbers: Sequence[float]) -> torch.Tensor:
            return torch.tensor(numbers, dtype=dtype, device=self.device)

        covariance, target = self.covariance, tensor(self.covariance.coefficients())
        law = LinearLaw(
            tensor(covariance.eigenvalues()), target, covariance.noise, covariance.entries
        )
        tested = tensor(covariance.test_eigenvalues())
        model: LinearRegression | RandomFeatures
        if self.features is None:
            model = LinearRegression(law.dimension, dtype, self.device)
        else:
            model = RandomFeatures(law.dimension, self.features, generator, dtype, self.device)
        data = law.sample(self.samples, generator) if self.samples else None
        algorithm = self.trained()
        optimiser = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate(), weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._factor)
        return System(
            model=model,
            loss=nn.MSELoss(),
            optimiser=optimiser,
            batches=lambda own: batches(self.algorithm, law.sample, data, self.batch_size, own),
            sample=data if data else lambda own: law.sample(self.probe_samples, own),
            sample_kind="training" if data else "fresh",
            theory=LinearTheory(
                self.problem(),
                algorithm,
                lambda trained: (trained.effective() - target).square() @ tested,
                "training" if data else "fresh",
                self.samples or self.probe_samples,
                covariance.spikes,
            ),
            blocks=(Block("weight", ("weight",)),),
            matrices=(Hessian(),),
            learning_rate=optimiser,
            schedule=schedule if self.schedule else None,
        )

    def _factor(self, step: int) -> float:
        passed = [factor for start, factor in self.schedule if start <= step]
        return passed[-1] if passed else 1.0
