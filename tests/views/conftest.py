"""Synthetic records with exact laws: spiked covariance and spiked Wigner matrices."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.probes.records.sweep import CountMap, Sweep, Threshold
from spectrain.probes.records.version1 import direction, quantities
from spectrain.theory.finite_law import finite_jacobi
from spectrain.theory.recurrence import PointMasses, recurrence
from spectrain.theory.scans.phase_diagram import counted, phase_diagram
from spectrain.theory.source import Source
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Jacobi, Spectrum

MEANS = 3
DIRECTIONS = ("x0", "x1", "x2", "mu0", "mu1", "mu2")
REFERENCE = tuple(map(direction, DIRECTIONS))
SOURCES = (
    Source("Ben Arous", "Local geometry", "2502.15655", "predicted spectra"),
    Source("Ben Arous", "Limits", "2206.04030", "forecasts"),
)
BOOM = (Failure("sample", "boom"),)


def named(**fields):
    """Quantities, the Gram matrix with the names of its rows."""
    return tuple(
        replace(each, axes=(DIRECTIONS, DIRECTIONS)) if each.name == "gram" else each
        for each in quantities(**fields)
    )


class Covariance:
    """scale (1/n) X X^T with columns X ~ N(0, diag(spikes, 1, ..)), n = phi d."""

    def __init__(self, scale, phi):
        self.scale, self.gamma = scale, 1 / phi

    def ends(self):
        root = math.sqrt(self.gamma)
        return self.scale * (1 - root) ** 2, self.scale * (1 + root) ** 2

    def outlier(self, spike):
        if spike <= 1 + math.sqrt(self.gamma):
            return None
        shift = self.gamma / (spike - 1)
        return self.scale * spike * (1 + shift), (1 - shift / (spike - 1)) / (1 + shift)

    def density(self, points):
        low, high = self.ends()
        inside = np.clip((points - low) * (high - points), 0, None)
        return np.sqrt(inside) / (2 * math.pi * self.gamma * self.scale * np.abs(points))

    def draw(self, spikes, size, rng):
        roots = np.ones(size)
        roots[: len(spikes)] = np.sqrt(spikes)
        X = roots[:, None] * rng.standard_normal((size, round(size / self.gamma)))
        return self.scale / X.shape[1] * (X @ X.T)


class Wigner:
    """scale (W + diag(spikes, 0, ..)), W with semicircle of radius 2."""

    def __init__(self, scale):
        self.scale = scale

    def ends(self):
        return -2 * self.scale, 2 * self.scale

    def outlier(self, spike):
        if abs(spike) <= 1:
            return None
        return self.scale * (spike + 1 / spike), 1 - 1 / spike**2

    def density(self, points):
        inside = np.clip(4 * self.scale**2 - points**2, 0, None)
        return np.sqrt(inside) / (2 * math.pi * self.scale**2)

    def draw(self, spikes, size, rng):
        W = rng.standard_normal((size, size)) / math.sqrt(2 * size)
        W = W + W.T
        W[np.arange(len(spikes)), np.arange(len(spikes))] += spikes
        return self.scale * W


def law_edges(law, size):
    """Edges, with the finite-size point from the law's own cumulative distribution."""
    low, high = law.ends()
    angles = np.linspace(0, math.pi, 4001)
    grid = (high + low) / 2 - (high - low) / 2 * np.cos(angles)
    values = law.density(grid)
    steps = np.diff(grid) * (values[1:] + values[:-1]) / 2
    cumulative = np.concatenate(([0.0], np.cumsum(steps)))
    upper = float(np.interp(1 - 0.5 / size, cumulative / cumulative[-1], grid))
    lower = float(np.interp(0.5 / size, cumulative / cumulative[-1], grid))

    def make(end, half):
        return Edge(end, "square-root", half, end + 1.14 * (end - half), 1e-6)

    density = Density(grid[::20], values[::20], np.zeros(201), cumulative[::20], np.zeros(201))
    return Bulk(make(low, lower), make(high, upper)), density


def predict(law, matrix, block, spikes, size, alignments):
    bulk, density = law_edges(law, size)
    pairs = []
    for index, spike in enumerate(spikes):
        found = law.outlier(spike)
        if found is not None:
            value, overlap = found
            pairs.append(Eigenpair(value, 1e-6, overlap, overlap * alignments[:, index]))
    pairs.sort(key=lambda pair: -pair.value)
    top = tuple(pair for pair in pairs if pair.value > bulk.upper.value)
    bottom = tuple(pair for pair in reversed(pairs) if pair.value < bulk.lower.value)
    spectrum = Spectrum(matrix, block, size, top, bottom, bulk, density)
    return replace(spectrum, jacobi=finite_jacobi(spectrum, 12))


