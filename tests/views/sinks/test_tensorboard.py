import math
import re
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata as hparams

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.probes.records.record_file import RECORDS, RecordFile
from spectrain.probes.records.version1 import direction, quantities
from spectrain.theory.matrix_kind import kind_named
from spectrain.theory.spectrum import Eigenpair, Spectrum
from spectrain.views.sinks.histograms import histograms
from spectrain.views.sinks.layout import layout
from spectrain.views.sinks.scalars import safe, scalars
from spectrain.views.sinks.tensorboard import TensorBoardSink


def changed(geometry, name, **fields):
    """The geometry with other fields of one of its quantities."""
    each = (replace(q, **fields) if q.name == name else q for q in geometry.quantities)
    return replace(geometry, quantities=tuple(each))


def read(folder):
    guidance = {"scalars": 0, "tensors": 0, "histograms": 0, "images": 0}
    return EventAccumulator(str(folder), size_guidance=guidance).Reload()


def write(folder, records, **options):
    sink = TensorBoardSink(folder, **{"figures_every": 0} | options)
    for record in records:
        sink.write(record)
    sink.close()
    return read(folder)


LINES = ("measured", "lower", "upper")


def charts(events):
    """The charts of the last layout, by category."""
    last = Layout.FromString(
        events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0]
    )
    return {category.title: category.chart for category in last.category}


def margins(events):
    """The tags of every margin chart, by title; of blocks, with the name of the category."""
    return {
        chart.title if title == "Gram" else f"{title}: {chart.title}": [
            tag
            for series in chart.margin.series
            for tag in (series.value, series.lower, series.upper)
        ]
        for title, found in charts(events).items()
        for chart in found
        if chart.margin.series
    }


def texts(events):
    return {
        event.step: event.tensor_proto.string_val[0].decode()
        for event in events.Tensors("timeline/text_summary")
    }


def test_values_read_back_are_those_of_the_records(tmp_path, records):
    events = write(tmp_path, records)

    def series(tag):
        return {event.step: event.value for event in events.Scalars(tag)}

    expected = {
        "measured/hessian/class_0/top_1": lambda r: r.measured.spectra[0].top[0].value,
        "predicted/hessian/class_0/top_1": lambda r: r.predicted.spectra[0].top[0].value,
        "forecast/hessian/class_0/top_1": lambda r: r.forecast.spectra[0].top[0].value,
        "measured/information/class_2/bottom_2": lambda r: r.measured.spectra[5].bottom[1].value,
        "measured/hessian/class_0/overlap_top_1": lambda r: r.measured.spectra[0].top[0].overlap,
        "predicted/hessian/class_0/upper_edge": lambda r: (
            r.predicted.spectra[0].bulk.upper.finite_size
        ),
        "detection/hessian/class_0/lower_edge": lambda r: (
            r.predicted.spectra[0].bulk.lower.detection
        ),
        "measured/gram/x0.mu1": lambda r: r.measured.gram[0, 4],
        "predicted/gram/x0.mu1": lambda r: r.forecast.gram[0, 4],
        "forecast/gram/x0.mu1": lambda r: r.forecast.gram[0, 4],
        "measured/loss": lambda r: r.measured.loss,
        "predicted/loss": lambda r: r.predicted.loss,
        "forecast/accuracy": lambda r: r.forecast.accuracy,
        "seconds/theory": lambda r: r.seconds["theory"],
    }
    for tag, value in expected.items():
        values = series(tag)
        assert sorted(values) == [record.step for record in records]
        for record in records:
            assert values[record.step] == pytest.approx(value(record), rel=1e-6), tag


def test_every_predicted_tag_has_its_measured_twin(tmp_path, records, network_records):
    for name, run in (("softmax", records), ("network", network_records)):
        tags = set(write(tmp_path / name, run).Tags()["scalars"])
        predicted = {tag.partition("/")[2] for tag in tags if tag.startswith("predicted/")}
        forecast = {tag.partition("/")[2] for tag in tags if tag.startswith("forecast/")}
        measured = {tag.partition("/")[2] for tag in tags if tag.startswith("measured/")}
        assert predicted <= measured
        assert forecast <= predicted
        assert {"loss", "accuracy", "gram/x0.mu0"} <= predicted


def test_resuming_leaves_one_value_a_step(tmp_path, records):
    write(tmp_path, records[:5])
    others = [
        replace(record, measured=changed(record.measured, "loss", values=np.array(7.0)))
        for record in records[3:]
    ]
    events = write(tmp_path, others, purge_step=records[3].step)
    losses = {event.step: event.value for event in events.Scalars("measured/loss")}
    assert len(events.Scalars("measured/loss")) == len(records)
    assert [losses[record.step] for record in records[3:]] == [7.0] * len(others)
    assert losses[records[2].step] == pytest.approx(records[2].measured.loss)
    assert "Hessian, class 0: top 1 in its band" in margins(events)


