"""The demo, tiny, and at its real size with what it promises."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import spectrain
from spectrain.demo import FULL, QUICK, Programme, demo
from spectrain.figures import mixture
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.outliers import estimate, pairs
from spectrain.training.config import ProbeConfig
from spectrain.training.systems import SoftmaxMixtureConfig, TwoLayerMixtureConfig
from spectrain.views.comparisons import (
    bulk_distances,
    comparisons,
    count_agreements,
)
from spectrain.views.errors import errors
from spectrain.views.figures.run_figures import RUN_FIGURES
from spectrain.views.readings import landmarks

SCALE = mixture.Scale(50, 3, (4, 3), (2, 2))
# The same two systems with fewer directions, so that there is less to predict and to draw.
TINY = Programme(
    (
        SoftmaxMixtureConfig(dimension=50, epochs=3, probe=ProbeConfig(draws=2)),
        TwoLayerMixtureConfig(
            dimension=50,
            epochs=3,
            second_layer=(1.5, -1.5),
            start=((0.0, 0.2), (0.2, 0.0)),
            probe=ProbeConfig(draws=2),
        ),
    ),
    {figure.name: figure.draw for figure in mixture.figures_at(SCALE)},
)
SOFTMAX, TWO_LAYER = (training.system for training in FULL.trainings)
SYSTEMS = (SOFTMAX, TWO_LAYER)


class Shown:
    """What a demo left behind."""

    def __init__(self, folder, programme):
        self.runs, self.figures = folder / "runs", folder / "figures"
        lines = []
        demo(self.runs, self.figures, programme, lines.append)
        self.text = "\n".join(lines)
        self.records = {
            training.system: spectrain.load(self.runs / training.system).records
            for training in programme.trainings
        }


def slow(test):
    """A test that takes longer than the default suite may."""
    return pytest.mark.slow(pytest.mark.timeout(1500)(test))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Shown(tmp_path_factory.mktemp("tiny"), TINY)


@slow
def test_every_probing_is_recorded_and_none_failed(tiny):
    for training in TINY.trainings:
        records = tiny.records[training.system]
        assert [record.epoch for record in records] == [0, 1, 2, 3]
        assert [record.failure for record in records] == [""] * 4
        assert all(record.measured.spectra and record.predicted.spectra for record in records)
        assert all(record.forecast.gram.shape == record.measured.gram.shape for record in records)


@slow
def test_thorough_probings_are_at_the_start_in_the_middle_and_at_the_end(tiny):
    for training in TINY.trainings:
        draws = [
            len(record.measured.spectra[0].top[0].draws) for record in tiny.records[training.system]
        ]
        many = training.probe.draws
        assert draws == [many, many, 1, many]
    whole = [
        record.measured.spectrum("hessian", "first layer") is not None
        for record in tiny.records[TWO_LAYER]
    ]
    assert whole == [True, True, False, True]


@slow
def test_all_figures_are_drawn(tiny):
    names = [figure.name for figure in RUN_FIGURES]
    expected = {f"{system}-{name}" for system in SYSTEMS for name in names}
    expected |= {"static-transition", "phase-diagram"}
    expected -= {"two-layer-mixture-vector-maps"}  # of one block that is always measured
    for suffix in (".png", ".pdf"):
        files = {path.stem: path for path in tiny.figures.glob(f"*{suffix}")}
        assert set(files) == expected
        assert all(path.stat().st_size > 5000 for path in files.values())


@slow
def test_the_table_has_measured_and_predicted_of_both_systems(tiny):
    for system in SYSTEMS:
        assert f"{system}, d = 50, phi = 4" in tiny.text
    for words in (
        "measured",
        "predicted",
        "difference",
        "Quantities, of several numbers the worst",
        "Counts of outliers",
        "Kolmogorov distance",
    ):
        assert tiny.text.count(words) >= 2
    rows = [line for line in tiny.text.splitlines() if " hessian " in line and "%" in line]
    assert len(rows) >= 6


@slow
def test_it_says_where_things_are(tiny):
    assert f"spectrain board {tiny.runs}" in tiny.text
    assert str(tiny.figures) in tiny.text
    assert f"spectrain.load({str(tiny.runs / SOFTMAX)!r})" in tiny.text


@slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_board_has_measured_beside_predicted(tiny, system):
    sizes = {"scalars": 0, "tensors": 0, "images": 0}
    board = EventAccumulator(str(tiny.runs / system), size_guidance=sizes)
    board.Reload()
    tags = board.Tags()
    scalars = set(tags["scalars"])
    block = "class_0" if system == SOFTMAX else "unit_0"
    for matrix in ("hessian", "information"):
        assert any(tag.startswith(f"measured/{matrix}/{block}/top_1") for tag in scalars)
        assert any(tag.startswith(f"predicted/{matrix}/{block}/") for tag in scalars)
    assert {"measured/loss", "predicted/loss", "forecast/loss", "measured/accuracy"} <= scalars
    steps = [record.step for record in tiny.records[system]]
    for tag in ("measured/loss", "predicted/loss"):
        events = board.Scalars(tag)
        assert [event.step for event in events] == steps
    values = [record.measured.loss for record in tiny.records[system]]
    assert [event.value for event in board.Scalars("measured/loss")] == pytest.approx(values)
    assert "custom_scalars__config__" in tags["tensors"]
    assert "gram" in tags["images"]
    assert any(tag.startswith("spectra/") for tag in tags["images"])


def test_the_quick_demo_is_the_full_one_made_smaller():
    for quick, full in zip(QUICK.trainings, FULL.trainings, strict=True):
        assert quick == replace(full, dimension=quick.dimension, epochs=quick.epochs)
        assert quick.dimension < full.dimension
        assert quick.epochs < full.epochs


@slow
def test_a_picture_of_somebody_else_is_refused_before_anything_is_trained(tmp_path):
    picture = tmp_path / f"{TINY.trainings[0].system}-spectra.png"
    picture.write_bytes(b"of somebody else")
    with pytest.raises(ValueError, match="output: expected a new file or a former picture"):
        demo(tmp_path / "runs", tmp_path, TINY, lambda line: None)
    assert list(tmp_path.iterdir()) == [picture]
    assert picture.read_bytes() == b"of somebody else"


def test_a_folder_with_a_demo_is_refused_before_anything_is_trained(tiny):
    with pytest.raises(ValueError, match="folder: expected one without a run"):
        demo(tiny.runs, tiny.figures, TINY, lambda line: None)


# The promises, at the real size.

DIMENSION = 1000


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return Shown(tmp_path_factory.mktemp("full"), FULL)


def promise(test):
    """A test of the full demo, for each system."""
    return slow(pytest.mark.parametrize("system", SYSTEMS)(test))


@promise
def test_full_no_probing_failed(full, system):
    records = full.records[system]
    assert len(records) >= 31
    assert [(record.step, record.failure) for record in records if record.failure] == []


@promise
def test_full_every_clear_outlier_is_found(full, system):
    """At the first, middle and last epoch there is a measured eigenvalue of its rank, beyond the
    edge of the bulk itself."""
    missed = []
    for record in landmarks(full.records[system]):
        for predicted in record.predicted.spectra:
            measured = record.measured.spectrum(predicted.matrix, predicted.block)
            for side, sign in (("top", 1), ("bottom", -1)):
                edge = predicted.bulk.upper if sign > 0 else predicted.bulk.lower
                found = pairs(measured, side)
                for rank, pair in enumerate(pairs(predicted, side)):
                    if sign * pair.value <= sign * edge.detection:
                        continue
                    value = estimate(found[rank])[0] if rank < len(found) else math.nan
                    if not sign * value > sign * edge.finite_size:
                        missed.append((record.time, predicted.matrix, predicted.block, side, rank))
    assert missed == []


@promise
def test_full_means_over_draws_are_within_five_percent_or_four_standard_errors(full, system):
    draws = {SOFTMAX: 4, TWO_LAYER: 8}[system]
    clear = [row for row in comparisons(full.records[system]) if row.clear]
    assert len({row.step for row in clear}) == 3
    assert {row.draws for row in clear} == {draws}
    off = [
        (row.time, row.matrix, row.block, row.side, row.rank, row.measured, row.predicted)
        for row in clear
        if not abs(row.difference) < 0.05 and not abs(row.measured - row.predicted) < 4 * row.error
    ]
    assert off == []


@promise
def test_full_counts_agree_at_ninety_percent_of_the_decided_probings(full, system):
    rows = count_agreements(full.records[system])
    share = sum(row.agreeing for row in rows) / sum(row.decided for row in rows)
    assert share >= 0.9, rows


bulk_bounds = pytest.mark.parametrize(
    ("matrix", "bound"), [("hessian", 0.02), ("information", 0.03)]
)


@promise
@bulk_bounds
def test_full_bulks_are_near_on_average(full, system, matrix, bound):
    """In the mean over the probings of each block.

    The whole first layer is left out: its spectrum piles up near zero more sharply than the nodes
    of Lanczos can resolve, and its distance (.03, .19) is that of the quadrature.
    """
    rows = [row for row in bulk_distances(full.records[system]) if row.matrix == matrix]
    resolved = [row for row in rows if row.block != "first layer"]
    assert len(resolved) >= 3
    assert [row for row in resolved if not row.mean <= bound] == []


@slow
@bulk_bounds
@pytest.mark.xfail(strict=True, reason="Lanczos does not resolve the first layer near zero")
def test_full_the_first_layer_is_near(full, matrix, bound):
    """The bound that the other blocks keep; here the quadrature's own error is larger."""
    rows = [row for row in bulk_distances(full.records[TWO_LAYER]) if row.matrix == matrix]
    assert [row for row in rows if row.block == "first layer" and not row.mean <= bound] == []


