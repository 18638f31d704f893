"""A training on a disk that is too small says so in one line; with room again it goes on."""

import os

import pytest

from spectrain.cli import main
from spectrain.probes.records.codec import encode
from spectrain.probes.records.record_file import load

ARGUMENTS = [
    "--dimension=10", "--time=0.3", "--epochs=3", "--probe.eigenvalues=1", "--probe.smallest=1",
    "--probe.density=false",
]  # fmt: skip


def train(folder, *flags):
    return main(["train", *ARGUMENTS, "--folder", str(folder), *flags])


def held(folder):
    """The records but for the time they took, in an exact form."""
    contents = [encode(record) for record in load(folder).records]
    return [{**content, "seconds": {}} for content in contents]


@pytest.mark.slow
def test_a_training_on_a_full_disk_says_so_and_goes_on_with_room_again(
    small_disk, tmp_path, capsys
):
    """At ten sizes, from a page to one short of what it takes."""
    assert train(tmp_path / "whole") == 0
    files = [path for path in (tmp_path / "whole").iterdir() if path.is_file()]
    page = os.sysconf("SC_PAGESIZE")
    # With the one that is written beside a checkpoint before it takes its place.
    pages = sum(-(-path.stat().st_size // page) for path in files)
    for share in range(10):
        disk = small_disk((1 + share * (pages - 1) // 10) * page)
        folder = disk.folder / "run"
        capsys.readouterr()
        assert train(folder) == 1
        (line,) = capsys.readouterr().err.rstrip().splitlines()[-1:]
        assert "spectrain: error:" in line
        assert "No space left on device" in line
        assert str(folder) in line
        assert "--resume goes on from there" in line
        assert not list(folder.glob(".*.new"))
        disk.grow(4 * pages * page)
        assert train(folder, "--resume") == 0
        assert held(folder) == held(tmp_path / "whole")
