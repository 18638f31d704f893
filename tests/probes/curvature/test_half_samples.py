"""The bias of eigenvalues from the sample's size, from halves of the sample."""

import numpy as np
import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature.batches import halved
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.half_samples import half_sample_bias
from spectrain.probes.curvature.matrix import Covariance, Hessian, Information
from spectrain.probes.curvature.module_curvature import HessianOperator, InformationOperator
from spectrain.probes.curvature.processes import Processes
from spectrain.probes.curvature.sample_gradients import SampleGradients
from spectrain.probes.curvature.sample_space import SampleRows, sample_spaces
from spectrain.probes.curvature.weighted_mean import WeightedMean
from spectrain.probes.size_bias import product_size_bias
from spectrain.theory.spectrum import Eigenpair, Spectrum

ALONE = Processes(None, torch.device("cpu"))


def linear(x, noise):
    """A model without weights yet: the gradient of sample l is -2 noise_l x_l."""
    model = nn.Linear(x.shape[1], 1, bias=False).double()
    model.weight.data.zero_()
    return model, (x, noise)


def space(x, noise, centred=False, loss=None):
    model, batch = linear(x, noise)
    gradients = SampleGradients(model, loss or nn.MSELoss(), batch, Block("all"))
    (found,) = sample_spaces(SampleRows(gradients, ALONE, centred=centred), [Block("all")])
    return found


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dimension", [3, 40])
def test_eigenvalues_of_some_samples_are_those_of_their_matrix(dimension, centred, generator):
    """In the space of parameters and in that of samples, with weights."""
    x = torch.randn(20, dimension, dtype=torch.float64, generator=generator)
    noise = torch.randn(20, 1, dtype=torch.float64, generator=generator)
    weights = torch.rand(20, dtype=torch.float64, generator=generator)
    loss = WeightedMean(lambda o, t: ((o - t).square().flatten(), weights[: len(t)]))
    operator = space(x, noise, centred, loss)
    chosen = torch.tensor([4, 0, 7, 13, 19, 2])
    rows, w = -2 * (noise * x)[chosen], weights[chosen] / weights[chosen].sum()
    if centred:
        rows = rows - w @ rows
    expected = torch.linalg.eigvalsh(rows.T @ (w[:, None] * rows))
    found = operator.eigenvalues_of(chosen)
    assert len(found) == min(6, dimension)
    torch.testing.assert_close(found, expected[-len(found) :], atol=1e-12, rtol=1e-9)


def test_a_mean_of_squares_has_none_and_a_variance_that_of_its_denominator(generator):
    """One parameter: F is a mean over samples, the same on average on any number of them."""
    x = torch.ones(64, 1, dtype=torch.float64)
    noise = torch.randn(64, 1, dtype=torch.float64, generator=generator)
    operator = space(x, noise)
    values = operator.eigen[0].flip(0)
    bias, error = half_sample_bias(operator, values, operator.errors([0]), generator)
    assert abs(float(bias[0])) < 1e-12
    assert float(error[0]) < 1e-12
    # The variance about the mean, of m samples: (m - 1) / m of that of all.
    operator = space(x, noise, centred=True)
    values = operator.eigen[0].flip(0)
    bias, error = half_sample_bias(operator, values, operator.errors([0]), generator)
    assert abs(float(bias[0]) + float(values[0]) / 64) < 3 * float(error[0])


