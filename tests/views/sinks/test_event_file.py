import os
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as ServerAccumulator,
)
from tensorboard.compat.proto.summary_pb2 import Summary

from spectrain.views.sinks.event_file import EventFile
from spectrain.views.sinks.void_events import take_out


def value(tag, number):
    return Summary.Value(tag=tag, simple_value=number)


def scalars(folder, tag):
    events = EventAccumulator(str(folder)).Reload().Scalars(tag)
    return [(event.step, event.value) for event in events]


def test_what_is_written_is_read_while_the_file_is_open(tmp_path):
    file = EventFile(tmp_path / "new" / "folder with ünïcode")
    for step in range(3):
        file.write([value("a", step / 2), value("b", 1.0)], step)
        (path,) = file_paths(tmp_path / "new" / "folder with ünïcode")
        assert scalars(path.parent, "a") == [(s, s / 2) for s in range(step + 1)]
    file.close()
    file.close()


def file_paths(folder):
    return sorted(folder.glob("events.out.tfevents.*"))


def test_a_disk_that_is_full_for_a_while_costs_no_event(tmp_path, monkeypatch):
    file = EventFile(tmp_path)
    file.write([value("a", 0.0)], 0)
    write = os.write

    def short(descriptor, data):
        if len(data) <= 5:
            raise OSError("disk full")
        return write(descriptor, data[:5])

    with monkeypatch.context() as patched:
        patched.setattr("os.write", short)
        for step in (1, 2):
            with pytest.raises(OSError, match="disk full"):
                file.write([value("a", 0.0)], step)
        # What came short is not in the file.
        assert scalars(tmp_path, "a") == [(0, 0.0)]
    file.write([value("a", 0.0)], 3)
    file.close()
    assert [step for step, _ in scalars(tmp_path, "a")] == [0, 1, 2, 3]


def test_a_later_file_makes_void_what_earlier_ones_hold_from_its_step_on(tmp_path):
    for number, purge in enumerate((None, 5, 8, 3)):
        file = EventFile(tmp_path, purge)
        for step in range(purge or 0, 10):
            file.write([value("a", number)], step)
        file.close()
    assert scalars(tmp_path, "a") == [(s, 0.0 if s < 3 else 3.0) for s in range(10)]
    assert len(file_paths(tmp_path)) == 4


def test_a_later_file_is_read_behind_an_event_that_was_cut_off(tmp_path):
    """As by a process that was killed while it wrote."""
    file = EventFile(tmp_path)
    for step in range(3):
        file.write([value("a", 0.0)], step)
    file.close()
    (path,) = file_paths(tmp_path)
    os.truncate(path, path.stat().st_size - 5)
    file = EventFile(tmp_path, purge_step=2)
    file.write([value("a", 1.0)], 2)
    file.close()
    assert scalars(tmp_path, "a") == [(0, 0.0), (1, 0.0), (2, 1.0)]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        EventFile(tmp_path / "file")


def written(folder, steps, purge_step=None):
    file = EventFile(folder, purge_step)
    for step in steps:
        file.write([value("a", float(step))], step)
    file.close()


def steps_in(accumulator):
    return [event.step for event in accumulator.Reload().Tensors("a")]


@pytest.mark.parametrize("clock", [0.0, -3600.0, 3600.0])
def test_no_step_stands_twice_and_none_is_missing_after_a_resume(tmp_path, monkeypatch, clock):
    """For a server that was there all the time, and for one that comes later."""
    written(tmp_path, range(6))
    watching = ServerAccumulator(str(tmp_path))
    assert steps_in(watching) == [*range(6)]
    now = time.time
    monkeypatch.setattr("time.time", lambda: now() + clock)
    written(tmp_path, range(3, 8), purge_step=3)
    monkeypatch.setattr("time.time", now)
    assert steps_in(watching) == [*range(8)]
    written(tmp_path, range(5, 9), purge_step=5)
    assert steps_in(watching) == [*range(9)]
    assert steps_in(ServerAccumulator(str(tmp_path))) == [*range(9)]
    assert [step for step, _ in scalars(tmp_path, "a")] == [*range(9)]
    events = [e for path in file_paths(tmp_path) for e in EventFileLoader(str(path)).Load()]
    assert [event.step for event in events if event.HasField("summary")] == [*range(9)]


def test_event_files_of_others_stay_as_they_are(tmp_path):
    written(tmp_path, range(4))
    (ours,) = file_paths(tmp_path)
    first = next(iter(EventFileLoader(str(ours)).Load()))
    assert first.source_metadata.writer == "spectrain"
    # The same events by another program.
    other = tmp_path / "events.out.tfevents.0000000001.other"
    data = ours.read_bytes()
    name = b"spectrain"
    assert data.count(name) == 1
    other.write_bytes(data.replace(name, b"somebody1"))
    before = other.read_bytes()
    for nothing in (b"", b"short", b"\xff" * 100):
        path = tmp_path / f"events.out.tfevents.0000000002.{len(nothing)}"
        path.write_bytes(nothing)
    take_out(other, 1)
    assert other.read_bytes() == before
    for path in file_paths(tmp_path)[:-1]:
        content = path.read_bytes()
        take_out(path, 0)
        assert path.read_bytes() == content
    take_out(ours, 2)
    assert [e.step for e in EventFileLoader(str(ours)).Load() if e.HasField("summary")] == [0, 1]
