"""What other libraries take for the same numbers."""

from __future__ import annotations

import copy
import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from spectrain.theory.spectrum import FloatArray

from .problems import Problem

__all__ = ["PEERS", "Law", "Peer", "Run", "steps_law"]

# A counting function: share of the eigenvalues up to each of the points.
Law = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Run:
    """One job of one library.

    Attributes:
        job: what is timed.
        result: eigenvalues, largest first, or law, from what the job returned; none if it is cut.
        scale: the whole takes this many times as long as the job.
        note: how it was set up, or what to make of it.
    """

    job: Callable[[], Any]
    result: Callable[[Any], Any] | None
    scale: float = 1.0
    note: str = ""


class Peer(ABC):
    """A library; jobs it does not offer raise NotImplementedError with the reason."""

    name: str
    module: str

    def load(self) -> Any:
        """The library's module.

        Raises:
            ImportError: if it or what it needs is absent.
        """
        return importlib.import_module(self.module)

    @abstractmethod
    def top(self, problem: Problem, count: int, tolerance: float) -> Run:
        """Largest eigenvalues of the Hessian to a residual of ``tolerance`` times the largest."""

    @abstractmethod
    def density(self, problem: Problem, steps: int, starts: int) -> Run:
        """The Hessian's density by stochastic Lanczos quadrature."""

    def covariance(self, problem: Problem, count: int, tolerance: float) -> Run:
        """Largest eigenvalues of the gradient covariance."""
        raise NotImplementedError("has no gradient covariance")


class _PyHessian(Peer):
    name, module = "PyHessian", "pyhessian"

    def top(self, problem: Problem, count: int, tolerance: float) -> Run:
        def job() -> Any:
            torch.manual_seed(0)
            return self._hessian(problem).eigenvalues(maxIter=1000, tol=1e-6, top_n=count)[0]

        return Run(
            job,
            np.array,
            note="stops when values change by 1e-6, at most 1000 steps each",
        )

    def density(self, problem: Problem, steps: int, starts: int) -> Run:
        def job() -> Any:
            torch.manual_seed(0)
            removed = torch.eig
            torch.eig = _eig
            try:
                return self._hessian(problem).density(iter=steps, n_v=starts)
            finally:
                torch.eig = removed

        return Run(job, lambda found: steps_law(*found), note="release with torch.eig put back")

    def _hessian(self, problem: Problem) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.load().hessian(
                copy.deepcopy(problem.model),
                problem.loss,
                data=(problem.inputs, problem.targets),
                cuda=False,
            )


def _eig(matrix: Tensor, eigenvectors: bool) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], 1), vectors


class _Eigenthings(Peer):
    name, module = "hessian-eigenthings", "hessian_eigenthings"

    def top(self, problem: Problem, count: int, tolerance: float) -> Run:
        return self._lanczos(problem.hessian, count, tolerance, lambda: self._hessian(problem))

    def density(self, problem: Problem, steps: int, starts: int) -> Run:
        def job() -> Any:
            return self.load().spectral_density(
                self._hessian(problem), num_runs=starts, lanczos_steps=steps, seed=0
            )

        return Run(job, lambda found: steps_law(found.raw_eigenvalues, found.raw_weights))

    def covariance(self, problem: Problem, count: int, tolerance: float) -> Run:
        library = self.load()

        def operator() -> Any:
            return library.EmpiricalFisherOperator(
                problem.model,
                [(problem.inputs, problem.targets)],
                # One sample at a time, with its axis put back.
                lambda model, sample: problem.loss(model(sample[0][None]), sample[1][None]),
            )

        run = self._lanczos(problem.gradient_covariance, count, tolerance, operator)
        return Run(run.job, None, note=f"{run.note}; not centred, which it cannot")

    def _lanczos(
        self, dense: Tensor, count: int, tolerance: float, operator: Callable[[], Any]
    ) -> Run:
        """With the fewest tens of steps that reach the tolerance, found on the dense matrix."""
        library = self.load()
        matrix = dense.float()
        twin = library.LambdaOperator(
            lambda v: matrix @ v, size=len(matrix), dtype=matrix.dtype, device=matrix.device
        )
        steps = 2 * count
        while True:
            found = library.lanczos(
                twin, k=count, max_iter=steps, which="LA", reorthogonalize=True, seed=0
            )
            if float(found.residuals.max()) <= tolerance * float(found.eigenvalues[0]):
                break
            steps += max(10, steps // 10)

        def job() -> Any:
            return library.lanczos(
                operator(), k=count, max_iter=steps, which="LA", reorthogonalize=True, seed=0
            )

        return Run(
            job,
            lambda found: found.eigenvalues.double().numpy(),
            note=f"given the {steps} steps it needs, reorthogonalised",
        )

    def _hessian(self, problem: Problem) -> Any:
        library = self.load()
        return library.HessianOperator(
            problem.model,
            [(problem.inputs, problem.targets)],
            library.supervised_loss(problem.loss),
        )


class _Curvlinops(Peer):
    name, module = "curvlinops", "curvlinops"

    # Products after which the rest is extrapolated: one takes a second on the larger models.
    _SOME = 10

    def top(self, problem: Problem, count: int, tolerance: float) -> Run:
        products = _arpack_products(problem.hessian, count, tolerance)

        def job() -> Any:
            operator = self._hessian(problem).to_scipy()
            vector = np.random.default_rng(0).standard_normal(problem.size).astype(np.float32)
            for _ in range(self._SOME):
                operator @ vector

        note = f"from {self._SOME} of the {products} products that SciPy's eigsh takes"
        return Run(job, None, scale=products / self._SOME, note=note)

    def density(self, problem: Problem, steps: int, starts: int) -> Run:
        def job() -> Any:
            operator, vector = self._hessian(problem), torch.ones(problem.size)
            for _ in range(self._SOME):
                operator @ vector

        note = f"from {self._SOME} products; without those that find the ends"
        return Run(job, None, scale=steps * starts / self._SOME, note=note)

    def _hessian(self, problem: Problem) -> Any:
        parameters = list(problem.model.parameters())
        return self.load().HessianLinearOperator(
            problem.model,
            problem.loss,
            parameters,
            [(problem.inputs, problem.targets)],
            check_deterministic=False,
        )


def _arpack_products(matrix: Tensor, count: int, tolerance: float) -> int:
    """How many products SciPy takes, from a run on the dense matrix."""
    dense, products = matrix.float().numpy(), 0

    def product(vector: FloatArray) -> FloatArray:
        nonlocal products
        products += 1
        found: FloatArray = dense @ vector
        return found

    operator = LinearOperator(dense.shape, matvec=product, dtype=np.float32)
    start = np.random.default_rng(0).standard_normal(len(dense)).astype(np.float32)
    eigsh(operator, k=count, which="LA", tol=tolerance, v0=start)
    return products


def steps_law(nodes: Any, weights: Any) -> Law:
    """Mean over the starts of laws that are linear between the midpoints of their jumps."""
    rules = []
    for some, shares in zip(nodes, weights, strict=True):
        points, masses = np.asarray(some, dtype=float), np.asarray(shares, dtype=float)
        order = np.argsort(points)[: np.count_nonzero(~np.isnan(points))]
        points, masses = points[order], masses[order]
        rules.append((points, np.cumsum(masses) - masses / 2))

    def law(points: FloatArray) -> FloatArray:
        laws = [np.interp(points, *rule, left=0.0, right=1.0) for rule in rules]
        mean: FloatArray = np.mean(laws, axis=0)
        return mean

    return law


PEERS: tuple[Peer, ...] = (_PyHessian(), _Eigenthings(), _Curvlinops())
