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

from ..errors import ERROR_NAMES

__all__ = ["METRICS", "flat", "hyper_parameters"]

Value = str | float | bool

# Scalars that are shown beside the configuration, each with its last value; the tab begins with the
# first of them.
METRICS = (*(f"error/{name}" for name in ERROR_NAMES), "measured/loss", "measured/accuracy")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """One number, truth value or text for each key, those of inner mappings joined by points.

    Lists are written as JSON, None as "null", and numbers that are not finite as text.
    """
    return dict(_flat(config, prefix))


def hyper_parameters(config: Mapping[str, Any]) -> tuple[Summary.Value, ...]:
    """What the tab needs from one run.

    There is no word of how the run ended, since nobody knows that when it is killed; the metrics
    are scalars of the run itself.

    Args:
        config: resolved, of what YAML can hold.
    """
    values = flat(config)
    start = SessionStartInfo(start_time_secs=time.time())
    infos = []
    for name, value in values.items():
        kind, slot = _kind(value)
        setattr(start.hparams[name], slot, value)
        infos.append(api_pb2.HParamInfo(name=name, type=kind))
    metrics = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=tag), display_name=tag.removeprefix("error/")
        )
        for tag in METRICS
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return (
        _value(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _value(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
    )


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
