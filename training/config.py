"""Configuration: frozen dataclasses that need no torch, so that the command line answers at once.

The configuration of one kind of training is a subclass of `TrainingConfig`, in the file of its
system; its default instance is the project's default run of that system.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..models.mixture_law import MixtureLaw
from ..theory.mixture.sgd import SGD

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ..models.mixture import GaussianMixture
    from .system import System

__all__ = ["MixtureConfig", "OptimiserConfig", "ProbeConfig", "TrainingConfig"]


def _require_positive(name: str, value: float) -> None:
    """Raise a ValueError that names the argument unless its value is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive number, got {value}")


@contextmanager
def _within(key: str) -> Iterator[None]:
    """Put the key of a table before the name of the argument that is refused inside."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from error


@dataclass(frozen=True)
class MixtureConfig:
    """A Gaussian mixture as data: Y = mu_b + snr^(-1/2) g, b ~ weights, y = labels[b].

    Attributes:
        means: first coordinates of each mean; the further ones are zero.
        weights: probabilities of the components.
        labels: 0-based label of each component; several may share one.
        snr: inverse variance of the noise.

    Raises:
        ValueError: as `MixtureLaw`, naming the key, or if the means differ in length.
    """

    means: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    labels: tuple[int, ...]
    snr: float

    def __post_init__(self) -> None:
        lengths = sorted({len(row) for row in self.means})
        if len(lengths) != 1 or lengths[0] == 0:
            raise ValueError(
                "mixture.means: expected rows of equal length, at least one, "
                f"got rows of lengths {lengths}"
            )
        with _within("mixture"):
            MixtureLaw.of_means(len(self.means), self.weights, self.labels, self.snr)

    def build(self, dimension: int, dtype: "torch.dtype", device: str) -> "GaussianMixture":
        """The law in d dimensions.

        Raises:
            ValueError: if the means have more than d coordinates, or one is not finite.
        """
        import torch

        from ..models.mixture import GaussianMixture

        given = torch.tensor(self.means, dtype=dtype, device=device)
        if given.shape[1] > dimension:
            raise ValueError(
                f"mixture.means: expected at most dimension = {dimension} coordinates, "
                f"got {given.shape[1]}"
            )
        means = torch.zeros(len(given), dimension, dtype=dtype, device=device)
        means[:, : given.shape[1]] = given
        return GaussianMixture(means, self.weights, self.labels, self.snr)


@dataclass(frozen=True)
class OptimiserConfig:
    """SGD: x <- x - delta (grad + ridge x),  delta = scaled_learning_rate / d.

    Attributes:
        scaled_learning_rate: c = d times the learning rate.
        batch_size: samples of a step.
        ridge: weight decay; not part of the curvature.
        momentum: of the heavy ball, 0 to below 1.

    Raises:
        ValueError: as `SGD`, naming the key.
    """

    scaled_learning_rate: float = 0.5
    batch_size: int = 1
    ridge: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        with _within("optimiser"):
            self.algorithm()

    def algorithm(self, second_layer_rate: float = 0.0) -> SGD:
        """The algorithm as the effective dynamics knows it."""
        return SGD(second_layer_rate=second_layer_rate, **asdict(self))


@dataclass(frozen=True)
class ProbeConfig:
    """What is measured after every epoch, and how closely.

    Attributes:
        eigenvalues: number of largest eigenvalues of each block.
        smallest: number of smallest eigenvalues.
        tolerance: residual, relative to the largest eigenvalue in size, at which one is settled.
        density: whether spectral densities are measured.
        draws: probe samples drawn at the start, in the middle and at the end; 1 elsewhere.
        every: probe after every so many epochs.
    """

    eigenvalues: int = 6
    smallest: int = 3
    tolerance: float = 1e-3
    density: bool = True
    draws: int = 1
    every: int = 1

    def __post_init__(self) -> None:
        _require_positive("probe.eigenvalues", self.eigenvalues)
        _require_positive("probe.tolerance", self.tolerance)
        _require_positive("probe.draws", self.draws)
        _require_positive("probe.every", self.every)
        if self.smallest < 0:
            raise ValueError(f"probe.smallest: expected at least 0, got {self.smallest}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ABC):
    """What every training needs to know, whatever its system.

    Attributes:
        system: its name on the command line and in files.
        dimension: d, the number of input features.
        aspect_ratio: phi = n/d; a probe sample has n = phi d points.
        optimiser: the algorithm.
        time: t = steps * delta at the end; with delta = c/d this sets the number of steps.
        epochs: number of equal parts of the training; the probe measures after each.
        training_samples: train on that many samples again and again, in an order shuffled at
            each pass; null draws every batch anew.
        probe: what is measured.
        seed: of the initial weights, of the training data and of the probe, each on its own.
        device: as torch names it.
        dtype: of weights and data.
    """

    system: ClassVar[str]

    dimension: int = 1000
    aspect_ratio: float = 4.0
    optimiser: OptimiserConfig = OptimiserConfig()
    time: float = 20.0
    epochs: int = 30
    training_samples: int | None = None
    probe: ProbeConfig = ProbeConfig()
    seed: int = 0
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        for name in ("dimension", "aspect_ratio", "time", "epochs"):
            _require_positive(name, getattr(self, name))
        if self.training_samples is not None:
            _require_positive("training_samples", self.training_samples)
        if self.seed < 0:
            raise ValueError(f"seed: expected at least 0, got {self.seed}")
        if self.probe_samples < 1:
            raise ValueError(
                f"aspect_ratio: expected at least 1 / dimension, got {self.aspect_ratio}"
            )

    @property
    def learning_rate(self) -> float:
        """The learning rate delta = c / d."""
        return self.optimiser.scaled_learning_rate / self.dimension

    @property
    def steps_per_epoch(self) -> int:
        """The whole number nearest to time / (epochs * delta), at least 1."""
        return max(1, round(self.time / (self.epochs * self.learning_rate)))

    @property
    def probe_samples(self) -> int:
        """The number n = phi d of points of a probe sample, rounded."""
        return round(self.aspect_ratio * self.dimension)

    def to_dict(self) -> dict[str, Any]:
        """What YAML can hold of the configuration, with the name of the system."""
        return {"system": self.system, **_plain(asdict(self))}

    @abstractmethod
    def build(self, generator: "torch.Generator") -> "System":
        """The system, its initial weights drawn from the generator (on ``device``).

        Raises:
            ValueError: naming the argument, what was expected and what came.
        """


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
