"""Two processes that train through each library measure what one measures on all samples."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("processes.py")
pytestmark = pytest.mark.timeout(600)
LIBRARIES = ["ignite", "accelerate", "transformers", "lightning"]
# A model in parts, by fully_shard; on the CPU accelerate shards none, nor does transformers.
SHARDED = ["sharded_ignite", "sharded_accelerate", "sharded_lightning"]


def launched(folder, *names):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(WORKER), str(folder), *names],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return {name: [rank[name] for rank in ranks] for name in names}


def judge(first, second):
    """The first process wrote three records; the last is of all samples at the last weights."""
    assert [each["step"] for each in first.written] == [0, 3, 6]
    assert second.written == []
    assert first.alone == second.alone  # the weights are the same
    names = [
        f"measured/{m}/all/{e}" for m in ("hessian", "information") for e in ("top_1", "top_2")
    ]
    for name in ("measured/loss", "measured/hessian/all/bottom_1", *names):
        assert first.written[-1][name] == pytest.approx(first.alone[name], rel=1e-4), name


@pytest.mark.slow
def test_a_probe_on_the_optimiser_of_each(tmp_path):
    judge(*launched(tmp_path, "plain")["plain"])


@pytest.mark.slow
def test_a_sharded_model_needs_a_skeleton_and_is_then_measured_whole(tmp_path):
    every = launched(tmp_path, "sharded_plain")["sharded_plain"]
    judge(*every)
    for each in every:
        assert each.said.startswith("model: expected whole parameters, got 0.weight and others (4)")
        assert "skeleton=" in each.said


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    for name in LIBRARIES:
        if os.environ.get("REQUIRE_INTEGRATIONS"):
            __import__(name)
        else:
            pytest.importorskip(name)
    return launched(tmp_path_factory.mktemp("processes"), *LIBRARIES, *SHARDED)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LIBRARIES + SHARDED)
def test_through_each_library(found, name):
    judge(*found[name])


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_all_processes_of_lightning_can_monitor_the_same_numbers(found):
    first, second = found["lightning"]
    assert first.monitored == second.monitored
    assert first.monitored == pytest.approx(first.written[-1]["measured/hessian/all/top_1"])
