import math

from tensorboard.plugins.hparams import metadata

from spectrain.training.systems import SYSTEMS
from spectrain.views.sinks.hyper_parameters import METRICS, flat, hyper_parameters


def parsed(config):
    experiment, start = (each.metadata.plugin_data.content for each in hyper_parameters(config))
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
    assert [info.name.tag for info in experiment.metric_infos] == list(METRICS)


def test_runs_of_equal_configurations_stay_apart():
    """Those of one group would be one row."""
    assert parsed({"a": 1})[1].group_name == ""


def test_the_configuration_of_every_system_will_do():
    for config in SYSTEMS.values():
        _, start = parsed(config().to_dict())
        assert start.hparams["system"].string_value == config.system
        assert start.hparams["epochs"].number_value == config().epochs
        assert all(not math.isnan(value.number_value) for value in start.hparams.values())
