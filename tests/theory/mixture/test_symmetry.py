"""What changes nothing, or only the units: symmetries of the effective spectrum, head by head.

Those of softmax alone are in test_effective_spectrum.py.
"""

from dataclasses import replace

import numpy as np
import pytest

from spectrain.models.heads import LogisticHead, MultiIndexHead, SoftmaxHead, TwoLayerHead
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics

SAME = 1e-8  # the very same numbers go through other rounding errors
QUADRATURE = 2e-4  # other nodes: twice the tolerance of an edge
CASES = ("softmax", "logistic", "unit", "two-layer", "multi-index")
MATRICES = ("hessian", "information")


@pytest.fixture(params=CASES)
def case(request, problem):
    return make(request.param, problem)


def vectors(directions, components, seed=0):
    """Generic x and mu, one a row."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([np.full(directions, 0.4), np.full(components, 0.7)])
    return rng.standard_normal((directions + components, 6)) * lengths[:, None]


def make(name, problem):
    head, v = {
        "softmax": (SoftmaxHead(3), np.zeros(0)),
        "logistic": (LogisticHead(), np.zeros(0)),
        "unit": (TwoLayerHead(1, "tanh", output_bias=True), np.array([1.1, -0.2])),
        "two-layer": (TwoLayerHead(2, "tanh", hidden_bias=True), np.array([1.1, -0.8, 0.3, -0.2])),
        "multi-index": (MultiIndexHead(2, (1.0,), "erf", "tanh"), np.array([0.7])),
    }[name]
    both = vectors(head.directions, 3)
    labels = np.arange(3) % (head.classes or 2)
    law = MixtureLaw(np.array([0.5, 0.3, 0.2]), labels, 4.0)
    return problem(head, Statistics(both @ both.T, v), law, 2.5)


def blocks(problem, matrix):
    """One direction; for softmax's Hessian all; for a network of width 1 all of v too."""
    head = problem.head
    trained = head.directions - head.teachers
    if head.shift_invariant and matrix == "hessian":
        return [((0,), False), (tuple(range(trained)), False)]
    return [((0,), head.parameters > 0 and trained == 1)]


def numbers(spectrum, scale=1.0):
    """Edges, outliers and overlaps; curvatures in units of ``scale``."""
    bulk = spectrum.bulk
    ends = [bulk.lower.value, bulk.upper.value]
    ends += [end.value for gap in bulk.gaps for end in (gap.lower, gap.upper)]
    outliers = (*spectrum.top, *spectrum.inside, *spectrum.bottom)
    values = np.array([*ends, *(o.value for o in outliers)]) / scale
    return np.concatenate([[bulk.atom, len(spectrum.top)], values, [o.overlap for o in outliers]])


def require_same(one, other, rtol, scale=1.0):
    a, b = numbers(one, scale), numbers(other)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    np.testing.assert_allclose(a[finite], b[finite], rtol=rtol, atol=rtol * abs(b[finite]).max())


