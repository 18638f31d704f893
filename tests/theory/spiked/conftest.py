"""Laws computed in other ways: dense recursion, and a matrix alone solved by its spectrum."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass
class SpikedMatrix:
    """Delta_2 alone: x_t is a polynomial or exponential of A = J + x*x*^T/(N Delta_2) on x_0.

    The spectral measures of A at x* and at a random vector orthogonal to it are those of Jacobi
    matrices at their first axis: sigma beside the diagonal, which is 0 but for 1/Delta_2 at x*.
    """

    noise: float
    overlap: float
    size: int = 500

    def __post_init__(self):
        sigma = self.noise**-0.5
        self.free = np.diag(np.full(self.size - 1, sigma), 1)
        self.free = self.free + self.free.T
        self.spiked = self.free.copy()
        self.spiked[0, 0] = 1 / self.noise
        self.start = np.zeros((2, self.size))
        self.start[:, 0] = self.overlap, (1 - self.overlap**2) ** 0.5

    def applied(self, x):
        return np.stack([self.spiked @ x[0], self.free @ x[1]])

    def numbers(self, x):
        """m, mu, e, C(t, 0)."""
        mu = float((x * self.applied(x)).sum())
        return np.array([x[0, 0], mu, -mu / 2, float((x * self.start).sum())])

    def stepped(self, x, rate):
        mu = self.numbers(x)[1]
        x = x + rate * (self.applied(x) - mu * x)
        return x / np.linalg.norm(x)

    def flowed(self, time):
        x = []
        for row, matrix in zip(self.start, (self.spiked, self.free), strict=True):
            values, vectors = np.linalg.eigh(matrix)
            x.append(vectors @ (np.exp(time * (values - values[-1])) * (vectors.T @ row)))
        # The two were scaled by their own largest exponential.
        gap = np.linalg.eigvalsh(self.free)[-1] - np.linalg.eigvalsh(self.spiked)[-1]
        x = np.stack([x[0], x[1] * np.exp(time * gap)])
        return x / np.linalg.norm(x)

    def resolved(self, x, z):
        """(z - A)^-1 x."""
        identity = np.eye(self.size)
        return np.stack(
            [
                np.linalg.solve(z * identity - self.spiked, x[0]),
                np.linalg.solve(z * identity - self.free, x[1]),
            ]
        )


def dense_law(covariance, overlap, rates, temperature=0.0):
    """The recursion of the law in full matrices: m, mu, e, C(t, 0) at every step."""
    steps = len(rates)
    C, R, m = np.eye(steps + 1), np.zeros((steps + 1, steps + 1)), np.zeros(steps + 1)
    m[0] = overlap
    told = []
    for t in range(steps + 1):
        c, r = C[t, :t], R[t, :t]
        slopes, here = covariance.slope(c), covariance.slope(m[t])
        w = r * covariance.curvature(c)
        pushed, drawn = R[:t, :t] @ slopes, C[:t, :t] @ w
        mu = here * m[t] + r @ slopes + w @ c
        told.append((m[t], mu, -covariance.value(m[t]) - r @ slopes, C[t, 0]))
        if t == steps:
            return np.array(told)
        square = covariance.slope(1.0) + 2 * w @ pushed + w @ drawn
        square += 2 * here * w @ m[:t] + here**2 - mu**2
        rate = rates[t]
        n = np.sqrt(1 + rate**2 * square + 2 * temperature * rate)
        C[t + 1, :t] = ((1 - rate * mu) * c + rate * (pushed + drawn + here * m[:t])) / n
        C[t + 1, t] = 1 / n
        C[: t + 1, t + 1] = C[t + 1, : t + 1]
        R[t + 1, :t] = ((1 - rate * mu) * r + rate * (w @ R[:t, :t])) / n
        R[t + 1, t] = rate / n
        m[t + 1] = ((1 - rate * mu) * m[t] + rate * (here + w @ m[:t])) / n
    raise AssertionError


@pytest.fixture(scope="session")
def spiked_matrix():
    return SpikedMatrix


@pytest.fixture(scope="session")
def recursion():
    return dense_law


def numbers(law):
    """m, mu, e, C(t, 0) of a law."""
    return np.array([law.overlap, law.multiplier, law.energy, law.start_correlation])


@pytest.fixture(scope="session")
def law_numbers():
    return numbers
