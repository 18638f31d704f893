import math
from dataclasses import replace

from tensorboard.plugins.hparams import metadata

from spectrain.probes.records.record import Record
from spectrain.training.systems import SYSTEMS
from spectrain.views.sinks.hyper_parameters import flat, hyper_parameters, metrics
from spectrain.views.sinks.scalars import scalars


def parsed(config, record=None):
    values = *metrics(config, record or Record(0)), *hyper_parameters(config)
    experiment, start = (each.metadata.plugin_data.content for each in values)
    return (
        metadata.parse_experiment_plugin_data(experiment),
        metadata.parse_session_start_info_plugin_data(start),
    )


def test_inner_keys_are_joined_and_lists_are_text():
    config = {"a": {"b": 1, "c": {"d": True}}, "e": [1, [2.5]], "f": None, "g": "x", "h": {}}
    assert flat(config) == {"a.b": 1, "a.c.d": True, "e": "[1, [2.5]]", "f": "null", "g": "x"}
    assert flat({"limit": math.inf}) == {"limit": "inf"}


def test_each_value_keeps_its_type():
    experiment, start = parsed({"rate": 0.5, "on": False, "name": "ünï <b>", "size": 3})
    values = {name: value.WhichOneof("kind") for name, value in start.hparams.items()}
    assert values == {
        "rate": "number_value",
        "on": "bool_value",
        "name": "string_value",
        "size": "number_value",
    }
    assert start.hparams["name"].string_value == "ünï <b>"
    assert {info.name: info.type for info in experiment.hparam_infos} == {
        "rate": 3,
        "on": 2,
        "name": 1,
        "size": 3,
    }
    assert list(experiment.metric_infos) == []


def test_metrics_are_what_a_run_has(records):
    """None of them is an empty column, and none that may come is missing."""
    (shown, _) = parsed({}, records[0])
    tags = [info.name.tag for info in shown.metric_infos]
    assert {"error/hessian/outliers", "error/loss", "measured/accuracy"} <= set(tags)
    found = {tag for record in records for tag in scalars(record)}
    assert set(tags) <= found
    assert {tag for tag in found if tag.startswith("error/")} <= set(tags)
    bare = replace(records[0], predicted=None, forecast=None)
    (shown, _) = parsed({}, bare)
    assert [info.name.tag for info in shown.metric_infos] == ["measured/loss", "measured/accuracy"]


def test_runs_of_equal_configurations_stay_apart():
    """Those of one group would be one row."""
    assert parsed({"a": 1})[1].group_name == ""


def test_the_configuration_of_every_system_will_do():
    for config in SYSTEMS.values():
        _, start = parsed(config().to_dict())
        assert start.hparams["system"].string_value == config.system
        assert start.hparams["epochs"].number_value == config().epochs
        assert all(not math.isnan(value.number_value) for value in start.hparams.values())
