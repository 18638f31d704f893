"""The sharpness at which an optimiser's steps grow."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spectrain import Block, Measurement, SpectralProbe
from spectrain.probes.stability import critical_curvature, critical_sharpness
from spectrain.views.sinks.scalars import scalars

LEAN = Measurement(eigenvalues=2, smallest=1, density=False, tolerance=1e-6)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def batch():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(2, (30,), generator=generator)


def hessian(model, data):
    names, parameters = zip(*model.named_parameters(), strict=True)
    flat = torch.cat([p.detach().flatten() for p in parameters]).requires_grad_()

    def loss(vector):
        parts = vector.split([p.numel() for p in parameters])
        placed = {n: v.view(p.shape) for n, v, p in zip(names, parts, parameters, strict=True)}
        outputs = torch.func.functional_call(model, placed, (data[0],))
        return nn.functional.cross_entropy(outputs, data[1])

    return torch.autograd.functional.hessian(loss, flat)


def rotated(eigenvalues):
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(len(eigenvalues), len(eigenvalues), generator=generator).double()
    rotation = torch.linalg.qr(noise).Q
    return rotation @ torch.diag(torch.tensor(eigenvalues).double()) @ rotation.T


def stability(optimiser, curvature):
    """Largest eigenvalue of c^(-1/2) H c^(-1/2), by dense matrices."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    found = critical_curvature(optimiser, 0, parameters)
    assert found.reason == ""
    scale = found.preconditioner
    scale = torch.ones(len(curvature)).double() if scale is None else scale
    critical = (found.threshold * scale).rsqrt()
    return float(torch.linalg.eigvalsh(critical[:, None] * curvature * critical).max())


def growth(curvature, parameters, optimiser, freeze=lambda: None):
    """Of log |x| late in a training on x^T H x / 2, by the optimiser's own steps."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.fill_(1e-40)
    sizes = []
    for _ in range(160):
        freeze()
        flat = curvature @ torch.cat([p.detach() for p in parameters])
        for parameter, part in zip(
            parameters, flat.split([len(p) for p in parameters]), strict=True
        ):
            parameter.grad = part
        optimiser.step()
        sizes.append(float(torch.cat([p.detach() for p in parameters]).norm()) + 1e-300)
    late = np.log(sizes[-80:])
    return late[40:].max() - late[:40].max()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.6},
        {"momentum": 0.6, "nesterov": True},
        {"momentum": 0.6, "dampening": 0.3},
        {"momentum": 0.3, "weight_decay": 2.0},
        {"momentum": 0.3, "groups": [{"lr": 0.1}, {"lr": 0.03}]},
        {"groups": [{"momentum": 0.9, "weight_decay": 1.0}, {"momentum": 0.2, "dampening": 0.5}]},
        {"groups": [{"momentum": 0.7, "nesterov": True}, {"momentum": 0.5, "lr": 0.02}]},
    ],
    ids=str,
)
def test_steps_of_sgd_grow_just_above_the_critical_sharpness_and_shrink_just_below(options):
    a, b = (torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (2, 3))
    options = dict(options)
    groups = options.pop("groups", [{}, {}])
    optimiser = torch.optim.SGD(
        [{"params": [p], **own} for p, own in zip((a, b), groups, strict=True)], lr=0.1, **options
    )
    curvature = rotated([5.0, 3.0, 2.0, 1.0, 0.5])
    curvature /= stability(optimiser, curvature)
    for factor, grows in ((0.99, False), (1.01, True)):
        optimiser.state.clear()
        assert (growth(factor * curvature, [a, b], optimiser) > 0) == grows


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.Adam, {"betas": (0.5, 1 - 1e-9), "weight_decay": 0.5}),
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.AdamW, {"weight_decay": 0.7}),
        (torch.optim.RMSprop, {}),
        (torch.optim.RMSprop, {"momentum": 0.7, "weight_decay": 0.3}),
        (torch.optim.RMSprop, {"centered": True}),
    ],
    ids=str,
)
def test_steps_in_a_preconditioner_that_stands_still_grow_just_above_it(kind, options):
    a, b = (torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (2, 3))
    adam = issubclass(kind, torch.optim.Adam)
    still = {"betas": (0.9, 1 - 1e-9)} if adam else {"alpha": 1 - 1e-12}
    optimiser = kind([{"params": [a]}, {"params": [b], "lr": 0.02}], lr=0.1, **(still | options))
    second = [torch.tensor(v).double() for v in ([0.3, 2.0], [1.0, 0.05, 4.0])]

    def freeze():
        # So late that nothing of the bias is left, and nothing that a step adds is seen.
        for p, own in zip((a, b), second, strict=True):
            state = optimiser.state[p]
            for name in ("exp_avg_sq", "max_exp_avg_sq", "square_avg"):
                if name in state:
                    state[name].copy_(own)
            if "grad_avg" in state:
                state["grad_avg"].fill_(0.1)
            state["step"] = torch.tensor(1e12)

    for p in (a, b):
        p.grad = torch.zeros_like(p)
    optimiser.step()
    freeze()
    curvature = rotated([5.0, 3.0, 2.0, 1.0, 0.5])
    curvature /= stability(optimiser, curvature)
    for factor, grows in ((0.99, False), (1.01, True)):
        for p in (a, b):
            for name in ("exp_avg", "momentum_buffer"):
                if name in optimiser.state[p]:
                    optimiser.state[p][name].zero_()
        assert (growth(factor * curvature, [a, b], optimiser, freeze) > 0) == grows


def test_adams_threshold_is_38_over_the_learning_rate():
    weight = torch.ones(3, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=1e-3)
    weight.grad = torch.tensor([1.0, 2.0, 0.0])
    optimiser.step()
    found = critical_curvature(optimiser, 1, [weight])
    assert found.threshold == pytest.approx(38 / 1e-3)
    # (1 - .9) (|g| + eps): after one step v_hat is g^2.
    expected = 0.1 * (torch.tensor([1.0, 2.0, 0.0]) + 1e-8)
    torch.testing.assert_close(found.preconditioner.float(), expected)


def test_groups_of_parameters_have_one_threshold_that_of_the_fastest():
    a, b = (torch.zeros(2, requires_grad=True) for _ in range(2))
    optimiser = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.2}], lr=0.1)
    assert critical_sharpness(optimiser, 0, [a]) == pytest.approx(20)
    assert critical_sharpness(optimiser, 0, [b]) == pytest.approx(10)
    assert math.isnan(critical_sharpness(optimiser, 0, [a, b]))
    both = critical_curvature(optimiser, 0, [a, b])
    assert both.threshold == pytest.approx(10)
    assert both.preconditioner.tolist() == pytest.approx([2, 2, 1, 1])
    assert critical_sharpness(lambda step: 0.1 * step, 4, [a]) == pytest.approx(5)
    assert critical_sharpness(lambda step: 0.0, 4, [a]) == math.inf


class Stated(torch.optim.Optimizer):
    """Sign descent with a sharpness of its own."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    def critical_curvature(self, parameter):
        return torch.arange(1.0, 1 + parameter.numel()).view(parameter.shape)


