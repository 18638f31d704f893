import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import yaml

import spectrain
from spectrain.probes.records.codec import encode
from spectrain.training.config import ProbeConfig
from spectrain.training.run import run
from spectrain.training.systems import SoftmaxMixtureConfig, TwoLayerMixtureConfig
from spectrain.training.systems.mixture_config import OptimiserConfig

PROBE = ProbeConfig(eigenvalues=2, smallest=1)
SOFTMAX = SoftmaxMixtureConfig(
    dimension=40,
    time=0.6,
    epochs=3,
    probe=PROBE,
    optimiser=OptimiserConfig(ridge=0.05, momentum=0.5, batch_size=2),
)
TWO_LAYER = TwoLayerMixtureConfig(
    dimension=40,
    time=1.2,
    epochs=3,
    probe=PROBE,
    second_layer=(1.0,),
    start=(),
    second_layer_rate=0.5,
    training_samples=7,
)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, folder, first_step):
        self.folder = folder
        self.first_step = first_step
        self.steps = []
        self.closed = False

    def write(self, record):
        self.steps.append(record.step)

    def close(self):
        self.closed = True


def comparable(result):
    """The records without the only field that two equal runs differ in, in an exact form."""
    return [encode(replace(record, seconds={})) for record in result.records]


def parts(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]


def assert_same_state(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_state(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same_state(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b or (a != a and b != b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    sinks = []

    def sink(path, first_step):
        sinks.append(Kept(path, first_step))
        return sinks[-1]

    return folder, run(SOFTMAX, folder, sinks=[sink]), sinks[0]


def test_there_is_a_record_at_the_start_and_after_every_epoch(whole):
    folder, result, sink = whole
    steps = [epoch * SOFTMAX.steps_per_epoch for epoch in range(4)]
    assert [record.step for record in result.records] == steps
    assert [record.epoch for record in result.records] == [0, 1, 2, 3]
    assert all(record.failure == "" for record in result.records)
    assert sink.steps == steps
    assert (sink.folder, sink.first_step, sink.closed) == (folder, 0, True)


def test_a_sink_that_fails_costs_a_warning_and_nothing_else(tmp_path, whole):
    class Down(Kept):
        def write(self, record):
            raise ConnectionError("no network")

    with pytest.warns(RuntimeWarning, match="ConnectionError: no network") as warned:
        result = run(SOFTMAX, tmp_path / "run", sinks=[Down])
    assert len(warned) == len(result.records)
    assert comparable(result) == comparable(whole[1])


def test_the_folder_holds_configuration_and_records(whole):
    folder, result, _ = whole
    loaded = spectrain.load(folder)
    assert loaded.config == SOFTMAX.to_dict()
    assert comparable(loaded) == comparable(result)


# Where the process is killed: in the first epoch, in the second, after the second epoch's record
# was written but before its checkpoint, and in the third.
KILLER = """
import os, signal
from spectrain.training.run import run
from spectrain.training.callbacks import Callback
from test_run import SOFTMAX, Kept

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class AtStep(Callback):
    def on_step_end(self, step, epoch):
        if step == {step}:
            die()

class AtRecord(Kept):
    def write(self, record):
        if record.step == {record}:
            die()

run(SOFTMAX, {folder!r}, sinks=[AtRecord], callbacks=[AtStep()])
"""


@pytest.mark.parametrize(
    ("step", "record", "finished"),
    [
        pytest.param(5, -1, 0, marks=pytest.mark.slow),
        (SOFTMAX.steps_per_epoch + 3, -1, 1),
        pytest.param(-1, 2 * SOFTMAX.steps_per_epoch, 1, marks=pytest.mark.slow),
        pytest.param(2 * SOFTMAX.steps_per_epoch + 3, -1, 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_and_resumed_run_is_the_uninterrupted_one(
    step, record, finished, whole, tmp_path, request
):
    program = KILLER.format(step=step, record=record, folder=str(tmp_path))
    killed = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=request.path.parent,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9
    sinks = []

    def sink(path, first_step):
        sinks.append(Kept(path, first_step))
        return sinks[-1]

    result = run(SOFTMAX, tmp_path, resume=True, sinks=[sink])
    folder, expected, _ = whole
    assert comparable(result) == comparable(expected)
    assert_same_state(parts(tmp_path), parts(folder))
    per_epoch = SOFTMAX.steps_per_epoch
    first = finished * per_epoch + 1 if finished else 0
    assert sinks[0].first_step == first
    assert sinks[0].steps == [step for step in (n * per_epoch for n in range(4)) if step >= first]


def test_a_finished_run_can_be_resumed_to_no_effect(whole):
    folder, result, _ = whole
    before = (folder / "records.jsonl").read_bytes()
    assert comparable(run(SOFTMAX, folder, resume=True)) == comparable(result)
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_folder_with_a_run_is_refused(whole):
    folder, _, _ = whole
    with pytest.raises(ValueError, match="folder: expected one without a run"):
        run(SOFTMAX, folder)
    with pytest.raises(ValueError, match="seed: expected 0"):
        run(replace(SOFTMAX, seed=1), folder, resume=True)


@pytest.mark.slow
def test_fixed_data_and_a_trained_second_layer(tmp_path):
    result = run(TWO_LAYER, tmp_path)
    assert len(result.records) == 4
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["training_samples"] == 7
    second_layer = parts(tmp_path)["model"]["second_layer"]
    assert not torch.equal(second_layer, torch.tensor(TWO_LAYER.second_layer))


@pytest.mark.slow
def test_a_second_layer_of_rate_zero_stays(tmp_path):
    run(replace(TWO_LAYER, second_layer_rate=0.0), tmp_path)
    second_layer = parts(tmp_path)["model"]["second_layer"]
    assert torch.equal(second_layer, torch.tensor(TWO_LAYER.second_layer))


def test_training_is_the_same_whatever_is_probed(whole, tmp_path):
    folder, _, _ = whole
    run(replace(SOFTMAX, probe=ProbeConfig(eigenvalues=1, density=False)), tmp_path)
    for name in ("model", "optimiser", "data"):
        assert_same_state(parts(tmp_path)[name], parts(folder)[name])


def test_a_diverging_training_stops_with_what_was_measured(tmp_path):
    config = replace(
        SOFTMAX, dtype="float32", optimiser=OptimiserConfig(1e30, ridge=1.0), time=5e30
    )
    with pytest.raises(FloatingPointError, match=r"loss: .* at step \d+ \(epoch 1\)"):
        run(config, tmp_path)
    assert [record.step for record in spectrain.load(tmp_path).records] == [0]


def test_bad_input_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="device: expected one that torch can use here"):
        run(replace(SOFTMAX, device="abacus"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
