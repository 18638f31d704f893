import os

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary

from spectrain.views.sinks.event_file import EventFile


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