def test_many_writers_within_a_second_are_read_in_order(tmp_path, records):
    """Event files of one second sort by a counter as text: 10 comes before 9."""
    for writer in range(3):
        other = replace(
            records[0],
            measured=changed(records[0].measured, "loss", values=np.array(float(writer))),
        )
        events = write(tmp_path, [other], purge_step=records[0].step)
    assert [event.value for event in events.Scalars("measured/loss")] == [2.0]
    names = sorted(path.name for path in tmp_path.glob("events.*"))
    assert len({name.split(".")[3] for name in names}) == len(names)


def test_one_timeline_grows_with_transitions_and_failures(tmp_path, records):
    transition = Transition("hessian", "class 0", "bottom", "splits", 2, 2)
    events = write(
        tmp_path,
        [
            *records,
            Record(10_000, transitions=(transition,)),
            Record(20_000, failures=(Failure("", "boom"),)),
        ],
    )
    found = texts(events)
    assert {r.step for r in records if r.transitions} | {10_000, 20_000} <= set(found)
    sizes = [text.count("\n") for _, text in sorted(found.items())]
    assert sizes == sorted(sizes)
    last = found[20_000]
    assert "an outlier disappears above the bulk (3 → 2)" in last
    assert "two outliers split below the bulk" in last
    assert "| probing failed: boom | 20000 |" in last
    assert not {"transitions/text_summary", "failures/text_summary"} & set(events.Tags()["tensors"])


def test_a_run_that_went_on_has_the_timeline_and_layout_of_one_that_never_stopped(
    tmp_path, records
):
    """The first records are the only ones with some outliers, hence with some bands."""
    whole = write(tmp_path / "whole", records, dimension=80)
    parted = tmp_path / "parted"
    write(parted, records[:5], dimension=80)
    file = RecordFile(parted / RECORDS)
    for record in records[:5]:
        file.write(record)
    file.close()
    events = write(parted, records[3:], purge_step=records[3].step, dimension=80)
    assert max(texts(events)) == max(texts(whole)) > records[3].step in texts(events)
    assert texts(events)[max(texts(events))] == texts(whole)[max(texts(whole))]
    assert charts(events) == charts(whole)


def test_histograms_are_those_of_the_records(tmp_path, records):
    events = write(tmp_path, records)
    tags = set(events.Tags()["histograms"])
    assert tags == set(histograms(records[0]))
    assert {tag.replace("measured/", "predicted/") for tag in tags} <= tags
    for tag in tags:
        read_back = events.Histograms(tag)
        assert [event.step for event in read_back] == [record.step for record in records]
        for event, record in zip(read_back, records, strict=True):
            expected = histograms(record)[tag]
            found = event.histogram_value
            np.testing.assert_allclose(found.bucket, expected.counts, rtol=1e-6)
            np.testing.assert_allclose(found.bucket_limit, expected.edges[1:], rtol=1e-5)
            assert found.min == pytest.approx(expected.edges[0])
            assert found.num == pytest.approx(expected.counts.sum())


def test_every_curve_in_a_band_has_its_bounds_at_the_same_steps(tmp_path, records):
    """The tab shows an error in their place otherwise: outliers come and go."""
    events = write(tmp_path, records, dimension=80)
    found = margins(events)
    assert "Hessian, class 0: top 3 in its band" in found
    assert {"x0.x0", "Numbers: loss in its band"} <= set(found)
    partial = 0
    for tags in found.values():
        assert [tag.rpartition("/")[2] for tag in tags] == list(LINES)
        steps = [[event.step for event in events.Scalars(tag)] for tag in tags]
        assert steps[0] == steps[1] == steps[2] != []
        partial += len(steps[0]) < len(records)
        for measured, lower, upper in zip(*(events.Scalars(tag) for tag in tags), strict=True):
            assert lower.value <= upper.value
            assert math.isfinite(measured.value)
    assert partial


def test_hyper_parameters_are_there_from_the_start_without_a_run_of_their_own(tmp_path, records):
    config = {"optimiser": {"ridge": 0.05}, "training_samples": None, "flag": True}
    sink = TensorBoardSink(tmp_path, figures_every=0, config=config)
    found = read(tmp_path)
    start = found.SummaryMetadata(hparams.SESSION_START_INFO_TAG).plugin_data.content
    values = hparams.parse_session_start_info_plugin_data(start).hparams
    assert values["optimiser.ridge"].number_value == 0.05
    assert values["flag"].bool_value is True
    # A run that is killed here has them, and the errors of its last record.
    for record in records:
        sink.write(record)
    found = read(tmp_path)
    shown = found.SummaryMetadata(hparams.EXPERIMENT_TAG).plugin_data.content
    metrics = hparams.parse_experiment_plugin_data(shown).metric_infos
    assert {info.name.tag for info in metrics} <= set(found.Tags()["scalars"])
    assert len(metrics) > 10
    last = found.Scalars("error/hessian/bulk")[-1]
    assert last.step == records[-1].step
    assert last.value == pytest.approx(scalars(records[-1])["error/hessian/bulk"])
    assert all(path.is_file() for path in tmp_path.iterdir())
    sink.close()


