"""Train a small network on handwritten digits and draw flatness against test error.

Usage: python scripts/flat_digits.py [OUTPUT]

Each optimiser has the same number of gradients, at several strengths of what makes it look for
flat minima. Needs scikit-learn, for its digits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

from spectrain.models.threads import single_thread
from spectrain.probes.flatness import FlatnessProfile
from spectrain.theory.spectrum import FloatArray
from spectrain.training.entropy_sgd import EntropySGD
from spectrain.training.replicated_sgd import ReplicatedSGD
from spectrain.views.figures.style import SERIES, new_figure, paper

TRAINED, HIDDEN, BATCH, GRADIENTS, SEEDS = 300, 64, 30, 3000, 2
PERTURBATIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
COMPARED = 0.4  # the perturbation at which minima are called flat
DRAWS, DPI = 8, 160

Batch = tuple[Tensor, Tensor]
Make = Callable[[nn.Module, torch.Generator], torch.optim.Optimizer]


@dataclass(frozen=True)
class Way:
    """To train.

    Attributes:
        family: for the legend.
        label: of its strength.
        make: the optimiser.
        cost: gradients a step.
    """

    family: str
    label: str
    make: Make
    cost: int = 1


def ways() -> Iterator[Way]:
    """All that are compared."""
    for decay in (0.0, 1e-2):
        yield Way(
            "SGD", f"decay {decay:g}",
            lambda model, _, decay=decay: torch.optim.SGD(
                model.parameters(), lr=0.1, weight_decay=decay
            ),
        )  # fmt: skip
    for stiffness in (0.1, 1.0):
        yield Way(
            "Entropy-SGD", f"stiffness {stiffness:g}",
            lambda model, _, stiffness=stiffness: EntropySGD(
                model.parameters(), lr=0.9 / stiffness, inner_lr=0.1, stiffness=stiffness,
                inner_steps=20,
            ),
            cost=20,
        )  # fmt: skip
    for stiffness in (0.1, 1.0):
        yield Way(
            "replicated SGD", f"stiffness {stiffness:g}",
            lambda model, source, stiffness=stiffness: ReplicatedSGD(
                model.parameters(), lr=0.1, stiffness=stiffness, replicas=3, spread=0.03,
                generator=source,
            ),
            cost=3,
        )  # fmt: skip


def digits(seed: int) -> tuple[Batch, Batch]:
    """Images to train on and the others, their pixels between 0 and 1."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    inputs = torch.from_numpy(images[order] / 16).float()
    targets = torch.from_numpy(labels[order])
    return (inputs[:TRAINED], targets[:TRAINED]), (inputs[TRAINED:], targets[TRAINED:])


def trained(way: Way, train: Batch, seed: int) -> nn.Module:
    """A two-layer network after the same number of gradients, whatever the way."""
    torch.manual_seed(seed)  # of the initial weights
    model = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    source = torch.Generator().manual_seed(seed)
    optimiser = way.make(model, source)
    inputs, targets = train

    def closure() -> Tensor:
        chosen = torch.randint(TRAINED, (BATCH,), generator=source)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        loss.backward()
        return loss

    for _ in range(GRADIENTS // way.cost):
        optimiser.step(closure)  # type: ignore[arg-type]
    return model


def profiles(way: Way) -> tuple[FloatArray, FloatArray]:
    """Train and test errors at each perturbation, (seeds, s)."""
    rows = []
    for seed in range(SEEDS):
        train, test = digits(seed)
        model = trained(way, train, seed)
        measure = FlatnessProfile(PERTURBATIONS, DRAWS, {"train": train, "test": test})
        found = measure(
            model, nn.functional.cross_entropy, train, torch.Generator().manual_seed(seed)
        )
        named = {each.name: each.values for each in found}
        rows.append([named[f"flatness_{kind}_error"] for kind in ("train", "test")])
    first, second = np.array(rows).transpose(1, 0, 2)
    return first, second


@paper()
def drawing(found: dict[Way, tuple[FloatArray, FloatArray]]) -> Figure:
    """Train errors over the perturbation; growth of the train error against the test error."""
    figure, panels = new_figure(1, 2, 3.0, width=7.2)
    profile, minima = panels[0]
    place = PERTURBATIONS.index(COMPARED)
    families = list(dict.fromkeys(way.family for way in found))
    looks = dict(zip(families, SERIES, strict=False))
    for family in families:
        color, marker, _ = looks[family]
        own = [each for each in found.items() if each[0].family == family]
        for strength, (way, (train, test)) in enumerate(own):
            alpha = (strength + 1) / len(own)
            mean, error = _mean(train)
            profile.errorbar(
                PERTURBATIONS, mean, error, color=color, marker=marker, markersize=3, alpha=alpha,
                linewidth=1, elinewidth=0.8, label=f"{family}, {way.label}",
            )  # fmt: skip
            gained, spread = _mean(train[:, place] - train[:, 0])
            error_test, spread_test = _mean(100 * test[:, 0])
            minima.errorbar(
                error_test, gained, spread, spread_test, color=color, marker=marker, markersize=4.5,
                alpha=alpha, linestyle="none", elinewidth=0.8,
            )  # fmt: skip
    profile.set_xlabel("perturbation s (|w|)")
    profile.set_ylabel("train error (share)")
    profile.legend(frameon=False)
    minima.set_xlabel("test error (%)")
    minima.set_ylabel(f"growth of the train error at s = {COMPARED:g}")
    return figure


def _mean(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Over seeds, with its standard error."""
    return rows.mean(0), rows.std(0, ddof=1) / len(rows) ** 0.5


def main(output: str = "docs/images/flat-digits.png") -> None:
    place = PERTURBATIONS.index(COMPARED)
    found = {}
    with single_thread():
        for way in ways():
            train, test = found[way] = profiles(way)
            errors = [_mean(100 * each) for each in (train[:, 0], test[:, 0], train[:, place])]
            numbers = "  ".join(f"{mean:5.2f} ± {error:.2f}" for mean, error in errors)
            print(f"{way.family:16} {way.label:16} train, test, at s (%): {numbers}", flush=True)
    drawing(found).savefig(output, dpi=DPI)


if __name__ == "__main__":
    main(*sys.argv[1:])
