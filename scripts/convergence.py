"""Draw how measurements approach the predictions as the dimension grows.

Usage: python scripts/convergence.py [OUTPUT]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy.sparse.linalg import eigsh

from spectrain.models.heads import (
    Head,
    LogisticHead,
    SoftmaxHead,
    TwoLayerHead,
    gradient_factors,
    joint_curvature_factors,
)
from spectrain.models.threads import single_thread
from spectrain.theory.mixture.dynamics import SGD, EffectiveDynamics
from spectrain.theory.mixture.effective_spectrum import EffectiveSpectrum
from spectrain.theory.mixture.factors import Matrix
from spectrain.theory.mixture.quadrature import MixtureLaw
from spectrain.theory.mixture.statistics import Statistics
from spectrain.theory.spectrum import FloatArray, Spectrum
from spectrain.views.figures.style import SERIES, finish_scale, new_figure, paper, pixels

SIZES = (250, 500, 1000, 2000)
DRAWS = (24, 12, 6, 3)  # at each size; twice as many of one direction, 4 times of SGD
SGD_TIME = 2.0
ALGORITHM = SGD(1.0, ridge=0.05)

_DPI, _COLOURS = 160, 64
_MATRICES: tuple[Matrix, ...] = ("hessian", "information")
_DENSITY_POINTS = 400
_CLEAR = 1.1  # outliers this much beyond the detection edge at the smallest size are followed
_BASIS = 40  # vectors that Lanczos keeps
_TOLERANCE = 1e-5
_ZERO = 1e-6  # relative size of an eigenvalue that is zero


@dataclass(frozen=True)
class System:
    """A head on a mixture, x and mu given by coordinates in their span.

    Attributes:
        name: for the legend.
        head: the head.
        vectors: (C+k, r) x_1..x_C, mu_1..mu_k, one a row.
        parameters: (q,) v.
        law: of the mixture.
        aspect_ratio: phi = n/d.
    """

    name: str
    head: Head
    vectors: FloatArray
    parameters: FloatArray
    law: MixtureLaw
    aspect_ratio: float

    @property
    def statistics(self) -> Statistics:
        """G and v."""
        return Statistics(self.vectors @ self.vectors.T, self.parameters)


@dataclass(frozen=True)
class Case:
    """One block of one matrix of a system.

    Attributes:
        system: the system.
        matrix: "hessian" or "information".
        full: all directions with v; the first direction alone otherwise.
    """

    system: System
    matrix: Matrix
    full: bool

    @property
    def name(self) -> str:
        """System, matrix and block in words."""
        block = "full" if self.full else "one direction"
        return f"{self.system.name}, {self.matrix}, {block}"

    @property
    def rows(self) -> tuple[int, ...]:
        """Directions in the block."""
        return tuple(range(self.system.head.directions)) if self.full else (0,)

    @property
    def with_parameters(self) -> bool:
        """Whether v belongs to the block."""
        return self.full and self.system.head.parameters > 0

    @property
    def lift(self) -> FloatArray:
        """(len(rows), m) basis of the directions that are not exactly null."""
        rows = np.eye(len(self.rows))
        if not (self.full and self.system.head.shift_invariant):
            return rows
        contrasts: FloatArray = np.linalg.svd(np.ones((1, len(rows))))[2][1:].T
        return contrasts

    def predicted(self, dimension: int) -> Spectrum:
        """The effective spectrum at a dimension."""
        system = self.system
        theory = EffectiveSpectrum(
            system.head, system.statistics, system.law, system.aspect_ratio, dimension
        )
        return theory.spectrum(
            self.matrix, self.rows, self.name, _DENSITY_POINTS, self.with_parameters
        )


@dataclass(frozen=True)
class Readings:
    """What one spectrum shows, or what a prediction says of it.

    Attributes:
        outliers: (k,) the outliers followed.
        overlaps: (k,) of their eigenvectors with span(x, mu), v included.
        ends: (e,) the last eigenvalues of the bulk: upper, then lower if there is one.
        distance: Kolmogorov distance of all eigenvalues from the predicted law, 0 for the
            prediction itself.
    """

    outliers: FloatArray
    overlaps: FloatArray
    ends: FloatArray
    distance: float


class Prediction:
    """A predicted spectrum, and the reading of samples along it.

    Args:
        spectrum: the prediction at the dimension of the samples.
        null: share of its eigenvalues along exactly null directions, which samples leave out.
        followed: numbers of outliers above and below that are compared; None for all that are
            clear of the bulk.
    """

    def __init__(
        self, spectrum: Spectrum, null: float = 0.0, followed: tuple[int, int] | None = None
    ) -> None:
        assert spectrum.bulk is not None
        self.spectrum, self.bulk, self._null = spectrum, spectrum.bulk, null
        lower, upper = self.bulk.lower, self.bulk.upper
        self.above = sum(o.value > upper.detection for o in spectrum.top)
        self.has_lower = lower.kind in ("square-root", "thin")
        self.below = sum(o.value < lower.detection for o in spectrum.bottom) * self.has_lower
        self.followed = followed or (
            sum(o.value > _CLEAR * upper.detection for o in spectrum.top),
            sum(o.value < _CLEAR * lower.detection < 0 for o in spectrum.bottom) * self.has_lower,
        )

    @property
    def readings(self) -> Readings:
        """What the theory says."""
        top, bottom = self.followed
        outliers = (*self.spectrum.top[:top], *self.spectrum.bottom[:bottom])
        edges = (self.bulk.upper, self.bulk.lower)[: 1 + self.has_lower]
        return Readings(
            np.array([o.value for o in outliers]),
            np.array([o.overlap for o in outliers]),
            np.array([edge.finite_size for edge in edges]),
            0.0,
        )

    @property
    def width(self) -> float:
        """Distance of the finite-size edges: the unit of errors at the ends."""
        return self.bulk.upper.finite_size - self.bulk.lower.finite_size

    def distance(self, values: FloatArray) -> float:
        """Kolmogorov distance of eigenvalues, outliers predicted at their places."""
        density = self.spectrum.density
        assert density is not None
        outliers = np.array([o.value for o in (*self.spectrum.top, *self.spectrum.bottom)])
        bulk = np.interp(values, density.points, density.cumulative)
        # The sample has no null directions: take their jump at zero out of the law.
        bulk = (bulk - self._null * (values > 0)) / (1 - self._null)
        size = len(values)
        share = (size - len(outliers)) / size
        below = share * bulk + (outliers < values[:, None]).sum(1) / size
        live = np.abs(values) > _ZERO * np.abs(values).max()
        place = np.arange(size) / size
        errors = np.maximum(np.abs(below - place), np.abs(below - place - 1 / size))
        return float(errors[live].max())


@dataclass(frozen=True)
class Sample:
    """A block on one sample.

    Attributes:
        inputs: (n, d) float32.
        factors: (n, m + q, m + q) float32, per sample, q = 0 without parameters.
        directions: m.
        span: r, the number of leading coordinates that x and mu have.
    """

    inputs: torch.Tensor
    factors: torch.Tensor
    directions: int
    span: int

    @property
    def size(self) -> int:
        """m d + q."""
        m = self.directions
        return m * self.inputs.shape[1] + self.factors.shape[1] - m

    @cached_property
    def matrix(self) -> torch.Tensor:
        """Formed, (m d + q, the same)."""
        y, f, m, n = self.inputs, self.factors, self.directions, len(self.inputs)
        d = y.shape[1]
        matrix = y.new_empty(self.size, self.size)
        for a in range(m):
            own = slice(a * d, (a + 1) * d)
            for b in range(a + 1):
                block = (y.T * f[:, a, b]) @ y / n
                matrix[own, b * d : (b + 1) * d] = block
                matrix[b * d : (b + 1) * d, own] = block.T
            matrix[own, m * d :] = y.T @ f[:, a, m:] / n
            matrix[m * d :, own] = matrix[own, m * d :].T
        matrix[m * d :, m * d :] = f[:, m:, m:].mean(0)
        return matrix

    def values(self) -> FloatArray:
        """All eigenvalues, increasing."""
        with single_thread():  # faster where the cores are shared, hardly slower where they are not
            values: FloatArray = torch.linalg.eigvalsh(self.matrix).double().numpy()
        return values

    def overlaps(self, count: int, which: Literal["LA", "SA"]) -> FloatArray:
        """Overlaps (count,) of the eigenvectors at an end, "LA" or "SA", inwards."""
        if count == 0:
            return np.zeros(0)
        start = np.random.default_rng(0).standard_normal(self.size).astype(np.float32)
        values, vectors = eigsh(
            self.matrix.numpy(), count, which=which, v0=start, ncv=_BASIS, tol=_TOLERANCE
        )
        order = np.argsort(-values if which == "LA" else values)
        m, d = self.directions, self.inputs.shape[1]
        outer = vectors[: m * d].reshape(m, d, -1)[:, : self.span]
        shares = (outer**2).sum((0, 1)) + (vectors[m * d :] ** 2).sum(0)
        found: FloatArray = shares[order].astype(float)
        return found


def draw(case: Case, dimension: int, rng: np.random.Generator) -> Sample:
    """The block on n = phi d fresh points."""
    system, c = case.system, case.system.head.directions
    n, span = round(system.aspect_ratio * dimension), system.vectors.shape[1]
    component = rng.choice(len(system.law.weights), size=n, p=system.law.weights)
    y = rng.standard_normal((n, dimension)) * system.law.snr**-0.5
    y[:, :span] += system.vectors[c:][component]
    arguments = (
        torch.from_numpy(y[:, :span] @ system.vectors[:c].T),
        torch.from_numpy(system.parameters),
        torch.from_numpy(system.law.labels[component]),
    )
    if case.matrix == "hessian":
        m = joint_curvature_factors(system.head, *arguments).numpy()
    else:
        g = torch.cat(gradient_factors(system.head, *arguments), dim=1).numpy()
        m = g[:, :, None] * g[:, None, :]
    q = system.head.parameters * case.with_parameters
    kept = np.zeros((m.shape[1], case.lift.shape[1] + q))
    kept[list(case.rows), : case.lift.shape[1]] = case.lift
    kept[c : c + q, case.lift.shape[1] :] = np.eye(q)
    factors = np.einsum("ai,nab,bj->nij", kept, m, kept, optimize=True)
    return Sample(
        torch.from_numpy(y).float(),
        torch.from_numpy(factors).float(),
        case.lift.shape[1],
        span,
    )


def read(sample: Sample, prediction: Prediction) -> Readings:
    """Outliers, overlaps, last bulk eigenvalues and distance of one sample."""
    top, bottom = prediction.followed
    low = sample.values()
    high = low[::-1]
    ends = [high[prediction.above], *([low[prediction.below]] if prediction.has_lower else [])]
    return Readings(
        np.concatenate([high[:top], low[:bottom]]),
        np.concatenate([sample.overlaps(top, "LA"), sample.overlaps(bottom, "SA")]),
        np.array(ends),
        prediction.distance(low),
    )


def softmax() -> System:
    """Three classes with orthonormal means, directions somewhat towards their own."""
    rng = np.random.default_rng(0)
    vectors = np.eye(6)
    vectors[:3, 3:] = 0.4 * np.eye(3) + 0.2 * rng.standard_normal((3, 3))
    vectors[:3] *= 0.6
    law = MixtureLaw(np.array([0.4, 0.33, 0.27]), np.arange(3), 6.0)
    return System("softmax", SoftmaxHead(3), vectors, np.zeros(0), law, 3.0)


def logistic() -> System:
    """Three components, two of which share a label."""
    vectors = np.array([[0.5, 0.3, 0, 0.2], [1.2, 0, 0, 0], [-0.4, 1.2, 0, 0], [0, 0, 1.2, 0]])
    law = MixtureLaw(np.array([0.4, 0.35, 0.25]), np.array([1, 0, 0]), 5.0)
    return System("logistic", LogisticHead(), vectors, np.zeros(0), law, 3.0)


def two_layer() -> System:
    """Two GELU units on the four components of XOR."""
    rng = np.random.default_rng(1)
    means = 1.5 * np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    vectors = np.vstack([0.4 * rng.standard_normal((2, 4)), np.hstack([means, np.zeros((4, 2))])])
    law = MixtureLaw(np.full(4, 0.25), np.array([0, 0, 1, 1]), 6.0)
    return System("two-layer", TwoLayerHead(2), vectors, np.array([1.5, -1.5]), law, 4.0)


def systems() -> tuple[System, ...]:
    """Those that are compared."""
    return softmax(), logistic(), two_layer()


def cases() -> tuple[Case, ...]:
    """Hessian and information matrix of one direction and of all of each system."""
    return tuple(
        Case(system, matrix, full)
        for system in systems()
        for full in (False, True)
        if not full or system.head.directions > 1
        for matrix in _MATRICES
    )


def generator(name: str, dimension: int) -> np.random.Generator:
    """Random numbers of their own for each curve and size: errors of curves are independent."""
    return np.random.default_rng([dimension, *name.encode()])


def compare(
    case: Case, sizes: Sequence[int], draws: Sequence[int]
) -> list[tuple[Prediction, list[Readings]]]:
    """The prediction and the readings of independent samples at each size."""
    null = 1 - case.lift.shape[1] / len(case.rows)
    followed, found = None, []
    for dimension, count in zip(sizes, draws, strict=True):
        prediction = Prediction(case.predicted(dimension), null, followed)
        followed = prediction.followed
        rng = generator(case.name, dimension)
        count = count if case.full else 2 * count
        found.append(
            (prediction, [read(draw(case, dimension, rng), prediction) for _ in range(count)])
        )
    return found


QUANTITIES = ("outliers", "overlaps", "edges", "bulk")


def errors(prediction: Prediction, readings: Sequence[Readings]) -> dict[str, FloatArray]:
    """Errors of each draw: (draws, numbers) for each quantity.

    Outliers relatively, ends of the bulk as shares of its width.
    """
    said = prediction.readings
    return {
        "outliers": np.array([r.outliers / said.outliers - 1 for r in readings]),
        "overlaps": np.array([r.overlaps - said.overlaps for r in readings]),
        "edges": np.array([r.ends - said.ends for r in readings]) / prediction.width,
        "bulk": np.array([[r.distance] for r in readings]),
    }


def run_sgd(system: System, dimension: int, runs: int, rng: np.random.Generator) -> FloatArray:
    """Error of every entry of G at the end of independent runs, (runs, entries)."""
    c, span = system.head.directions, system.vectors.shape[1]
    x = np.zeros((runs, c, dimension))
    x[:, :, :span] = system.vectors[:c]
    mu = np.zeros((len(system.law.weights), dimension))
    mu[:, :span] = system.vectors[c:]
    v = torch.from_numpy(system.parameters)
    delta = ALGORITHM.scaled_learning_rate / dimension
    with single_thread():
        for _ in range(round(SGD_TIME / delta)):
            b = rng.choice(len(mu), size=runs, p=system.law.weights)
            y = mu[b] + rng.standard_normal((runs, dimension)) * system.law.snr**-0.5
            h = torch.from_numpy((x @ y[:, :, None])[:, :, 0])
            g, _ = gradient_factors(system.head, h, v, torch.from_numpy(system.law.labels[b]))
            x *= 1 - delta * ALGORITHM.ridge
            x -= delta * g.numpy()[:, :, None] * y[:, None, :]
    gram = np.concatenate([x @ x.mT, x @ mu.T], axis=2)
    path = EffectiveDynamics(system.head, system.law, ALGORITHM, system.statistics)
    kept = np.concatenate([np.triu(np.ones((c, c), bool)), np.ones((c, len(mu)), bool)], axis=1)
    found: FloatArray = (gram - path.at(SGD_TIME).gram[:c])[:, kept]
    return found


@dataclass(frozen=True)
class Decay:
    """Root mean square errors at growing sizes.

    Attributes:
        sizes: (s,) dimensions.
        values: (s,) root mean square over draws and numbers.
        deviations: (s,) their standard errors, from the spread over the draws.
    """

    sizes: FloatArray
    values: FloatArray
    deviations: FloatArray

    @property
    def slope(self) -> tuple[float, float]:
        """Slope of log value over log size by weighted least squares, and its standard error."""
        x, y = np.log(self.sizes), np.log(self.values)
        weights = (self.values / self.deviations) ** 2
        centred = x - np.average(x, weights=weights)
        information = float((weights * centred**2).sum())
        return float((weights * centred * y).sum()) / information, information**-0.5


def decay(sizes: Sequence[int], found: Sequence[FloatArray]) -> Decay:
    """The decay of errors (draws, numbers), given for each size."""
    squares = [(one**2).mean(1) for one in found]
    means = np.array([one.mean() for one in squares])
    counts = np.array([len(one) for one in squares])
    # A few draws know their spread badly: relative to the mean it is taken as the same at all d.
    freedom = (counts - 1) / (counts - 1).sum()
    spread = float(freedom @ [one.var(ddof=1) / one.mean() ** 2 for one in squares]) ** 0.5
    return Decay(
        np.array(sizes, dtype=float),
        means**0.5,
        means**0.5 * spread / (2 * counts**0.5),
    )


def mean_slope(decays: Sequence[Decay]) -> tuple[float, float]:
    """Mean of the slopes of several curves, and its standard error from their spread."""
    slopes = np.array([one.slope[0] for one in decays])
    return float(slopes.mean()), float(slopes.std(ddof=1) / len(slopes) ** 0.5)


PANELS = {
    "outliers": "outliers: relative error",
    "overlaps": "overlaps: error",
    "edges": "edges: error / width of the bulk",
    "bulk": "bulk: Kolmogorov distance",
    "gram": "Gram matrix of SGD: error",
}
_RATES: tuple[tuple[str, float, Any], ...] = (
    ("$d^{-1/2}$", -1 / 2, ":"),
    ("$d^{-2/3}$", -2 / 3, "-."),
    ("$d^{-1}$", -1.0, (0, (6, 2))),
)
_REFERENCE: dict[str, Any] = {"color": "#999999", "linewidth": 1.1}
_DASHES: Any = (0, (4, 1.5))
_STYLES: dict[str, Any] = {"Hessian": "-", "information matrix": _DASHES}
_RATES_OF = {"outliers": (0,), "overlaps": (0,), "edges": (0, 1), "bulk": (0, 2), "gram": (0,)}


@paper()
def picture(decays: dict[str, dict[str, Decay]]) -> Figure:
    """One panel for each quantity, one curve for each system, matrix and block.

    Args:
        decays: quantity -> name of the curve (`Case.name`, or the system's for "gram") -> decay.
    """
    figure, panels = new_figure(2, 3, 4.6, sharex=True)
    axes = dict(zip(PANELS, panels.flat, strict=False))
    names = [system.name for system in systems()]
    for quantity, axis in axes.items():
        curves = decays[quantity]
        for i, (name, one) in enumerate(curves.items()):
            system = name.split(",")[0]
            color, marker, _ = SERIES[names.index(system)]
            shift = 1.02 ** (i - (len(curves) - 1) / 2)  # so that error bars stand side by side
            axis.errorbar(
                one.sizes * shift,
                one.values,
                one.deviations,
                color=color,
                marker=marker,
                markersize=3.2,
                markerfacecolor="white" if "full" in name else color,
                linestyle=_DASHES if "information" in name else "-",
                linewidth=0.9,
                elinewidth=0.7,
            )
        _draw_rates(axis, quantity, curves)
        slope, deviation = mean_slope(list(curves.values()))
        measured = f"mean slope {slope:.2f} ± {deviation:.2f}".replace("-", "−")
        axis.set_title(f"{PANELS[quantity]}\n{measured}")
        axis.set(xscale="log", yscale="log")
        finish_scale(axis.yaxis)
    for axis in panels[1]:
        axis.set_xlabel("dimension $d$")
    for axis in panels.flat:
        axis.set_xticks(SIZES, [f"{size}" for size in SIZES])
        axis.minorticks_off()
        axis.tick_params(labelbottom=True)
    panels[0, 2].set_xlabel("dimension $d$")
    panels[1, 2].set_axis_off()
    panels[1, 2].legend(handles=_key(names), loc="center", handlelength=3.4, labelspacing=0.7)
    return figure


def _key(names: Sequence[str]) -> list[Line2D]:
    """What colours, lines and markers mean."""
    grey: dict[str, Any] = {"color": "#666666", "linewidth": 0.9}
    key = [
        Line2D([], [], color=color, marker=marker, markersize=4, linewidth=0.9, label=name)
        for name, (color, marker, _) in zip(names, SERIES, strict=False)
    ]
    key += [
        Line2D([], [], **grey, linestyle=style, label=matrix) for matrix, style in _STYLES.items()
    ]
    for label, face in (("one direction", "#666666"), ("full block", "white")):
        circle: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": face}
        key.append(Line2D([], [], **grey, **circle, linestyle="none", label=label))
    for label, _, style in _RATES:
        key.append(Line2D([], [], **_REFERENCE, linestyle=style, label=f"reference slope {label}"))
    return key


def _draw_rates(axis: Any, quantity: str, curves: dict[str, Decay]) -> None:
    """Grey lines with the expected slopes, above all curves."""
    sizes = np.array([SIZES[0], SIZES[-1]], dtype=float)
    top = 1.5 * max(float((one.values + one.deviations)[0]) for one in curves.values())
    for rate in _RATES_OF[quantity]:
        _, slope, style = _RATES[rate]
        axis.plot(sizes, top * (sizes / sizes[0]) ** slope, **_REFERENCE, linestyle=style)


def measure(
    sizes: Sequence[int] = SIZES,
    draws: Sequence[int] = DRAWS,
    report: Callable[[str], None] = print,
) -> dict[str, dict[str, Decay]]:
    """All decays: quantity -> name of the curve -> decay."""
    decays: dict[str, dict[str, Decay]] = {quantity: {} for quantity in PANELS}
    for case in cases():
        found = [errors(*one) for one in compare(case, sizes, draws)]
        for quantity in QUANTITIES:
            decays[quantity][case.name] = decay(sizes, [one[quantity] for one in found])
            report(_line(quantity, case.name, decays[quantity][case.name]))
    for system in systems():
        deviations = [
            run_sgd(system, dimension, 4 * count, generator(system.name, dimension))
            for dimension, count in zip(sizes, draws, strict=True)
        ]
        decays["gram"][system.name] = decay(sizes, deviations)
        report(_line("gram", system.name, decays["gram"][system.name]))
    return decays


def _line(quantity: str, name: str, one: Decay) -> str:
    slope, deviation = one.slope
    values = "  ".join(f"{value:.2e}" for value in one.values)
    return f"{quantity:9s}{name:40s}{values}   slope {slope:.2f} +- {deviation:.2f}"


def main(output: str = "docs/images/convergence.png") -> None:
    drawn = Image.fromarray(pixels(picture(measure()), _DPI))
    drawn.quantize(_COLOURS).save(output, optimize=True)
    print(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