def measure(law, matrix, block, spikes, size, alignments, rng, draws, count=5):
    values, vectors = np.linalg.eigh(law.draw(spikes, size, rng))
    more = [np.linalg.eigvalsh(law.draw(spikes, size, rng)) for _ in range(draws - 1)]
    noise = values[-1] * math.sqrt(2 / (4 * size))

    def pair(index):
        inside = vectors[: len(spikes), index] ** 2
        return Eigenpair(
            float(values[index]),
            1e-7,
            float(inside.sum()),
            alignments[:, : len(spikes)] @ inside,
            noise,
            np.array([values[index], *(other[index] for other in more)]),
        )

    top = tuple(pair(size - 1 - rank) for rank in range(count))
    bottom = tuple(pair(rank) for rank in range(count))
    margin = 0.05 * (values[-1] - values[0])
    points = np.linspace(values[0] - margin, values[-1] + margin, 201)
    width = 0.4 * margin
    kernel = np.exp(-0.5 * ((points[:, None] - values) / width) ** 2)
    smooth = kernel.mean(1) / (width * math.sqrt(2 * math.pi))
    errors = 0.04 * smooth + 2e-3 * smooth.max() * rng.random(len(points))
    cumulative = (np.searchsorted(values, points) / size).astype(float)
    density = Density(points, smooth, errors, cumulative, np.full(len(points), 2e-3))
    alpha, beta = recurrence(PointMasses(values, np.full(size, 1 / size)), 12)
    jacobi = Jacobi(alpha, beta, 0.01 * np.abs(alpha), 0.01 * beta)
    return Spectrum(matrix, block, size, top, bottom, None, density, jacobi=jacobi)


def transitions(before, now):
    """Changes of the predicted counts between two lists of spectra."""
    found = []
    for old, new in zip(before, now, strict=True):
        for side, a, b in (("top", old.top, new.top), ("bottom", old.bottom, new.bottom)):
            if len(a) != len(b):
                kind = "appears" if len(b) > len(a) else "disappears"
                found.append(Transition(new.matrix, new.block, side, kind, len(a), len(b)))
    return tuple(found)


def softmax_blocks(time, phi=4.0):
    """Laws and spikes of softmax-like class blocks at one time: outliers leave one by one."""
    for index in range(3):
        scale = 0.06 * (1 + 0.3 * math.exp(-time / 5)) * (1 - 0.1 * index)
        spikes = np.array([1 + 2.2 * math.exp(-time / tau) for tau in (60, 8, 2 + index)])
        yield "hessian", f"class {index}", Covariance(scale, phi), spikes
        yield "information", f"class {index}", Covariance(2 * scale, phi), 0.2 + spikes[1:2]


def network_blocks(time):
    """Laws and spikes of hidden units: a negative outlier joins the bulk, a positive one splits."""
    for index in range(4):
        scale = 0.05 * (1 + 0.5 * math.exp(-time / 6)) * (1 + 0.1 * index)
        apart = 2 / (1 + math.exp(-(time - 8) / 2))
        spikes = np.array(
            [4 - 0.05 * time + apart, 4 - 0.05 * time - apart, min(0.5, -5 + 0.4 * time)]
        )
        yield "hessian", f"unit {index}", Wigner(scale), spikes
        spikes = np.array([12 + 3 * math.sin(time / 4)])
        yield "information", f"unit {index}", Covariance(0.2 * scale, 4.0), spikes


def gram_at(time):
    cross = 1.5 * (1 - math.exp(-time / 6)) * (np.eye(3) - 0.33)
    weights = 0.09 * np.eye(3) + cross @ cross.T / 2
    return np.block([[weights, cross], [cross.T, np.eye(3)]])


