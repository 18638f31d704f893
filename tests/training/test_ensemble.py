"""Ensembles: members against single runs, means and bands, what is refused, resumed and redone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.probes.records.record_file import load
from spectrain.theory.geometry import Geometry
from spectrain.theory.mixture.mixture_theory import MixtureTheory
from spectrain.training.config import ProbeConfig
from spectrain.training.ensemble import ensemble
from spectrain.training.run import run
from spectrain.training.systems import SYSTEMS
from spectrain.training.systems.mixture_config import OptimiserConfig

PROBE = ProbeConfig(eigenvalues=3, smallest=2)
SHORT = {"dimension": 24, "epochs": 2, "time": 2.0, "dtype": "float64", "probe": PROBE}
MOMENTUM = OptimiserConfig(batch_size=2, ridge=0.05, momentum=0.5)
LOW_RANK = {
    **{"size": 12, "eigenvalues": (1.0, 0.5), "factors": 3, "measurements": 60, "steps": 20},
    **{"epochs": 2, "dtype": "float64", "scale": 1e-3, "probe": ProbeConfig(smallest=4)},
}
CONFIGS = {
    "softmax": SYSTEMS["softmax-mixture"](**SHORT),
    "logistic": SYSTEMS["logistic-mixture"](**SHORT),
    "two layers": SYSTEMS["two-layer-mixture"](**SHORT),
    "passes, momentum": SYSTEMS["two-layer-mixture"](
        **SHORT,
        second_layer_rate=0.5,
        hidden_bias=(0.1, 0.0, 0.2, 0.0),
        optimiser=MOMENTUM,
        training_samples=33,
    ),
    "low rank": SYSTEMS["low-rank"](**LOW_RANK),
}


@pytest.fixture
def measured_alone(monkeypatch):
    """Predictions, which what is measured does not depend on, take nearly all the time."""
    monkeypatch.setattr(MixtureTheory, "predict", lambda *_, **__: Geometry())
    monkeypatch.setattr(MixtureTheory, "forecast", lambda *_: None)


def pairs(spectrum):
    return (*spectrum.top, *spectrum.bottom)


def assert_same(record, single):
    """What was measured, to rounding."""
    assert (record.step, record.epoch, record.time) == (single.step, single.epoch, single.time)
    assert not record.failures
    assert not single.failures
    assert [q.name for q in record.measured.quantities] == [
        q.name for q in single.measured.quantities
    ]
    for one, other in zip(record.measured.quantities, single.measured.quantities, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-9, atol=1e-11)
        if other.errors is not None:
            np.testing.assert_allclose(one.errors, other.errors, rtol=1e-9, atol=1e-11)
    names = [(s.matrix, s.block, s.size) for s in single.measured.spectra]
    assert [(s.matrix, s.block, s.size) for s in record.measured.spectra] == names
    for one, other in zip(record.measured.spectra, single.measured.spectra, strict=True):
        assert len(one.top) == len(other.top)
        scale = abs(other.top[0].value)
        for ours, theirs in zip(pairs(one), pairs(other), strict=True):
            assert abs(ours.value - theirs.value) < 1e-9 * scale
            assert ours.overlap == pytest.approx(theirs.overlap, abs=1e-6, nan_ok=True)
            np.testing.assert_allclose(ours.alignment, theirs.alignment, atol=1e-6)
        np.testing.assert_allclose(
            one.density.eigenvalues, other.density.eigenvalues, atol=1e-9 * scale
        )


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("measured_alone")
def test_a_member_is_its_single_run(name, tmp_path):
    config = CONFIGS[name]
    (found,) = ensemble(config, tmp_path / "many", seeds=2)
    for seed in (0, 1):
        member = load(tmp_path / "many" / "members" / f"seed-{seed}.jsonl")
        single = run(replace(config, seed=seed), tmp_path / str(seed))
        assert member.config == single.config
        for record, expected in zip(member.records, single.records, strict=True):
            assert_same(record, expected)
    assert len(found.records) == 3


@pytest.mark.usefixtures("measured_alone")
def test_single_precision_and_sampling_errors_agree_too(tmp_path):
    config = SYSTEMS["softmax-mixture"](**(SHORT | {"dtype": "float32"}))
    ensemble(config, tmp_path / "many", seeds=1)
    (*_, ours) = load(tmp_path / "many" / "members" / "seed-0.jsonl").records
    (*_, theirs) = run(config, tmp_path / "one").records
    for one, other in zip(ours.measured.spectra, theirs.measured.spectra, strict=True):
        for pair, expected in zip(one.top, other.top, strict=True):
            assert pair.value == pytest.approx(expected.value, rel=1e-4)
        # The resolvent in it is that of all eigenvalues here, and of a random frame there.
        assert one.top[0].sampling_error == pytest.approx(other.top[0].sampling_error, rel=0.1)


def test_the_folder_holds_means_and_bands_with_one_prediction_from_the_mean(tmp_path):
    config = replace(CONFIGS["logistic"], epochs=1)
    (found,) = ensemble(config, tmp_path, seeds=3)
    members = [load(tmp_path / "members" / f"seed-{seed}.jsonl") for seed in range(3)]
    theory = config.build(torch.Generator().manual_seed(0)).theory
    for place, record in enumerate(found.records):
        own = [member.records[place].measured for member in members]
        for quantity in record.measured.quantities:
            values = np.array([each.quantity(quantity.name).values for each in own])
            np.testing.assert_allclose(quantity.values, values.mean(0), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(quantity.band, values.std(0, ddof=1), rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(quantity.errors, quantity.band / 3**0.5, rtol=1e-6)
        for spectrum in record.measured.spectra:
            of_runs = [each.spectrum(spectrum.matrix, spectrum.block) for each in own]
            for rank, pair in enumerate(spectrum.top):
                draws = [each.top[rank].value for each in of_runs]
                np.testing.assert_array_equal(pair.draws, draws)
                assert pair.value == pytest.approx(np.mean(draws))
            mean = np.mean([each.density.eigenvalues for each in of_runs], axis=0)
            np.testing.assert_allclose(spectrum.density.eigenvalues, mean, atol=1e-12)
        statistics = theory.restore(record.measured.quantities)
        loss = theory.predict(statistics, (), density=False).loss
        assert record.predicted.loss == pytest.approx(loss, rel=1e-6)
        assert len(record.predicted.spectra) == 2
        np.testing.assert_allclose(record.forecast.gram.shape, (3, 3))
    np.testing.assert_allclose(
        found.records[0].forecast.gram, found.records[0].measured.gram, atol=1e-6
    )
    assert found.config["ensemble"] == {"seeds": 3}


def test_several_configurations_have_folders_that_say_what_sets_them_apart(tmp_path):
    configs = [
        replace(CONFIGS["low rank"], scale=scale, learning_rate=rate)
        for scale, rate in ((1e-3, 0.1), (1e-2, 0.05))
    ]
    first, second = ensemble(configs, tmp_path, seeds=2)
    assert {each.name for each in tmp_path.iterdir()} == {
        "scale=0.001,learning_rate=0.1",
        "scale=0.01,learning_rate=0.05",
    }
    (alone,) = ensemble(configs[1], tmp_path / "alone", seeds=2)
    assert second.config == alone.config != first.config
    for one, other in zip(second.records, alone.records, strict=True):
        assert one.measured.loss == pytest.approx(other.measured.loss, rel=1e-9)


@pytest.mark.usefixtures("measured_alone")
def test_members_that_are_finished_are_not_run_again(tmp_path):
    config = CONFIGS["logistic"]
    (whole,) = ensemble(config, tmp_path, seeds=4)
    files = sorted((tmp_path / "members").iterdir())
    kept = {path.name: path.stat().st_mtime_ns for path in files}
    files[2].unlink()
    (tmp_path / "records.jsonl").unlink()
    (tmp_path / "members" / ".seed-2.jsonl.77.new").write_text("half a")
    counts = []
    (again,) = ensemble(config, tmp_path, seeds=4, resume=True, tick=counts.append)
    assert counts == [3, 1]
    for path in sorted((tmp_path / "members").iterdir()):
        assert (path.stat().st_mtime_ns == kept[path.name]) == (path.name != "seed-2.jsonl")
    for one, other in zip(whole.records, again.records, strict=True):
        assert one.measured.loss == pytest.approx(other.measured.loss, rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*is damaged; what precedes it was read")
@pytest.mark.usefixtures("measured_alone")
def test_a_damaged_member_is_named(tmp_path):
    config = CONFIGS["logistic"]
    ensemble(config, tmp_path, seeds=2)
    damaged = tmp_path / "members" / f"seed-{config.seed + 1}.jsonl"
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=f"records of each member, got .*{damaged.name}.*take"):
        ensemble(config, tmp_path, seeds=2, resume=True)
    damaged.unlink()
    (whole,) = ensemble(config, tmp_path, seeds=2, resume=True)
    assert len(whole.records) > 1


def test_bad_input_is_refused_by_name_before_any_work(tmp_path):
    config = CONFIGS["softmax"]
    with pytest.raises(ValueError, match="seeds: expected a whole number of at least 1, got 0"):
        ensemble(config, tmp_path / "a", seeds=0)
    with pytest.raises(ValueError, match="configs: expected at least one"):
        ensemble([], tmp_path / "a", seeds=1)
    with pytest.raises(ValueError, match="configs: expected different ones"):
        ensemble([config, config], tmp_path / "a", seeds=1)
    with pytest.raises(ValueError, match="system: expected one whose runs are trained together"):
        ensemble(SYSTEMS["kernel"].small(), tmp_path / "a", seeds=1)
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("measured_alone")
def test_no_file_of_another_run_is_written_over(tmp_path):
    config = replace(CONFIGS["logistic"], epochs=1)
    run(config, tmp_path / "single")
    before = (tmp_path / "single" / "records.jsonl").read_bytes()
    with pytest.raises(ValueError, match="folder: expected one without a run"):
        ensemble(config, tmp_path / "single", seeds=2)
    with pytest.raises(ValueError, match="ensemble: expected None, as the run to resume began"):
        ensemble(config, tmp_path / "single", seeds=2, resume=True)
    assert (tmp_path / "single" / "records.jsonl").read_bytes() == before
    ensemble(config, tmp_path / "many", seeds=1)
    with pytest.raises(ValueError, match=r"ensemble: expected \{'seeds': 1\}"):
        ensemble(config, tmp_path / "many", seeds=2, resume=True)
    ensemble(replace(config, aspect_ratio=5.0), tmp_path / "other", seeds=1)
    member = "members/seed-0.jsonl"
    (tmp_path / "many" / member).write_bytes((tmp_path / "other" / member).read_bytes())
    with pytest.raises(ValueError, match="folder: expected the run of seed 0"):
        ensemble(config, tmp_path / "many", seeds=1, resume=True)


@pytest.mark.usefixtures("measured_alone")
def test_a_diverging_member_is_named_and_the_others_are_kept(tmp_path):
    config = replace(
        CONFIGS["two layers"], loss="squared", activation="square",
        optimiser=OptimiserConfig(scaled_learning_rate=1e4, batch_size=1), time=2e4,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match="seed 0: loss: expected finite numbers"):
        ensemble(config, tmp_path, seeds=2)
    assert not (tmp_path / "records.jsonl").exists()
