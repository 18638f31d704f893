"""Operators with a prescribed spectrum."""

import pytest
import torch

from spectrain.probes.curvature.operator import CurvatureOperator


class DenseOperator(CurvatureOperator):
    """Products with matrices that are at hand, counted."""

    def __init__(self, matrices):
        self.matrices = matrices
        self.columns = 0

    @property
    def batch(self):
        return tuple(self.matrices.shape[:-2])

    @property
    def size(self):
        return self.matrices.shape[-1]

    @property
    def dtype(self):
        return self.matrices.dtype

    @property
    def device(self):
        return self.matrices.device

    def matmul(self, panel):
        self.columns += panel.shape[-1]
        return self.matrices @ panel


class DiagonalOperator(CurvatureOperator):
    """diag(entries): to random starts as good as any matrix with these eigenvalues."""

    def __init__(self, entries):
        self.entries = entries

    @property
    def batch(self):
        return tuple(self.entries.shape[:-1])

    @property
    def size(self):
        return self.entries.shape[-1]

    @property
    def dtype(self):
        return self.entries.dtype

    @property
    def device(self):
        return self.entries.device

    def matmul(self, panel):
        return self.entries[..., None] * panel


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def dense_operator():
    return DenseOperator


@pytest.fixture
def diagonal_operator():
    return DiagonalOperator


@pytest.fixture(scope="session")
def operator_with_spectrum():
    """An operator with these eigenvalues, (*batch, N), and eigenvectors from a generator."""

    def build(eigenvalues, generator, dtype=torch.float64):
        values = torch.as_tensor(eigenvalues, dtype=torch.float64)
        size = values.shape[-1]
        noise = torch.randn(*values.shape, size, dtype=torch.float64, generator=generator)
        rotation = torch.linalg.qr(noise).Q
        return DenseOperator(((rotation * values[..., None, :]) @ rotation.mT).to(dtype))

    return build


@pytest.fixture
def with_spectrum(generator, operator_with_spectrum):
    """An operator with these eigenvalues, (*batch, N), and random eigenvectors."""

    def build(eigenvalues, dtype=torch.float64):
        return operator_with_spectrum(eigenvalues, generator, dtype)

    return build
