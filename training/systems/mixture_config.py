"""The configuration of what is trained on a Gaussian mixture: law, algorithm, length."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...models.arguments import require_fields, require_positive
from ...models.mixture_law import MixtureLaw
from ...theory.mixture.sgd import SGD
from ..config import TrainingConfig

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from ...models.mixture import GaussianMixture

__all__ = ["MixtureConfig", "MixtureTrainingConfig", "OptimiserConfig"]


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
        require_fields(self, "mixture.")
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

        from ...models.mixture import GaussianMixture

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
        require_fields(self, "optimiser.")
        with _within("optimiser"):
            self.algorithm()

    def algorithm(self, second_layer_rate: float = 0.0) -> SGD:
        """The algorithm as the effective dynamics knows it."""
        return SGD(second_layer_rate=second_layer_rate, **asdict(self))


@dataclass(frozen=True, kw_only=True)
class MixtureTrainingConfig(TrainingConfig):
    """What every training on a Gaussian mixture needs to know.

    Attributes:
        dimension: d, the number of input features.
        aspect_ratio: phi = n/d; a probe sample has n = phi d points.
        optimiser: the algorithm.
        time: t = steps * delta at the end; with delta = c/d this sets the number of steps.
        training_samples: train on that many samples again and again, in an order shuffled at
            each pass; null draws every batch anew.
    """

    answers: ClassVar[str] = "spectrain.answers.mixture"
    figures: ClassVar[str] = "spectrain.figures.mixture"

    dimension: int = 1000
    aspect_ratio: float = 4.0
    optimiser: OptimiserConfig = OptimiserConfig()
    time: float = 20.0
    training_samples: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dimension", "aspect_ratio", "time"):
            require_positive(name, getattr(self, name))
        if self.training_samples is not None:
            require_positive("training_samples", self.training_samples)
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

    @property
    def title(self) -> str:
        """System, dimension and aspect ratio."""
        return f"{self.system}, d = {self.dimension}, phi = {self.aspect_ratio:g}"

    @classmethod
    def small(cls) -> Self:
        """The default in 50 dimensions."""
        return cls(dimension=50, dtype="float64")

    def to_dict(self) -> dict[str, Any]:
        """What YAML can hold of the configuration, in the order that files have had so far."""
        content = super().to_dict()
        return {key: content[key] for key in (*_ORDER, *content)}


_ORDER = ("system", "dimension", "aspect_ratio", "optimiser", "time", "epochs", "training_samples")