@pytest.mark.parametrize("matrix", MATRICES)
def test_rotating_the_basis(case, matrix):
    """Only inner products count: G of rotated vectors differs by rounding errors, and is G."""
    both = vectors(case.head.directions, 3)
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((6, 6)))[0]
    turned = both @ rotation
    other = replace(case, statistics=Statistics(turned @ turned.T, case.statistics.parameters))
    for rows, full in blocks(case, matrix):
        one, two = (p.theory(200).spectrum(matrix, rows, "b", 0, full) for p in (case, other))
        require_same(two, one, SAME)


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_order_of_the_components(case, matrix):
    """Components are a set; the alignments with their means go with them."""
    c, order = case.head.directions, np.array([2, 0, 1])
    every = np.concatenate([np.arange(c), c + order])
    law = MixtureLaw(case.law.weights[order], case.law.labels[order], case.law.snr)
    gram = case.statistics.gram[np.ix_(every, every)]
    other = replace(case, law=law, statistics=replace(case.statistics, gram=gram))
    for rows, full in blocks(case, matrix):
        one, two = (p.theory(200).spectrum(matrix, rows, "b", 0, full) for p in (case, other))
        require_same(two, one, QUADRATURE)
        for a, b in zip(two.top, one.top, strict=True):
            np.testing.assert_allclose(a.alignment, b.alignment[every], atol=1e-3)


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_limit_depends_on_the_aspect_ratio_alone(case, matrix):
    """n and d doubled: neither edges nor outliers move, finite-size edges go to the edges."""
    for rows, full in blocks(case, matrix):
        limit, small, large = (
            case.theory(d).spectrum(matrix, rows, "b", 0, full) for d in (None, 400, 800)
        )
        for spectrum in (small, large):
            for edge, same in (
                (spectrum.bulk.lower, limit.bulk.lower),
                (spectrum.bulk.upper, limit.bulk.upper),
            ):
                assert edge.value == same.value
                assert edge.kind == same.kind
            values = [o.value for o in spectrum.top]
            assert values[: len(limit.top)] == [o.value for o in limit.top]
        if limit.bulk.upper.kind == "square-root":
            distances = [s.bulk.upper.value - s.bulk.upper.finite_size for s in (small, large)]
            # Of the order of d^(-2/3) near the edge.
            assert distances[0] / distances[1] == pytest.approx(2 ** (2 / 3), rel=0.1)


@pytest.mark.parametrize("matrix", MATRICES)
def test_units_of_the_inputs(case, matrix):
    """Y -> c Y and x -> x / c leave h: every curvature in x is multiplied by c^2."""
    c = 3.0
    scale = np.repeat([1 / c, c], [case.head.directions, 3])
    scaled = replace(
        case,
        law=replace(case.law, snr=case.law.snr / c**2),
        statistics=replace(
            case.statistics, gram=case.statistics.gram * scale[:, None] * scale[None, :]
        ),
    )
    for rows, _ in blocks(case, matrix):
        one, two = (p.theory(200).spectrum(matrix, rows, "b", 0) for p in (case, scaled))
        require_same(two, one, QUADRATURE, c**2)


@pytest.mark.parametrize("matrix", ["hessian", pytest.param("information", marks=pytest.mark.slow)])
def test_permuting_the_hidden_units(problem, matrix):
    """Units with their second layer and biases: blocks go with them, whole ones stay."""
    case = make("two-layer", problem)
    order = np.array([1, 0, 2, 3, 4])
    gram, v = case.statistics.gram[np.ix_(order, order)], case.statistics.parameters[[1, 0, 3, 2]]
    other = replace(case, statistics=Statistics(gram, v))
    for rows, same, full in (((0,), (1,), False), ((0, 1), (0, 1), True)):
        one = case.theory(200).spectrum(matrix, rows, "b", 0, full)
        two = other.theory(200).spectrum(matrix, same, "b", 0, full)
        require_same(two, one, QUADRATURE)


@pytest.mark.parametrize("matrix", MATRICES)
def test_two_classes_are_logistic_regression(problem, matrix):
    """softmax(h_0, h_1) = sigmoid(h_1 - h_0): each class has the curvature of the difference."""
    both = vectors(2, 3)
    law = MixtureLaw(np.array([0.5, 0.3, 0.2]), np.array([0, 1, 1]), 4.0)
    classes = problem(SoftmaxHead(2), Statistics(both @ both.T), law, 2.5)
    difference = np.vstack([both[1] - both[0], both[2:]])
    binary = problem(LogisticHead(), Statistics(difference @ difference.T), law, 2.5)
    one = binary.theory(200).spectrum(matrix, (0,), "b", 0)
    for row in (0, 1):
        two = classes.theory(200).spectrum(matrix, (row,), "b", 0)
        require_same(two, one, QUADRATURE)
    # Both together: the difference once more, twice as large, and a null direction.
    two = classes.theory(200).spectrum(matrix, (0, 1), "b", 0)
    assert two.bulk.atom == pytest.approx(0.5, abs=SAME)
    np.testing.assert_allclose(
        [two.bulk.upper.value, *(o.value for o in two.top)],
        2 * np.array([one.bulk.upper.value, *(o.value for o in one.top)]),
        rtol=QUADRATURE,
    )
