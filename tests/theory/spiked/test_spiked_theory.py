"""What a probe is told of a descent, and that it finds the same in what it measures."""

import numpy as np
import pytest
import torch

from spectrain.models.spiked.landscape import SpikedLandscape
from spectrain.models.spiked.model import SpikedModel
from spectrain.models.spiked.sphere_descent import SphereDescent
from spectrain.models.spiked.start import random_signal, start_at_overlap
from spectrain.probes.curvature.sphere_curvature import SphereHessian
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.theory.spiked.descent import descent_trajectory
from spectrain.theory.spiked.semicircle import semicircle_spectrum
from spectrain.theory.spiked.spiked_theory import SpikedTheory

RATE = 0.1


def spiked(size, seed=0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    signal = random_signal(size, source, dtype)
    land = SpikedLandscape(signal, 0.2, 4.0, source)
    return SpikedModel(land, start_at_overlap(signal, 0.2, source))


def probe_of(model, theory, **measurement):
    return SpectralProbe(
        model,
        lambda energy, targets: energy,
        ((), torch.zeros(1)),
        sinks=(),
        theory=theory,
        matrices=(SphereHessian(),),
        measurement=Measurement(eigenvalues=2, smallest=3, **measurement),
        on_failure="raise",
    )


@pytest.fixture(scope="module")
def records():
    """Of five steps at N = 150, probed after each, tracked, and the model in the end."""
    model = spiked(150)
    theory = SpikedTheory(model.landscape, RATE)
    probe = probe_of(model, theory, tracking=True)
    descent = SphereDescent(model.parameters(), RATE)
    found = [probe(0)]
    for step in range(1, 6):
        descent.zero_grad()
        model().backward()
        descent.step()
        found.append(probe(step))
    return found, model, theory


def test_measured_spectrum_is_that_of_the_projected_matrix(records):
    found, model, _ = records
    local = model.landscape.at(model.x)
    x = local.point / local.point.norm()
    projector = torch.eye(150, dtype=x.dtype) - torch.outer(x, x)
    matrix = projector @ local.hessian @ projector + local.multiplier * projector
    values, vectors = torch.linalg.eigh(matrix + 1e3 * torch.outer(x, x))
    spectrum = found[-1].measured.spectra[0]
    assert spectrum.size == 149
    assert [pair.value for pair in spectrum.bottom] == pytest.approx(values[:3].tolist(), rel=1e-6)
    signal = model.landscape.signal
    overlap = float((vectors[:, 0] @ signal) ** 2 / 150)
    # With x*/N^(1/2) itself, not with its part on the tangent space.
    assert spectrum.bottom[0].overlap == pytest.approx(overlap, abs=1e-6)
    assert spectrum.bottom[0].alignment[0] == pytest.approx(overlap, abs=1e-6)


def test_statistics_are_recorded_and_restored(records):
    found, model, theory = records
    said = theory.statistics(model)
    for quantity in said.quantities():
        assert found[-1].measured.quantity(quantity.name).values == quantity.values
    assert theory.restore(said.quantities()) == said
    assert found[-1].measured.loss == pytest.approx(150 * said.energy)
    assert found[0].measured.quantity("overlap").values == pytest.approx(0.2)
    assert found[3].time == pytest.approx(0.3)


def test_forecasts_are_the_law_and_predictions_the_naive_formula(records):
    found, _, theory = records
    path = descent_trajectory(theory.covariance, 0.2, RATE, [0, 1, 2, 3, 4, 5])
    for step, record in enumerate(found):
        forecast = record.forecast
        assert float(forecast.quantity("overlap").values) == pytest.approx(path.overlap[step])
        assert float(forecast.quantity("energy").values) == pytest.approx(path.energy[step])
        assert forecast.loss == pytest.approx(150 * path.energy[step])
        (dynamic,) = forecast.spectra[0].bottom
        assert dynamic.value == pytest.approx(path.outliers[step][0].value)
        naive = record.predicted.spectra[0]
        mu = float(record.measured.quantity("multiplier").values)
        assert (naive.bulk.lower.value + naive.bulk.upper.value) / 2 == pytest.approx(mu)
        if step == 0:
            assert naive.bottom[0].overlap == pytest.approx(dynamic.overlap, rel=1e-6)
    assert found[0].reference[0].name == "signal"
    known = {"1902.00139", "1907.08226", "0706.0136"}
    assert {source.arxiv for source in found[0].sources} == known


def test_eigenvectors_are_followed_from_one_tangent_space_to_the_next(records):
    found, _, _ = records
    for record in found[1:]:
        (track,) = record.tracks
        assert track.bottom.branches[0] == 0
        assert track.bottom.subspace_overlap[0] > 0.7


def test_automatic_differentiation_and_a_formed_hessian_are_one(records):
    from spectrain.probes.curvature.block import Block
    from spectrain.probes.curvature.formed import FormedCurvature
    from spectrain.probes.curvature.sphere_curvature import SphereCurvature

    _, model, _ = records
    batch = ((), torch.zeros(1))
    automatic = SphereHessian().operator(model, lambda energy, _: energy, batch, Block("all"))
    local = model.landscape.at(model.x)
    formed = SphereCurvature(FormedCurvature(local.hessian), local.point, local.gradient)
    torch.testing.assert_close(automatic.dense(), formed.dense())
    with pytest.raises(ValueError, match="rows: expected whole parameters on a sphere"):
        SphereHessian().operator(model, lambda e, _: e, batch, Block("row", ("x",), (0,)))


def test_the_semicircle_of_a_finite_matrix():
    spectrum = semicircle_spectrum("all", 400, 1.5, 0.7, (), 201)
    density = spectrum.density
    assert np.trapezoid(density.values, density.points) == pytest.approx(1, abs=1e-3)
    assert np.interp(1.5, density.points, density.cumulative) == pytest.approx(0.5)
    # Jacobi coefficients of a semicircle: the centre, and half its radius.
    assert spectrum.jacobi.diagonal == pytest.approx(np.full(24, 1.5), abs=2e-2)
    assert spectrum.jacobi.off_diagonal[:6] == pytest.approx(np.full(6, 0.7), abs=1e-2)
    bulk = spectrum.bulk
    beyond = 1 - np.interp(bulk.upper.finite_size, density.points, density.cumulative)
    assert 400 * beyond == pytest.approx(0.5, rel=0.02)
    assert bulk.lower.detection < bulk.lower.value < bulk.lower.finite_size


def test_long_forecasts_and_langevin_dynamics(monkeypatch):
    monkeypatch.setattr("spectrain.theory.spiked.spiked_theory.REMEMBERED", 100)
    land = spiked(20).landscape
    theory = SpikedTheory(land, RATE)
    start = theory.statistics(SpikedModel(land, start_at_overlap(land.signal, 0.2, gen())))
    settled = theory.forecast(start, 100, ())
    long = theory.forecast(start, 101, ())
    assert float(long.quantity("overlap").values) == pytest.approx(
        float(settled.quantity("overlap").values), abs=1e-6
    )
    hot = SpikedTheory(land, RATE, 0.5)
    assert hot.forecast(start, 10, ()).spectra == ()
    assert hot.forecast(start, 101, ()).spectra == ()
    assert SpikedTheory(land).forecast(start, 10, ()) is None


def gen():
    return torch.Generator().manual_seed(3)


def test_bad_input_is_named():
    land = spiked(20).landscape
    with pytest.raises(ValueError, match="learning_rate: expected a positive number, got 0"):
        SpikedTheory(land, 0.0)
    with pytest.raises(ValueError, match="temperature: expected at least 0, got -1"):
        SpikedTheory(land, 0.1, -1.0)
    with pytest.raises(ValueError, match="model: expected a SpikedModel of the theory's landscape"):
        SpikedTheory(land).attach(spiked(20))
