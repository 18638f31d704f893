"""What a probing will cost, from single trial products instead of a whole run."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .curvature.interception import Operations
from .curvature.operator import CurvatureOperator
from .krylov.block_lanczos import Krylov
from .krylov.density import spectral_densities
from .krylov.forming import is_formed, keeps_images
from .krylov.frames import random_frame

__all__ = ["Estimate", "KrylovCost", "LiveTensors", "krylov_cost", "seconds_of"]

# Lanczos steps that eigenvalues at both ends usually take; a density has its own minimum.
_USUAL_STEPS = 16
# Seconds below which other work on the machine can spoil a time.
_SHORT = 0.1


@dataclass(frozen=True)
class Estimate:
    """What one probing will take.

    Attributes:
        seconds: wall time, usually within a factor of three.
        memory: bytes beyond what model, optimiser and data take.
        passes: the most products with a panel that there can be, over all blocks.
        parts: seconds of each part, by the names of `Record.seconds`.
        storage: bytes of each part: they add up to ``memory``.
    """

    seconds: float
    memory: int
    passes: int
    parts: Mapping[str, float]
    storage: Mapping[str, int]

    def __str__(self) -> str:
        times = ", ".join(f"{part} {took:.2g} s" for part, took in self.parts.items())
        sizes = ", ".join(f"{part} {_size(size)}" for part, size in self.storage.items())
        return (
            f"about {self.seconds:.2g} s ({times}) and {_size(self.memory)} ({sizes}), "
            f"at most {self.passes} passes"
        )


@dataclass(frozen=True)
class KrylovCost:
    """What the eigenpairs of one operator take.

    Attributes:
        seconds: at the usual number of steps, with the density if it is wanted.
        basis: bytes of the Krylov basis, and of its images if they are kept, all of which is
            allocated at the start.
        coefficients: bytes of its coefficients and their eigenvectors.
        passes: the most products with a panel.
    """

    seconds: float
    basis: int
    coefficients: int
    passes: int


def krylov_cost(
    operator: CurvatureOperator,
    *,
    width: int,
    min_steps: int,
    max_steps: int,
    density: bool,
    generator: torch.Generator,
) -> KrylovCost:
    """steps (t_product + 2 t_projection + 2 t_QR) + 2 t_eigen + t_density, each timed by a trial.

    Args:
        operator: whose eigenpairs are wanted.
        width: columns of a panel.
        min_steps: of Lanczos.
        max_steps: of Lanczos.
        density: whether it is taken from the same space.
        generator: draws the trial panel.
    """
    size, device = operator.size, operator.device
    whole = is_formed(operator, width, min_steps, max_steps)
    columns = size if whole else min(size, width * max_steps)
    images = keeps_images(operator, columns)
    steps = min(max(min_steps, _USUAL_STEPS), max_steps)
    used = size if whole else width * steps
    panel = random_frame(operator, min(width, size), generator)
    operator @ panel  # the first one is slow: kernels are loaded, memory is allocated
    product = seconds_of(lambda: operator @ panel, device)
    rows = panel.mT.contiguous()
    count = math.prod(operator.batch)
    if whole:
        step = product
        steps = -(-math.ceil(operator.dense_cost) // width) + 1
    else:
        basis = rows.repeat(*[1] * len(operator.batch), max(1, steps // 2), 1)
        projection = seconds_of(lambda: rows - rows @ basis.mT @ basis, device)
        step = product + 2 * projection + 2 * seconds_of(lambda: torch.linalg.qr(panel), device)
        steps += not images
    noise = torch.randn(*operator.batch, used, used, dtype=torch.float64, generator=generator)
    coefficients = (noise + noise.mT).to(device, operator.dtype if whole else torch.float64)
    small = 2 * seconds_of(lambda: torch.linalg.eigh(coefficients), device)
    if density:
        # Its cost is that of the coefficients: a basis of the right shape needs no memory.
        krylov = Krylov(
            basis=panel.new_zeros(()).expand(*operator.batch, size, used),
            coefficients=coefficients.double(),
            border=coefficients.double()[..., : 0 if whole else width, :],
            width=used if whole else width,
        )
        small += seconds_of(lambda: spectral_densities(krylov), device)
    return KrylovCost(
        seconds=steps * step + small,
        # The identity is one for the whole batch.
        basis=(1 if whole else count) * (1 + images) * size * columns * operator.dtype.itemsize,
        coefficients=count * 3 * 8 * columns**2,
        passes=(1 if whole else max_steps) + (not images),
    )


def seconds_of(action: Callable[[], Any], device: torch.device) -> float:
    """Wall time of an action, work on the device included; the least of three if it is short."""
    least = math.inf
    for _ in range(3):
        _finish(device)
        start = time.perf_counter()
        action()
        _finish(device)
        least = min(least, time.perf_counter() - start)
        if least > _SHORT:
            break
    return least


class LiveTensors(Operations):
    """Counts the bytes of tensors that are made inside, and that live at the same time.

    Attributes:
        now: bytes alive of what was made inside.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call ``func`` and count what it has made."""
        result = func(*args, **kwargs)
        given = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and _address(leaf) not in self._known | given:
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = int(storage._cdata), storage.nbytes()
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, address, size)

    def _remove(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _size(count: int) -> str:
    """Bytes in words."""
    size, units = float(count), ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
