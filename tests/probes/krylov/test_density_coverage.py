"""Whether the stated errors of a density hold the truth as often as they claim, in 200 runs."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.column_rules import column_rules
from spectrain.probes.krylov.density import spectral_densities
from spectrain.probes.krylov.frames import random_frame

RUNS, BATCH = 200, 25


def linspace(low, high, count):
    return torch.linspace(low, high, count, dtype=torch.float64)


def with_zeros(count, *others):
    return torch.cat([torch.zeros(count, dtype=torch.float64), *others])


def repeated(value, count):
    return torch.full((count,), value, dtype=torch.float64)


# Eigenvalues, steps, columns, the atoms, and the other places where the law is compared.
CASES = {
    "the space closes": (with_zeros(80, linspace(0.5, 1, 40)), 20, 4, [0.0], [0.6, 0.8]),
    "atom beside a bulk": (with_zeros(80, linspace(0.1, 1, 120)), 14, 4, [0.0], [0.3, 0.9]),
    "nothing has converged": (linspace(0.5, 1, 400), 8, 4, [], [0.55, 0.7, 0.9]),
}
SLOW = {
    "two atoms": (with_zeros(100, repeated(1, 100), linspace(1.5, 2, 200)), 16, 4, [0, 1], [1.7]),
    "atom above": (torch.cat([linspace(0, 1, 380), repeated(2, 20)]), 16, 4, [2], [0.2, 0.9]),
    "between two bulks": (
        with_zeros(300, linspace(-1, -0.1, 250), linspace(0.2, 1, 250)), 24, 8, [0], [-0.5, 0.7],
    ),
    "hard edge": (linspace(0, 1, 1500) ** 2, 12, 16, [], [0.01, 0.1, 0.4, 0.9]),
}  # fmt: skip


def densities(build, values, steps, width, generator):
    """Of 200 matrices with these eigenvalues, each from a frame of its own."""
    for _ in range(0, RUNS, BATCH):
        operator = build(values.expand(BATCH, -1))
        frame = random_frame(operator, width, generator)
        yield from spectral_densities(block_lanczos(operator, frame, steps, generator))


def at(density, place, part):
    return np.interp(place, density.points, getattr(density, part))


def share_below(values, place, tolerance):
    """Half of an eigenvalue counted at itself, and linear between eigenvalues."""
    values = np.sort(values.numpy())
    here = np.abs(values - place) < tolerance
    if here.any():
        return ((values < place - tolerance).sum() + here.sum() / 2) / len(values)
    return np.interp(place, values, (np.arange(len(values)) + 0.5) / len(values))


def require_cover(runs, width, places, values, levels=(0.68, 0.95), told=lambda name, value: None):
    """Student's intervals hold the truth at least as often as they say, at each place."""
    truth = np.array([share_below(values, place, 1e-5) for place in places])
    deviation = np.array([[at(one, x, "cumulative") for x in places] for one in runs]) - truth
    claimed = np.array([[at(one, x, "cumulative_errors") for x in places] for one in runs])
    for level in levels:
        reach = student.ppf((1 + level) / 2, width - 1) * claimed
        inside = (np.abs(deviation) <= reach).mean(axis=0)
        told(f"covered at {level}", float(inside.min()))
        # A binomial is 4 deviations short once in 30000.
        assert (inside > level - 4 * (level * (1 - level) / len(runs)) ** 0.5).all(), inside


def builder(name, with_spectrum, diagonal_operator, dtype):
    """Where rounding counts the eigenvectors are dense ones; else any basis is as good."""
    if name in ("the space closes", "atom beside a bulk"):
        return lambda values: with_spectrum(values, dtype)
    return lambda values: diagonal_operator(values.to(dtype))


def check(case, build, generator, told):
    values, steps, width, atoms, others = case
    runs = list(densities(build, values, steps, width, generator))
    require_cover(runs, width, [*atoms, *others], values, told=told)


@pytest.mark.parametrize("name", ["nothing has converged", "the space closes"])
def test_errors_of_the_cumulative_hold_the_truth(
    with_spectrum, diagonal_operator, generator, record_property, name
):
    """At an atom too, where nothing is random once it is known, and rounding remains."""
    build = builder(name, with_spectrum, diagonal_operator, torch.float64)
    check(CASES[name], build, generator, record_property)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES, *SLOW])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_errors_of_the_cumulative_hold_the_truth_everywhere(
    with_spectrum, diagonal_operator, generator, record_property, name, dtype
):
    case = (CASES | SLOW)[name]
    build = builder(name, with_spectrum, diagonal_operator, dtype)
    check(case, build, generator, record_property)


@pytest.mark.parametrize(
    "dtype", [torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)]
)
def test_an_atom_inside_a_bulk_is_within_the_error(diagonal_operator, generator, dtype):
    """It is not told from the bulk: the error is what the residual leaves open, not a random one.

    So it claims nothing at one standard error, and holds at two.
    """
    values = with_zeros(120, linspace(-1, 1, 200))
    runs = list(densities(lambda v: diagonal_operator(v.to(dtype)), values, 16, 4, generator))
    require_cover(runs, 4, [-0.02, -0.005, 0.005, 0.02], values, levels=(0.95,))


