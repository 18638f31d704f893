import copy
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from spectrain.probes.compat import hessian

CRITERION = nn.CrossEntropyLoss()


def problem(dtype=torch.float64, samples=70, hidden=6):
    g = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Linear(5, hidden), nn.Tanh(), nn.Dropout(), nn.Linear(hidden, 3))
    for parameter in model.parameters():
        parameter.data = 0.6 * torch.randn(parameter.shape, generator=g)
    inputs = torch.randn(samples, 5, generator=g).to(dtype)
    return model.to(dtype), (inputs, torch.randint(3, (samples,), generator=g))


def dense(model, data, criterion=CRITERION):
    twin = copy.deepcopy(model).eval()
    named = dict(twin.named_parameters())
    flat = torch.cat([parameter.detach().flatten() for parameter in named.values()])

    def loss(vector):
        pieces = vector.split([parameter.numel() for parameter in named.values()])
        values = {n: v.view_as(p) for (n, p), v in zip(named.items(), pieces, strict=True)}
        return criterion(functional_call(twin, values, (data[0],)), data[1])

    return torch.autograd.functional.hessian(loss, flat)


def flat(parts):
    return torch.cat([part.flatten() for part in parts])


def by_magnitude(matrix):
    values = torch.linalg.eigvalsh(matrix)
    return values[values.abs().argsort(descending=True)]


def loader(data, size, shuffle=False):
    return DataLoader(TensorDataset(*data), batch_size=size, shuffle=shuffle)


@pytest.mark.parametrize("max_iter", [100, 12])
def test_eigenvalues_are_the_largest_by_magnitude(max_iter):
    # 100 products a value: more than parameters, so that the matrix is formed; 12: Krylov.
    model, data = problem()

    def both_signs(outputs, targets):
        return CRITERION(outputs, targets) - 0.3 * outputs[:, 0].square().mean()

    matrix = dense(model, data, both_signs)
    expected = by_magnitude(matrix)[:4]
    assert (expected > 0).any()
    assert (expected < 0).any()
    values, vectors = hessian(model, both_signs, data, cuda=False).eigenvalues(max_iter, 1e-2, 4)
    # An error of an eigenvalue is at most the square of its residual over the gap, and the
    # residual itself in any case.
    np.testing.assert_allclose(values, expected, atol=1e-2 * float(expected.abs().max()))
    shapes = [parameter.shape for parameter in model.parameters()]
    for value, vector in zip(values, vectors, strict=True):
        assert isinstance(value, float)
        assert [part.shape for part in vector] == shapes
        u = flat(vector)
        assert float(u.norm()) == pytest.approx(1)
        assert float((matrix @ u - value * u).norm()) < 1.01e-2 * float(expected.abs().max())


def test_uneven_batches_count_by_their_samples():
    # A last batch of one sample, weighted like a full one, would change everything.
    model, data = problem(samples=65)
    single = hessian(model, CRITERION, data=data, cuda=False)
    batched = hessian(model, CRITERION, dataloader=loader(data, 32, shuffle=True), cuda=False)
    expected = by_magnitude(dense(model, data))[:3]
    np.testing.assert_allclose(single.eigenvalues(top_n=3)[0], expected, rtol=1e-10)
    np.testing.assert_allclose(batched.eigenvalues(top_n=3)[0], expected, rtol=1e-10)
    assert np.mean(batched.trace()) == pytest.approx(np.mean(single.trace()), rel=1e-10)


def test_trace_samples():
    model, data = problem()
    exact = float(dense(model, data).trace())
    size = sum(parameter.numel() for parameter in model.parameters())
    found = hessian(model, CRITERION, data, cuda=False)
    whole = found.trace()
    assert len(whole) == size
    assert np.mean(whole) == pytest.approx(exact, rel=1e-10)
    some = np.array(found.trace(maxIter=24, tol=0))
    assert len(some) == 24
    assert abs(some.mean() - exact) < 4 * some.std(ddof=1) / 24**0.5
    early = np.array(found.trace(maxIter=50, tol=0.5))
    assert len(early) < 50
    assert early.std(ddof=1) * (1 / len(early) - 1 / size) ** 0.5 <= 0.5 * early.mean()


@pytest.mark.parametrize(("steps", "starts"), [(100, 1), (8, 4), (8, 1)])
def test_density_has_the_moments_of_the_spectrum(steps, starts):
    model, data = problem()
    matrix = dense(model, data)
    nodes, weights = hessian(model, CRITERION, data, cuda=False).density(steps, starts)
    assert len(nodes) == len(weights) == starts
    assert len({len(rule) for rule in [*nodes, *weights]}) == 1
    np.testing.assert_allclose(np.sum(weights, axis=1), 1)
    ends = torch.linalg.eigvalsh(matrix)[[0, -1]]
    assert np.min(nodes) >= float(ends[0]) - 1e-10
    # The largest eigenvalue is found by each start.
    np.testing.assert_allclose(np.max(nodes, axis=1), float(ends[1]), rtol=1e-2)
    if steps == 100:
        values = torch.linalg.eigvalsh(matrix)
        np.testing.assert_allclose(nodes[0], values, atol=1e-12)
        np.testing.assert_allclose(weights[0], 1 / len(values))