def make_records(kind="softmax", size=80, count=7, last=20.0, seed=0):
    """A run's records: measured spectra are drawn from the law that is predicted."""
    rng = np.random.default_rng(seed)
    blocks_at = softmax_blocks if kind == "softmax" else network_blocks
    records, before = [], None
    for index, time in enumerate(np.linspace(0, last, count)):
        draws = 4 if index in (0, count // 2, count - 1) else 1
        measured, predicted, forecast = [], [], []
        forward = gram_at(time)
        for matrix, block, law, spikes in blocks_at(time):
            gram = gram_at(time + 1)[:3, 3:] ** 2
            weights = np.vstack([gram / gram.sum(1, keepdims=True), np.eye(3)])
            alignments = weights[:, : len(spikes)]
            common = (matrix, block, spikes, size, alignments)
            measured.append(measure(law, *common, rng=rng, draws=draws))
            predicted.append(predict(law, *common))
            later = spikes * (1 + 0.03 * math.sin(time / 3))
            forecast.append(predict(law, matrix, block, later, size, alignments))
        noise = rng.standard_normal((6, 6)) * 0.5 / math.sqrt(size)
        loss = 0.3 + 0.8 * math.exp(-time / 6)
        records.append(
            Record(
                step=index * 100,
                epoch=float(index),
                time=float(time),
                clock="time t = steps × c/d",
                reference=REFERENCE,
                sources=SOURCES,
                measured=Geometry(
                    named(
                        gram=forward + (noise + noise.T) / 2,
                        loss=loss + 0.01 * rng.standard_normal(),
                        loss_error=0.01,
                        accuracy=1 - loss / 2,
                        accuracy_error=0.008,
                    ),
                    tuple(measured),
                ),
                predicted=Geometry(named(loss=loss, loss_error=1e-5), tuple(predicted)),
                forecast=Geometry(
                    named(
                        gram=forward,
                        loss=loss,
                        loss_error=1e-5,
                        accuracy=1 - loss / 2,
                        accuracy_error=1e-5,
                    ),
                    tuple(forecast),
                ),
                transitions=() if before is None else transitions(before, predicted),
                operator="head",
                seconds={"hessian": 0.2, "theory": 0.1},
            )
        )
        before = predicted
    return tuple(records)


def make_sweep(size=80, count=9):
    rng = np.random.default_rng(1)
    values = np.geomspace(0.5, 16, count)
    records = []
    for snr in values:
        measured, predicted = [], []
        for matrix, scale in (("hessian", 1.0), ("information", 2.0)):
            law = Covariance(scale * 0.2 / snr, 4.0)
            spikes = 1 + np.array([snr / 3, snr / 3, snr / 3]) * (
                1 if matrix == "hessian" else np.array([1.4, 0.5, 0.5])
            )
            common = (matrix, "class 0", spikes, size, np.ones((6, 3)) / 3)
            measured.append(measure(law, *common, rng=rng, draws=1))
            predicted.append(predict(law, *common))
        records.append(
            Record(
                0,
                reference=REFERENCE,
                measured=Geometry(spectra=tuple(measured)),
                predicted=Geometry(spectra=tuple(predicted)),
            )
        )
    thresholds = (
        Threshold("hessian", "class 0", 1.5),
        Threshold("information", "class 0", 1.5 / 1.4),
        Threshold("information", "class 0", 3.0),
    )
    return Sweep("snr", values, tuple(records), thresholds)


def make_maps(fine=40, coarse=5):
    def theory(snr, phi):
        return 3 * (snr / 3 > phi**-0.5) - (snr / 3 > 4 * phi**-0.25)

    def axes(count):
        return np.geomspace(0.5, 20, count), np.geomspace(0.5, 10, count)

    x, y = axes(fine)
    diagram = phase_diagram(counted(theory, 3), x, y)
    predicted = CountMap("snr", x, "phi", y, diagram.counts, "Hessian, class 0", diagram.boundaries)
    x, y = axes(coarse)
    counts = theory(x[None, :], y[:, None]).astype(np.int64)
    counts[1, 2] += 1
    return predicted, CountMap("snr", x, "phi", y, counts, "Hessian, class 0")


@pytest.fixture(scope="session")
def records():
    return make_records()


@pytest.fixture(scope="session")
def network_records():
    return make_records("network", count=5)


@pytest.fixture(scope="session")
def sweep():
    return make_sweep()


@pytest.fixture(scope="session")
def maps():
    return make_maps()


def without_theory(record):
    kept = tuple(each for each in record.measured.quantities if each.name != "gram")
    measured = replace(record.measured, quantities=kept)
    return replace(
        record,
        time=math.nan,
        clock="",
        reference=(),
        predicted=None,
        forecast=None,
        transitions=(),
        measured=measured,
    )


def without_density(record):
    spectra = tuple(
        replace(spectrum, density=None, jacobi=None) for spectrum in record.measured.spectra
    )
    return replace(record, measured=replace(record.measured, spectra=spectra))


def without_end(record):
    """Bulks that never end above: only the finite-size and detection edges are finite."""

    def endless(geometry):
        spectra = []
        for spectrum in geometry.spectra:
            upper = replace(spectrum.bulk.upper, value=math.inf, kind="infinite")
            spectra.append(replace(spectrum, bulk=replace(spectrum.bulk, upper=upper)))
        return replace(geometry, spectra=tuple(spectra))

    return replace(record, predicted=endless(record.predicted), forecast=endless(record.forecast))


def failed(record):
    return replace(
        record,
        measured=Geometry(named(gram=record.measured.gram)),
        predicted=None,
        transitions=(),
        failures=(Failure("loss", "ValueError: loss: expected finite numbers, got NaN"),),
    )


@pytest.fixture(
    params=[
        "full",
        "empty",
        "one",
        "no theory",
        "no density",
        "no end",
        "one failed",
        "all failed",
    ],
)
def any_records(request, records):
    """Every kind of record list that a figure, a table or a board has to cope with."""
    return {
        "full": records,
        "empty": (),
        "one": records[:1],
        "no theory": tuple(map(without_theory, records)),
        "no density": tuple(map(without_density, records)),
        "no end": tuple(map(without_end, records)),
        "one failed": (records[0], failed(records[1]), *records[2:]),
        "all failed": (Record(0, failures=BOOM), Record(5, failures=BOOM)),
    }[request.param]
