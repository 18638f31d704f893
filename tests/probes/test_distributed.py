"""Two processes with unequal shares of the samples against one process with all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("processes.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each check found on each process; one launch for all of them."""
    if not torch.distributed.is_available():
        pytest.skip("torch is built without distributed")
    folder = tmp_path_factory.mktemp("processes")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(WORKER), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return {name: [rank[name] for rank in ranks] for name in ranks[0]}


def test_a_product_is_that_of_all_samples_for_one_all_reduce(found):
    for errors, reductions in found["products"]:
        assert max(errors.values()) < 1e-13
        assert len(errors) == 4
        assert set(reductions.values()) == {1}


@pytest.mark.parametrize("check", ["distributed_data_parallel", "head"])
def test_records_of_two_processes_are_those_of_one(found, check):
    """Spectra, densities, scores, errors, overlaps and tracks, on both of them.

    A cumulative at a converged eigenvalue is that before or after its jump, as rounding has it.
    """
    for errors in found[check]:
        law = ".measured.spectra.density."
        assert errors[law + "points"] < 1e-10
        assert errors[law + "cumulative"] < 1 / 60
        rest = {path: error for path, error in errors.items() if not path.startswith(law)}
        assert {path: error for path, error in rest.items() if error > 1e-10} == {}


def test_panels_are_as_wide_on_all(found):
    for value, width in found["agreed_width"]:
        assert value == pytest.approx(100, rel=1e-3)
        assert width == 3


def test_estimates_are_common(found):
    assert found["estimate"] == [(2 * 12, 2 * 8 * 107 * 48)] * 2  # the basis, and its images


def test_training_is_the_same_to_the_bit(found):
    """Dropout, momentum, and a step under autocast."""
    assert found["zero_bits"] == [True, True]


def test_what_fails_on_one_process_fails_on_all_with_its_reason_and_nothing_hangs(found):
    (first, kept), (second, kept_by_second) = found["failures"]
    assert first[0] == "sample: RuntimeError: failed on process 1: OSError: no data today"
    assert second[0] == "sample: OSError: no data today"
    assert "process 1: ValueError: loss: expected a finite number" in first[1]
    assert first[2] == second[2] == ""
    assert first[3] == "RuntimeError: failed on process 1: OSError: out of luck"
    assert second[3] == "OSError: out of luck"
    assert (kept, kept_by_second) == (3, 0)


def test_a_broken_sink_of_the_first_process_stops_all(found):
    assert found["broken_sink"] == [
        "OSError: disk full",
        "RuntimeError: failed on process 0: OSError: disk full",
    ]


def test_every_process_draws_its_own_samples(found):
    (first, alone), (second, same_alone) = found["draws"]
    assert first == alone == same_alone
    assert second != first


def test_sharded_parameters_are_gathered_into_a_skeleton_and_let_go(found):
    for errors, stability, freed in found["fully_sharded"]:
        assert errors[".measured.spectra.top.value"] < 1e-10
        assert errors[".tracks.top.gradient"] < 1e-10
        assert stability == pytest.approx(0.05)
        assert freed
