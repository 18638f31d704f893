"""Fluctuations of outliers against closed forms and samples."""

import numpy as np
import pytest

from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.law import CurvatureLaw
from spectrain.theory.bulk.outlier_noise import outlier_noise
from spectrain.theory.bulk.outliers import find_outliers


@pytest.mark.parametrize(("spike", "phi"), [(3.0, 2.0), (2.0, 4.0), (6.0, 0.5)])
@pytest.mark.parametrize("free", [False, True])
def test_spiked_covariance(spike, phi, free):
    """D = 1, one spike l: n Var = 2 l^2 (1 - gamma / (l - 1)^2), gamma = 1 / phi (Paul 2007).

    The spike's coordinate is spread over nodes, or left free around one node at zero with the
    variance of the noise, which is l then and makes every other coordinate's l too.
    """
    if free:
        # Noise of variance 1 / snr in all coordinates and a mean that is random: z = a + noise.
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        z = np.sqrt(spike - 1) * nodes
    else:
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        z = np.sqrt(spike) * nodes
    weights = weights / weights.sum()
    ones = np.ones((len(z), 1, 1))
    law = CurvatureLaw(
        weights=weights,
        factors=ones,
        moments=(z**2 + free)[:, None, None],
        supremum=1.0,
        infimum=1.0,
        extremes=ones[:1],
        aspect_ratio=phi,
        snr=1.0,
        means=z[:, None],
        free=int(free),
    )
    (outlier,) = find_outliers(exterior(law))
    gamma = 1 / phi
    assert outlier.value == pytest.approx(spike + gamma * spike / (spike - 1), rel=1e-9)
    expected = 2 * spike**2 * (1 - gamma / (spike - 1) ** 2)
    assert outlier_noise(law, outlier) ** 2 == pytest.approx(expected, rel=1e-6)


def test_merged_nodes_are_refused(softmax):
    theory = softmax().theory(100)
    merged = theory.law("hessian", (0,)).compressed(10)
    outlier = find_outliers(exterior(merged))[0]
    with pytest.raises(ValueError, match="compressed law"):
        outlier_noise(merged, outlier)


@pytest.mark.parametrize(
    ("name", "matrix", "rows", "d", "draws"),
    [
        ("softmax", "information", (1,), 100, 60),
        ("xor", "hessian", (0,), 100, 60),
        pytest.param("softmax", "hessian", (0, 1), 400, 60, marks=pytest.mark.slow),
        pytest.param("xor", "information", (0, 1), 400, 60, marks=pytest.mark.slow),
    ],
)
def test_standard_deviations_over_samples(softmax, xor, name, matrix, rows, d, draws):
    """Of R samples: within 3 / sqrt(2 R) of a normal law's, and 15 % for the finite size."""
    problem = softmax() if name == "softmax" else xor()
    spectrum = problem.theory(d).spectrum(matrix, rows, "block", density_points=0)
    values = np.array(
        [np.linalg.eigvalsh(problem.dense(matrix, rows, d, seed)) for seed in range(draws)]
    )
    checked = 0
    for outliers, edge, sign in (
        (spectrum.top, spectrum.bulk.upper, 1),
        (spectrum.bottom, spectrum.bulk.lower, -1),
    ):
        places = [outlier.value for outlier in outliers]
        for rank, outlier in enumerate(outliers):
            others = [edge.detection, *places[:rank], *places[rank + 1 :]]
            if min(abs(outlier.value - other) for other in others) < 3 * outlier.sampling_error:
                continue  # neighbours repel: not a matter of one eigenvalue
            measured = values[:, -1 - rank if sign > 0 else rank].std(ddof=1)
            allowed = 3 / np.sqrt(2 * draws) + 0.15
            assert outlier.sampling_error == pytest.approx(measured, rel=allowed)
            checked += 1
    assert checked


def test_the_limit_has_no_sampling_error(softmax):
    spectrum = softmax().theory(None).spectrum("hessian", (0,), "block", density_points=0)
    assert all(np.isnan(outlier.sampling_error) for outlier in spectrum.top)
