import math

import numpy as np
import pytest
import torch
from torch import nn

from spectrain.models.heads import SoftmaxHead, TwoLayerHead
from spectrain.models.mixture import GaussianMixture
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.threads import single_thread
from spectrain.models.two_layer import TwoLayerNetwork
from spectrain.probes.curvature.block import Block
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import encode
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.mixture_theory import MixtureTheory
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.protocol import Clock, Selection

D = 30
MEANS = torch.randn(3, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / D**0.5
MIXTURE = GaussianMixture(MEANS, (0.4, 0.35, 0.25), (0, 1, 1), 3.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def softmax(dtype=torch.float64, d=D):
    return SoftmaxRegression(d, 2, 0.6, generator(), dtype)


def two_layer():
    return TwoLayerNetwork(D, (1.0, -0.5), "gelu", 0.6, generator(), torch.float64)


def theory(head=None, sgd=None, mixture=MIXTURE):
    return MixtureTheory(mixture, head or SoftmaxHead(2), 4.0, sgd)


def block(matrix, *rows, name="some", parameters=("weight",)):
    return Selection(matrix, name, parameters, rows)


def test_directions_are_named_in_the_order_of_the_gram_matrix():
    names = [direction.name for direction in theory().directions]
    assert names == ["x0", "x1", "mu0", "mu1", "mu2"]
    directions = theory(TwoLayerHead(3)).directions
    assert [each.name for each in directions] == ["x0", "x1", "x2", "mu0", "mu1", "mu2"]
    assert [each.trained for each in directions] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("model", [softmax(), two_layer()])
def test_the_gram_matrix_is_numpys(model):
    directions = np.concatenate([model.weight.detach().numpy(), MEANS.numpy()])
    found = theory(model.head)
    np.testing.assert_array_equal(found.reference(model).vectors.numpy(), directions.T)
    np.testing.assert_allclose(
        found.statistics(model).gram, directions @ directions.T, rtol=1e-13, atol=1e-15
    )


def test_the_gram_matrix_of_single_precision_weights_is_taken_in_double():
    model = softmax(torch.float32)
    single = GaussianMixture(MEANS.float(), MIXTURE.weights, MIXTURE.labels, 3.0)
    found = theory(mixture=single).statistics(model).gram
    directions = torch.cat([model.weight.detach(), MEANS.float()]).double().numpy()
    np.testing.assert_allclose(found, directions @ directions.T, rtol=1e-13, atol=1e-15)


def test_the_second_layer_is_among_the_statistics():
    model = two_layer()
    assert theory(model.head).statistics(model).parameters.tolist() == [1.0, -0.5]
    assert theory().statistics(softmax()).parameters.shape == (0,)


def test_neither_reference_nor_statistics_touch_the_model():
    model = softmax()
    reference = theory().reference(model).vectors
    assert not reference.requires_grad
    reference.zero_()
    assert model.weight.abs().min() > 0
    assert model.weight.grad is None


def test_time_counts_steps_in_units_of_the_learning_rate():
    assert theory(sgd=SGD(0.5)).clock(60) == Clock(60 * 0.5 / D, "time t = steps × c/d")
    assert math.isnan(theory().clock(60).time)


def test_a_forecast_continues():
    """G(t) then G(s) from there is G(t + s), and G(0) is where it starts."""
    found = theory(sgd=SGD(0.5, ridge=0.1))
    start = found.statistics(softmax())
    np.testing.assert_array_equal(found.forecast(start, 0, []).gram, start.gram)
    middle, end = found.forecast(start, 60, []), found.forecast(start, 150, [])
    there = found.restore(middle.quantities)
    again = theory(sgd=SGD(0.5, ridge=0.1)).forecast(there, 90, [])
    np.testing.assert_allclose(again.gram, end.gram, rtol=0, atol=1e-5)


def test_a_forecast_does_not_depend_on_what_was_asked_before():
    """To the bit: a resumed run, which asks for the later times only, writes the same records."""
    start = theory().statistics(softmax())
    asked_in_order, asked_once = theory(sgd=SGD(0.5)), theory(sgd=SGD(0.5))
    steps = [24, 48, 72, 96, 120, 144, 168]
    grams = [asked_in_order.forecast(start, step, []).gram for step in steps]
    np.testing.assert_array_equal(asked_once.forecast(start, steps[-1], []).gram, grams[-1])
    np.testing.assert_array_equal(asked_in_order.forecast(start, steps[0], []).gram, grams[0])


def test_a_forecast_is_that_of_the_effective_dynamics():
    sgd = SGD(0.5, second_layer_rate=0.3)
    model = two_layer()
    found = theory(model.head, sgd)
    start = found.statistics(model)
    expected = EffectiveDynamics(model.head, found.law, sgd, start).at(1.0)
    forecast = found.forecast(start, 60, [])
    parameters = forecast.quantity("parameters").values
    np.testing.assert_allclose(forecast.gram, expected.gram, rtol=1e-12)
    np.testing.assert_allclose(parameters, expected.parameters, rtol=1e-12)
    assert not np.allclose(parameters, start.parameters)


def test_forecasts_from_two_starts_do_not_mix():
    found = theory(sgd=SGD(0.5))
    first = found.statistics(softmax())
    second = found.statistics(SoftmaxRegression(D, 2, 0.1, generator(1), torch.float64))
    before = found.forecast(first, 60, []).gram
    found.forecast(second, 60, [])
    np.testing.assert_array_equal(found.forecast(first, 60, []).gram, before)


def test_nothing_is_forecast_without_an_algorithm():
    assert theory().forecast(theory().statistics(softmax()), 60, []) is None


def test_means_do_not_move_in_a_forecast():
    found = theory(sgd=SGD(0.5))
    start = found.statistics(softmax())
    later = found.forecast(start, 180, []).gram
    np.testing.assert_array_equal(later[2:, 2:], start.gram[2:, 2:])
    np.testing.assert_allclose(later, later.T)


def test_the_expected_loss_at_the_origin_is_log_of_the_classes():
    model = SoftmaxRegression(D, 2, dtype=torch.float64)
    found = theory()
    prediction = found.predict(found.statistics(model), [], False)
    assert prediction.loss == pytest.approx(math.log(2), abs=1e-12)
    assert prediction.loss_error < 1e-12
    assert prediction.spectra == ()


@pytest.mark.parametrize("model", [softmax(), two_layer()])
def test_the_expected_loss_is_the_mean_over_samples(model):
    found = theory(model.head)
    prediction = found.predict(found.statistics(model), [], False)
    n = 100_000
    inputs, labels = MIXTURE.sample(n, generator(3))
    with torch.no_grad():
        loss = float(model.head.criterion(model(inputs), labels))
    # The loss of one sample is of order one: a standard error is below 2/sqrt(n).
    assert abs(loss - prediction.loss) < 5 * 2 / math.sqrt(n)


def test_blocks_of_the_directions_and_of_everything_are_predicted_in_the_order_asked_for():
    model = two_layer()
    found = theory(model.head)
    asked = [
        block("information", 1, name="one"),
        block("hessian", parameters=("second_layer",), name="second layer"),
        block("hessian", 0, name="zero"),
        block("hessian", parameters=("second_layer", "weight"), name="all"),
    ]
    spectra = found.predict(found.statistics(model), asked, False).spectra
    assert [(each.matrix, each.block) for each in spectra] == [
        ("information", "one"),
        ("hessian", "zero"),
        ("hessian", "all"),
    ]
    assert [each.size for each in spectra] == [D, D, 2 * D + 2]
    assert all(each.density is None for each in spectra)


def test_a_fixed_second_layer_belongs_to_no_block():
    model = two_layer()
    model.second_layer.requires_grad_(False)
    found = theory(model.head)
    chosen = [Block("both", ("weight", "second_layer")), Block("all"), Block("x", ("weight",))]
    asked = [block("hessian", parameters=tuple(each.resolve(model))) for each in chosen]
    spectra = found.predict(found.statistics(model), asked, False).spectra
    assert [each.size for each in spectra] == [2 * D] * 3
    assert len({each.top[0].value for each in spectra}) == 1


def test_a_prediction_is_the_same_whatever_was_asked_before():
    """Of a theory just made too, and of statistics read back: a row, a layer, everything."""
    model = two_layer()
    statistics = theory(model.head).statistics(model)
    bare = Statistics(statistics.gram, statistics.parameters)
    restored = theory(model.head).restore(statistics.quantities())
    used = theory(model.head)
    used.statistics(model)
    asked = [
        block("hessian", 0),
        block("hessian"),
        block("hessian", parameters=("weight", "second_layer")),
    ]
    expected = used.predict(statistics, asked, False).spectra
    assert [each.size for each in expected] == [D, 2 * D, 2 * D + 2]
    for given in (statistics, bare, restored):
        found = theory(model.head).predict(given, asked, False).spectra
        assert [encode(each) for each in found] == [encode(each) for each in expected]


def test_a_matrix_that_the_theory_does_not_know_is_left_out():
    found = theory()
    asked = [block("gauss-newton", 0), block("hessian", 0)]
    (spectrum,) = found.predict(found.statistics(softmax()), asked, False).spectra
    assert spectrum.matrix == "hessian"


def test_the_joint_block_is_that_of_the_modules_parameters():
    """Outliers of Hessian and information matrix in (x, v), measured by the probe's operators.

    One draw at d = 150: outliers are off by three sampling errors, and 5 % for the finite size.
    """
    d = 150
    mu = torch.zeros(4, d, dtype=torch.float64)
    mu[0, 0], mu[1, 0], mu[2, 1], mu[3, 1] = 1.5, -1.5, 1.5, -1.5
    law = GaussianMixture(mu, (0.25,) * 4, (0, 0, 1, 1), 6.0)
    model = TwoLayerNetwork(d, (1.5, -1.5), "gelu", 0.4, generator(), torch.float64)
    found = MixtureTheory(law, model.head, 4.0)
    probe = SpectralProbe(
        model,
        model.head.criterion,
        lambda generator: law.sample(4 * d, generator),
        theory=found,
        blocks=[Block("all", ("weight", "second_layer"))],
        measurement=Measurement(eigenvalues=4, smallest=2, density=False, width=4),
        on_failure="raise",
    )
    with single_thread():
        record = probe(0)
    compared = 0
    for measured, predicted in zip(record.measured.spectra, record.predicted.spectra, strict=True):
        assert (measured.matrix, measured.size) == (predicted.matrix, predicted.size)
        for side, edge in (("top", predicted.bulk.upper), ("bottom", predicted.bulk.lower)):
            for seen, expected in zip(
                getattr(measured, side), getattr(predicted, side), strict=False
            ):
                if abs(expected.value - edge.detection) < 3 * expected.sampling_error:
                    continue
                allowed = 3 * expected.sampling_error + 0.05 * abs(expected.value)
                allowed += probe.setup.measurement.tolerance * measured.top[0].value
                assert seen.value == pytest.approx(expected.value, abs=allowed)
                compared += 1
    assert compared >= 4


def test_the_band_of_a_forecast_is_that_of_the_path():
    sgd = SGD(0.5, second_layer_rate=0.3)
    model = two_layer()
    found = theory(model.head, sgd)
    start = found.statistics(model)
    path = EffectiveDynamics(model.head, found.law, sgd, start).path([0.0, 1.0])
    for i, step in enumerate((0, 60)):
        np.testing.assert_array_equal(found.forecast(start, step, []).gram_band, path.band(D)[i])


def test_a_density_is_made_if_asked_for():
    found = theory()
    (spectrum,) = found.predict(found.statistics(softmax()), [block("hessian", 0)], True).spectra
    assert spectrum.density is not None
    assert len(spectrum.density.points) == len(spectrum.density.values)


def test_the_outliers_do_not_depend_on_the_basis():
    """Only the Gram matrix counts: rotated means and directions have the same spectrum."""
    noise = torch.randn(D, D, generator=generator(9), dtype=torch.float64)
    rotation = torch.linalg.qr(noise).Q
    model, turned = softmax(), softmax()
    with torch.no_grad():
        turned.weight.copy_(model.weight @ rotation)
    law = GaussianMixture(3 * MEANS, MIXTURE.weights, MIXTURE.labels, 3.0)
    other = GaussianMixture(3 * MEANS @ rotation, MIXTURE.weights, MIXTURE.labels, 3.0)
    found = []
    for each, mixture in ((model, law), (turned, other)):
        t = theory(mixture=mixture)
        (spectrum,) = t.predict(t.statistics(each), [block("hessian", 0)], False).spectra
        found.append([(pair.value, pair.overlap, *pair.alignment) for pair in spectrum.top])
    assert found[0]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8)


@pytest.mark.parametrize("aspect_ratio", [0.0, -1.0, math.nan])
def test_an_aspect_ratio_that_is_not_positive_is_refused(aspect_ratio):
    with pytest.raises(ValueError, match="aspect_ratio: expected a positive number, got"):
        MixtureTheory(MIXTURE, SoftmaxHead(2), aspect_ratio)


def test_a_label_that_the_loss_is_not_defined_for_is_refused():
    law = GaussianMixture(MEANS, MIXTURE.weights, (0, 1, 2), 3.0)
    with pytest.raises(ValueError, match=r"labels: expected 0 to 1, got \[0, 1, 2\]"):
        MixtureTheory(law, SoftmaxHead(2), 4.0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(D, 2), "model: expected a HeadModel with the theory's head .*, got Linear"),
        (SoftmaxRegression(D, 3), r"model: .*SoftmaxHead\(directions=2\)"),
        (two_layer(), r"model: .*SoftmaxHead\(directions=2\), got TwoLayerNetwork"),
        (softmax(d=D + 1), rf"model: expected directions of shape \(2, {D}\).*got \(2, {D + 1}\)"),
    ],
)
def test_a_model_that_the_theory_does_not_describe_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        theory().reference(model)
