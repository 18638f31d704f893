"""Errors of all layers' traces: from products with the whole matrix, and with each layer's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from spectrain import Block
from spectrain.probes.curvature.layers import layer_blocks
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.krylov.block_traces import block_traces
from spectrain.probes.krylov.trace import trace
from spectrain.theory.spectrum import FloatArray

from .problems import encoder, four_layers

__all__ = ["JOBS", "LayerErrors", "layer_errors"]

JOBS = {
    "conv net": four_layers,
    "conv net at its start": partial(four_layers, steps=0),
    "transformer": encoder,
    "transformer at its start": partial(encoder, steps=0),
}
# With each layer's own matrix.
_PRODUCTS = 8


@dataclass(frozen=True)
class LayerErrors:
    """Standard deviations of the traces of L layers over random vectors.

    Attributes:
        own: (L,) from products with each layer's own matrix.
        whole: (L,) from half as many products as all of these, with the whole.
        coupling: (L,) sum_(c /= b) |H_bc|^2 / |H_bb|^2 of each layer b, in Frobenius norms.
        own_products: with all layers.
        whole_products: with the whole.
    """

    own: FloatArray
    whole: FloatArray
    coupling: FloatArray
    own_products: int
    whole_products: int


def layer_errors(job: str, repeats: int) -> LayerErrors:
    """Of one of the jobs, from so many independent estimates, which are unbiased both."""
    problem = JOBS[job]()
    problem.model.eval()
    batch = problem.inputs, problem.targets
    blocks = layer_blocks(problem.model)
    order = [name for name, _ in problem.model.named_parameters()]
    places = [[order.index(name) for name in block.parameters] for block in blocks]
    whole = HessianOperator(problem.model, problem.loss, batch, Block("all"))
    layers = [HessianOperator(problem.model, problem.loss, batch, block) for block in blocks]
    together = _PRODUCTS * len(layers) // 2
    own, joint = np.zeros((2, repeats, len(layers)))
    for seed in range(repeats):
        generator = torch.Generator().manual_seed(seed)
        own[seed] = [float(trace(layer, _PRODUCTS, generator).value) for layer in layers]
        joint[seed] = block_traces(whole, places, together, generator).value
    return LayerErrors(
        own.std(0, ddof=1),
        joint.std(0, ddof=1),
        _coupling(whole, [layer.size for layer in layers]),
        _PRODUCTS * len(layers),
        together,
    )


def _coupling(whole: HessianOperator, sizes: list[int]) -> FloatArray:
    """|H_bc|_F^2 = E |(H z)_b|^2 for z of random signs on block c."""
    generator = torch.Generator().manual_seed(0)
    squares = np.zeros((len(sizes), len(sizes)))
    for place, size in enumerate(sizes):
        panel = torch.zeros(whole.size, _PRODUCTS)
        signs = torch.randint(2, (size, _PRODUCTS), generator=generator)
        torch.split(panel, sizes)[place].copy_(2 * signs - 1)
        parts = torch.split(whole @ panel, sizes)
        squares[:, place] = [float(part.double().square().sum()) for part in parts]
    inside = squares.diagonal()
    coupling: FloatArray = (squares.sum(1) - inside) / inside
    return coupling
