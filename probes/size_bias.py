"""What the number of samples does to the largest eigenvalues, where all are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray, Spectrum
from .curvature.half_samples import half_sample_bias
from .curvature.sample_space import SampleSpace

__all__ = ["size_bias", "size_bias_quantities"]


def size_bias(
    operator: SampleSpace, spectrum: Spectrum, generator: torch.Generator
) -> tuple[FloatArray, FloatArray]:
    """`half_sample_bias` of the largest eigenvalues of a spectrum, (k,) with its errors."""
    values, errors = torch.tensor(
        [[pair.value, pair.sampling_error] for pair in spectrum.top],
        dtype=torch.float64,
        device=operator.device,
    ).mT
    bias, error = half_sample_bias(operator, values, errors, generator)
    return bias.cpu().numpy(), error.cpu().numpy()


def size_bias_quantities(
    found: Mapping[tuple[str, str], tuple[FloatArray, FloatArray]], units: Mapping[str, str]
) -> list[Quantity]:
    """Quantities "information_size_bias" and so on, of each block's largest eigenvalues.

    Args:
        found: by matrix and block.
        units: of the matrices by their names.
    """
    quantities = []
    for matrix in dict.fromkeys(name for name, _ in found):
        own = {block: pair for (name, block), pair in found.items() if name == matrix}
        values, errors = (np.concatenate([pair[k] for pair in own.values()]) for k in (0, 1))
        places = tuple(
            f"{block}/top_{rank + 1}" for block, pair in own.items() for rank in range(len(pair[0]))
        )
        name = f"{matrix.replace('-', '_')}_size_bias"
        quantities.append(Quantity(name, values, units[matrix], (places,), errors=errors))
    return quantities
