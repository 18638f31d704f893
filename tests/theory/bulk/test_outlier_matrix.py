from dataclasses import replace

import numpy as np
import pytest

from spectrain.theory.bulk.law import CurvatureLaw, JointCurvature
from spectrain.theory.bulk.matrix_equation import MatrixEquation
from spectrain.theory.bulk.outlier_matrix import OutlierMatrix

NODES, SPAN = 30, 3


def symmetric(shape, seed):
    d = np.random.default_rng(seed).standard_normal(shape)
    return d + np.swapaxes(d, -1, -2)


def law_with_parameters(m, q):
    rng = np.random.default_rng(0)
    d = symmetric((NODES, m, m), 1)
    z = rng.standard_normal((NODES, SPAN))
    weights = rng.dirichlet(np.ones(NODES))
    inner = symmetric((NODES, q, q), 2)
    joint = JointCurvature(rng.standard_normal((NODES, m, q)), inner)
    top = np.linalg.eigvalsh(d)
    return CurvatureLaw(
        weights,
        d,
        z[:, :, None] * z[:, None, :],
        top.max(),
        top.min(),
        d,
        2.0,
        3.0,
        means=z,
        joint=joint,
    )


def lifted_mean(law, p):
    """E[L M~ L^T] by equation (2) as it stands, in T = P^(-1), sample by sample."""
    m, q = law.rows, law.parameters
    t, total = np.linalg.inv(p), 0.0
    joint = law.joint
    for i, weight in enumerate(law.weights):
        d, c, z = law.factors[i], joint.cross[i], law.means[i]
        whole = np.block([[d, c], [c.T, joint.inner[i]]])
        column = whole[:, :m]
        reduced = whole - column @ t @ np.linalg.inv(np.eye(m) + d @ t) @ column.T
        lift = np.zeros((m * SPAN + q, m + q))
        lift[: m * SPAN, :m] = np.kron(np.eye(m), z[:, None])
        lift[m * SPAN :, m:] = np.eye(q)
        total = total + weight * lift @ reduced @ lift.T
    return total


@pytest.mark.parametrize(("m", "q"), [(1, 2), (2, 1), (3, 2), (2, 3)])
def test_k_and_its_slope_are_those_of_the_schur_complement(m, q):
    law = law_with_parameters(m, q)
    p = -10.0 * np.eye(m) + symmetric((m, m), 5)
    equation, k, lam = MatrixEquation(law), OutlierMatrix(law), 0.7
    found = k.value(p, lam, equation.evaluate(p).inverses)
    np.testing.assert_allclose(found, lifted_mean(law, p) - lam * np.eye(len(found)), atol=1e-11)
    dp = symmetric((m, m), 6)
    step = 1e-6
    numeric = (lifted_mean(law, p + step * dp) - lifted_mean(law, p - step * dp)) / (2 * step)
    inverses = equation.evaluate(p).inverses
    unit = np.eye(len(numeric))
    rates = [[k.rate(e + f, p, dp, inverses) for f in unit] for e in unit]
    alone = np.array([k.rate(e, p, dp, inverses) for e in unit])
    slope = (np.array(rates) - alone[:, None] - alone) / 2  # a quadratic form has one matrix
    np.testing.assert_allclose(slope, numeric - unit, atol=1e-7)


def test_without_parameters_only_the_first_block_is_left():
    law = law_with_parameters(2, 3)
    p = -10.0 * np.eye(2)
    inverses = MatrixEquation(law).evaluate(p).inverses
    whole = OutlierMatrix(law).value(p, 0.7, inverses)
    alone = OutlierMatrix(replace(law, joint=None)).value(p, 0.7, inverses)
    np.testing.assert_allclose(whole[: 2 * SPAN, : 2 * SPAN], alone, atol=1e-13)
