"""Calls by executors: processes, a dask cluster, workers that are lost."""

import multiprocessing
import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.record_file import load
from spectrain.training.config import ProbeConfig
from spectrain.training.ensemble import ensemble
from spectrain.training.executors import outcomes
from spectrain.training.systems import SYSTEMS
from spectrain.training.systems.mixture_sweeps import snr_sweep
from spectrain.training.systems.softmax_mixture import SoftmaxMixtureConfig

LOW_RANK = SYSTEMS["low-rank"](
    **{"size": 12, "eigenvalues": (1.0, 0.5), "factors": 3, "measurements": 60, "steps": 20},
    **{"epochs": 1, "dtype": "float64", "scale": 1e-3, "probe": ProbeConfig(smallest=4)},
)


class LosesWorkers(Executor):
    """Whose second worker dies, and with it all that is asked for later."""

    def __init__(self):
        self.calls = 0

    def submit(self, function, /, *arguments, **keys):
        self.calls += 1
        if self.calls > 2:
            raise BrokenProcessPool("a worker was killed")
        future = Future()
        if self.calls == 2:
            future.set_exception(BrokenProcessPool("a worker was killed"))
        else:
            future.set_result(function(*arguments, **keys))
        return future


def double(number):
    if number < 0:
        raise ValueError(f"number: expected at least 0, got {number}")
    return 2 * number


def test_every_call_is_done_wherever_it_is_done():
    calls = [(number,) for number in range(5)]
    assert dict(outcomes(double, calls)) == {k: 2 * k for k in range(5)}
    with ThreadPoolExecutor(2) as pool:
        assert dict(outcomes(double, calls, pool)) == {k: 2 * k for k in range(5)}
        with pytest.raises(ValueError, match="number: expected at least 0"):
            list(outcomes(double, [(1,), (-1,)], pool))


def test_what_is_lost_with_a_worker_is_done_again():
    with pytest.warns(RuntimeWarning, match="lost 4 of 5 calls"):
        found = dict(outcomes(double, [(number,) for number in range(5)], LosesWorkers()))
    assert found == {k: 2 * k for k in range(5)}


def same_means(one, other):
    for ours, theirs in zip(one.records, other.records, strict=True):
        for quantity in ours.measured.quantities:
            expected = theirs.measured.quantity(quantity.name)
            np.testing.assert_allclose(quantity.values, expected.values, rtol=1e-9, atol=1e-12)


def test_an_ensemble_that_loses_workers_is_whole(tmp_path):
    with pytest.warns(RuntimeWarning, match="lost 2 of 3 calls"):
        (found,) = ensemble(LOW_RANK, tmp_path / "lost", seeds=3, executor=LosesWorkers())
    (expected,) = ensemble(LOW_RANK, tmp_path / "here", seeds=3)
    same_means(found, expected)


def killed_at_first(marker, number):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


@pytest.mark.slow
def test_processes_give_the_same_ensemble_and_sweep_and_may_be_killed(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    softmax = SoftmaxMixtureConfig(dimension=24, dtype="float64")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        (found,) = ensemble(LOW_RANK, tmp_path / "there", seeds=3, executor=pool)
        swept = snr_sweep(softmax, np.array([0.5, 8.0]), executor=pool)
    (expected,) = ensemble(LOW_RANK, tmp_path / "here", seeds=3)
    same_means(found, expected)
    for ours, theirs in zip(
        swept.records, snr_sweep(softmax, np.array([0.5, 8.0])).records, strict=True
    ):
        assert ours.measured.loss == theirs.measured.loss
    calls = [(str(tmp_path / "marker"), number) for number in range(3)]
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.warns(RuntimeWarning, match="lost 3 of 3 calls"):
        done = dict(outcomes(killed_at_first, calls, pool))
    pool.shutdown()
    assert done == {0: 0, 1: 2, 2: 4}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dask_cluster_gives_the_same_ensemble_and_goes_on_without_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
    with ExitStack() as stack:
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            )
        )
        client = stack.enter_context(distributed.Client(cluster))
        executor = client.get_executor(pure=False)
        (first,) = ensemble(LOW_RANK, tmp_path / "there", seeds=2, executor=executor)
        for nanny in list(cluster.workers.values())[:1]:
            os.kill(nanny.pid, signal.SIGKILL)
        more = replace(LOW_RANK, seed=2)
        (second,) = ensemble(more, tmp_path / "less", seeds=3, executor=executor)
        # A cluster that is closed while it starts a worker anew waits for it without end.
        client.wait_for_workers(2)
    same_means(first, ensemble(LOW_RANK, tmp_path / "here", seeds=2)[0])
    same_means(second, ensemble(more, tmp_path / "again", seeds=3)[0])
    assert len(load(tmp_path / "less" / "members" / "seed-4.jsonl").records) == 2
