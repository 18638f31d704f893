"""Overlaps of measured eigenvectors with directions along an axis of their parameters."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.derived import Counted
from spectrain.probes.curvature.head_curvature import HeadCurvature
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.measured_spectra import measured_eigenvalues, measured_spectra
from spectrain.probes.measurement import Measurement
from spectrain.theory.protocol import Reference, Selection

N, Q = 12, 3
DATA = (torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))


class Factors(nn.Module):
    """Its output is the curvature A's form on U (n, q), or on U^T, plus a slight one elsewhere."""

    def __init__(self, form, transposed):
        super().__init__()
        shape = (Q, N) if transposed else (N, Q)
        self.factor = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros(N, dtype=torch.float64))
        self.form, self.transposed = form, transposed

    def forward(self, x):
        u = self.factor.T if self.transposed else self.factor
        rest = 1e-3 * self.offset.square().sum() + 0.0 * x.sum()
        return (u * (self.form @ u)).sum() / 2 + rest


def outputs(value, targets):
    return value + 0.0 * targets.sum()


def spectrum(span, transposed, axis, names=("factor",)):
    """Of A (x) I_q with A = 2 P + 1/2 (1 - P), P the projector on the span."""
    projector = span @ torch.linalg.pinv(span)
    form = 1.5 * projector + 0.5 * torch.eye(N, dtype=torch.float64)
    operator = HessianOperator(Factors(form, transposed), outputs, DATA, Block("u", names))
    measurement = Measurement(eigenvalues=5, smallest=2, tolerance=1e-9)
    (found,), _, _ = measured_spectra(
        operator,
        [Selection("hessian", "u", names, ())],
        measurement,
        torch.Generator().manual_seed(1),
        Reference(span, axis),
        density=False,
        start=None,
    )
    return found


@pytest.mark.parametrize(("transposed", "axis"), [(False, 0), (True, -1), (True, 1)])
def test_eigenvectors_of_a_factor_are_in_the_span_or_orthogonal_to_it(transposed, axis, generator):
    """The 2 q largest eigenvalues, 2, have it; the others, 1/2, have none of it."""
    span = torch.randn(N, 2, dtype=torch.float64, generator=generator)
    found = spectrum(span, transposed, axis)
    np.testing.assert_allclose([pair.value for pair in found.top], 2.0, rtol=1e-8)
    np.testing.assert_allclose([pair.overlap for pair in found.top], 1.0, atol=1e-8)
    np.testing.assert_allclose([pair.value for pair in found.bottom], 0.5, rtol=1e-8)
    np.testing.assert_allclose([pair.overlap for pair in found.bottom], 0.0, atol=1e-8)
    assert all(len(pair.alignment) == 2 for pair in (*found.top, *found.bottom))


@pytest.mark.parametrize(
    ("transposed", "axis", "names"),
    [
        (False, -1, ("factor",)),  # n q is a multiple of n all the same
        (True, 0, ("factor",)),
        (False, -1, ("factor", "offset")),
        (True, 1, ("factor", "offset")),
    ],
)
def test_there_is_no_overlap_where_directions_do_not_lie(transposed, axis, names, generator):
    span = torch.randn(N, 2, dtype=torch.float64, generator=generator)
    found = spectrum(span, transposed, axis, names)
    pairs = (*found.top, *found.bottom)
    assert all(math.isnan(pair.overlap) and not len(pair.alignment) for pair in pairs)


def test_several_parameters_that_all_have_the_axis_are_aligned(generator):
    span = torch.randn(N, 2, dtype=torch.float64, generator=generator)
    found = spectrum(span, False, 0, ("factor", "offset"))
    np.testing.assert_allclose([pair.overlap for pair in found.top], 1.0, atol=1e-8)


def test_operators_know_the_shapes_of_their_parameters(generator):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    data = (torch.randn(5, 4, dtype=torch.float64, generator=generator), torch.zeros(5, 2).double())
    for block, shapes in (
        (Block("all"), ((3, 4), (3,), (2, 3), (2,))),
        (Block("row", ("0.weight",), (2, 0)), ((2, 4),)),
        (Block("order", ("2.bias", "0.weight")), ((2,), (3, 4))),
    ):
        operator = HessianOperator(model, nn.MSELoss(), data, block)
        assert operator.shapes == Counted(operator).shapes == shapes
        assert sum(map(math.prod, shapes)) == operator.size
    factors = torch.ones(2, 5, 3, 3, dtype=torch.float64)
    assert HeadCurvature(data[0], factors).shapes == ((3, 4),)


def test_eigenvalues_of_other_draws_are_exact_where_the_matrix_is_formed(with_spectrum, generator):
    """With a density, 560 products cost less than half as much again as 24 with 16 vectors."""
    values = torch.linspace(-1, 2, 560, dtype=torch.float64)
    measurement = Measurement(max_products=384)
    (found,) = measured_eigenvalues(with_spectrum(values), measurement, generator)
    expected = [*values.flip(0)[:6].tolist(), *values[:3].tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-12)
