import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import t as student

from spectrain.models.mixture import GaussianMixture
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.two_layer import TwoLayerNetwork
from spectrain.probes.curvature.head_curvature import head_curvature
from spectrain.probes.krylov.block_lanczos import block_lanczos
from spectrain.probes.krylov.frames import random_frame
from spectrain.probes.krylov.lanczos_quadrature import krylov_quadrature, lanczos_quadrature
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.mixture_theory import MixtureTheory
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.recurrence import PointMasses, recurrence


def linspace(low, high, count):
    return torch.linspace(low, high, count, dtype=torch.float64)


def with_outliers(outliers, bulk):
    return torch.cat([torch.tensor(outliers, dtype=torch.float64), bulk])


SPECTRA = {
    "spiked": with_outliers([50.0, 30.0, 30.0, 5.0], linspace(0, 1, 116)),
    "indefinite": with_outliers([9.0, 4.0, -7.0, -3.0], linspace(-1, 1, 116)),
    "flat": linspace(0.5, 1, 120),
    "rank 60": torch.cat([linspace(0, 0, 60), linspace(0.5, 1, 60)]),
}


def covered(errors, standard_errors, degrees, level):
    """Whether +-t standard errors hold the truth as often as they claim, in 200 runs.

    Binomial with a deviation of at most 4; a normal number is beyond once in 16000.
    """
    inside = errors <= student.ppf((1 + level) / 2, degrees) * standard_errors
    share = inside.mean(axis=0)
    return np.abs(share - level) < 4 * (level * (1 - level) / len(errors)) ** 0.5


@pytest.mark.parametrize("starts", [4, 2])
@pytest.mark.parametrize("name", SPECTRA)
def test_standard_errors_cover_as_they_claim(diagonal_operator, generator, name, starts):
    values = SPECTRA[name]
    if starts == 2 and name == "spiked":
        values = values[[0, 1, *range(3, 120)]]  # twice the same: its multiplicity is not known
    found = lanczos_quadrature(diagonal_operator(values.expand(200, -1)), starts, 12, generator)
    exact = values.numpy()
    points = np.quantile(exact, [0.1, 0.3, 0.6, 0.9])
    width = float(np.median([one.resolution for one in found]))
    distance = (points - exact[:, None]) / width
    truths = [
        exact.sum(),
        (exact[:, None] ** np.arange(1, 5)).mean(0),
        ndtr(distance).mean(0),
        np.exp(-(distance**2) / 2).mean(0) / (width * (2 * np.pi) ** 0.5),
    ]
    estimates = [
        [one.trace for one in found],
        [one.moments(4) for one in found],
        [one.cumulative(points, width) for one in found],
        [one.density(points, width) for one in found],
    ]
    for truth, several in zip(truths, estimates, strict=True):
        errors = np.abs(np.stack([one.value for one in several]) - truth)
        claimed = np.stack([one.error for one in several])
        assert {one.degrees for one in several} == {starts - 1}
        for level in (0.68, 0.95):
            assert covered(errors, claimed, starts - 1, level).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_nothing_is_random_the_error_is_rounding(with_spectrum, generator, dtype):
    """Rank 40 of 120, found eigenvalue by eigenvalue; and outliers of a large power."""
    closed = with_outliers([0.0] * 80, linspace(0.5, 1, 40))
    operator = with_spectrum(closed.expand(50, -1), dtype)
    points = np.array([-0.5, 0.2, 0.7, 0.9])
    for one in lanczos_quadrature(operator, 4, 20, generator):
        exact = closed.numpy()
        assert abs(one.trace.value - exact.sum()) < 2 * one.trace.error < 1e4 * one.rounding
        powers = (exact[:, None] ** np.arange(1, 6)).mean(0)
        assert (np.abs(one.moments(5).value - powers) < 2 * one.moments(5).error).all()
        below = ndtr((points - exact[:, None]) / 0.1).mean(0)
        found = one.cumulative(points, 0.1)
        assert (np.abs(found.value - below) < 2 * found.error).all()
        # What is random scatters by rounding alone, and says nothing of a resolution.
        assert one.resolution > 0.05
    spiked = with_outliers([50.0, 30.0], linspace(0, 1, 118))
    for one in lanczos_quadrature(with_spectrum(spiked.expand(50, -1), dtype), 4, 12, generator):
        fifth = float((spiked**5).mean())
        # The bulk's part is below 1, its error far less.
        assert abs(one.moments(5).value[4] - fifth) < 2 * one.moments(5).error[4] + 0.2


