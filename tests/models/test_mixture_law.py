"""Weights, labels and snr of a mixture are checked in one place, for whoever holds them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.answers.mixture.specification import read_dynamics
from spectrain.models.mixture import GaussianMixture
from spectrain.models.mixture_law import MixtureLaw
from spectrain.theory.mixture import quadrature
from spectrain.training.systems.mixture_config import MixtureConfig

MEANS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
VALID = {"weights": (0.5, 0.3, 0.2), "labels": (0, 1, 1), "snr": 4.0}


def document(weights, labels, snr):
    return {
        "head": {"kind": "softmax"},
        "directions": 2,
        "gram": np.eye(5).tolist(),
        "weights": list(weights),
        "labels": list(labels),
        "snr": snr,
        "aspect_ratio": 2.0,
        "scaled_learning_rate": 0.5,
        "times": [1.0],
    }


HOLDERS = {
    "": lambda parts: GaussianMixture(torch.tensor(MEANS), **parts).law,
    "mixture.": lambda parts: MixtureConfig(MEANS, **parts).build(9, torch.float64, "cpu").law,
}


def law(weights, labels, snr):
    return MixtureLaw(np.array(weights), np.array(labels), snr)


WRONG = [
    ({"weights": (0.5, 0.3, 0.2 + 2e-6)}, "weights: .* that sum to 1, got sum 1.000002"),
    ({"weights": (0.5, 0.5, 0.0)}, "weights: expected positive numbers .* got 0"),
    ({"weights": (0.7, 0.5, -0.2)}, "weights: expected positive numbers .* got -0.2"),
    ({"weights": (math.nan, 0.5, 0.5)}, "weights: expected positive numbers .* got nan"),
    ({"weights": (math.inf, 0.5, 0.5)}, "weights: expected positive numbers .* got inf"),
    ({"weights": (1e308, 1e308, 1e308)}, r"weights: expected positive numbers .* got 1e\+308"),
    ({"labels": (0, 1)}, "labels: expected 3 labels .* got 2"),
    ({"labels": (0, 1, -1)}, "labels: expected 3 labels >= 0, got .*-1"),
    ({"labels": (0, 1, 0.5)}, "labels: expected .*, got .*0.5"),
    ({"snr": 0.0}, "snr: expected a positive number, got 0"),
    ({"snr": math.nan}, "snr: expected a positive number, got nan"),
    ({"snr": math.inf}, "snr: expected a positive number, got inf"),
]


@pytest.mark.parametrize(("changed", "words"), WRONG)
def test_what_is_wrong_is_refused_in_the_same_words_whoever_holds_it(changed, words):
    parts = VALID | changed
    with pytest.raises(ValueError, match=f"^{words}"):
        law(**parts)
    for prefix, held in HOLDERS.items():
        with pytest.raises(ValueError, match=f"^{prefix}{words}"):
            held(parts)


@pytest.mark.parametrize("prefix", HOLDERS)
def test_every_mean_has_a_weight(prefix):
    with pytest.raises(ValueError, match=rf"^{prefix}weights: expected 3 \(one a mean\), got 2"):
        HOLDERS[prefix](VALID | {"weights": (0.5, 0.5), "labels": (0, 1)})


def test_all_hold_the_same_law():
    expected = law(**VALID)
    others = [held(VALID) for held in HOLDERS.values()]
    for other in [*others, read_dynamics(document(**VALID)).problem.law]:
        assert isinstance(other, MixtureLaw)
        np.testing.assert_array_equal(other.weights, expected.weights)
        np.testing.assert_array_equal(other.labels, expected.labels)
        assert other.snr == expected.snr


def test_weights_are_normalised_without_a_change_of_their_ratios():
    weights = np.array([0.5, 0.3, 0.2 + 9e-7])
    found = MixtureLaw(weights, np.arange(3), 1.0).normalised()
    assert math.fsum(found.weights) == pytest.approx(1.0, abs=2**-52)
    np.testing.assert_allclose(found.weights / found.weights[0], weights / weights[0], rtol=1e-15)
    exact = MixtureLaw(np.array([0.5, 0.25, 0.25]), np.arange(3), 1.0)
    np.testing.assert_array_equal(exact.normalised().weights, exact.weights)


def test_a_changed_mixture_is_checked_and_has_its_own_law():
    mixture = GaussianMixture(torch.tensor(MEANS), **VALID)
    assert replace(mixture, snr=9.0).law.snr == 9.0
    assert mixture.law.snr == 4.0
    with pytest.raises(ValueError, match="snr"):
        replace(mixture, snr=-1.0)
    with pytest.raises(ValueError, match="snr"):
        replace(mixture.law, snr=-1.0)


def test_the_theory_knows_it_under_its_name_of_before():
    assert quadrature.MixtureLaw is MixtureLaw