def trained(model, data, optimiser, steps=3):
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimiser.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, lr=1e-3),
        lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
        lambda p: torch.optim.SGD([{"params": p[:2]}, {"params": p[2:], "lr": 0.5}], lr=0.1),
    ],
)
def test_the_preconditioned_sharpness_is_that_of_the_dense_matrix(make):
    model, data = network(), batch()
    parameters = list(model.parameters())
    optimiser = make(parameters)
    trained(model, data, optimiser)
    probe = SpectralProbe(
        model, nn.CrossEntropyLoss(), data, measurement=LEAN, learning_rate=optimiser
    )
    record = probe(3)
    assert record.failure == ""
    critical = critical_curvature(optimiser, 3, parameters)
    root = critical.preconditioner.rsqrt()
    dense = root[:, None] * hessian(model, data) * root
    found = record.measured.quantity("preconditioned_sharpness")
    assert float(found.values) == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)
    assert float(found.threshold) == pytest.approx(critical.threshold)
    track = record.track("hessian", "all")
    assert track.stability == pytest.approx(float(found.values / found.threshold))
    assert math.isnan(record.track("information", "all").stability)
    written = scalars(record)
    assert written["threshold/preconditioned_sharpness"] == pytest.approx(critical.threshold)
    assert "measured/hessian/all/stability" in written


def test_an_optimiser_states_its_own():
    model, data = network(), batch()
    optimiser = Stated(model.parameters())
    blocks = [Block("first", ("0.*",)), Block("rows", ("2.weight",), (1,))]
    probe = SpectralProbe(
        *(model, nn.CrossEntropyLoss(), data),
        blocks=blocks, measurement=LEAN, learning_rate=optimiser,
    )  # fmt: skip
    record = probe(0)
    found = record.measured.quantity("preconditioned_sharpness")
    assert found.axes == (("first", "rows"),)
    whole = hessian(model, data)
    for value, places, critical in (
        (found.values[0], list(range(15)), [*range(1, 13), *range(1, 4)]),
        (found.values[1], [18, 19, 20], [4, 5, 6]),
    ):
        root = torch.tensor(critical).double().rsqrt()
        dense = root[:, None] * whole[places][:, places] * root
        assert value == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)
    assert found.threshold.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (torch.optim.Adam, "the optimiser has taken no step yet"),
        (torch.optim.Adagrad, "Adagrad has no method critical_curvature, see StatesCriticalCurvat"),
        (lambda p: torch.optim.SGD(p, lr=0.1, maximize=True), "the optimiser maximises"),
        (lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=30), "weight decay alone makes some st"),
        (lambda p: torch.optim.SGD(list(p)[1:], lr=0.1), "some of the block's parameters are not"),
    ],
)
def test_what_is_not_known_has_a_reason(make, reason):
    model = network()
    probe = SpectralProbe(
        model, nn.CrossEntropyLoss(), batch(), measurement=LEAN,
        learning_rate=make(model.parameters()),
    )  # fmt: skip
    record = probe(0)
    assert record.failure == ""
    track = record.track("hessian", "all")
    assert math.isnan(track.stability)
    assert track.reason.startswith(reason)
    assert record.measured.quantity("sharpness") is None
    assert record.measured.quantity("preconditioned_sharpness") is None


def test_the_probe_reads_the_learning_rate_of_the_moment():
    model, data = network(), batch()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = SpectralProbe(
        model, nn.CrossEntropyLoss(), data, measurement=LEAN, learning_rate=optimiser
    )
    first = probe(0)
    optimiser.param_groups[0]["lr"] = 0.2
    second = probe(1)
    for record, rate in ((first, 0.1), (second, 0.2)):
        top = record.measured.spectrum("hessian", "all").top[0].value
        assert record.track("hessian", "all").stability == pytest.approx(top * rate / 2)
        found = record.measured.quantity("sharpness")
        assert float(found.values) == top
        assert float(found.threshold) == pytest.approx(2 / rate)


def test_what_has_no_learning_rate_is_refused():
    with pytest.raises(ValueError, match="learning_rate: expected an optimiser or a function of"):
        SpectralProbe(network(), nn.CrossEntropyLoss(), batch(), learning_rate=0.1)