@slow
@bulk_bounds
@pytest.mark.xfail(strict=True, reason="one sample's exact law is itself further away for XOR")
def test_full_xor_bulks_are_near_at_every_probing(full, matrix, bound):
    """The mean over probings keeps the bound; single probings do not."""
    rows = [row for row in bulk_distances(full.records[TWO_LAYER]) if row.matrix == matrix]
    units = [row for row in rows if row.block != "first layer"]
    assert [row for row in units if not row.largest <= bound] == []


@slow
@bulk_bounds
def test_full_softmax_bulks_are_near_at_every_probing(full, matrix, bound):
    """Not so for XOR: there the exact law of a single sample is up to .02 (.04) away by itself."""
    rows = [row for row in bulk_distances(full.records[SOFTMAX]) if row.matrix == matrix]
    assert len(rows) == 3
    assert [row for row in rows if not row.largest <= bound] == []


@promise
def test_full_the_gram_matrix_stays_near_its_forecast(full, system):
    largest = [errors(record)["gram"] for record in full.records[system]]
    assert max(largest) * math.sqrt(DIMENSION) < 5


@promise
def test_full_there_are_transitions(full, system):
    kinds = [change.kind for record in full.records[system] for change in record.transitions]
    assert kinds


@slow
def test_full_the_softmax_transitions_are_where_theory_has_them(full):
    """Class 0: 3 outliers until t = 3.1, 2 until 11.7, then 1; information 1 until 3.7, then 0.

    The run deviates from the dynamics by O(d^(-1/2)), and is probed every .67: one epoch either
    way, and what the deviation makes of it.
    """
    counts = {"hessian": [], "information": []}
    for record in full.records[SOFTMAX]:
        for matrix, found in counts.items():
            found.append((record.time, len(record.predicted.spectrum(matrix, "class 0").top)))

    def last(matrix, count):
        return max(time for time, number in counts[matrix] if number >= count)

    assert last("hessian", 3) == pytest.approx(3.1, abs=1.4)
    assert last("hessian", 2) == pytest.approx(11.7, abs=1.4)
    assert last("hessian", 1) == pytest.approx(20.0, abs=0.1)
    assert last("information", 1) == pytest.approx(3.7, abs=1.4)


