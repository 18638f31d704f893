"""The contour against mixed moments in 40 digits, on random problems.

E(lam, lam') is expanded in 1/lam and 1/lam': its coefficients are the limits of
w*'A'^i Sigma' A^j w*, of which the loss of the mean weights after t steps is a
polynomial, and so are both kernels.
"""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from spectrain.theory.linear.algorithm import Algorithm
from spectrain.theory.linear.curves import Prepared
from spectrain.theory.linear.problem import LinearProblem

STEPS = 4
SIZE = 2 * STEPS + 2  # of series in one variable: b^t has degree 2t


def times(a, b):
    """Product of two truncated power series, in one variable or two."""
    out = np.full(a.shape, Decimal(0), dtype=object)
    size = len(a)
    for place in np.ndindex(a.shape):
        if a[place] != 0:
            here = tuple(slice(i, None) for i in place)
            rest = tuple(slice(size - i) for i in place)
            out[here] += a[place] * b[rest]
    return out


def inverse(a):
    """1/a for a series with a nonzero constant term, by Newton's method."""
    out = 0 * a
    out.flat[0] = 1 / a.flat[0]
    for _ in range(math.ceil(math.log2(2 * len(a)))):
        out = 2 * out - times(a, times(out, out))
    return out


class Series:
    """Everything as series in x = 1/lam (and y = 1/lam')."""

    def __init__(self, problem):
        number = np.vectorize(lambda value: Decimal(float(value)), otypes=[object])
        self.s, self.m, self.a, self.tested = (
            number(v)
            for v in (
                problem.spectrum,
                problem.multiplicity,
                problem.target,
                problem.test_spectrum,
            )
        )
        self.per_sample, self.per_feature = (
            Decimal(0) if math.isinf(n) else 1 / Decimal(n)
            for n in (problem.samples, problem.features)
        )
        self.noise = Decimal(problem.noise)
        one = np.array([Decimal(int(i == 0)) for i in range(SIZE)], dtype=object)
        x = np.roll(one, 1)
        kappa2 = one.copy()  # kappa2 / lam
        for _ in range(SIZE):
            self.g = [times(x, inverse(kappa2 + s * x)) for s in self.s]
            self.df = sum(m * s * g for m, s, g in zip(self.m, self.s, self.g, strict=True))
            kappa1 = inverse(one - self.per_sample * self.df)
            kappa2 = times(kappa1, inverse(one - self.per_feature * self.df))
        self.h = [times(kappa2, inverse(kappa2 + s * x)) for s in self.s]
        ratio = inverse(one - self.per_feature * self.df)  # kappa2 / kappa1
        self.signal = times(ratio, self.weigh(self.a * self.s, self.g))
        self.label = times(x, one - self.per_sample * self.df)  # 1 / kappa1
        self.trace = times(kappa1, self.weigh(self.m * self.tested, self.g))

    @staticmethod
    def weigh(weights, series):
        return sum(w * one for w, one in zip(weights, series, strict=True))

    def pairs(self, weights, series):
        return self.weigh(
            weights, [np.multiply.outer(one[: STEPS + 1], one[: STEPS + 1]) for one in series]
        )

    def two_point(self):
        s, m, a, tested = self.s, self.m, self.a, self.tested
        one = 0 * self.pairs(m, self.g)
        one[0, 0] += 1
        wide = self.per_feature * inverse(one - self.per_feature * self.pairs(m * s * s, self.g))
        mean = times(self.pairs(m * s, self.g), wide)
        gamma1 = self.per_sample * (
            self.pairs(m * s * s, self.g) + times(self.pairs(m * s, self.h), mean)
        )
        c = self.per_sample * times(
            self.pairs(m * s * tested, self.g) + times(self.pairs(m * tested, self.h), mean),
            inverse(one - gamma1),
        )
        learnt = self.pairs(a * s * s, self.h)
        return (
            self.pairs(a * tested, self.h)
            + times(learnt, times(self.pairs(m * tested, self.g), wide))
            + times(c, self.pairs(a * s, self.h) + times(learnt, mean))
        )


def polynomial(coefficients):
    return np.array([Decimal(c) for c in coefficients], dtype=object)


def product(p, q):
    out = np.full(len(p) + len(q) - 1, Decimal(0), dtype=object)
    for i, c in enumerate(p):
        out[i : i + len(q)] += c * q
    return out


