"""Flatness profiles and local entropies of modules, against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from spectrain.models.flat_minima.clusters import ClusterClassifier, ClusterLaw
from spectrain.models.flat_minima.losses import margin_loss
from spectrain.probes.flatness import FlatnessProfile, wrong_labels
from spectrain.probes.local_entropy import LocalEntropy
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.theory.flat_minima.ridge import Clusters, ridge_solution

S = (0.0, 0.5, 1.0, 2.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def named(quantities):
    return {quantity.name: quantity for quantity in quantities}


def trained(size, a, noise, lam, samples, seed):
    """The minimiser of the squared loss with ridge, by a solver; train and test samples."""
    source = generator(seed)
    mean = torch.randn(size, dtype=torch.float64, generator=source)
    law = ClusterLaw(mean / mean.norm(), noise)
    x, y = law.sample(round(a * size), source)
    w = torch.linalg.solve(x.mT @ x + lam * size * torch.eye(size), x.mT @ y)
    model = ClusterClassifier(size, dtype=torch.float64)
    model.weight.data.copy_(w)
    return model, (x, y), law.sample(samples, source)


def test_the_profile_of_a_ridge_classifier_within_three_standard_errors():
    model, train, test = trained(400, 2.0, 1.0, 0.5, 3000, 1)
    measure = FlatnessProfile(S, 24, {"train": train, "test": test})
    found = named(measure(model, margin_loss("squared"), test, generator(2)))
    end = ridge_solution(Clusters(1.0), 2.0, 0.5)
    for name, expected in (
        ("flatness_train_error", end.train_error(np.array(S))),
        ("flatness_test_error", end.test_error(np.array(S))),
        ("flatness_train_loss", end.train_loss(np.array(S)) / 2),
        ("flatness_test_loss", end.test_loss(np.array(S)) / 2),
    ):
        quantity = found[name]
        assert quantity.axes == (("s=0", "s=0.5", "s=1", "s=2"),)
        assert (quantity.errors < 0.1 * np.maximum(quantity.values, 0.1)).all(), name
        # m and q of one instance scatter by N^(-1/2), which moves all errors together.
        distance = np.abs(quantity.values - expected)
        assert (distance <= 3 * quantity.errors).all(), (name, distance / quantity.errors)


def test_the_profile_from_overlap_and_norm_at_any_weights():
    """Phi(-m / (D q (1 + s^2))^(1/2)) of new samples, whatever trained w."""
    size = 200
    model, _, test = trained(size, 2.0, 0.5, 3.0, 4000, 5)
    model.weight.data.add_(0.03 * torch.randn(size, dtype=torch.float64, generator=generator(1)))
    w = model.weight.detach()
    mean = (test[1][:, None] * test[0]).mean(0)  # mu up to noise; the exact one is in the law
    source = generator(5)
    mu = torch.randn(size, dtype=torch.float64, generator=source)
    mu /= mu.norm()
    assert float(mean @ mu) == pytest.approx(1, abs=0.1)
    measure = FlatnessProfile(S, 24)
    found = named(measure(model, margin_loss("hinge"), test, generator(2)))["flatness_error"]
    expected = ndtr(-float(w @ mu) / np.sqrt(0.5 * float(w @ w) * (1 + np.array(S) ** 2)))
    assert (np.abs(found.values - expected) <= 3 * found.errors).all()


def test_the_loss_of_a_quadratic_grows_by_the_trace():
    """E L(w + s |w| g / N^(1/2)) = L(w) + s^2 |w|^2 tr H / (2 N)."""
    inputs = torch.randn(50, 8, dtype=torch.float64, generator=generator(3))
    targets = torch.randn(50, dtype=torch.float64, generator=generator(4))
    model = ClusterClassifier(8, dtype=torch.float64)
    model.weight.data.copy_(torch.randn(8, dtype=torch.float64, generator=generator(5)))
    loss = lambda outputs, y: (outputs - y).square().mean() / 2  # noqa: E731
    measure = FlatnessProfile((0.0, 1.0), 400)
    found = named(measure(model, loss, (inputs, targets), generator(6)))["flatness_loss"]
    trace = float(inputs.square().sum() / 50)
    grown = float(model.weight.detach().square().sum()) * trace / 16
    assert np.diff(found.values)[0] == pytest.approx(grown, abs=4 * found.errors[1])


def test_a_network_with_labels_through_the_probe_changes_nothing():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    inputs = torch.randn(40, 6)
    batch = inputs, torch.randint(3, (40,))
    before = [each.clone() for each in model.state_dict().values()]
    probe = SpectralProbe(
        model,
        nn.CrossEntropyLoss(),
        batch,
        measures=[FlatnessProfile((0.0, 1.0), 3)],
        measurement=Measurement(eigenvalues=1, smallest=0, density=False),
        sample_kind="training",
    )
    record = probe(0)
    assert record.failures == ()
    accuracy = record.measured.accuracy
    assert record.measured.quantity("flatness_error").values[0] == pytest.approx(1 - accuracy)
    assert record.measured.quantity("flatness_loss").values[0] == pytest.approx(
        record.measured.loss, rel=1e-5
    )
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, model.state_dict().values(), strict=True)
    )


@pytest.mark.slow
def test_the_local_entropy_of_a_quadratic_loss():
    """Phi = -sum_i [log(1 + b h_i / g) / 2 + b h_i w_i^2 / (2 (1 + b h_i / g))]."""
    h = torch.tensor([0.2, 1.0, 4.0], dtype=torch.float64)
    model = nn.Module()
    model.register_parameter("w", nn.Parameter(torch.tensor([1.0, -0.5, 0.3]).double()))
    model.forward = lambda scale: model.w * scale
    beta, gamma = 3.0, 2.0
    measure = LocalEntropy(beta, gamma, memory=0.75, steps=1200, nodes=4)
    batch = torch.ones(3, dtype=torch.float64), None
    found = named(measure(model, lambda out, _: (h * out**2).sum() / 2, batch, generator(1)))
    ratio, w = (1 + beta * h / gamma).numpy(), model.w.detach().numpy()
    expected = -(np.log(ratio) / 2 + beta * h.numpy() * w**2 / (2 * ratio)).sum()
    entropy = found["local_entropy"]
    assert 0 < float(entropy.errors) < 0.1
    assert float(entropy.values) == pytest.approx(expected, abs=3.5 * float(entropy.errors))
    local = (h.numpy() * (w**2 / ratio**2 + 1 / (gamma * ratio))).sum() / 2
    loss = found["local_loss"]
    assert float(loss.values) == pytest.approx(local, abs=3.5 * float(loss.errors))
    assert float(found["local_acceptance"].values) > 0.4


def test_what_counts_as_wrong():
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert wrong_labels(logits, torch.tensor([0, 0])).tolist() == [False, True]
    scores = torch.tensor([0.3, -2.0, 0.0])
    assert wrong_labels(scores, torch.tensor([-1.0, -1.0, 1.0])).tolist() == [True, False, False]
    assert wrong_labels(scores, torch.tensor([0.5, 1.0, 1.0])) is None
    assert wrong_labels((logits,), torch.tensor([0, 0])) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlatnessProfile(()), "perturbations: expected numbers of at least 0, got none"),
        (lambda: FlatnessProfile((-1.0,)), "perturbations: expected numbers of at least 0, got -1"),
        (lambda: FlatnessProfile((1.0, 1.0)), "perturbations: expected each once"),
        (lambda: FlatnessProfile((1.0,), 1), "draws: expected at least 2, got 1"),
        (lambda: LocalEntropy(0.0, 1.0), "inverse_temperature: expected a positive number"),
        (lambda: LocalEntropy(1.0, math.inf), "stiffness: expected a positive number"),
        (lambda: LocalEntropy(1.0, 1.0, 1.0), "memory: expected a number between 0 and 1"),
        (lambda: LocalEntropy(1.0, 1.0, steps=10), "steps: expected at least 125, got 10"),
        (lambda: LocalEntropy(1.0, 1.0, nodes=0), "nodes: expected at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "measure",
    [FlatnessProfile((1.0,), parameters=("v",)), LocalEntropy(1.0, 1.0, parameters=("v",))],
)
def test_an_unknown_parameter_is_named(measure):
    batch = torch.ones(1, 2), torch.ones(1)
    with pytest.raises(ValueError, match=r"parameters: expected names among .*, got \['v'\]"):
        measure(ClusterClassifier(2), margin_loss("squared"), batch, generator())
