import math
from dataclasses import replace
from html import unescape
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum
from spectrain.views.timeline import Timeline, markdown, rows

BULK = Bulk(Edge(0, "square-root", 0.1, -0.2, 0), Edge(1, "square-root", 1.1, 1.5, 0))
BELOW = (Eigenpair(-2.0, 0.0),)
OUTLIERS = (Eigenpair(3.0, 0.0), Eigenpair(2.0, 0.0))


def record(step, measured=0, predicted=0, forecast=0, before=None, near=False, **fields):
    """With so many outliers; the measured spectrum has two eigenvalues in any case.

    Near the bulk, none of the predicted ones is beyond the detection edge.
    """
    inside = (Eigenpair(1.2, 0.0), Eigenpair(1.1, 0.0))

    def geometry(count, fill=(), outliers=OUTLIERS):
        top = (*outliers[:count], *fill[count:])
        return Geometry(spectra=(Spectrum("hessian", "a", 9, top, (), BULK),))

    changes = ()
    if before is not None and before != predicted:
        kind = "appears" if predicted > before else "disappears"
        changes = (Transition("hessian", "a", "top", kind, before, predicted),)
    return Record(
        step,
        measured=geometry(measured, inside),
        predicted=geometry(predicted, outliers=inside if near else OUTLIERS),
        forecast=geometry(forecast),
        transitions=changes,
        **fields,
    )


def table(*records):
    timeline = Timeline()
    news = [timeline.add(each) for each in records]
    return rows(timeline)[1:], news


def test_one_transition_has_the_steps_of_all_four_kinds():
    body, news = table(
        record(0),
        record(10, forecast=1),
        record(20, 0, 1, 1, before=0, near=True),
        record(30, 0, 1, 1),
        record(40, 1, 1, 1),
    )
    words = "an outlier appears above the bulk (0 → 1)"
    assert body == [("Hessian", "a", words, "40", "30", "20", "10")]
    assert news == [False, True, True, True, True]


def test_several_outliers_at_once_are_several_transitions():
    body, _ = table(record(0), record(10, 2, 1, before=0), record(20, 2, 2, before=1))
    assert [row[2:] for row in body] == [
        ("an outlier appears above the bulk (0 → 1)", "10", "10", "10", "–"),
        ("an outlier appears above the bulk (1 → 2)", "10", "20", "20", "–"),
    ]


def history(measured, predicted):
    """The timeline of a run with so many outliers at steps 0, 1, 2, ..."""
    before = [None, *predicted]
    numbers = zip(measured, predicted, before, strict=False)
    return table(*(record(step, m, p, before=b) for step, (m, p, b) in enumerate(numbers)))[0]


def passages(body, verb):
    """Steps at which an outlier was measured and predicted to do something."""
    return [(row[3], row[5]) for row in body if verb in row[2]]


def test_what_happens_again_is_joined_with_the_nearest():
    body = history([0, 1, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1, 1])
    assert passages(body, " appears") == [("1", "–"), ("6", "5")]
    assert passages(body, "disappears") == [("2", "–")]
    body = history([0, 0, 1, 0, 1, 1], [0, 1, 0, 1, 1, 1])
    assert passages(body, " appears") == [("2", "1"), ("4", "3")]
    assert passages(body, "disappears") == [("3", "2")]


def test_nothing_is_joined_over_something_nearer():
    body = history([0, 1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 1])
    assert passages(body, " appears") == [("1", "–"), ("3", "3"), ("–", "5")]
    assert passages(body, "disappears") == [("2", "4")]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_every_change_is_in_the_table_once(counts):
    measured, predicted = [m for m, _ in counts], [p for _, p in counts]
    body = history(measured, predicted)
    for column, numbers in ((3, measured), (5, predicted)):
        changes = [
            str(step)
            for step, (was, now) in enumerate(pairwise(numbers), 1)
            for _ in range(abs(now - was))
        ]
        assert sorted(row[column] for row in body if row[column] != "–") == sorted(changes)