def test_an_interval_is_students(diagonal_operator, generator):
    (found,) = lanczos_quadrature(diagonal_operator(linspace(0, 1, 100)), 3, 5, generator)
    low, high = found.trace.interval(0.9)
    assert low == pytest.approx(found.trace.value - student.ppf(0.95, 2) * found.trace.error)
    assert high - found.trace.value == pytest.approx(found.trace.value - low)


def test_errors_are_exactly_unbiased_for_the_trace(diagonal_operator, generator):
    """E[error^2] is the variance of the mean, also when the frame is a third of the space."""
    values = linspace(0, 1, 30)
    found = lanczos_quadrature(diagonal_operator(values.expand(2000, -1)), 10, 1, generator)
    squares = np.array([(one.trace.value - 15) ** 2 for one in found])
    claims = np.array([one.trace.error**2 for one in found])
    spread = np.hypot(squares.std(), claims.std()) / 2000**0.5
    assert abs(squares.mean() - claims.mean()) < 4 * spread
    # Without the correction for the finite space they would be 1.5 times as large.
    assert 0.3 * claims.mean() > 4 * spread


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outliers_have_their_weight_without_error(with_spectrum, generator, dtype):
    values = with_outliers([30.0, 20.0, 20.0, -5.0], linspace(0, 1, 296))
    (found,) = lanczos_quadrature(with_spectrum(values, dtype), 4, 12, generator)
    assert found.free == 296
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    share = found.expectation(lambda x: (np.abs(x) > 2) * 1.0)
    assert float(share.value) == pytest.approx(4 / 300, rel=1e-9)
    assert float(share.error) < 1e-12
    # Only the bulk's 1/300 (1/3 - 1/4)^(1/2) remains: 30^2 / 300 is not estimated.
    second = found.moments(2)
    truth = float((values**2).mean())
    assert abs(second.value[1] - truth) < 0.05
    assert second.error[1] < 0.05


def test_multiplicity_beyond_the_starts_is_estimated(diagonal_operator, generator):
    """Eight equal eigenvalues seen by four starts are four: their weight must not be 4/N."""
    values = with_outliers([30.0] * 8, linspace(0, 1, 192))
    found = lanczos_quadrature(diagonal_operator(values.expand(50, -1)), 4, 12, generator)
    shares = [one.expectation(lambda x: (x > 2) * 1.0) for one in found]
    mean = np.mean([one.value for one in shares])
    error = np.std([one.value for one in shares]) / 50**0.5
    assert abs(mean - 8 / 200) < 4 * error
    assert error < 0.004
    assert all(one.error > 0 for one in shares)


