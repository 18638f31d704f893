import math
from dataclasses import replace
from html import unescape

import pytest

from spectrain.probes.record import Geometry, Record, Transition
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum
from spectrain.views.timeline import Timeline, markdown, rows

BULK = Bulk(Edge(0, "square-root", 0.1, -0.2, 0), Edge(1, "square-root", 1.1, 1.5, 0))
OUTLIERS = (Eigenpair(3.0, 0.0), Eigenpair(2.0, 0.0))


def record(step, measured=0, predicted=0, forecast=0, before=None, **fields):
    """With so many outliers; the measured spectrum has two eigenvalues in any case."""
    inside = (Eigenpair(1.2, 0.0), Eigenpair(1.1, 0.0))

    def geometry(count, fill=()):
        top = (*OUTLIERS[:count], *fill[count:])
        return Geometry(spectra=(Spectrum("hessian", "a", 9, top, (), BULK),))

    changes = ()
    if before is not None and before != predicted:
        kind = "appears" if predicted > before else "disappears"
        changes = (Transition("hessian", "a", "right", kind, before, predicted),)
    return Record(
        step,
        measured=geometry(measured, inside),
        predicted=geometry(predicted),
        forecast=geometry(forecast),
        transitions=changes,
        **fields,
    )


def table(*records):
    timeline = Timeline()
    news = [timeline.add(each) for each in records]
    return rows(timeline)[1:], news


def test_one_transition_has_the_steps_at_which_it_was_measured_predicted_and_forecast():
    body, news = table(
        record(0), record(10, forecast=1), record(20, 0, 1, 1, before=0), record(30, 1, 1, 1)
    )
    assert body == [("Hessian", "a", "an outlier appears above the bulk (0 → 1)", "30", "20", "10")]
    assert news == [False, True, True, True]


def test_several_outliers_at_once_are_several_transitions():
    body, _ = table(record(0), record(10, 2, 1, before=0), record(20, 2, 2, before=1))
    assert [row[2:] for row in body] == [
        ("an outlier appears above the bulk (0 → 1)", "10", "10", "–"),
        ("an outlier appears above the bulk (1 → 2)", "10", "20", "–"),
    ]


def test_what_happens_again_is_paired_in_order():
    steps = [(0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 1), (4, 1, 0), (5, 1, 1)]
    before = [None, 0, 0, 0, 1, 0]
    body, _ = table(
        *(record(s, m, p, before=b) for (s, m, p), b in zip(steps, before, strict=True))
    )
    assert [row[3:5] for row in body] == [("1", "3"), ("2", "4"), ("3", "5")]


def test_splits_are_predicted_and_times_are_told():
    split = Transition("information", "b", "left", "splits", 2, 2)
    body, _ = table(Record(5, time=0.25, transitions=(split,)))
    assert body == [
        ("Information matrix", "b", "two outliers split below the bulk", "–", "5 (t = 0.25)", "–")
    ]
    assert table(Record(5, 2.0, transitions=(split,)))[0][0][4] == "5 (2 epochs)"


def test_failures_are_in_their_place_and_count_as_no_change():
    body, news = table(
        record(0, 1, 1, 1), Record(10, failure="ValueError: a\n b"), record(20, 0, 1, 1)
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
    timeline.add(Record(0, failure=reason))
    html = markdown_to_safe_html(markdown(timeline))
    assert "<script" not in html
    assert "<em>" not in html
    assert html.count("<td") == 6
    assert f"probing failed: {reason}" in unescape(html)


def test_any_records_will_do(any_records):
    timeline = Timeline()
    for each in any_records:
        timeline.add(each)
    assert all(len(row) == 6 for row in rows(timeline))
    assert len(timeline.failures) == sum(bool(each.failure) for each in any_records)


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_unknown_is_not_told(time):
    body, _ = table(replace(record(0), time=time), replace(record(5, 1), time=time))
    assert body[0][3] == "5"