def test_a_passage_of_the_edge_alone_is_no_transition_of_theory():
    timeline = Timeline()
    for each in (record(0, 0, 1, 1), record(1, 1, 1, 1), record(2, 1, 2, 2, before=1)):
        timeline.add(each)
    assert [(each.step, each.is_foreseen) for each in timeline.happenings] == [
        (1, False),
        (2, True),
    ]
    assert rows(timeline.happenings[1:])[1:] == [rows(timeline)[2]]


def test_a_block_that_is_probed_at_some_records_is_followed_over_the_gap():
    bare = Record(1, measured=Geometry(), predicted=Geometry())
    body, _ = table(record(0, 0, 1, near=True), bare, record(2, 1, 1))
    assert [row[3:] for row in body] == [("2", "2", "–", "–")]


def test_the_sides_of_the_bulk_are_apart():
    def both_sides(step, top, bottom):
        spectrum = Spectrum("hessian", "a", 9, OUTLIERS[:top], BELOW[:bottom], BULK)
        geometry = Geometry(spectra=(spectrum,))
        return Record(step, measured=geometry, predicted=geometry)

    body, _ = table(both_sides(0, 2, 0), both_sides(5, 0, 1))
    assert {row[2:] for row in body} == {
        ("an outlier disappears above the bulk (2 → 1)", "5", "5", "–", "–"),
        ("an outlier disappears above the bulk (1 → 0)", "5", "5", "–", "–"),
        ("an outlier appears below the bulk (0 → 1)", "5", "5", "–", "–"),
    }


def test_splits_that_are_forecast_and_predicted_belong_together_whatever_the_numbers():
    def forecast(step, *values, **fields):
        top = tuple(Eigenpair(value, 0.0) for value in values)
        spectrum = Spectrum("hessian", "a", 9, top, (), BULK)
        return Record(step, forecast=Geometry(spectra=(spectrum,)), **fields)

    split = Transition("hessian", "a", "top", "splits", 3, 3)
    body, _ = table(
        forecast(0, 3.0, 3.0), forecast(1, 3.0, 2.0), forecast(2, 3.0, 2.0, transitions=(split,))
    )
    assert [row[2:] for row in body] == [("two outliers split above the bulk", "–", "–", "2", "1")]


def test_splits_are_predicted_and_times_are_told():
    split = Transition("information", "b", "bottom", "splits", 2, 2)
    body, _ = table(Record(5, time=0.25, transitions=(split,)))
    assert body == [
        (
            "Information matrix",
            "b",
            "two outliers split below the bulk",
            "–",
            "–",
            "5 (t = 0.25)",
            "–",
        )
    ]
    assert table(Record(5, 2.0, transitions=(split,)))[0][0][5] == "5 (2 epochs)"


def test_failures_are_in_their_place_and_count_as_no_change():
    body, news = table(
        record(0, 1, 1, 1),
        Record(10, failures=(Failure("", "ValueError: a\n b"),)),
        record(20, 0, 1, 1),
    )
    assert [row[2:4] for row in body] == [
        ("probing failed: ValueError: a b", "10"),
        ("an outlier disappears above the bulk (1 → 0)", "20"),
    ]
    assert news == [False, True, True]


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated")
def test_marks_of_markdown_and_html_are_shown_as_they_are():
    from tensorboard.plugin_util import markdown_to_safe_html

    timeline = Timeline()
    reason = "<script>|x|</script> *a* _b_ [c](d) `e` \\f & ünï"
    timeline.add(Record(0, failures=(Failure("", reason),)))
    html = markdown_to_safe_html(markdown(timeline))
    assert "<script" not in html
    assert "<em>" not in html
    assert html.count("<td") == 7
    assert f"probing failed: {reason}" in unescape(html)


def test_any_records_will_do(any_records):
    timeline = Timeline()
    for each in any_records:
        timeline.add(each)
    assert all(len(row) == 7 for row in rows(timeline))
    assert len(timeline.failures) == sum(bool(each.failure) for each in any_records)


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_unknown_is_not_told(time):
    body, _ = table(replace(record(0), time=time), replace(record(5, 1), time=time))
    assert body[0][3] == "5"
