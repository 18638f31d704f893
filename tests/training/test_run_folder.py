import os
import subprocess
import sys

import pytest
import yaml

from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RecordFile
from spectrain.training.run_folder import open_run_folder

CONFIG = {"system": "s", "means": [[1.0, 1e-5]], "seed": 1}


def test_the_folder_is_created_with_its_configuration(tmp_path):
    path = tmp_path / "a" / "b"
    with open_run_folder(path, CONFIG, resume=False) as files:
        assert yaml.safe_load(files.config.read_text()) == CONFIG


def test_a_folder_with_a_run_is_refused_without_resume(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False):
        pass
    with (
        pytest.raises(ValueError, match="folder: expected one without a run"),
        open_run_folder(tmp_path, CONFIG, resume=False),
    ):
        pass
    with open_run_folder(tmp_path, CONFIG, resume=True) as files:
        assert files.path == tmp_path


def test_resuming_with_another_configuration_is_refused_by_key(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False):
        pass
    with (
        pytest.raises(ValueError, match=r"seed: expected 1, .* got 2"),
        open_run_folder(tmp_path, CONFIG | {"seed": 2}, resume=True),
    ):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(ValueError, match="folder: expected a folder"),
            open_run_folder(path, CONFIG, resume=False),
        ):
            pass


def test_what_a_killed_writer_left_goes_away(tmp_path):
    """Of a checkpoint, and of an event file out of which events are taken."""
    with open_run_folder(tmp_path, CONFIG, resume=False):
        pass
    (tmp_path / ".checkpoint.pt.123.new").write_bytes(b"half")
    (tmp_path / ".events.out.tfevents.1.host.2.0.123.new").write_bytes(b"half")
    with open_run_folder(tmp_path, CONFIG, resume=True) as files:
        assert sorted(path.name for path in files.path.iterdir()) == ["config.yaml", "lock"]


@pytest.mark.parametrize("name", ["lock", "config.yaml", "records.jsonl", "checkpoint.pt"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path, name):
    with open_run_folder(tmp_path, CONFIG, resume=False):
        pass
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with (
        pytest.raises(ValueError, match=r"folder: expected a file .* got something else there"),
        open_run_folder(tmp_path, CONFIG, resume=True),
    ):
        pass


def test_a_configuration_that_was_edited_is_not_that_of_the_records(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False) as files:
        RecordFile(files.records, CONFIG).close()
    edited = CONFIG | {"seed": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(edited))
    with (
        pytest.raises(ValueError, match=r"seed: expected 1, .* got 2"),
        open_run_folder(tmp_path, edited, resume=True),
    ):
        pass


@pytest.mark.parametrize("cut", [True, False])
def test_records_that_are_gone_are_told_before_anything_is_made_anew(tmp_path, cut):
    with open_run_folder(tmp_path, CONFIG, resume=False) as files:
        file = RecordFile(files.records, CONFIG)
        file.write(Record(0))
        file.close()
        files.require_records(file.offset)
        if cut:
            os.truncate(files.records, file.offset - 1)
        else:
            files.records.unlink()
        with pytest.raises(ValueError, match=f"expected the {file.offset} bytes of records that"):
            files.require_records(file.offset)


def test_a_folder_in_use_is_refused_until_its_process_dies(tmp_path):
    program = f"""
from spectrain.training.run_folder import open_run_folder
with open_run_folder({str(tmp_path)!r}, {CONFIG!r}, resume=False):
    print("open", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        with (
            pytest.raises(ValueError, match="folder: expected one that no other process uses"),
            open_run_folder(tmp_path, CONFIG, resume=True),
        ):
            pass
        process.kill()
        process.wait(timeout=60)
    with open_run_folder(tmp_path, CONFIG, resume=True):
        pass


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def records_to(folder, *steps):
    file = RecordFile(folder / "records.jsonl")
    for step in steps:
        file.write(Record(step))
    file.close()


def test_a_folder_that_is_not_there_has_no_run_to_go_on_with(tmp_path):
    for path, message in ((tmp_path / "none", "got no folder"), ("", "expected a path, got ''")):
        with (
            pytest.raises(ValueError, match=f"folder: expected .*{message}|folder: {message}"),
            open_run_folder(path, CONFIG, resume=True),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resume", [True, False])
def test_records_of_a_loop_of_ones_own_are_kept(tmp_path, resume):
    records_to(tmp_path, 0, 5)
    before = contents(tmp_path)
    with (
        pytest.raises(ValueError, match=r"folder: expected one without records, or with the conf"),
        open_run_folder(tmp_path, CONFIG, resume=resume),
    ):
        pass
    assert contents(tmp_path) == before


def test_an_empty_file_may_be_begun(tmp_path):
    (tmp_path / "records.jsonl").touch()
    with open_run_folder(tmp_path, CONFIG, resume=False) as files:
        assert yaml.safe_load(files.config.read_text()) == CONFIG


def test_records_beyond_the_first_epoch_are_not_begun_anew_without_a_checkpoint(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False) as files:
        records_to(tmp_path, 0, 5, 10)
        before = contents(tmp_path)
        with pytest.raises(ValueError, match="expected the checkpoint of a run with records to st"):
            files.begin_anew(5)
        assert contents(tmp_path) == before


def test_records_of_the_first_epoch_stay_until_they_are_written_again(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False) as files:
        records_to(tmp_path, 0, 3)
        longest = files.records.read_bytes()
        files.begin_anew(5)
        assert not files.records.exists()
        # Killed again, earlier.
        records_to(tmp_path, 0)
        files.begin_anew(5)
        aside = tmp_path / "records.first-epoch.jsonl"
        assert aside.read_bytes() == longest
        records_to(tmp_path, 0, 3, 5)
        files.begun()
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "lock", "records.jsonl"}


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "text"])
def test_a_stored_configuration_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with (
        pytest.raises(
            ValueError,
            match=r"config.yaml: expected (a configuration in YAML|keys and values), got",
        ),
        open_run_folder(tmp_path, CONFIG, resume=True),
    ):
        pass
    assert (tmp_path / "config.yaml").read_text() == text
