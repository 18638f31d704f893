import numpy as np
import pytest
from scipy.stats import norm

from spectrain.probes.krylov.bands import Bands
from spectrain.probes.krylov.exact_density import exact_density

RUNS = 200


def semicircle(x):
    return 2 / np.pi * np.sqrt(np.maximum(1 - x**2, 0))


def marchenko_pastur(x):
    return np.sqrt(np.maximum((x - 0.25) * (2.25 - x), 0)) / (np.pi * np.maximum(x, 0.1) / 2)


def uniform(x):
    return ((x > 0) & (x < 1)) * 1.0


def goe(size, generator):
    noise = generator.standard_normal((size, size))
    return np.linalg.eigvalsh(noise + noise.T) / np.sqrt(8 * size)


def wishart(size, generator):
    noise = generator.standard_normal((size, 4 * size))
    return np.linalg.eigvalsh(noise @ noise.T) / (4 * size)


def independent(size, generator):
    return np.sort(generator.random(size))


def two_bands(size, generator):
    return np.concatenate([goe(size // 2, generator), goe(size // 2, generator) + 2.6])


# Draws of a bulk, its density in the limit, and outliers near it and far from it.
BULKS = {
    "semicircle": (goe, semicircle, [-1.25, 1.3, 1.5]),
    "wishart": (wishart, marchenko_pastur, [2.9, 50.0]),
    "independent": (independent, uniform, [-7.0, 1.3]),
    "two bands": (two_bands, lambda x: (semicircle(x) + semicircle(x - 2.6)) / 2, [4.5]),
}


@pytest.mark.parametrize("name", BULKS)
def test_errors_hold_the_density_up_to_the_edge(name):
    """Each of the last points of a bulk, and places inside, in 200 draws of the matrix.

    The errors take no repulsion of eigenvalues for granted, and may be larger than it leaves.
    """
    draw, law, outliers = BULKS[name]
    generator = np.random.default_rng(1)
    bulk = 120
    places = [*range(12), 30, 45, *range(-12, 0)]
    scores, bias = [], []
    for _ in range(RUNS):
        eigenvalues = np.sort(np.concatenate([draw(bulk, generator), outliers]))
        density = exact_density(eigenvalues, 1e-12)
        inside = np.flatnonzero(density.values > 0)
        truth = law(density.points[inside]) * bulk / (bulk + len(outliers))
        deviation = density.values[inside] - truth
        scores.append(np.abs(deviation / density.errors[inside])[places])
        bias.append((density.values[inside] / np.maximum(truth, 1e-9))[[5, -6]])
    for level in (0.68, 0.95):
        held = (np.array(scores) <= norm.ppf((1 + level) / 2)).mean(axis=0)
        assert (held > level - 4 * (level * (1 - level) / RUNS) ** 0.5).all(), held
    # With the outlier in its window the sixth from the edge had a tenth of this and less. The
    # inverse of a sum of 12 independent spacings is a tenth too large on average.
    assert (np.abs(np.median(bias, axis=0) - 1) < 0.25).all()


def test_no_window_crosses_an_isolated_eigenvalue():
    """An outlier far away changes no value but by the share of the bulk."""
    bulk = np.sin(np.linspace(-1.2, 1.2, 400))
    alone = exact_density(bulk, 1e-12)
    seen = exact_density(np.append(bulk, 60.0), 1e-12)
    inside = np.searchsorted(seen.points, bulk)
    np.testing.assert_allclose(seen.points[inside], bulk, atol=1e-12)
    np.testing.assert_allclose(seen.values[inside], alone.values * 400 / 401, rtol=1e-9)
    # The end of the bulk, half a spacing beyond its last eigenvalue, and the outlier.
    assert seen.values[inside[-1] + 1 :].tolist() == [0, 0]
    assert seen.points[inside[-1] + 1] == pytest.approx(bulk[-1] + np.diff(bulk)[-2:].sum() / 4)
    assert seen.cumulative[inside[-1] + 1] == pytest.approx(400 / 401)
    # One eigenvalue in the gap would not be seen.
    gap = 60 - bulk[-1]
    np.testing.assert_allclose(seen.errors[inside[-1] + 1 :], 1 / 401 / gap)


@pytest.mark.parametrize("outliers", [[], [5.0], [3.0, 3.3, -2.0], [1.2, 100.0]])
def test_the_values_integrate_to_the_share_of_the_bulk(outliers):
    bulk = np.linspace(0, 1, 500)
    density = exact_density(np.sort([*bulk, *outliers]), 1e-12)
    mass = np.trapezoid(density.values, density.points)
    assert mass == pytest.approx(500 / (500 + len(outliers)), abs=0.01)
    assert (np.diff(density.points) > 0).all()
    assert (np.diff(density.cumulative) >= 0).all()
    assert not density.cumulative_errors.any()


def test_independent_eigenvalues_have_larger_errors_than_those_that_repel():
    generator = np.random.default_rng(0)
    errors = [
        np.median([relative(exact_density(draw(400, generator), 1e-12)) for _ in range(10)])
        for draw in (independent, goe)
    ]
    # 20 eigenvalues in a window: the root of 1/20 if nothing repels.
    assert errors[0] == pytest.approx(20**-0.5, rel=0.3)
    assert errors[1] < 0.6 * errors[0]


def relative(density):
    middle = slice(len(density.points) // 3, -len(density.points) // 3)
    return np.median(density.errors[middle] / density.values[middle])


def test_an_atom_at_zero_has_no_density():
    density = exact_density(np.append(np.zeros(300), np.linspace(0.5, 1, 100)), 1e-12)
    assert density.points[0] == density.values[0] == 0
    assert density.cumulative[0] == pytest.approx(3 / 8)
    assert np.trapezoid(density.values, density.points) == pytest.approx(1 / 4, abs=0.01)


def test_few_eigenvalues_are_one_band():
    for size in (1, 2, 3, 11):
        density = exact_density(np.arange(size) + 1.0, 1e-12)
        assert len(density.points) == size
        # The spacing is 1, and the band ends half a spacing beyond the last eigenvalue.
        np.testing.assert_allclose(density.values, 1 / size if size > 1 else 0)
        assert np.isfinite(density.errors).all()


def test_windows_narrow_towards_the_ends_of_a_band():
    points = np.concatenate([np.arange(30.0), [100.0], 200 + np.arange(30.0)])
    bands = Bands.of(points, np.zeros(61), 12, 1, 1e-9)
    assert bands.isolated.nonzero()[0].tolist() == [30]
    low, high = bands.windows(5)
    width = (high - low)[:15]
    # Two spacings inwards and half of one outwards, then as far as the end, then five.
    np.testing.assert_allclose(width[:8], [2.5, 2, 4, 6, 8, 10, 10, 10], atol=1e-6)
    assert ((low >= bands.start) & (high <= bands.end)).all()
    assert bands.end[:30].max() < 30 < bands.start[31:].min()
    wide = np.subtract(*bands.windows(5, 2)[::-1])
    assert (wide <= 2 * (high - low) + 1e-12).all()
    np.testing.assert_allclose(wide[10:20], 20)


def test_what_is_open_fills_a_gap():
    """A gap is between what residuals say; a cluster of open points is a band of its own."""
    points = np.concatenate([np.linspace(0, 1, 40), [3.0], 3.0 + 1e-6 * np.arange(1, 8)])
    closed = Bands.of(points, np.zeros(48), 12, 8, 1e-9)
    assert closed.isolated[40:].all()
    reach = np.where(points > 2, 0.5, 0.0)
    open_ = Bands.of(points, reach, 12, 8, 1e-9)
    assert not open_.isolated.any()
    # As wide as what is open.
    assert float(open_.end[-1] - open_.start[-1]) == pytest.approx(0.5, rel=0.01)
    assert not Bands.of(points, np.where(points > 2, 2.5, 0.0), 12, 8, 1e-9).gaps.any()
