"""The tab HParams: the configuration of each run beside its latest errors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

from ...probes.records.numbers import quantity_numbers
from ...probes.records.record import Record
from ..errors import error_names
from .scalars import tag

__all__ = ["flat", "hyper_parameters", "metrics"]

Value = str | float | bool


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """One number, truth value or text for each key, those of inner mappings joined by points.

    Lists are written as JSON, None as "null", and numbers that are not finite as text.
    """
    return dict(_flat(config, prefix))


def hyper_parameters(config: Mapping[str, Any]) -> tuple[Summary.Value, ...]:
    """What the tab needs to show a run, from its start on.

    There is no word of how the run ended, since nobody knows that when it is killed.

    Args:
        config: resolved, of what YAML can hold.
    """
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in flat(config).items():
        setattr(start.hparams[name], _kind(value)[1], value)
    return (_value(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),)


def metrics(config: Mapping[str, Any], record: Record) -> tuple[Summary.Value, ...]:
    """What the tab shows of a run beside its configuration: scalars, each with its last value.

    Those are the errors that records like this one have, and their measured numbers; the tab begins
    with the first.

    Args:
        config: as `hyper_parameters` takes it.
        record: the first that did not fail.
    """
    infos = [
        api_pb2.HParamInfo(name=name, type=_kind(value)[0]) for name, value in flat(config).items()
    ]
    singles = (
        tag(number)
        for number in quantity_numbers(record)
        if number.kind == "measured" and number.name == number.quantity
    )
    tags = [f"error/{name}" for name in error_names(record)]
    tags += [f"measured/{name}" for name in singles]
    found = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=each), display_name=each.removeprefix("error/")
        )
        for each in tags
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=found)
    return (_value(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),)


def _flat(value: Any, name: str) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield name, str(value)
    elif isinstance(value, str | int | float):
        yield name, value
    else:
        yield name, json.dumps(value, default=str)


def _kind(value: Value) -> tuple[int, str]:
    """The type of the tab's column, and the field that holds its values."""
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL, "bool_value"
    if isinstance(value, str):
        return api_pb2.DATA_TYPE_STRING, "string_value"
    return api_pb2.DATA_TYPE_FLOAT64, "number_value"


def _value(tag: str, data: HParamsPluginData) -> Summary.Value:
    return Summary.Value(
        tag=tag, tensor=metadata.NULL_TENSOR, metadata=metadata.create_summary_metadata(data)
    )