@slow
def test_full_the_network_learns_xor(full):
    losses = [record.measured.loss for record in full.records[TWO_LAYER]]
    assert losses[-1] < losses[0] / 2


@slow
def test_full_curvature_is_without_the_ridge():
    """At the origin the mean eigenvalue of a class block is (1/C)(1 - 1/C) E|Y|^2 / d, measured
    and predicted: (2/9)(1/d + 1/snr) = .0743. The ridge would add .05.
    """
    config = FULL.trainings[0]
    assert config.optimiser.ridge > 0
    system = config.build(torch.Generator().manual_seed(0))
    with torch.no_grad():
        system.model.weight.zero_()
    batch = system.probe_sample(torch.Generator().manual_seed(1))
    record = SpectralProbe(
        system.model, system.loss, batch, theory=system.theory, blocks=system.blocks
    )(0)
    for geometry in (record.measured, record.predicted):
        density = geometry.spectrum("hessian", "class 0").density
        mean = _mean(density)
        assert mean == pytest.approx(2 / 9 * (1 / DIMENSION + 1 / 3), rel=0.02)


def _mean(density):
    """Integral of lam dF, by parts."""
    points, law = density.points, density.cumulative
    return points[-1] - float(np.trapezoid(law, points))


@slow
def test_the_demo_leaves_nothing_outside_its_folders(tiny):
    assert {path.name for path in Path(tiny.runs).parent.iterdir()} == {"runs", "figures"}
