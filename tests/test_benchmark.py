"""What the benchmark of curvature compares with must itself be right."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from spectrain.probes.records.version1 import direction, quantities


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))


def test_dense_hessian_of_softmax_in_closed_form_and_by_rows(scripts):
    from benchmarks.problems import Problem, softmax

    problem = softmax(12, 40, 3)
    by_rows = Problem(*(getattr(problem, name) for name in Problem.__dataclass_fields__)).hessian
    torch.testing.assert_close(by_rows, problem.hessian, atol=1e-6, rtol=0)


def test_covariance_is_of_the_gradients(scripts):
    """Of softmax regression: g_l = (p_l - y_l) (x) Y_l."""
    from benchmarks.problems import softmax

    problem = softmax(6, 30, 3)
    p = torch.softmax(problem.model(problem.inputs).detach().double(), -1)
    p[torch.arange(30), problem.targets] -= 1
    gradients = (p[:, :, None] * problem.inputs.double()[:, None]).flatten(1)
    expected = torch.cov(gradients.T, correction=0)
    torch.testing.assert_close(problem.gradient_covariance, expected, atol=1e-5, rtol=0)


def test_law_of_a_quadrature_rule(scripts):
    """At a node, half of its mass counts; runs are averaged."""
    from benchmarks.peers import steps_law

    law = steps_law([[2.0, 0.0], [1.0, np.nan]], [[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_allclose(law(np.array([-1.0, 0.0, 2.0, 3.0])), [0, 0.1875, 0.9375, 1])


def test_peak_memory_of_an_array(scripts):
    from benchmarks.memory import peak_memory

    try:
        grown = peak_memory(lambda: torch.ones(2**24))
    except OSError as reason:
        pytest.skip(f"the kernel keeps no account of peaks: {reason}")
    assert grown == pytest.approx(2**26, rel=0.1)


def test_logging_is_timed_sink_by_sink(scripts, monkeypatch, tmp_path, capsys):
    from benchmarks import logging

    from spectrain.probes.records.record import Geometry, Record

    record = Record(
        0,
        reference=(direction("x0"),),
        measured=Geometry(quantities(gram=np.ones((1, 1)), loss=0.5)),
    )
    monkeypatch.setattr(logging, "_record", lambda: record)
    monkeypatch.setattr(logging, "REPEATS", 2)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # without W&B
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "print_beside", lambda commit, folder, epochs: None)
    logging.run(argparse.Namespace(epochs=1))
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[0].strip("| ") for row in rows[2:]] == [
        title for name, title in logging.TITLES.items() if name != "wandb"
    ]
    assert all(float(cell) >= 0 for row in rows[2:] for cell in row[1:5])
    kilobytes = float(rows[2][5].strip("| "))
    assert kilobytes == pytest.approx(0.8, abs=0.4)
    assert list(tmp_path.iterdir()) == []


def test_a_build_says_what_the_board_takes(scripts, tmp_path):
    from benchmarks.one_board import measure

    from spectrain import RecordFile
    from spectrain.probes.records.record import Geometry, Record

    file = RecordFile(tmp_path / "records.jsonl")
    gram = quantities(gram=np.ones((1, 1)), loss=0.5)
    for step in range(2):
        reference = (direction("x0"),)
        file.write(Record(step, step, reference=reference, measured=Geometry(gram)))
    file.close()
    found = measure(tmp_path)
    assert found.keys() == {"record", "pictures"}
    assert all(np.isfinite(seconds) for seconds in found.values())


def test_dynamics_in_two_times_is_the_contour(scripts):
    """Gradient descent at infinite width by matrices of responses and correlations."""
    from benchmarks.linear_models import dynamical_mean_field

    from spectrain.theory.linear.algorithm import Algorithm
    from spectrain.theory.linear.loss_curves import loss_curves
    from spectrain.theory.linear.problem import LinearProblem

    s = np.arange(1, 31.0) ** -1.2
    problem = LinearProblem(s / s.sum(), np.arange(1, 31.0) ** -0.4, noise=0.1, samples=20.0)
    train, test = dynamical_mean_field(problem, 1.5, 40)
    found = loss_curves(problem, Algorithm("gd", 1.5), range(41))
    np.testing.assert_allclose(train, found.train, rtol=1e-9)
    np.testing.assert_allclose(test, found.test, rtol=1e-9)


@pytest.mark.slow
def test_record_files_are_measured_build_by_build(scripts, tmp_path, capsys):
    from benchmarks import one_build, records

    from spectrain.probes.records.record import Geometry, Record
    from spectrain.probes.records.record_file import RecordFile

    file = RecordFile(tmp_path / "records.jsonl")
    for step in range(2):
        file.write(Record(step, measured=Geometry(quantities(gram=np.ones((20, 20)), loss=0.5))))
    file.close()
    try:
        found = one_build.measure(tmp_path)
    except OSError as reason:
        pytest.skip(f"the kernel keeps no account of peaks: {reason}")
    assert found["records"] == 2
    assert found["bytes"] == (tmp_path / "records.jsonl").stat().st_size
    # 211 rows a record: eight numbers of 8 bytes and five pointers each.
    assert found["table held"] > 2 * 211 * 13 * 8
    assert found["table"] >= found["table held"]
    assert {each.name for each in tmp_path.iterdir()} == {"records.jsonl", "one", "many"}
    assert found["tab"] > 0
    before = {**found, "bytes": 10 * found["bytes"], "many": 4e8}
    records.print_table("any", before, {**found, "many": 2e8})
    lines = capsys.readouterr().out.splitlines()
    (size,) = (line for line in lines if line.startswith("| file"))
    assert size.split("|")[4:6] == [" 0.100 ", " 0.20 "]
    assert lines[-1] == "1,000 records are within the 300 MB allowed"


def test_an_earlier_build_is_that_of_its_commit(scripts):
    from benchmarks.earlier import TODAY, build_of, run_with

    try:
        with build_of("HEAD") as folder:
            assert (folder / "src/spectrain/probes").is_dir()
            printed = run_with(folder, "spectrain.moved")
    except (OSError, ValueError) as reason:
        pytest.skip(f"there is no history here: {reason}")
    assert printed == ""
    assert not folder.exists()
    with pytest.raises(ValueError, match="commit: expected one of this repository"), build_of("no"):
        pass
    assert Path(__file__).parents[1] == TODAY


@pytest.mark.slow
def test_a_device_is_checked_against_the_cpu(scripts, capsys):
    """The CPU against itself: every number is the same."""
    from device_check import main

    assert main(["--device", "cpu", "--quick"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[4:]]
    assert len(rows) == 6
    assert all(float(row[4]) <= 1e-6 for row in rows)


def test_predictions_of_a_training_are_timed_probing_by_probing(scripts):
    from benchmarks.demo_predictions import demo_grams
    from benchmarks.one_prediction import seconds

    from spectrain.training.systems.two_layer_mixture import TwoLayerMixtureConfig

    config = TwoLayerMixtureConfig(
        dimension=20, time=0.4, epochs=1, second_layer=(1.5,), start=((0.0, 0.2),)
    )
    grams = demo_grams(config)
    assert np.shape(grams) == (2, 5, 5)
    assert np.all(np.array(grams[0])[1:, 1:] == np.array(grams[1])[1:, 1:])  # means stay
    taken = seconds(config, grams)
    assert {name: len(each) for name, each in taken.items()} == {"predictions": 2, "forecasts": 2}
    assert all(each > 0 for both in taken.values() for each in both)