def test_few_samples_and_ranks_that_halves_lack_are_unknown(generator):
    x = torch.randn(6, 40, dtype=torch.float64, generator=generator)
    operator = space(x, torch.ones(6, 1, dtype=torch.float64))
    values = operator.eigen[0].flip(0)
    bias, error = half_sample_bias(operator, values, operator.errors(range(5, -1, -1)), generator)
    assert bias[:3].isfinite().all()
    assert bias[3:].isnan().all()
    assert error[3:].isnan().all()
    operator = space(x[:3], torch.ones(3, 1, dtype=torch.float64))
    bias, _ = half_sample_bias(operator, values[:3], values[:3], generator)
    assert bias.isnan().all()


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "samples"), [(40, 200), (200, 100)])
def test_errors_cover_the_spread_over_draws(dimension, samples):
    """200 draws in either space: b is, on average, what halving the sample adds to the mean.

    Its error is the spread of b within a factor of 1.75: nearly all of it within twice its error.
    """
    scales = torch.ones(dimension).double()
    scales[:2] = torch.tensor([4.0, 3.0])
    generator = torch.Generator().manual_seed(1)
    biases, errors, values, halves = [], [], [], []
    for _ in range(200):
        x = torch.randn(samples, dimension, generator=generator, dtype=torch.float64) * scales
        operator = space(x, torch.ones(samples, 1, dtype=torch.float64))
        top = operator.eigen[0].flip(0)[:2]
        places = [len(operator.eigen[0]) - 1, len(operator.eigen[0]) - 2]
        bias, error = half_sample_bias(operator, top, operator.errors(places), generator)
        biases.append(bias)
        errors.append(error)
        values.append(top)
        halves.append(operator.eigenvalues_of(torch.arange(samples // 2)).flip(0)[:2])
    bias, error, value, half = map(torch.stack, (biases, errors, values, halves))
    spread = bias.std(0)
    ratio = error.square().mean(0).sqrt() / spread
    assert (ratio > 1 / 1.75).all()
    assert (ratio < 1.75).all()
    within = ((bias - bias.mean(0)).abs() < 2 * error).double().mean(0)
    assert (within > 0.85).all()
    added = half - value  # the same number, much less exactly
    assert ((added.mean(0) - bias.mean(0)).abs() < 3 * added.std(0) / 200**0.5).all()


def by_products(x, noise, kind, generator, top, vectors, errors):
    """The bias of a linear model's matrix from products with halves of its samples."""
    model, batch = linear(x, noise)
    spectrum = Spectrum(
        *("matrix", "all", len(vectors)),
        tuple(
            Eigenpair(value, 0.0, sampling_error=error)
            for value, error in zip(top.tolist(), errors.tolist(), strict=True)
        ),
        (),
    )

    def halves():
        return [kind(model, nn.MSELoss(), half, Block("all")) for half in halved(batch, generator)]

    columns = torch.Generator().manual_seed(0)
    bias, error = product_size_bias(spectrum, vectors, halves, Measurement(), columns)
    return torch.from_numpy(bias), torch.from_numpy(error)


def test_products_with_halves_give_what_the_space_of_samples_does(generator, monkeypatch):
    """The same divisions of the same samples."""
    x = torch.randn(60, 12, dtype=torch.float64, generator=generator)
    noise = torch.randn(60, 1, dtype=torch.float64, generator=generator)
    operator = space(x, noise)
    places = [11, 10, 9]
    top, errors = operator.eigen[0][places], operator.errors(places)
    vectors = operator.vectors(places)
    monkeypatch.setattr("spectrain.probes.curvature.half_samples._DIVISIONS", 4)
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    expected, _ = half_sample_bias(operator, top, errors, first)
    found, _ = by_products(x, noise, InformationOperator, second, top, vectors, errors)
    # Residuals of 3 % of the largest: the square of it.
    torch.testing.assert_close(found, expected, atol=1e-3 * float(top[0]), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "samples"), [(40, 200), (200, 100)])
def test_errors_of_products_cover_the_spread_over_draws(dimension, samples):
    """As above, of the Hessian: b is on average what halving the sample adds to the mean.

    The spread of four divisions has three degrees of freedom: P(|t| < 2 / 1.75) = .66.
    """
    scales = torch.ones(dimension).double()
    scales[:2] = torch.tensor([4.0, 3.0])
    generator = torch.Generator().manual_seed(1)
    biases, errors, added = [], [], []
    for _ in range(200):
        x = torch.randn(samples, dimension, generator=generator, dtype=torch.float64) * scales
        # The Hessian is 2 x'x / n, the information matrix with noise 1 is 4 x'x / n.
        operator = space(x, torch.ones(samples, 1, dtype=torch.float64))
        values = operator.eigen[0]
        places = [len(values) - 1, len(values) - 2]
        top, spread = values[places] / 2, operator.errors(places) / 2
        bias, error = by_products(
            *(x, torch.ones(samples, 1, dtype=torch.float64), HessianOperator, generator),
            *(top, operator.vectors(places), spread),
        )
        biases.append(bias)
        errors.append(error)
        half = operator.eigenvalues_of(torch.arange(samples // 2)).flip(0)[:2] / 2
        added.append(half - top)
    bias, error, added = map(torch.stack, (biases, errors, added))
    ratio = error.square().mean(0).sqrt() / bias.std(0)
    assert (ratio > 1 / 1.75).all()
    assert (ratio < 1.75).all()
    within = ((bias - bias.mean(0)).abs() < 2 * error).double().mean(0)
    assert (within > 0.66).all()
    assert ((added.mean(0) - bias.mean(0)).abs() < 3 * added.std(0) / 200**0.5).all()


def test_a_thorough_probing_has_it_of_all_matrices(generator):
    x = torch.randn(40, 6, dtype=torch.float64, generator=generator)
    y = torch.randint(3, (40,), generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    blocks = [Block("all"), Block("last bias", ("2.bias",))]
    probe = SpectralProbe(
        model,
        nn.CrossEntropyLoss(),
        (x, y),
        blocks=blocks,
        matrices=[Information(), Covariance(), Hessian()],
    )
    assert probe(0).measured.quantity("information_size_bias") is None
    measured = probe(0, thorough=True).measured
    for matrix in ("information", "covariance", "hessian"):
        found = measured.quantity(f"{matrix}_size_bias")
        spectra = [measured.spectrum(matrix, block.name) for block in blocks]
        places = [(block, k) for block, most in (("all", 6), ("last bias", 3)) for k in range(most)]
        assert found.axes == (tuple(f"{block}/top_{k + 1}" for block, k in places),)
        first = [places.index((block.name, 0)) for block in blocks]
        # The largest eigenvalue is convex in the matrix: halves have more.
        if matrix == "information":
            assert (found.values[first] > 0).all()
        assert (np.abs(found.values[first]) < [each.top[0].value for each in spectra]).all()
        assert (found.errors[first] > 0).all()
