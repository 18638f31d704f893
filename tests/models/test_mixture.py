import math

import pytest
import torch

from spectrain.models.mixture import GaussianMixture

MEANS = torch.tensor(
    [[1.0, 0.0, 0.0, 0.5], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]], dtype=torch.float64
)
WEIGHTS = (0.5, 0.3, 0.2)


def mixture(means=MEANS, weights=WEIGHTS, labels=(0, 1, 1), snr=4.0):
    return GaussianMixture(means, weights, labels, snr)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def by_component():
    """Samples of one component each: a mixture with one mean has nothing else."""
    n = 200_000
    return n, [mixture(MEANS[b : b + 1], (1.0,), (b,)).sample(n, generator(b))[0] for b in range(3)]


def test_the_mean_of_a_component_is_within_five_standard_errors(by_component):
    """sqrt(n snr) (average - mu_b) ~ N(0, I_d)."""
    n, samples = by_component
    for b in range(3):
        deviation = (samples[b].mean(0) - MEANS[b]) * math.sqrt(4.0 * n)
        assert deviation.abs().max() < 5


def test_the_covariance_of_a_component_is_within_five_standard_errors(by_component):
    """Entries of snr * covariance deviate from I by sqrt(2/n) on the diagonal, sqrt(1/n) off it."""
    n, samples = by_component
    for b in range(3):
        centred = samples[b] - MEANS[b]
        deviation = 4.0 * centred.T @ centred / n - torch.eye(4, dtype=torch.float64)
        assert deviation.abs().max() < 5 * math.sqrt(2 / n)


def test_labels_come_with_their_weights_and_their_means():
    """Shares deviate by sqrt(w (1-w)/n); component means by sqrt(1/(snr w n)) in each entry."""
    n = 100_000
    inputs, labels = mixture().sample(n, generator())
    assert labels.dtype == torch.int64
    assert inputs.shape == (n, 4)
    for label, weight, mean in (
        (0, 0.5, MEANS[0]),
        (1, 0.5, 0.6 * MEANS[1] + 0.4 * MEANS[2]),
    ):
        chosen = inputs[labels == label]
        assert abs(len(chosen) / n - weight) < 5 * math.sqrt(weight * (1 - weight) / n)
        variance = chosen.var(0)  # of a mixture of two for label 1
        assert ((chosen.mean(0) - mean).abs() < 5 * (variance / len(chosen)).sqrt()).all()


def test_in_many_dimensions_a_sample_lies_on_its_sphere():
    """|Y - mu|^2 = d/snr up to sqrt(2 d)/snr."""
    d = 5000
    means = torch.zeros(1, d, dtype=torch.float64)
    inputs, _ = mixture(means, (1.0,), (0,), snr=2.0).sample(20, generator())
    assert ((inputs.square().sum(1) * 2.0 - d) / math.sqrt(2 * d)).abs().max() < 5


def test_the_same_generator_draws_the_same_and_another_does_not():
    first, second, other = (mixture().sample(50, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    mixture().sample(50, generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_have_the_dtype_of_the_means(dtype):
    assert mixture(MEANS.to(dtype)).sample(3, generator())[0].dtype == dtype


def test_dimension_and_classes():
    assert mixture().dimension == 4
    assert mixture().classes == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"means": torch.zeros(3)}, r"means: expected a floating tensor of shape .* \(3,\)"),
        ({"means": torch.zeros(3, 4, dtype=torch.int64)}, "means: expected a floating.*int64"),
        ({"means": torch.zeros(3, 0)}, r"means: .*\(3, 0\)"),
        ({"means": torch.full((3, 4), math.nan)}, "means: .*finite"),
        ({"means": torch.zeros(2, 4)}, r"weights: expected 2 \(one a mean\), got 3"),
        ({"weights": (0.5, 0.3, 0.3)}, r"weights: .*sum to 1.*sum 1.1"),
        ({"weights": (0.7, 0.5, -0.2)}, "weights: expected positive numbers"),
        ({"weights": (1.0, 0.0, 0.0)}, "weights: expected positive numbers"),
        ({"weights": (math.nan, 0.5, 0.5)}, "weights: expected positive numbers"),
        ({"labels": (0, 1)}, "labels: expected 3 labels"),
        ({"labels": (0, 1, -1)}, "labels: expected 3 labels >= 0"),
        ({"snr": 0.0}, "snr: expected a positive number, got 0"),
        ({"snr": -1.0}, "snr: expected a positive number, got -1"),
        ({"snr": math.nan}, "snr: expected a positive number, got nan"),
        ({"snr": math.inf}, "snr: expected a positive number, got inf"),
    ],
)
def test_bad_input_is_refused_by_name(bad, message):
    with pytest.raises(ValueError, match=message):
        mixture(**bad)


def test_a_sample_has_at_least_one_point():
    with pytest.raises(ValueError, match="size: expected at least 1 sample, got 0"):
        mixture().sample(0, generator())
