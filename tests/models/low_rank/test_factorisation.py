"""Loss, gradient and Hessian of a factorised matrix against automatic differentiation."""

import pytest
import torch

from spectrain.models.low_rank.block import BlockMeasurements
from spectrain.models.low_rank.descent import descend
from spectrain.models.low_rank.entries import EntryMeasurements
from spectrain.models.low_rank.factorisation import local_loss
from spectrain.models.low_rank.gaussian import GaussianMeasurements
from spectrain.models.low_rank.model import FactorisedMatrix
from spectrain.models.low_rank.structured import StructuredMeasurements
from spectrain.models.low_rank.truth import block_matrix, random_matrix, small_start

N, Q, M = 8, 3, 30


def problem(kind, seed=0):
    """A, y and a U of no special kind."""
    source = torch.Generator().manual_seed(seed)
    if kind is BlockMeasurements:
        operator = kind(5, 3, M, source)
        truth = block_matrix(5, 3, (1.0, 0.5), source)
    else:
        operator = kind(N, M, source)
        truth = random_matrix(N, (1.0, 0.5), source)
    return operator, operator.forward(truth.matrix), small_start(N, Q, 1.0, source)


KINDS = [GaussianMeasurements, StructuredMeasurements, EntryMeasurements, BlockMeasurements]


def plain_loss(operator, outcomes, u):
    """f from the rows of the operator alone."""
    rows = operator.adjoint(torch.eye(M, dtype=torch.float64))
    off = torch.einsum("kij,ij->k", rows, u @ u.mT) - outcomes
    return off.square().sum() / 4


@pytest.mark.parametrize("kind", KINDS)
def test_hand_written_derivatives_are_those_of_autograd(kind):
    operator, outcomes, u = problem(kind)
    local = local_loss(operator, outcomes, u)
    own = u.clone().requires_grad_()
    loss = plain_loss(operator, outcomes, own)
    (gradient,) = torch.autograd.grad(loss, own)
    assert float(local.loss) == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(local.gradient, gradient, rtol=1e-10, atol=1e-12)
    hessian = torch.autograd.functional.hessian(lambda v: plain_loss(operator, outcomes, v), u)
    panel = torch.eye(N * Q, dtype=torch.float64).view(N * Q, N, Q)
    products = local.hessian_product(panel).reshape(N * Q, N * Q)
    torch.testing.assert_close(products, hessian.reshape(N * Q, N * Q), rtol=0, atol=1e-10)


def test_the_dense_hessian_is_that_of_the_note():
    """H = (2/m) sum vec(A_i U) vec(A_i U)^T - A*A(R) (x) 1, to 1e-10."""
    operator, outcomes, u = problem(GaussianMeasurements)
    local = local_loss(operator, outcomes, u)
    rows = operator.adjoint(torch.eye(M, dtype=torch.float64))
    pulled = (rows @ u).reshape(M, -1)
    dense = 2 * pulled.T @ pulled + torch.kron(local.pull, torch.eye(Q, dtype=torch.float64))
    panel = torch.eye(N * Q, dtype=torch.float64).view(N * Q, N, Q)
    products = local.hessian_product(panel).reshape(N * Q, N * Q)
    torch.testing.assert_close(products, dense, rtol=0, atol=1e-10)


def test_the_model_gives_loss_gradient_and_second_derivatives():
    operator, outcomes, u = problem(GaussianMeasurements)
    model, local = FactorisedMatrix(operator, outcomes, u), local_loss(operator, outcomes, u)
    loss = model()
    assert float(loss.detach()) == float(local.loss)
    (gradient,) = torch.autograd.grad(loss, model.u, create_graph=True)
    torch.testing.assert_close(gradient.detach(), local.gradient)
    direction = torch.randn(N, Q, dtype=torch.float64, generator=torch.manual_seed(3))
    (product,) = torch.autograd.grad(gradient, model.u, direction)
    torch.testing.assert_close(product, local.hessian_product(direction))


def test_a_batch_of_runs_is_each_of_them():
    operator, outcomes, u = problem(GaussianMeasurements)
    starts = torch.stack([0.1 * u, 0.01 * u.flip(0)])
    together = descend(operator, outcomes, starts, 0.1, 40)
    for start, end in zip(starts, together, strict=True):
        torch.testing.assert_close(descend(operator, outcomes, start, 0.1, 40), end)
    assert torch.equal(starts[0], 0.1 * u)


def test_a_descent_is_that_of_torch_on_the_model():
    operator, outcomes, u = problem(StructuredMeasurements)
    model = FactorisedMatrix(operator, outcomes, 0.1 * u)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(30):
        optimiser.zero_grad()
        model().backward()
        optimiser.step()
    end = descend(operator, outcomes, 0.1 * u, 0.1, 30)
    torch.testing.assert_close(model.u.detach(), end)


def test_a_look_sees_every_point_and_may_end_the_descent():
    operator, outcomes, u = problem(GaussianMeasurements)
    seen = []

    def look(step, local):
        seen.append(float(local.loss))
        return step == 4

    descend(operator, outcomes, 0.1 * u, 0.1, 9, look)
    assert len(seen) == 5
    assert sorted(seen, reverse=True) == seen
    seen.clear()
    end = descend(operator, outcomes, 0.1 * u, 0.1, 3, look)
    assert seen[-1] == float(local_loss(operator, outcomes, end).loss)


def test_asymmetric_factors_descend_as_themselves():
    """d/dU and d/dV of |B(U V^T - X)|^2 / 2, from the block of a symmetric problem."""
    operator, outcomes, w = problem(BlockMeasurements)
    u, v = (part.clone().requires_grad_() for part in (w[:5], w[5:]))
    off = (u @ v.mT).flatten() @ operator.matrix.T - outcomes / 2**0.5
    gradients = torch.autograd.grad(off.square().sum() / 2, [u, v])
    expected = local_loss(operator, outcomes, w).gradient
    torch.testing.assert_close(torch.cat(gradients), expected)


def test_bad_arguments_are_named():
    operator, outcomes, u = problem(GaussianMeasurements)
    with pytest.raises(ValueError, match="learning_rate: expected a positive number, got 0"):
        descend(operator, outcomes, u, 0, 1)
    with pytest.raises(ValueError, match="steps: expected at least 0, got -1"):
        descend(operator, outcomes, u, 0.1, -1)
    with pytest.raises(ValueError, match=r"outcomes: expected torch.float64 of shape \(30,\)"):
        FactorisedMatrix(operator, outcomes[1:], u)
    with pytest.raises(ValueError, match=r"start: expected torch.float64 of shape \(8, factors\)"):
        FactorisedMatrix(operator, outcomes, u[1:])
    with pytest.raises(ValueError, match="eigenvalues: expected 1 to 2 of them, got 3"):
        random_matrix(2, (1.0, 1.0, 1.0), torch.Generator())
