"""Batch sharpness, on losses whose gradients and Hessians are known."""

import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe
from spectrain.probes.batch_sharpness import BatchSharpness

LEAN = Measurement(eigenvalues=1, smallest=0, density=False, tracking=False)


def regression(samples=40):
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(3, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
    inputs = torch.randn(samples, 3, generator=generator, dtype=torch.float64)
    return model, inputs, torch.randn(samples, 1, generator=generator, dtype=torch.float64)


def forms(model, inputs, targets):
    """g^T H g and |g|^2 of (x^T w - y)^2 over the mean of samples, in closed form."""
    residual = inputs @ model.weight[0].detach() - targets[:, 0]
    gradient = 2 * inputs.T @ residual / len(inputs)
    hessian = 2 * inputs.T @ inputs / len(inputs)
    return float(gradient @ hessian @ gradient), float(gradient @ gradient)


def measured(model, inputs, targets, measure):
    probe = SpectralProbe(
        *(model, nn.MSELoss(), (inputs, targets)), measures=[measure], measurement=LEAN
    )
    record = probe(0)
    assert record.failure == ""
    return record.measured.quantity("batch_sharpness")


def test_with_the_whole_sample_it_is_the_curvature_along_the_gradient():
    model, inputs, targets = regression()
    found = measured(model, inputs, targets, BatchSharpness(40, batches=2))
    curvature, square = forms(model, inputs, targets)
    assert float(found.values) == pytest.approx(curvature / square)
    assert float(found.errors) == pytest.approx(0, abs=1e-12)


def test_with_batches_of_one_it_is_the_mean_over_the_samples():
    """g^T H g / |g|^2 with g = 2 r x and H = 2 x x^T is 2 |x|^2: no residual counts for more."""
    model, inputs, targets = regression()
    found = measured(model, inputs, targets, BatchSharpness(1, batches=60))
    expected = float(2 * inputs.square().sum(1).mean())
    each = [forms(model, inputs[[i]], targets[[i]]) for i in range(len(inputs))]
    curvatures, squares = zip(*each, strict=True)
    ratio_of_means = sum(curvatures) / sum(squares)
    assert 0 < float(found.errors) < 0.2 * float(found.values)
    assert abs(float(found.values) - expected) < 5 * float(found.errors)
    # The ratio of the means is another number: samples of large residuals would count for more.
    assert abs(ratio_of_means - expected) > 0.1 * expected


def test_it_is_the_mean_of_the_curvatures_of_its_batches():
    """Every pair of three samples, each as likely: the mean over all is within the errors."""
    model, inputs, targets = regression(3)
    found = measured(model, inputs, targets, BatchSharpness(2, batches=200))
    pairs = [torch.tensor(pair) for pair in ((0, 1), (0, 2), (1, 2))]
    each = [forms(model, inputs[pair], targets[pair]) for pair in pairs]
    expected = sum(curvature / square for curvature, square in each) / 3
    ratio_of_means = sum(c for c, _ in each) / sum(s for _, s in each)
    assert abs(float(found.values) - expected) < 4 * float(found.errors)
    assert abs(ratio_of_means - expected) > 8 * float(found.errors)


def test_a_batch_without_a_gradient_is_refused():
    model, inputs, _ = regression()
    targets = (inputs @ model.weight.T).detach()
    probe = SpectralProbe(
        *(model, nn.MSELoss(), (inputs, targets)), measures=[BatchSharpness(8)], measurement=LEAN
    )
    with pytest.warns(RuntimeWarning, match="expected a gradient on every batch, got one of zero"):
        probe(0)


@pytest.mark.parametrize(
    ("options", "threshold"),
    [({}, 20.0), ({"momentum": 0.9}, None), ({"weight_decay": 0.1}, None)],
)
def test_plain_sgd_has_its_threshold(options, threshold):
    model, inputs, targets = regression()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, **options)
    measure = BatchSharpness(8, batches=2, learning_rate=optimiser)
    found = measured(model, inputs, targets, measure)
    assert (found.threshold is None) == (threshold is None)
    assert threshold is None or float(found.threshold) == pytest.approx(threshold)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        BatchSharpness(0)
    with pytest.raises(ValueError, match="batches: expected at least 2, got 1"):
        BatchSharpness(4, batches=1)
    model, inputs, targets = regression(5)
    probe = SpectralProbe(
        *(model, nn.MSELoss(), (inputs, targets)), measures=[BatchSharpness(8)], measurement=LEAN
    )
    with pytest.warns(RuntimeWarning, match="batch_size"):
        record = probe(0)
    assert "batch_size: expected at most the 5 samples of the probe sample" in record.failure