def smoothed(nodes, weights):
    """What PyHessian's plot makes of a density's lists: arrays, and the mean over rules."""
    nodes, weights = np.array(nodes), np.array(weights)
    low, high = nodes.min(axis=1).mean() - 0.01, nodes.max(axis=1).mean() + 0.01
    grid = np.linspace(low, high, 10_000)
    variance = 1e-5 * max(1, high - low)
    kernels = np.exp(-((grid - nodes[..., None]) ** 2) / (2 * variance))
    density = (weights[..., None] * kernels).sum(1).mean(0) / (2 * np.pi * variance) ** 0.5
    return density, grid


def test_density_can_be_plotted_as_pyhessian_does():
    model, data = problem(hidden=12)
    density, grid = smoothed(*hessian(model, CRITERION, data, cuda=False).density(20, 3))
    # Its kernel has standard deviation .003 sqrt(max(1, range)): half of the lowest and of the
    # highest node may be cut off.
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.02)


def test_agrees_with_pyhessian():
    from pyhessian import hessian as original

    model, data = problem(torch.float32)
    ours = hessian(model, CRITERION, data, cuda=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # backward with create_graph
        torch.manual_seed(1)
        theirs = original(copy.deepcopy(model), CRITERION, data, cuda=False)
        values, vectors = theirs.eigenvalues(maxIter=300, tol=1e-6, top_n=2)
        samples = theirs.trace(maxIter=200, tol=-math.inf)
        for parameter in theirs.params:
            parameter.grad = None  # a cycle with the graph
    found, directions = ours.eigenvalues(top_n=2)
    np.testing.assert_allclose(found, values, rtol=1e-3)
    for a, b in zip(directions, vectors, strict=True):
        assert [part.shape for part in a] == [part.shape for part in b]
        assert abs(float(flat(a) @ flat(b))) == pytest.approx(1, abs=1e-2)
    error = np.std(samples, ddof=1) / len(samples) ** 0.5
    assert abs(np.mean(ours.trace()) - np.mean(samples)) < 4 * error


def test_training_is_left_as_it_was():
    model, data = problem()
    model.train()
    model[3].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    for source in ({"data": data}, {"dataloader": loader(data, 20, shuffle=True)}):
        found = hessian(model, CRITERION, **source)
        found.eigenvalues(maxIter=20, tol=0.5)
        found.trace(maxIter=4)
        found.density(4, 2)
    assert torch.equal(torch.rand(3), expected)
    assert [part.training for part in model] == [True, True, True, False]
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_global_seed_decides():
    model, data = problem()

    def samples(seed):
        torch.manual_seed(seed)
        found = hessian(model, CRITERION, data, cuda=False)
        return found.trace(maxIter=3), found.trace(maxIter=3)

    first, second = samples(5)
    assert (first, second) == samples(5)
    assert first != second
    assert first != samples(6)[0]


def test_weights_are_those_at_the_call():
    model, data = problem()
    found = hessian(model, CRITERION, data, cuda=False)
    before = found.eigenvalues()[0][0]
    with torch.no_grad():
        model[0].weight.mul_(2)
    after = found.eigenvalues()[0][0]
    assert after == pytest.approx(float(by_magnitude(dense(model, data))[0]))
    assert after != pytest.approx(before, rel=1e-3)


def test_unconverged_eigenvalues_are_told():
    model, data = problem(hidden=40)
    with pytest.warns(UserWarning, match=r"1 of 1 eigenvalues not converged after 2 products"):
        hessian(model, CRITERION, data, cuda=False).eigenvalues(maxIter=2, tol=1e-8)


def test_more_values_than_parameters():
    model = nn.Linear(2, 1, bias=False).double()
    data = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    found = hessian(model, functional.mse_loss, data, cuda=False)
    values, vectors = found.eigenvalues(top_n=5)
    assert values == pytest.approx([1, 1])  # (1/2) sum_l (w_l)^2
    assert len(vectors) == 2
    nodes, weights = found.density(iter=10, n_v=4)
    assert np.shape(nodes) == np.shape(weights) == (4, 2)


def test_bad_input_is_refused():
    model, data = problem()
    with pytest.raises(ValueError, match="data, dataloader: expected exactly one of them, got nei"):
        hessian(model, CRITERION)
    with pytest.raises(ValueError, match="data, dataloader: expected exactly one of them, got bot"):
        hessian(model, CRITERION, data, [data])
    with pytest.raises(ValueError, match="data: expected at least one batch, got none"):
        hessian(model, CRITERION, dataloader=[]).trace()
    found = hessian(model, CRITERION, data)
    with pytest.raises(ValueError, match="maxIter, top_n: expected positive numbers, got 100, 0"):
        found.eigenvalues(top_n=0)
    with pytest.raises(ValueError, match="maxIter: expected a positive number, got 0"):
        found.trace(0)
    with pytest.raises(ValueError, match="starts, steps: expected positive numbers, got 0, 100"):
        found.density(n_v=0)
