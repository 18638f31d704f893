"""Predictions against dense eigendecompositions of finite samples."""

from dataclasses import dataclass

import numpy as np
import pytest

from spectrain.theory.bulk.interior import interior

DRAWS = 4
CASES = [
    ("softmax", "hessian", (0,)),
    ("softmax", "information", (1,)),
    ("softmax", "hessian", (0, 1, 2)),
    ("softmax", "information", (0, 1, 2)),
    ("xor", "hessian", (0,)),
    ("xor", "information", (0,)),
    ("xor", "hessian", (0, 1)),
    ("xor", "information", (0, 1)),
]


@dataclass(frozen=True)
class Comparison:
    """A prediction and the eigenpairs of some samples of the same block.

    A whole softmax block is measured, like the theory works, without its exact null direction.
    """

    problem: object
    theory: object
    matrix: str
    rows: tuple
    spectrum: object
    values: list
    vectors: list
    dimension: int

    @property
    def law(self):
        return self.theory.law(self.matrix, self.rows)

    @property
    def noise(self):
        """Relative size n^(-1/2) of the fluctuations of the mean over the draws."""
        return (self.problem.aspect_ratio * self.dimension * DRAWS) ** -0.5


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def comparison(request, softmax, xor):
    name, matrix, rows = request.param
    problem = softmax() if name == "softmax" else xor()
    d = 240 if len(rows) == 1 else 160
    theory = problem.theory(d)
    lift = np.eye(len(rows))
    if problem.head.shift_invariant and len(rows) == problem.head.directions:
        lift = np.linalg.svd(np.ones((len(rows), 1)))[0][:, 1:]
    lift = np.kron(lift, np.eye(d))
    values, vectors = [], []
    for seed in range(DRAWS):
        w, u = np.linalg.eigh(lift.T @ problem.dense(matrix, rows, d, seed) @ lift)
        values.append(w)
        vectors.append((lift @ u).reshape(len(rows), d, -1))
    spectrum = theory.spectrum(matrix, rows, "block")
    return Comparison(problem, theory, matrix, rows, spectrum, values, vectors, d)


def test_ordered_eigenvalues(comparison):
    """N(lam_j) = j - 1/2 within the finite-size and sampling errors of a few draws."""
    spectrum, d, law = comparison.spectrum, comparison.dimension, comparison.law
    measured = np.mean(comparison.values, axis=0)[::-1]
    inside = interior(law, spectrum.bulk.lower.value, spectrum.bulk.upper.value)
    size, above = law.rows * d, len(spectrum.top)
    assert size == len(measured)
    width = spectrum.bulk.upper.value - spectrum.bulk.lower.value
    for rank in [*(above + j for j in (5, 20, 50)), size // 2, (3 * size) // 4]:
        share = (rank - above - 0.5) / (size - above - len(spectrum.bottom))
        # Eigenvalues follow the empirical law of the n factors: n^(-1/2), and d^(-2/3) of the edge.
        allowed = 0.15 * width * d ** (-2 / 3) + 4 * comparison.noise * abs(measured[rank - 1])
        assert measured[rank - 1] == pytest.approx(inside.quantile(share), abs=allowed), rank


def test_density_has_the_mass_and_the_shape_of_the_sample(comparison):
    spectrum, density = comparison.spectrum, comparison.spectrum.density
    assert density.values.min() >= 0
    assert (np.diff(density.points) > 0).all()
    assert (np.diff(density.cumulative) >= 0).all()
    atom = spectrum.bulk.atom * (density.points[0] > 0)
    assert density.cumulative[0] == pytest.approx(atom, abs=0.03)
    assert density.cumulative[-1] == pytest.approx(1, abs=2e-3)
    mass = np.trapezoid(density.values, density.points)
    assert mass == pytest.approx(density.cumulative[-1] - density.cumulative[0], abs=0.01)
    null = 1 - comparison.law.rows / len(comparison.rows)
    values = np.sort(np.concatenate(comparison.values))
    empirical = null + (1 - null) * (np.arange(len(values)) + 0.5) / len(values)
    predicted = np.interp(values, density.points, density.cumulative)
    outliers = (len(spectrum.top) + len(spectrum.bottom)) / spectrum.size
    # Kolmogorov distance of the factors of all draws at two deviations, and the outliers.
    allowed = 2 * comparison.noise + outliers + 0.5 / comparison.dimension
    assert abs(predicted - empirical).max() < allowed


def test_outliers_overlaps_and_alignments(comparison):
    x, mu = comparison.problem.embedded(comparison.dimension)
    directions = np.vstack([x, mu])
    span = np.linalg.svd(directions, full_matrices=False)[2][: np.linalg.matrix_rank(directions)]
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    spectrum, noise = comparison.spectrum, comparison.noise
    assert spectrum.top
    for outliers, edge, sign in (
        (spectrum.top, spectrum.bulk.upper, 1),
        (spectrum.bottom, spectrum.bulk.lower, -1),
    ):
        for rank, outlier in enumerate(outliers):
            assert outlier.error < 1e-3 * abs(outlier.value)
            if sign * (outlier.value - edge.detection) < 0.1 * abs(edge.detection):
                continue  # too near the bulk for a sample of this size
            index = -1 - rank if sign > 0 else rank
            values = [values[index] for values in comparison.values]
            u = np.array([vectors[:, :, index] for vectors in comparison.vectors])
            assert np.mean(values) == pytest.approx(outlier.value, rel=5 * noise)
            overlap = ((u @ span.T) ** 2).sum((1, 2)).mean()
            assert overlap == pytest.approx(outlier.overlap, abs=3 * noise)
            others = [o.value for o in outliers if o is not outlier]
            gap = min((abs(value / outlier.value - 1) for value in others), default=np.inf)
            if gap > 0.3:  # else the fluctuations mix neighbours
                cosines = ((u @ unit.T) ** 2).sum(1).mean(0)
                np.testing.assert_allclose(cosines, outlier.alignment, atol=6 * noise)


def test_counts_agree_with_samples_of_random_problems(softmax):
    """Every predicted outlier that is clear of the detection edge is found, and no other."""
    clear = 0
    for seed in range(6):
        problem = softmax(x_scale=0.3 + 0.4 * seed, snr=2.0 + 2 * seed, phi=2.0 + seed, seed=seed)
        d, rows = 200, (seed % 3,)
        for matrix in ("hessian", "information"):
            spectrum = problem.theory(d).spectrum(matrix, rows, "block", density_points=0)
            limit = spectrum.bulk.upper.detection
            if any(abs(o.value / limit - 1) < 0.1 for o in spectrum.top):
                continue
            clear += 1
            dense = np.linalg.eigvalsh(problem.dense(matrix, rows, d, seed))
            assert (dense > limit).sum() == sum(o.value > limit for o in spectrum.top)
    assert clear >= 4
