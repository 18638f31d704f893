from dataclasses import replace

import numpy as np

from spectrain.probes.record import Geometry, Record, Transition
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum
from spectrain.views.transition_times import TransitionTime, transition_times

BULK = Bulk(*(Edge(end, "square-root", end, limit, 0.0) for end, limit in ((-1, -1.2), (1, 1.2))))


def geometry(values, bulk=None):
    top = tuple(Eigenpair(value, 0.0) for value in sorted(values, reverse=True) if value > 0)
    bottom = tuple(Eigenpair(value, 0.0) for value in sorted(values) if value < 0)
    return Geometry(spectra=(Spectrum("hessian", "a", 9, top, bottom, bulk),))


def record(step, measured, predicted, forecast, transitions=()):
    return Record(
        step,
        measured=geometry(measured),
        predicted=geometry(predicted, BULK),
        forecast=geometry(forecast, BULK),
        transitions=transitions,
    )


def test_one_transition_has_its_four_steps():
    times = transition_times(
        [
            record(0, [1.1, 1.0], [], []),
            record(10, [1.1, 1.0], [], [1.05]),
            record(20, [1.1, 1.0], [1.1], [1.3]),
            record(30, [1.19, 1.0], [1.3], [1.5]),
            record(40, [1.4, 1.0], [1.5], [1.5]),
        ]
    )
    assert times == (TransitionTime("hessian", "a", "top", "appears", 1, 10, 20, 30, 40),)
    assert times[0].step == 20


def test_two_outliers_at_once_are_two_transitions_and_sides_are_apart():
    times = transition_times(
        [record(0, [2.0, 2.5], [2.0, 2.5], []), record(5, [-2.0, 0.5], [-2.0], [])]
    )
    assert {(each.side, each.kind, each.rank) for each in times} == {
        ("top", "disappears", 1),
        ("top", "disappears", 2),
        ("bottom", "appears", 1),
    }
    assert {(each.predicted, each.detectable, each.measured) for each in times} == {(5, 5, 5)}
    assert {each.forecast for each in times} == {None}


def test_what_is_measured_alone_has_a_row_of_its_own():
    noisy = [record(step, [1.3 if step == 3 else 1.1], [2.0, 3.0][:2], []) for step in range(5)]
    times = transition_times(noisy)
    assert [(each.kind, each.measured, each.predicted) for each in times] == [
        ("appears", 3, None),
        ("disappears", 4, None),
    ]


def test_repeated_passages_are_paired_by_closeness():
    seen = [[1.1], [2.0], [1.1], [1.1], [1.1], [1.1], [2.0]]
    times = transition_times(
        [record(step, seen[step], [2.0] if step >= 5 else [], []) for step in range(7)]
    )
    appearing = [each for each in times if each.kind == "appears"]
    assert [(each.predicted, each.measured) for each in appearing] == [(None, 1), (5, 6)]


def test_splits_and_merges_have_no_measured_step():
    split = Transition("hessian", "a", "right", "splits", 2, 2)
    times = transition_times(
        [
            record(0, [], [2.0, 2.0], [2.0, 2.0]),
            record(1, [], [2.0, 2.0], [2.0, 3.0]),
            record(2, [], [2.0, 3.0], [2.0, 3.0], (split,)),
        ]
    )
    (met,) = (each for each in times if each.kind == "splits")
    assert (met.forecast, met.predicted, met.measured) == (1, 2, None)


def test_records_without_theory_have_no_transitions(any_records):
    if not any(each.predicted for each in any_records):
        assert transition_times(any_records) == ()


def test_a_block_that_is_probed_at_some_records_is_followed_over_the_gap():
    whole = [record(step, [1.1 + step], [1.1 + step], []) for step in range(3)]
    bare = replace(whole[1], measured=Geometry(), predicted=Geometry(gram=np.zeros((0, 0))))
    (detectable,) = transition_times([whole[0], bare, whole[2]])
    assert (detectable.detectable, detectable.measured) == (2, 2)
