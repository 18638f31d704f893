import subprocess
import sys

import pytest
import yaml

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
    with open_run_folder(tmp_path, CONFIG, resume=True):
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


def test_what_a_killed_writer_of_a_checkpoint_left_goes_away(tmp_path):
    with open_run_folder(tmp_path, CONFIG, resume=False):
        pass
    (tmp_path / ".checkpoint.pt.123.new").write_bytes(b"half")
    with open_run_folder(tmp_path, CONFIG, resume=True) as files:
        assert sorted(path.name for path in files.path.iterdir()) == ["config.yaml", "lock"]


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
