"""The theory as a probe uses it."""

import numpy as np
import pytest
import torch

from spectrain.models.low_rank.model import FactorisedMatrix
from spectrain.theory.low_rank.low_rank_theory import LowRankTheory
from spectrain.theory.low_rank.stages import Start
from spectrain.theory.protocol import Selection

HESSIAN = Selection("hessian", "factors", ("u",), ())


def made(case):
    drawn = case(30, (1.0, 0.5), 4, 8, 1e-3, 0)
    theory = LowRankTheory(drawn.problem, drawn.start, drawn.truth)
    return theory, FactorisedMatrix(drawn.measurements, drawn.outcomes, drawn.u), drawn


def test_statistics_are_those_of_the_factors(case):
    theory, model, drawn = made(case)
    found = theory.statistics(model)
    u, basis = drawn.u, drawn.truth.vectors
    assert found.strengths == pytest.approx(torch.linalg.svdvals(basis.T @ u).square().numpy())
    left = torch.linalg.svd(u)[0][:, :2]
    cosine = torch.linalg.svdvals(basis.T @ left)[-1]
    assert found.principal_angle == pytest.approx(float(torch.arccos(cosine)))
    assert found.test_error == pytest.approx(1, abs=1e-4)
    again = theory.restore(found.quantities())
    for one, other in zip(again.quantities(), found.quantities(), strict=True):
        assert np.array_equal(one.values, other.values)


def test_what_is_learned_has_no_angle_and_no_error(case):
    theory, model, drawn = made(case)
    with torch.no_grad():
        model.u.zero_()
        model.u[:, :2] = drawn.truth.vectors * drawn.truth.eigenvalues.sqrt()
    found = theory.statistics(model)
    assert found.strengths == pytest.approx([1, 0.5])
    assert found.principal_angle == pytest.approx(0, abs=1e-7)
    assert found.test_error == pytest.approx(0, abs=1e-12)
    told = theory.predict(found, [HESSIAN])
    assert told.loss == pytest.approx(0, abs=1e-12)
    assert told.spectra[0].bottom == ()


def test_a_forecast_needs_the_model_and_starts_where_the_start_is(case):
    theory, model, _ = made(case)
    start = theory.statistics(model)
    assert theory.forecast(start, 0, [HESSIAN]) is None
    with theory.attach(model):
        now, later = (theory.forecast(start, steps, [HESSIAN]) for steps in (0, 400))
    assert now.quantity("strengths").values == pytest.approx(start.amplitudes, rel=1e-5)
    assert later.quantity("strengths").values == pytest.approx([1, 0.5], rel=1e-6)
    assert len(now.spectra[0].bottom) == 8
    assert later.spectra[0].bottom == ()
    assert theory.clock(7).time == 7
    assert {source.arxiv for source in theory.sources} >= {"2106.15013"}


def test_what_it_does_not_describe_is_refused(case):
    theory, _, drawn = made(case)
    with pytest.raises(ValueError, match=r"model: expected a FactorisedMatrix of shape \(30, 4\)"):
        theory.attach(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"factors: expected 2 \(the rank\) to 30"):
        LowRankTheory(drawn.problem, Start(1, 1e-3, 0.1), drawn.truth)
