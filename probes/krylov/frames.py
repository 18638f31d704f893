"""Orthonormal columns to start from."""

from __future__ import annotations

import torch
from torch import Tensor

from ..curvature.operator import CurvatureOperator

__all__ = ["gaussian", "identity_frame", "random_frame"]


def random_frame(operator: CurvatureOperator, width: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns (*batch, N, width), each uniform on the sphere."""
    shape = torch.Size((*operator.batch, operator.size, width))
    template = torch.empty(0, dtype=operator.dtype, device=operator.device)
    frame: Tensor = torch.linalg.qr(gaussian(shape, template, generator)).Q
    return frame


def identity_frame(operator: CurvatureOperator) -> Tensor:
    """The start, (*batch, N, N), from which one step forms the matrix."""
    identity = torch.eye(operator.size, dtype=operator.dtype, device=operator.device)
    return identity.expand(*operator.batch, -1, -1)


def gaussian(shape: torch.Size, template: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the dtype and on the device of ``template``."""
    noise = torch.randn(shape, dtype=template.dtype, device=generator.device, generator=generator)
    return noise.to(template.device)
