"""Products of several processes: each multiplies with its own samples, and sums are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from .derived import Derived
from .head_curvature import HeadCurvature
from .module_curvature import CovarianceOperator
from .operator import CurvatureOperator
from .processes import Processes
from .wrappers import inner_modules, is_sharded, unwrap

__all__ = [
    "Processes",
    "SharedHeadCurvature",
    "SharedOperator",
    "gathered",
    "group_of",
    "shared",
]


class SharedOperator(Derived):
    """H = sum_r n_r H_r / sum_r n_r,  H_r the mean over the samples of process r, n_r their weight.

    A product with a panel costs one all-reduce, of (n_r H_r V, n_r). Panels must be equal on all
    processes, and then products are. A product that fails on one process fails on all.

    Args:
        local: H_r, of equal size on all processes.
        weight: n_r >= 0: the number of samples, or the sum of their weights.
        processes: that share the samples.
        mean: for a covariance, (size,) mean gradient of this process: H_r then measures spread
            about it, and the spread of these means about the global one is added.

    Attributes:
        processes: see above.
        counts: whether this process has samples of its own.
        deviation: (size, 1), of this process's mean gradient from the global one, of a covariance.
    """

    def __init__(
        self,
        local: CurvatureOperator,
        weight: float,
        processes: Processes,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__(local)
        self._weight, self.processes = weight, processes
        self.counts = weight > 0
        facts = processes.gather([local.panel_width, local.size, local.dense_cost])
        sizes = facts[:, 1].tolist()
        if len(set(sizes)) > 1:
            raise ValueError(
                f"local: expected equal sizes on all processes, got {list(map(int, sizes))}"
            )
        self._width, self._dense_cost = int(facts[:, 0].min()), float(facts[:, 2].max())
        self.deviation: Tensor | None = None
        if mean is not None:
            total = processes.sum(torch.cat([weight * mean, mean.new_tensor([weight])]))
            self.deviation = (mean - total[:-1] / total[-1])[:, None]

    @property
    def semidefinite(self) -> bool:
        """That of the local operators."""
        return self.original.semidefinite

    @property
    def panel_width(self) -> int:
        """The least of the local operators': panels must be equal, shards need not be."""
        return self._width

    @property
    def dense_cost(self) -> float:
        """The most of the local operators': the same choice is then made by all processes."""
        return self._dense_cost

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (*batch, size, width); same shape."""
        return self._summed(lambda: self.original @ panel, panel)

    def dense(self) -> Tensor:
        """H itself, (*batch, size, size)."""
        identity = torch.eye(self.size, dtype=self.dtype, device=self.device)
        return self._summed(self.original.dense, identity.expand(*self.batch, -1, -1))

    def _summed(self, local: Callable[[], Tensor], panel: Tensor) -> Tensor:
        """The product with the panel, from that of this process: one all-reduce."""
        failure: Exception | None = None
        # Behind the product: what it counts by, and whether it failed.
        message = torch.zeros(panel.numel() + 2, dtype=panel.dtype, device=panel.device)
        try:
            product = local()
            if self.deviation is not None:
                product = product + self.deviation * (self.deviation.mT @ panel)
            message[:-2] = product.reshape(-1) * self._weight
            message[-2] = self._weight
        except Exception as error:
            failure = error
            message[-1] = 1
        message = self.processes.sum(message)
        self.processes.settle(float(message[-1]), failure)
        return (message[:-2] / message[-2]).view(panel.shape)


class SharedHeadCurvature(SharedOperator):
    """The hand-written operator of a head, summed over processes, with what it knows besides.

    Args:
        local: of the samples of this process.
        weight: their number; 0 where they are borrowed.
        processes: that share the samples.
    """

    def __init__(self, local: HeadCurvature, weight: float, processes: Processes) -> None:
        super().__init__(local, weight, processes)
        self._head = local
        counts = processes.gather([weight, weight * local.noise])
        self._total, weighted = counts.sum(0).tolist()
        self._noise = weighted / self._total

    def traces(self) -> Tensor:
        """Tr H of each block, (b,)."""
        return self.processes.sum(self._head.traces() * (self._weight / self._total))

    def sampling_errors(self, vectors: Tensor, resolvent: Tensor) -> Tensor:
        """See `HeadCurvature.sampling_errors`."""
        ratio = self._head.size / self._head.rows / self._total
        influence = self._head.influences(vectors, resolvent * self._noise * ratio)
        if not self._weight:
            influence = influence[:0]
        mean = self.processes.sum(influence.sum(0)) / self._total
        squares = self.processes.sum((influence - mean).square().sum(0))
        errors: Tensor = (squares / (self._total - 1) / self._total).sqrt()
        return errors


def shared(local: CurvatureOperator, weight: float, processes: Processes) -> CurvatureOperator:
    """The operator over the samples of all processes; the local one if there is only this.

    Args:
        local: of the samples of this process, as a mean over them.
        weight: what they count by among those of all: their number, or the sum of their weights.
        processes: that share the samples.
    """
    if processes.alone:
        return local
    if isinstance(local, HeadCurvature):
        return SharedHeadCurvature(local, weight, processes)
    mean = local.mean if isinstance(local, CovarianceOperator) else None
    return SharedOperator(local, weight, processes, mean)


def group_of(model: nn.Module) -> distributed.ProcessGroup | None:
    """The processes that a model is trained by in `DistributedDataParallel`, or in parts; or None.

    A model in parts on more than one axis of processes is trained by all there are.
    """
    group: distributed.ProcessGroup | None
    for module in inner_modules(model):
        if isinstance(module, nn.parallel.DistributedDataParallel):
            group = module.process_group
            return group
    for parameter in model.parameters():
        if is_sharded(parameter):
            mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
            group = mesh.get_group() if mesh.ndim == 1 else distributed.group.WORLD
            return group
    return None


@contextmanager
def gathered(model: nn.Module, skeleton: nn.Module) -> Iterator[nn.Module]:
    """The skeleton with the whole parameters of a sharded model, until the block ends.

    Args:
        model: sharded by `torch.distributed.fsdp.fully_shard`; it is not called.
        skeleton: the same module before sharding, best on the meta device.
    """
    from torch.distributed.tensor import DTensor  # slow to import, and rarely needed

    whole = {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach()
        for name, value in unwrap(model).state_dict().items()
    }
    skeleton.load_state_dict(whole, assign=True)
    try:
        yield skeleton
    finally:
        empty = {name: torch.empty_like(value, device="meta") for name, value in whole.items()}
        skeleton.load_state_dict(empty, assign=True)
