"""Two processes with unequal shares of the samples against one process with all of them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# All wait for launches of several processes.
pytestmark = pytest.mark.slow
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


@pytest.fixture(scope="module")
def found_by_three(tmp_path_factory):
    """Likewise of three processes, the last of which ends before its time."""
    if not torch.distributed.is_available():
        pytest.skip("torch is built without distributed")
    folder = tmp_path_factory.mktemp("three")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = [
        subprocess.Popen(
            [
                *(sys.executable, str(WORKER), str(folder)),
                *("differences", "empty_share", "skipped", "dies"),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **address,
                "OMP_NUM_THREADS": "1",
                "WORLD_SIZE": "3",
                "RANK": str(rank),
            },
        )
        for rank in range(3)
    ]
    try:
        said = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0, 0], said
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(3)]
    return {name: [rank[name] for rank in ranks if name in rank] for name in ranks[0]}


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


def test_where_one_runs_out_of_memory_all_take_smaller_parts(found):
    for errors, alike in found["memory"]:
        assert alike
        values = {path: e for path, e in errors.items() if ".density." not in path}
        assert {path: error for path, error in values.items() if error > 1e-10} == {}


def test_panels_are_as_wide_on_all(found):
    for value, width in found["agreed_width"]:
        assert value == pytest.approx(100, rel=1e-3)
        assert width == 3


def test_estimates_are_common(found):
    # Of the Hessian alone: the basis, and its images.
    assert found["estimate"] == [(12, 2 * 8 * 107 * 48)] * 2


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


def test_the_first_process_says_when_a_probing_is_due_and_when_its_time_is_over(found):
    first, second = found["kept_share"]
    assert first == second
    assert 1 < len(first) < 60
    assert all(failure == "" for *_, failure in first)
    assert first[0][1:3] == (0, 2)


def test_sharded_parameters_are_gathered_into_a_skeleton_and_let_go(found):
    for errors, stability, freed in found["fully_sharded"]:
        assert errors[".measured.spectra.top.value"] < 1e-10
        assert errors[".tracks.top.gradient"] < 1e-10
        assert stability == pytest.approx(0.05)
        assert freed


def same_on(values, last):
    """How a message tells of two values, the second that of the last process."""
    first = "process 0" if last == 1 else "processes 0 and 1"
    return f"expected the same on all processes, got {values[0]} on {first}, {values[1]} on process"


@pytest.mark.parametrize("processes", ["found", "found_by_three"])
class TestProcessesThatDiffer:
    """Of two, and of three."""

    def test_all_are_told_the_same(self, processes, request):
        every = request.getfixturevalue(processes)["differences"]
        last = len(every) - 1
        messages = every[0][0]
        alone = messages.pop("only one is wrong")
        for process, (own, next_one, kept) in enumerate(every):
            told = own.pop("only one is wrong", alone)
            assert own == messages
            expected = "ValueError: seed: expected at least 0, got -1"
            if process != last:
                expected = f"RuntimeError: failed on process {last}: {expected}"
            assert told == expected
            assert next_one == ""
            assert len(kept) == (4 if process == 0 else 0)

    def test_what_differs_is_named_with_the_processes(self, processes, request):
        every = request.getfixturevalue(processes)["differences"]
        last, told = len(every) - 1, every[0][0]
        each = ", ".join(f"{process} on process {process}" for process in range(last + 1))
        assert told["seed"] == (f"ValueError: seed: expected the same on all processes, got {each}")
        for name, start in {
            "eigenvalues": f"measurement.eigenvalues: {same_on((3, 4), last)}",
            "blocks": "blocks: expected the same on all processes",
            "number of blocks": "blocks: expected the same on all processes",
            "shapes": "parameter '0.weight': "
            + same_on(("torch.float64 of shape (8, 9)", "torch.float64 of shape (7, 9)"), last),
            "dtypes": "parameter '0.weight': "
            + same_on(("torch.float64 of shape (8, 9)", "torch.float32 of shape (8, 9)"), last),
            "frozen": "parameter '0.bias': ",
            "estimate": "parameter '3.weight': expected the same on all processes, got bits",
        }.items():
            assert told[name].startswith(f"ValueError: {start}"), name
        assert told["weights"].startswith("probing: ValueError: parameter '3.weight': expected")
        assert (
            "the probing at step 0 on process 0, the probing at step 1 on process 1"
            in (told["step"])
        )

    def test_one_without_samples_takes_part(self, processes, request):
        """The records are those of the one process that has them all."""
        for differences, _, nothing in request.getfixturevalue(processes)["empty_share"]:
            law = ".measured.spectra.density."
            for errors in differences:
                rest = {name: error for name, error in errors.items() if law not in name}
                assert {name: error for name, error in rest.items() if error > 1e-9} == {}
            assert nothing == (
                "sample: ValueError: sample: expected at least one sample on some process, "
                "got none on any"
            )

    def test_one_that_skips_a_call_is_missed_and_its_training_goes_on(self, processes, request):
        every = request.getfixturevalue(processes)["skipped"]
        last = len(every) - 1
        for process, (reasons, mean, kept, again) in enumerate(every):
            assert reasons[0] == again == ""
            assert len(reasons) == (3 if process < last else 2)
            for reason in reasons[1:]:
                assert reason.startswith(
                    f"probing: ProcessesLostError: processes: expected all {last + 1} at the "
                    "probing at step "
                )
                assert reason.endswith("one has ended, or did not call the probe")
            assert mean == last + 1  # the sum of ones that the training takes meanwhile
            assert kept == (3 if process == 0 else 0)
        assert f"Ranks {last} failed to pass" in every[0][0][1]


@pytest.mark.slow
def test_processes_that_remain_record_the_end_of_another(found_by_three):
    """It ends within a probing; that one and the next are recorded as failed, each once."""
    assert len(found_by_three["dies"]) == 2
    for process, (reasons, kept) in enumerate(found_by_three["dies"]):
        assert reasons[0] == ""
        for reason in reasons[1:]:
            assert reason.startswith("probing: ProcessesLostError: processes: expected all 3 at ")
            assert reason.count("ProcessesLostError") == 1
        assert kept == (3 if process == 0 else 0)
