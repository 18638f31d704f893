"""Outputs that are objects: taken apart as trees are, or refused."""

from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.matrix import Covariance, GaussNewton, Hessian, Information
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.curvature.objects import flattened, with_others
from spectrain.probes.curvature.sample_gradients import SampleGradients

ALL = Block("all")


@dataclass
class Decoded:
    mean: torch.Tensor
    given: torch.Tensor


@dataclass
class Posterior:
    law: Normal
    given: torch.Tensor


class Fields(OrderedDict):
    """No tree to torch, unlike its base."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(name)


FORMS = {
    "dataclass": Decoded,
    "object": lambda mean, given: SimpleNamespace(mean=mean, given=given),
    "mapping": lambda mean, given: Fields(mean=mean, given=given),
    "object in an object": lambda mean, given: SimpleNamespace(of=[Decoded(mean, given)]),
    "distribution in an object": lambda mean, given: Posterior(Normal(mean, 1.0), given),
}


class Coder(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.inner, self.outer, self.form = nn.Linear(4, 2), nn.Linear(2, 4), form

    def forward(self, x):
        mean = self.outer(torch.tanh(self.inner(x)))
        return (mean, x) if self.form is None else self.form(mean, x)


def own_error(outputs, _targets):
    """Of the outputs alone: targets give nothing away of what belongs to which sample."""
    if isinstance(outputs, tuple):
        mean, given = outputs
    else:
        outputs = outputs.of[0] if hasattr(outputs, "of") else outputs
        mean = outputs.law.loc if hasattr(outputs, "law") else outputs.mean
        given = outputs.given
    return (mean - given).square().mean()


def coder(form=None):
    torch.manual_seed(0)
    return Coder(form).double(), (torch.randn(7, 4, dtype=torch.float64), torch.zeros(7))


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("matrix", [Hessian(), Information(), Covariance(), GaussNewton()])
def test_matrices_are_those_of_outputs_in_a_tuple(form, matrix):
    found, expected = (
        dense(matrix.operator(model, own_error, batch, ALL))
        for model, batch in (coder(FORMS[form]), coder())
    )
    assert (found - expected).norm() <= 1e-13 * expected.norm()


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_the_gradients_of_single_samples(form):
    model, (inputs, targets) = coder(FORMS[form])
    rows = SampleGradients(model, own_error, (inputs, targets), ALL).rows
    for row, x in zip(rows, inputs, strict=True):
        loss = own_error(model(x[None]), None)
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        expected = torch.cat([part.reshape(-1) for part in gradient])
        assert (row - expected).norm() <= 1e-13 * expected.norm()


def test_tensors_of_objects_are_leaves_and_others_take_their_places():
    first, second, third = (torch.full((2,), float(i)) for i in range(3))
    tree = {"a": Posterior(Normal(first, second, validate_args=False), third), "b": (None, first)}
    leaves, rebuilt = flattened(tree)
    assert [leaf if leaf is None else float(leaf[0]) for leaf in leaves] == [0, 1, 2, None, 0]
    other = rebuilt([leaf if leaf is None else leaf + 10 for leaf in leaves])
    assert float(other["a"].law.scale[0]) == 11
    assert float(other["a"].given[0]) == 12
    assert float(other["b"][1][0]) == 10
    assert tree["a"].law.scale is second


def test_a_copy_keeps_the_graphs_of_the_tensors_put_into_it():
    parameter = torch.ones(2, requires_grad=True)
    copy = with_others(Decoded(torch.zeros(2), torch.zeros(2)), lambda tensor: tensor + parameter)
    (copy.mean.sum() + copy.given.sum()).backward()
    assert parameter.grad.tolist() == [2, 2]


def test_a_function_that_reads_outputs_is_refused():
    model, batch = coder(lambda mean, given: lambda: (mean - given).square().mean())
    with pytest.raises(ValueError, match=r"model: expected outputs that can be copied .* function"):
        Information().operator(model, lambda outputs, _: outputs(), batch, ALL)


def test_outputs_with_another_first_axis_are_given_whole():
    model, (inputs, targets) = coder(lambda mean, given: (mean, given, mean.mT, given[:0]))
    found = dense(
        Information().operator(model, lambda o, t: own_error(o[:2], t), (inputs, targets), ALL)
    )
    expected = dense(Information().operator(coder()[0], own_error, (inputs, targets), ALL))
    assert (found - expected).norm() <= 1e-13 * expected.norm()


def test_a_loss_of_outputs_with_another_first_axis_is_refused():
    model, batch = coder(lambda mean, given: (mean.mT, given.mT))
    with pytest.raises(ValueError, match=r"7 samples along their first axis, got .*\(4, 7\)"):
        Information().operator(model, own_error, batch, ALL)


class Leaves(nn.Module):
    """Keeps a part of the loss in an attribute."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 2), nn.Linear(4, 4)

    def forward(self, x):
        self.sizes = self.inner(x).square().sum(1)
        return self.outer(x)


@pytest.mark.parametrize("matrix", [Information(), Covariance(), GaussNewton()])
def test_a_loss_of_what_forward_has_left_elsewhere_is_refused(matrix):
    model, (inputs, _) = Leaves().double(), coder()[1]

    def loss(outputs, targets):
        return functional.mse_loss(outputs, targets) + model.sizes.mean()

    with pytest.raises(ValueError, match="what the forward pass has left elsewhere"):
        matrix.operator(model, loss, (inputs, inputs), ALL)


def test_a_batch_is_not_divided_where_what_forward_has_left_couples_its_samples():
    model, (inputs, _) = Leaves().double(), coder()[1]

    def loss(outputs, targets):
        return functional.mse_loss(outputs, targets) + model.sizes.mean().square()

    found, expected = (
        dense(HessianOperator(model, loss, (inputs, inputs), ALL, memory=memory))
        for memory in (1, 2**30)
    )
    assert (found - expected).norm() <= 1e-13 * expected.norm()
