"""What the number of samples does to the largest eigenvalues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from ..theory.quantity import Quantity
from ..theory.spectrum import FloatArray, Spectrum
from .curvature.half_samples import half_sample_bias
from .curvature.operator import CurvatureOperator
from .curvature.sample_space import SampleSpace
from .krylov.eigenpairs import eigenpairs
from .measurement import Measurement

__all__ = ["Bias", "product_size_bias", "size_bias", "size_bias_quantities"]

# Divisions of the sample into two halves, where eigenvalues take products.
_DIVISIONS = 4
# Residual, as a share of the largest absolute eigenvalue, at which one of a half is settled: the
# eigenvalue is then within the square of that, a hundredth of what halves add where they add much.
_TOLERANCE = 0.03

# Of a block, (k,): the bias and its standard error.
Bias = tuple[FloatArray, FloatArray]


def size_bias(operator: SampleSpace, spectrum: Spectrum, generator: torch.Generator) -> Bias:
    """`half_sample_bias` of the largest eigenvalues of a spectrum, (k,) with its errors."""
    values, errors = torch.tensor(
        [[pair.value, pair.sampling_error] for pair in spectrum.top],
        dtype=torch.float64,
        device=operator.device,
    ).mT
    bias, error = half_sample_bias(operator, values, errors, generator)
    return bias.cpu().numpy(), error.cpu().numpy()


def product_size_bias(
    spectrum: Spectrum,
    vectors: Tensor,
    halves: Callable[[], Iterable[CurvatureOperator]],
    measurement: Measurement,
    generator: torch.Generator,
) -> Bias:
    """As `half_sample_bias`, from products with matrices of half the samples.

    Lanczos begins at the eigenvectors on the whole sample, and ends soon. Divisions are few: their
    spread is known to two fifths.

    Args:
        spectrum: on the whole sample.
        vectors: (N, k) eigenvectors of the largest eigenvalues, as the parameters' entries.
        halves: makes the two matrices of another division.
        measurement: how closely, and in how many products.
        generator: draws the columns besides.
    """
    values, errors = (
        np.array([getattr(pair, name) for pair in spectrum.top])
        for name in ("value", "sampling_error")
    )
    biases = []
    for _ in range(_DIVISIONS):
        found = [
            eigenpairs(
                operator,
                largest=len(values),
                tolerance=max(_TOLERANCE, measurement.tolerance),
                start=operator.coordinates(vectors),
                max_products=measurement.max_products,
                vectors=False,
                generator=generator,
            ).values
            for operator in halves()
        ]
        biases.append(torch.stack(found).mean(0).cpu().numpy() - values)
    bias: FloatArray = np.mean(biases, axis=0)
    spread = np.std(biases, axis=0, ddof=1) / _DIVISIONS**0.5
    return bias, np.hypot(spread, bias * errors / values)


def size_bias_quantities(
    found: Mapping[tuple[str, str], Bias], units: Mapping[str, str]
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
