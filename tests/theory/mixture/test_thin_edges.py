"""Thin edges of blocks of single directions: the error that is said of their detection edges."""

import math

import numpy as np
import pytest

from spectrain.theory.bulk.thin_detection import thin_detection_edge
from spectrain.theory.mixture.bulk_edges import bulk_edge
from spectrain.theory.mixture.refinement import Refinement

FINEST = -4  # level of a quadrature with five to nine times the nodes
TOLERANCE = 1e-4  # of the refinement, relative: below it two rules may agree by chance
LARGEST = 3.0  # the error of a rule in its change from the coarser: no rate is known in the tail


def refinement(problem):
    return Refinement(
        problem.head, problem.statistics, problem.law, problem.aspect_ratio, TOLERANCE
    )


@pytest.mark.parametrize("dimension", [100, 1000])
def test_the_detection_edge_is_that_of_a_far_finer_rule_within_its_error(xor, dimension):
    ratios = []
    for x_scale in (0.2, 0.4, 0.8):
        laws = refinement(xor(x_scale=x_scale))
        for row in (0, 1):
            edge = bulk_edge(laws.solve("information", (row,), False), 1, dimension)
            finest = laws.law(FINEST, "information", (row,)).marginal
            difference = abs(edge.detection - thin_detection_edge(finest, dimension))
            assert edge.kind == "thin"
            assert edge.detection_error < 0.05 * edge.detection
            ratios.append(difference / (edge.detection_error + TOLERANCE * edge.detection))
    assert max(ratios) < LARGEST
    assert np.median(ratios) < 1


def test_a_square_root_edge_says_that_no_error_is_known(softmax):
    edge = bulk_edge(refinement(softmax()).solve("hessian", (0,), False), 1, 200)
    assert edge.kind == "square-root"
    assert math.isnan(edge.detection_error)
