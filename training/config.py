"""Configuration: frozen dataclasses that need no torch, so that the command line answers at once.

The configuration of one kind of training is a subclass of `TrainingConfig`, in the file of its
system; its default instance is the project's default run of that system.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from warnings import warn

from ..models.arguments import require_fields, require_least, require_positive

# Annotations are not postponed here: the command line would evaluate them, and with them the
# imports below that are meant for type checkers alone.
if TYPE_CHECKING:
    import torch

    from .system import System

__all__ = ["ProbeConfig", "TrainingConfig"]


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
        require_fields(self, "probe.")
        require_positive("probe.eigenvalues", self.eigenvalues)
        require_positive("probe.tolerance", self.tolerance)
        require_positive("probe.draws", self.draws)
        require_positive("probe.every", self.every)
        require_least("probe.smallest", self.smallest, 0)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ABC):
    """What every training needs to know, whatever its system.

    Attributes:
        system: its name on the command line and in files.
        answers: the module that answers `spectrain predict` and `spectrain dynamics` for it;
            empty if there is none.
        figures: the module of figures and report texts that only this system has; empty if there
            is none.
        epochs: number of equal parts of the training; the probe measures after each.
        probe: what is measured.
        seed: of the initial weights, of the training data and of the probe, each on its own.
        device: as torch names it.
        dtype: of weights and data.
    """

    system: ClassVar[str]
    answers: ClassVar[str] = ""
    figures: ClassVar[str] = ""

    epochs: int = 30
    probe: ProbeConfig = ProbeConfig()
    seed: int = 0
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        require_fields(self)
        require_positive("epochs", self.epochs)
        require_least("seed", self.seed, 0)

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """The number of steps of the optimiser in an epoch, at least 1."""

    @property
    def title(self) -> str:
        """The system and its size, in a few words."""
        return self.system

    @classmethod
    def small(cls) -> Self:
        """A configuration that is built in an instant, of double precision: for checks."""
        return cls(dtype="float64")

    @classmethod
    def shown(cls, quick: bool) -> Self | None:
        """The training that the demo shows, a short one if ``quick``; None for no part in it."""
        return None

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


def __getattr__(name: str) -> Any:
    if name in ("MixtureConfig", "OptimiserConfig"):
        home = "spectrain.training.systems.mixture_config"
        warn(f"{__name__}.{name} has moved to {home}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