def integral(p, series, shift):
    """-oint p(z) f(-z) with f = sum_i c_i x^i, divided by z^shift."""
    total = Decimal(0)
    for power, c in enumerate(p):
        order = power - shift + 1
        if 0 <= order < SIZE:
            total += c * (-1) ** (order + 1) * series[order]
    return total


def double(second, series):
    """sum of coefficients of z^i z'^j with the mixed moments (-1)^(i+j) E_ij."""
    return sum(
        second[i, j] * (-1) ** (i + j) * series[i, j]
        for i in range(second.shape[0])
        for j in range(second.shape[1])
    )


def squares(factor, count):
    """Powers of a polynomial in z and z'."""
    out = np.full((1, 1), Decimal(1), dtype=object)
    found = [out]
    for _ in range(count):
        grown = np.full((out.shape[0] + 1, out.shape[1] + 1), Decimal(0), dtype=object)
        for i in range(2):
            for j in range(2):
                grown[i : i + out.shape[0], j : j + out.shape[1]] += factor[i][j] * out
        out = grown
        found.append(out)
    return found


def exact(problem, rate, batch):
    """Train and test loss at steps 0, ..., STEPS in 40 digits."""
    series = Series(problem)
    eta = Decimal(rate)
    gain = 1 if math.isinf(problem.samples) else 1 / (1 + 2 * series.per_sample)
    nu = 1 / Decimal(batch) if batch else Decimal(0)
    excess = (2 * gain - 1) * nu
    moments = squares([[1, -eta], [-eta, eta**2 * (1 + excess)]], STEPS)
    b = [sum_diagonals(one) for one in moments]
    q = [polynomial([1])]
    for _ in range(STEPS):
        q.append(product(q[-1], polynomial([1, -eta])))
    pairs = series.two_point()
    train, test = [], []
    for t in range(STEPS + 1):
        loss = integral(b[t], series.signal + series.noise * series.label, 0)
        memory = sum(
            eta**2
            * nu
            * gain
            * integral(product(b[t - 1 - s], polynomial([0, 1])), series.df, 0)
            * train[s]
            for s in range(t)
        )
        learnt = b[t].copy()
        learnt[: len(q[t])] -= 2 * q[t]
        learnt[0] += 1
        tested = double(moments[t], pairs)
        tested += series.noise * series.per_sample * integral(learnt, series.trace, 1)
        driven = sum(
            eta**2
            * nu
            * gain
            * integral(product(b[t - 1 - s], polynomial([0, 1])), series.trace, 0)
            * train[s]
            for s in range(t)
        )
        train.append(loss + memory)
        test.append(tested + driven)
    return np.array(train, float), np.array(test, float)


def sum_diagonals(second):
    """The polynomial in z that a polynomial in z and z' is at z' = z."""
    out = np.full(2 * len(second) - 1, Decimal(0), dtype=object)
    for i in range(len(second)):
        out[i : i + len(second)] += second[i]
    return out


@pytest.fixture(autouse=True)
def digits():
    with decimal.localcontext(prec=40):
        yield


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 8 else []) for seed in range(40)],
)
def test_curves_agree_with_mixed_moments(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    multiplicity = rng.integers(1, 40, count).astype(float)
    dimension = multiplicity.sum()
    problem = LinearProblem(
        10.0 ** rng.uniform(-2, 0.3, count),
        rng.random(count),
        multiplicity,
        test_spectrum=rng.random(count),
        noise=float(rng.random()),
        samples=math.inf if seed % 5 == 0 else float(np.ceil(dimension * 10 ** rng.uniform(-1, 1))),
        features=math.inf
        if seed % 3 == 0
        else float(np.ceil(dimension * 10 ** rng.uniform(-1, 1))),
    )
    batch = None if seed % 4 == 0 else int(rng.integers(1, 20))
    top = Prepared(problem, Algorithm("flow"), 1.0).contour.top
    rate = float(rng.uniform(0.2, 1.1)) / top
    steps = np.arange(STEPS + 1.0)
    if batch is None:
        signal, label = Prepared(problem, Algorithm("gd", rate), STEPS).mean(steps)
        train, test = signal.train + label.train, signal.test + label.test
    else:
        found = Prepared(problem, Algorithm("sgd", rate, batch), STEPS).stochastic(steps)
        train, test = found.train, found.test
    expected = exact(problem, rate, batch)
    np.testing.assert_allclose(train, expected[0], rtol=1e-10)
    np.testing.assert_allclose(test, expected[1], rtol=1e-10)
