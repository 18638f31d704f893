import math

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from spectrain.views.sinks.event_file import EventFile
from spectrain.views.sinks.scalar_summary import scalar_summary

SCALARS = {"a": 0.0, "é/ü": -1.5, "t" * 300: 1e-30, "inf": 1e300, "b" * 17000: math.pi}


@pytest.mark.parametrize("names", [[], ["a"], list(SCALARS), list(reversed(SCALARS))])
def test_it_is_what_messages_say(names):
    scalars = {name: SCALARS[name] for name in names}
    found = Summary.FromString(scalar_summary(scalars)).value
    assert [value.tag for value in found] == names
    with np.errstate(over="ignore"):
        expected = [float(np.float32(value)) for value in scalars.values()]
    assert [value.simple_value for value in found] == expected
    messages = [Summary.Value(tag=name, simple_value=x) for name, x in scalars.items()]
    assert scalar_summary(scalars) == Summary(value=messages).SerializeToString()


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 16_383, 16_384, 3_000_000])
def test_an_event_of_any_length_is_read_back(tmp_path, length):
    """Lengths have seven bits in a byte."""
    file = EventFile(tmp_path)
    others = [Summary.Value(tag="x" * length)] if length else []
    file.write(others, 7, {"a": 2.5} if length % 2 else {})
    file.close()
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    first = 16 + int.from_bytes(data[:8], "little")
    event = Event.FromString(data[first + 12 : -4])
    assert event.step == 7
    assert event.HasField("summary")
    scalars = [Summary.Value(tag="a", simple_value=2.5)] if length % 2 else []
    assert list(event.summary.value) == [*scalars, *others]