@pytest.mark.slow
def test_pictures_are_written_on_their_schedule(tmp_path, records):
    events = write(tmp_path, records, figures_every=4)
    assert set(events.Tags()["images"]) == {
        "gram",
        "spectra/class_0",
        "spectra/class_1",
        "spectra/class_2",
    }
    steps = [event.step for event in events.Images("gram")]
    assert steps == [r.step for r in records if r.epoch % 4 == 0]
    assert events.Images("gram")[0].encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.slow
def test_pictures_without_epochs_go_by_count(tmp_path, records):
    run = [replace(record, epoch=math.nan) for record in records[:4]]
    events = write(tmp_path, run, figures_every=3)
    assert [event.step for event in events.Images("gram")] == [run[0].step, run[3].step]


def test_sink_takes_any_records(tmp_path, any_records):
    events = write(tmp_path, any_records)
    for tag in events.Tags()["scalars"]:
        assert all(math.isfinite(event.value) for event in events.Scalars(tag))


@pytest.mark.slow
def test_sink_draws_any_record(tmp_path, any_records):
    write(tmp_path, any_records[:2], figures_every=1)


def test_numbers_that_are_not_finite_are_left_out():
    pair = Eigenpair(math.nan, 0.0)
    spectrum = Spectrum("hessian", "all", 1, (pair,), ())
    geometry = Geometry(quantities(gram=np.full((1, 1), math.inf)), (spectrum,))
    assert scalars(Record(0, reference=(direction("x0"),), measured=geometry)) == {}


def test_bands_are_two_standard_errors_wide(records):
    record = records[3]
    found = scalars(record, dimension=400)
    pair = record.measured.spectra[0].top[0]
    predicted = record.predicted.spectra[0].top[0].value
    name = "hessian/class_0/top_1"
    assert found[f"band/{name}/upper"] == pytest.approx(predicted + 2 * pair.sampling_error)
    assert found[f"band/{name}/lower"] == pytest.approx(predicted - 2 * pair.sampling_error)
    assert found["band/gram/x0.x1/upper"] - found["band/gram/x0.x1/lower"] == pytest.approx(0.2)
    assert "band/gram/x0.x1/upper" not in scalars(record)
    known = np.full((6, 6), 0.07)
    known[1, 1] = math.nan
    with_bands = replace(record, forecast=changed(record.forecast, "gram", band=known))
    found = scalars(with_bands, dimension=400)
    for name, half in (("x0.x1", 0.14), ("x1.x1", 0.1)):
        upper, lower = found[f"band/gram/{name}/upper"], found[f"band/gram/{name}/lower"]
        assert upper - lower == pytest.approx(2 * half)


def test_measured_edge_is_the_last_eigenvalue_inside(records):
    record = records[0]
    top = record.measured.spectra[0].top
    assert len(record.predicted.spectra[0].top) == 3
    assert scalars(record)["measured/hessian/class_0/upper_edge"] == top[3].value


def test_tags_are_safe():
    assert safe("class 0") == "class_0"
    assert safe("layers.0/weight [all]") == "layers.0/weight_all_"


def test_layout_overlays_measured_and_predicted(records):
    tags = scalars(records[0], 80)
    places = [(kind_named(each.matrix), each.block) for each in records[0].measured.spectra]
    entries = [tag.removeprefix("measured/") for tag in tags if tag.startswith("measured/gram/x")]
    shown = {"loss": ["loss"], "accuracy": ["accuracy"], "gram": entries}
    charts = layout(places, shown, tags)
    assert list(charts)[:2] == ["Hessian, class 0", "Information matrix, class 0"]
    for title, category in charts.items():
        for kind, names in category.values():
            for name in names:
                if kind == "Margin":
                    assert name in tags
                else:
                    shown = {tag.split("/")[0] for tag in tags if re.match(name, tag)}
                    alone = {"error"} if title == "Largest deviations from theory" else set()
                    assert shown == alone or {"measured", "predicted"} <= shown or "bottom" in name
    assert list(charts["Hessian, class 0"])[-3:] == [
        f"top {rank} in its band" for rank in (1, 2, 3)
    ]
    assert charts["Gram"]["x0.mu1"] == [
        "Margin",
        [f"band/gram/x0.mu1/{line}" for line in LINES],
    ]


def test_the_layout_follows_what_there_is(tmp_path, records):
    """It is written when there are new tags, such as those of an outlier that appeared."""
    events = write(
        tmp_path,
        [Record(0, failures=(Failure("", "boom"),)), *reversed(records)],
        dimension=80,
    )
    steps = [event.step for event in events.Tensors("custom_scalars__config__")]
    assert 2 <= len(steps) < len(records)
    assert charts(events) == charts(write(tmp_path / "again", reversed(records), dimension=80))


def test_schedule_is_checked(tmp_path):
    with pytest.raises(ValueError, match="figures_every: expected a whole number of at least 0"):
        TensorBoardSink(tmp_path, figures_every=-1)


def test_closing_twice_does_nothing(tmp_path):
    sink = TensorBoardSink(tmp_path)
    sink.close()
    sink.close()
