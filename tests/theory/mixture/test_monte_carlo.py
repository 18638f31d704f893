"""Means over 24 seeds at d = 400 against the predictions, number by number.

A mean may be off by three of its standard errors and by what the limit leaves out, of order 1/d:

    outliers      4/d, relatively
    overlaps      4/d
    ends          the mean of the last eigenvalue is e - 1.21 u at a square-root edge e, where
                  N = 1/2 at e - 1.77 u (Tracy-Widom); beside it 4/d of the width of the bulk
                  and u/2 for the edge's own fluctuations with the factors D
    thin ends     no law of the last eigenvalue's mean is known: within the distance of the
                  finite-size from the detection edge, its 99 % point

Outliers closer together than twice the fluctuation (2/n)^(1/2) lam of one repel each other on
every draw; the mean of such a group is compared, from which the repulsion drops out.
"""

import math

import numpy as np
import pytest

SEEDS, DIMENSION = 24, 400
STANDARD_ERRORS = 3.0
FINITE_SIZE = 4.0 / DIMENSION
TRACY_WIDOM_MEAN = -1.2065
HALF_EIGENVALUE = (3 * math.pi / 4) ** (2 / 3)
CASES = [
    (system, matrix, full)
    for system in ("softmax", "logistic", "two-layer")
    for full in (False, True)
    if not (system == "logistic" and full)
    for matrix in ("hessian", "information")
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def compared(request, convergence):
    """The prediction, the readings of all seeds, and n."""
    case = next(
        case
        for case in convergence.cases()
        if (case.system.name, case.matrix, case.full) == request.param
    )
    null = 1 - case.lift.shape[1] / len(case.rows)
    prediction = convergence.Prediction(case.predicted(DIMENSION), null)
    samples = (
        convergence.draw(case, DIMENSION, np.random.default_rng(1000 + seed))
        for seed in range(SEEDS)
    )
    readings = [convergence.read(sample, prediction) for sample in samples]
    return prediction, readings, round(case.system.aspect_ratio * DIMENSION)


def mean(numbers):
    """Mean over the seeds, and its standard error."""
    numbers = np.array(numbers)
    return numbers.mean(0), numbers.std(0, ddof=1) / SEEDS**0.5


def groups(values, samples):
    """(groups, outliers) averages over outliers that are close together."""
    near = 2 * (2 / samples) ** 0.5
    start = [0, *(i for i in range(1, len(values)) if abs(values[i] / values[i - 1] - 1) > near)]
    members = np.searchsorted(start, np.arange(len(values)), side="right") - 1
    same = (members == np.arange(len(start))[:, None]).astype(float)
    return same / same.sum(1, keepdims=True)


@pytest.mark.slow
def test_means_over_seeds(compared):
    prediction, readings, samples = compared
    said = prediction.readings
    assert len(said.outliers) >= 1
    together = groups(said.outliers, samples)
    expected = together @ said.outliers
    measured, error = mean([together @ r.outliers for r in readings])
    allowed = STANDARD_ERRORS * error + FINITE_SIZE * abs(expected)
    assert (abs(measured - expected) < allowed).all()
    measured, error = mean([together @ r.overlaps for r in readings])
    allowed = STANDARD_ERRORS * error + FINITE_SIZE
    assert (abs(measured - together @ said.overlaps) < allowed).all()
    measured, error = mean([r.ends for r in readings])
    edges = (prediction.bulk.upper, prediction.bulk.lower)
    for edge, place, deviation in zip(edges, measured, error, strict=False):
        if edge.kind == "square-root":
            unit = (edge.value - edge.finite_size) / HALF_EIGENVALUE
            expected = edge.value + TRACY_WIDOM_MEAN * unit
            allowed = abs(unit) / 2 + FINITE_SIZE * prediction.width
        else:
            expected, allowed = edge.finite_size, abs(edge.detection - edge.finite_size)
        assert abs(place - expected) < allowed + STANDARD_ERRORS * deviation