def test_a_bulk_of_which_nothing_has_converged_is_no_atom(diagonal_operator, generator):
    operator = diagonal_operator(linspace(0.5, 1, 600))
    krylov = block_lanczos(operator, random_frame(operator, 8, generator), 16, generator)
    rules = column_rules(krylov)
    assert not rules.atoms.any()
    assert (rules.doubt > 0).any()
    # Gauss's rules of 16 nodes each, not one of 128 joint nodes.
    assert ((rules.random > 1e-12).sum(-1) == 16).all()


def test_an_atom_is_at_zero_before_it_has_converged(diagonal_operator, generator):
    """Its copies scatter by the square of their residuals: they are one point all the same."""
    operator = diagonal_operator(with_zeros(400, linspace(0.05, 1, 600)))
    krylov = block_lanczos(operator, random_frame(operator, 8, generator), 18, generator)
    copies = krylov.eigen[0][:8]
    assert 1e-9 < float(copies.abs().max()) < 1e-3
    rules = column_rules(krylov)
    assert rules.atoms.sum() == 8
    assert (rules.points[rules.atoms] == 0).all()
    assert ((rules.excess[rules.atoms] > 0) & (rules.excess[rules.atoms] < 1e-2)).all()
    # The excess is what the weights have from the eigenvalues next to the atom.
    true = krylov.basis[:400, :8].square().sum(0)
    excess = rules.random[:, -krylov.eigen[0].shape[-1] :][:, rules.atoms].sum(-1) / true - 1
    assert (excess.abs() < 2 * rules.excess.max()).all()


def semicircle(x):
    return 2 / np.pi * np.sqrt(np.maximum(1 - x**2, 0))


def uniform(x):
    return ((x > 0) & (x < 1)) * 1.0


def quantiles(law, low, high, count):
    """Eigenvalues as even as the law lets them."""
    places = np.linspace(low, high, 100_001)
    below = np.cumsum(law(places))
    levels = (np.arange(count) + 0.5) / count
    return torch.tensor(np.interp(levels, below / below[-1], places))


def outliers(*values):
    return torch.tensor(values, dtype=torch.float64)


def beside(bulk, *values):
    return torch.cat([bulk, outliers(*values)])


# Eigenvalues, the density of their bulk and its share, steps, columns.
EDGES = {
    "near outliers": (
        beside(quantiles(semicircle, -1, 1, 396), 1.15, 1.25, 1.3, -1.3), semicircle, 0.99, 14, 8,
    ),
    "hard edges": (beside(quantiles(uniform, 0, 1, 398), 1.2, 30.0), uniform, 0.995, 12, 8),
    "atom and gap": (
        with_zeros(150, quantiles(semicircle, -1, 1, 300) + 1.1), lambda x: semicircle(x - 1.1),
        2 / 3, 16, 8,
    ),
}  # fmt: skip
SLOW_EDGES = {
    "two bands": (
        torch.cat([quantiles(semicircle, -1, 1, 400) + shift for shift in (0, 2.6)]),
        lambda x: (semicircle(x) + semicircle(x - 2.6)) / 2, 1, 16, 8,
    ),
    "many eigenvalues": (
        beside(quantiles(semicircle, -1, 1, 4999), 1.2), semicircle, 0.9998, 12, 8,
    ),
}  # fmt: skip


def require_honest_values(case, diagonal_operator, generator):
    """At each of the points from both ends of the bulk, and some inside, at least 95 of 100.

    What is left open at an edge is no random error: one standard error claims nothing there.
    """
    values, law, share, steps, width = case
    places = [*range(6), 20, 40, *range(-6, 0)]
    scores = []
    for density in densities(diagonal_operator, values, steps, width, generator):
        inside = np.flatnonzero(density.values > 0)[places]
        deviation = density.values[inside] - share * law(density.points[inside])
        scores.append(np.abs(deviation) / density.errors[inside])
    held = (np.array(scores) <= student.ppf(0.975, width - 1)).mean(axis=0)
    assert (held > 0.95 - 4 * (0.95 * 0.05 / RUNS) ** 0.5).all(), held


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGES)
def test_errors_hold_the_density_up_to_the_edge(diagonal_operator, generator, name):
    require_honest_values(EDGES[name], diagonal_operator, generator)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_EDGES)
def test_errors_hold_the_density_up_to_the_edge_everywhere(diagonal_operator, generator, name):
    require_honest_values(SLOW_EDGES[name], diagonal_operator, generator)


@pytest.mark.parametrize("outlier", [1.3, 40.0])
def test_an_outlier_does_not_draw_down_the_edge(diagonal_operator, generator, outlier):
    """The last node's points have the density that they have without it."""
    bulk = quantiles(semicircle, -1, 1, 999)
    operator = diagonal_operator(torch.stack([beside(bulk, 0.0), beside(bulk, outlier)]))
    krylov = block_lanczos(operator, random_frame(operator, 16, generator), 14, generator)
    alone, seen = spectral_densities(krylov)
    assert seen.values[-1] == 0
    assert seen.points[-1] == pytest.approx(outlier)
    ends = [one.values[one.values > 0][-12:-4].mean() for one in (alone, seen)]
    assert ends[1] == pytest.approx(ends[0], rel=0.2)