def test_rules_are_exact_for_polynomials(with_spectrum, generator):
    """sum_i w_i theta_i^p = q^T H^p q up to degree 2 steps - 1, and not beyond."""
    operator = with_spectrum(linspace(-1, 1, 80))
    (found,) = lanczos_quadrature(operator, 1, 4, torch.Generator().manual_seed(5))
    noise = torch.randn(80, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    power = q = torch.linalg.qr(noise).Q
    for degree in range(1, 9):
        power = operator.matrices @ power
        moment = float(found.expectation(lambda x, p=degree: x**p).value)
        assert (abs(moment - float((q * power).sum())) < 1e-12) == (degree < 8)


def test_coefficients_are_those_of_each_start(with_spectrum, generator):
    """As Lanczos's algorithm on the whole matrix finds them, one start at a time."""
    operator = with_spectrum(SPECTRA["spiked"])
    (found,) = lanczos_quadrature(operator, 3, 8, torch.Generator().manual_seed(5))
    noise = torch.randn(120, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    frame = torch.linalg.qr(noise).Q
    values, vectors = torch.linalg.eigh(operator.matrices)
    for j in range(3):
        masses = (vectors.T @ frame[:, j]).square().numpy()
        alpha, beta = recurrence(PointMasses(values.numpy(), masses), 8)
        np.testing.assert_allclose(found.alpha[j], alpha, atol=1e-8)
        np.testing.assert_allclose(found.beta[j], beta, atol=1e-8)
    mean = found.coefficients
    np.testing.assert_allclose(mean.alpha, found.alpha.mean(axis=0))
    error = found.beta.std(axis=0, ddof=1) * (1 / 3 - 1 / 120) ** 0.5
    np.testing.assert_allclose(mean.beta_errors, error)


def test_a_space_that_is_there_already_serves(diagonal_operator):
    operator = diagonal_operator(torch.stack([SPECTRA["spiked"], SPECTRA["flat"]]))
    g = torch.Generator().manual_seed(5)
    krylov = block_lanczos(operator, random_frame(operator, 3, g), 8, g)
    shared = krylov_quadrature(krylov, 3, 5, g)
    own = lanczos_quadrature(operator, 3, 8, torch.Generator().manual_seed(5))
    for one, other in zip(shared, own, strict=True):
        np.testing.assert_array_equal(one.nodes, other.nodes)
        np.testing.assert_array_equal(one.alpha, other.alpha[:, :5])
    for starts, steps in ((2, 5), (3, 9)):
        with pytest.raises(ValueError, match="starts, steps: expected 3 and at most 8, as the"):
            krylov_quadrature(krylov, starts, steps, g)


def two_layer(dimension, generator):
    return TwoLayerNetwork(dimension, [1.0, -1.0], "gelu", 4.0, generator, dtype=torch.float64)


def softmax(dimension, generator):
    return SoftmaxRegression(dimension, 3, 4.0, generator, dtype=torch.float64)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
@pytest.mark.parametrize("build", [softmax, two_layer])
def test_coefficients_match_the_theory_of_the_mixture(generator, build, matrix):
    """Mean over 8 samples against Jacobi coefficients, outliers with their mass 1/N.

    Each sample has its own labels, which moves the law by O(n^(-1/2)), and its own starts, by
    O((starts N)^(-1/2)): both are in the spread of the samples. The law itself has corrections of
    O(1/d), which the spread does not know.
    """
    d, steps, samples = 300, 4, 8
    means = 1.5 * torch.eye(3, d, dtype=torch.float64)
    law = GaussianMixture(means, (0.4, 0.35, 0.25), (0, 1, 2), 4.0)
    if build is two_layer:
        law = GaussianMixture(torch.cat([means[:2], -means[:2]]), (0.25,) * 4, (0, 0, 1, 1), 4.0)
    model = build(d, generator)
    measured = []
    for _ in range(samples):
        operator = head_curvature(model, *law.sample(4 * d, generator), [(matrix, (0,))])
        (found,) = lanczos_quadrature(operator, 8, steps, generator)
        measured.append(np.concatenate([found.coefficients.alpha, found.coefficients.beta]))
    statistics = MixtureTheory(law, model.head, aspect_ratio=4).statistics(model)
    quadrature = MixtureLaw(np.array(law.weights), np.array(law.labels), law.snr)
    theory = EffectiveSpectrum(model.head, statistics, quadrature, 4.0, d)
    predicted = theory.jacobi(matrix, (0,), steps, outliers=True)
    expected = np.concatenate([predicted.diagonal, predicted.off_diagonal])
    error = np.std(measured, axis=0, ddof=1) / samples**0.5
    # 5.4 deviations of Student's t with 7 degrees: once in 1000.
    assert (np.abs(np.mean(measured, axis=0) - expected) < 5.4 * error + 2 * expected / d).all()


def test_an_outlier_shows_when_its_power_reaches_the_size(diagonal_operator, generator):
    """Weight 1/N: moments of order p change by lam^p / N, so coefficients k by lam^(2k + 1) / N."""
    size, outlier = 4000, 4.0
    bulk = linspace(-1, 1, size)
    spiked = torch.cat([bulk[:-1], torch.tensor([outlier], dtype=torch.float64)])
    operator = diagonal_operator(torch.stack([bulk, spiked]))
    plain, seen = (one.coefficients for one in lanczos_quadrature(operator, 8, 16, generator))
    # Legendre's coefficients: alpha = 0, beta_k = (k + 1) / (4 (k + 1)^2 - 1)^(1/2).
    k = np.arange(1, 16)
    assert (np.abs(plain.beta - k / (4 * k**2 - 1) ** 0.5) < 5 * plain.beta_errors + 1e-2).all()
    assert abs(seen.alpha[0]) < 5 * plain.alpha_errors[0] + outlier / size * 5
    assert np.abs(plain.alpha).max() < 0.1
    assert np.abs(seen.alpha).max() > 1
    assert 2 <= int(np.argmax(np.abs(seen.alpha) > 0.5)) <= 8


@pytest.mark.parametrize("width", [None, 0.05])
def test_density_and_cumulative_belong_together(diagonal_operator, generator, width):
    values = with_outliers([3.0], linspace(0, 1, 399))
    (found,) = lanczos_quadrature(diagonal_operator(values), 4, 30, generator)
    points = np.linspace(-1, 5, 4001)
    density, cumulative = found.density(points, width), found.cumulative(points, width)
    assert np.trapezoid(density.value, points) == pytest.approx(1, abs=1e-6)
    middle = (density.value[1:] + density.value[:-1]) / 2 * np.diff(points)
    np.testing.assert_allclose(np.cumsum(middle), cumulative.value[1:], atol=1e-4)
    assert cumulative.value[-1] == pytest.approx(1)
    bulk = (points > 0.3) & (points < 0.7)
    assert (np.abs(density.value - 1)[bulk] < 6 * density.error[bulk] + 5e-3).all()


def test_resolution_is_that_of_the_bulk(diagonal_operator, generator):
    """An outlier far away is known, so that it takes no node from the bulk."""
    values = with_outliers([100.0], linspace(0, 1, 399))
    (found,) = lanczos_quadrature(diagonal_operator(values), 4, 20, generator)
    assert found.resolution == pytest.approx(0.5 * 2 / 20, rel=0.05)


@pytest.mark.parametrize("steps", [30, 100])
def test_a_matrix_that_is_formed_is_exact(with_spectrum, generator, steps):
    values = with_outliers([7.0, -2.0], linspace(0, 1, 58))
    (found,) = lanczos_quadrature(with_spectrum(values), 3, steps, generator)
    assert found.free == 0
    assert found.products == 60
    assert float(found.trace.value) == pytest.approx(float(values.sum()))
    assert float(found.trace.error) == 0
    assert not found.density(np.linspace(-3, 8, 9), 0.3).error.any()
    # Coefficients are of random starts all the same.
    assert found.alpha.shape == (3, min(steps, 60))
    assert abs(found.coefficients.alpha[0] - values.mean()) < 6 * found.coefficients.alpha_errors[0]


def test_batches_are_separate(diagonal_operator, generator):
    values = torch.stack([linspace(0, 1, 90), linspace(3, 5, 90)]).view(2, 1, 90)
    found = lanczos_quadrature(diagonal_operator(values), 3, 6, generator)
    assert len(found) == 2
    for one, truth in zip(found, (45, 360), strict=True):
        assert abs(float(one.trace.value) - truth) < 10 * float(one.trace.error)


@pytest.mark.parametrize("size", [1, 5])
def test_zero_matrix(diagonal_operator, generator, size):
    (found,) = lanczos_quadrature(diagonal_operator(linspace(0, 0, size)), 4, 3, generator)
    assert float(found.trace.value) == 0
    assert float(found.trace.error) == 0
    assert found.cumulative(np.array([0.0])).value == pytest.approx(0.5)
    (large,) = lanczos_quadrature(diagonal_operator(linspace(0, 0, 500)), 4, 3, generator)
    assert float(large.trace.value) == 0
    assert large.cumulative(np.array([-9.0, 9.0])).value == pytest.approx([0, 1])


def test_a_single_start_has_unknown_errors(diagonal_operator, generator):
    (found,) = lanczos_quadrature(diagonal_operator(linspace(0, 1, 50)), 1, 5, generator)
    assert np.isnan(found.trace.error)
    assert np.isnan(found.coefficients.alpha_errors).all()
    assert np.isnan(found.trace.interval()).all()


def test_same_generator_same_numbers(diagonal_operator):
    runs = [
        lanczos_quadrature(
            diagonal_operator(linspace(0, 1, 99)), 2, 5, torch.Generator().manual_seed(4)
        )[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0].nodes, runs[1].nodes)
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)


def test_bad_input_is_refused(diagonal_operator, generator):
    operator = diagonal_operator(linspace(0, 1, 90))
    for starts, steps in ((0, 5), (3, 0)):
        with pytest.raises(ValueError, match="starts, steps: expected positive numbers, got"):
            lanczos_quadrature(operator, starts, steps, generator)
    (found,) = lanczos_quadrature(operator, 2, 4, generator)
    with pytest.raises(ValueError, match="count: expected 1 to 7, got 8"):
        found.moments(8)
    for width in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="width: expected a positive number, got"):
            found.density(np.zeros(1), width)
    with pytest.raises(ValueError, match="level: expected a number between 0 and 1, got 95"):
        found.trace.interval(95)
    bad = diagonal_operator(torch.full((90,), torch.nan))
    with pytest.raises(ValueError, match="operator: expected finite products, got NaN"):
        lanczos_quadrature(bad, 2, 4, generator)
