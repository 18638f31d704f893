"""A curvature matrix of any module: its block, its data, and graphs kept or built again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ...models.arguments import require_arguments
from .batches import Batch, Batches, Data, divided, ordinary, sample_number
from .block import Block
from .division import same_in_parts
from .filtered_warnings import filtered_warnings
from .graph import Graph
from .graph_ends import next_node, require_own_ends
from .graph_memory import graph_memory
from .losses import Loss, Reduction, sample_losses, scalar_loss
from .marks import marks
from .observe import Mode, undisturbed, warn_of_constants, warn_of_unreached
from .operator import CurvatureOperator
from .out_of_memory import is_out_of_memory
from .precision import require_precision
from .shared_products import SharedProducts
from .soundness import require_sound
from .stand_ins import alias, dtype_of
from .strategy import CACHE, MANY, Strategy, column_spans, columns_together
from .wrappers import require_whole

__all__ = ["Forms", "ModuleOperator"]

# Of a batch and vectors (N, k): the units' forms (n, k) and weights (n,), float64.
Forms = Callable[[Batch, Tensor], tuple[Tensor, Tensor]]

# Vectors whose forms are taken at once.
_TOGETHER = 12
# Relative difference of two ways to compute the same loss beyond which they are two losses.
_SAME = 1e-4


class ModuleOperator(CurvatureOperator):
    """A symmetric matrix of second derivatives or gradients, summed over batches.

    The block's parameters are replaced by copies that share their memory: neither the parameters'
    gradients nor their hooks see anything, and nothing else is differentiated. The module runs
    without autocast, see `undisturbed`. The operator holds as long as the parameters do not change.

    Args:
        model: any module; compiled or distributed wrappers are taken off.
        loss: of (outputs, targets), shape (); twice differentiable.
        data: a tuple (inputs, targets), or batches of that form that can be iterated again: a
            DataLoader. Inputs are passed as model(x), model(*x) for a sequence, model(**x) for a
            mapping; targets are the second argument of the loss. A batch has as many samples as
            its targets' (else inputs') first tensor has along its first axis, and counts by their
            number; for a `WeightedMean`, or a loss of torch that is one, by its sum of weights.
            Shuffling is harmless where samples are independent.
        block: the parameters that the matrix is restricted to.
        reduction: what the loss does over samples, "mean" or "sum"; so does the operator.
        strategy: "kept graph" builds the graph of each batch once, "rebuilt graph" again for each
            panel; with ", vmap" several columns of a panel go through it together, else one by
            one. Default: kept if the graphs fit in ``memory``, and vmapped if the largest
            intermediate tensor of at least 16 columns (four on an accelerator) is within the
            caches (4 MiB).
        run_hooks: whether the user's hooks on modules are run; see `SpectralProbe`.
        mode: "eval" or "train"; see `SpectralProbe`.
        dtype: of copies of the parameters and all else that the model is measured in; default:
            their own.
        memory: bytes that graphs may take together. A batch whose graph alone takes more is divided
            where its loss is the mean (sum) of its parts'.

    Raises:
        ValueError: if the loss is not one finite number, does not depend on the block's parameters
            or reads them where others cannot be put in their place; if products are not finite or
            not symmetric; if the block is empty or on several devices, parameters are of several
            dtypes or of neither float32 nor float64 or behind reentrant checkpoints; if the data
            are empty, of the wrong kind, on another device than the model, or other on a later
            pass.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Data,
        block: Block,
        *,
        reduction: Reduction = "mean",
        strategy: Strategy | None = None,
        memory: int = 2**30,
        run_hooks: bool = False,
        mode: Mode = "eval",
        dtype: torch.dtype | None = None,
    ) -> None:
        require_arguments(ModuleOperator.__init__, locals())
        _require_choice("reduction", reduction, get_args(Reduction))
        _require_choice("strategy", strategy, (None, *get_args(Strategy)))
        if memory < 1:
            raise ValueError(f"memory: expected a positive number of bytes, got {memory}")
        self._block, self._reduction, self._memory = block, reduction, memory
        self._batches = Batches(data)
        self._kept: list[Graph] | None = None
        self._first = True
        self._shares = self._calls_back = False
        with undisturbed(model, loss, run_hooks=run_hooks, mode=mode, dtype=dtype) as observed:
            self._observed, self._loss = observed, observed.loss
            self._versions, self._marks = _versions(observed.module), marks(observed.module)
            self._placed: dict[str, Tensor] = {}
            self._own = block.resolve(observed.module)
            require_whole(observed.module)
            require_precision(observed.module, observed.dtype)
            self._leaves = self._replaced(self._own)
            self._since = next_node()
            self._unreached = set(self._own)
            self._part = self._columns = 0
            self._first_pass(strategy)
        self._tell_of_unreached()
        if not observed.active:  # a probe has its own word for them
            observed.warn_of_hooks(stacklevel=2)
            warn_of_unreached(self.unreached, stacklevel=2)
            warn_of_constants(observed.constants, stacklevel=2)

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """Number of parameters in the block."""
        return sum(leaf.numel() for leaf in self._leaves)

    @property
    def dtype(self) -> torch.dtype:
        """That of the parameters."""
        return self._leaves[0].dtype

    @property
    def device(self) -> torch.device:
        """That of the parameters."""
        return self._leaves[0].device

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of the block's parameters; of the chosen rows alone, if there are some."""
        return tuple(tuple(leaf.shape) for leaf in self._leaves)

    @property
    def module(self) -> nn.Module:
        """The bare module."""
        return self._observed.module

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The block's parameters by name, whole."""
        return dict(self._own)

    @property
    def unreached(self) -> tuple[str, ...]:
        """The block's parameters that no gradient reaches: their rows are 0."""
        return tuple(name for name in self._own if name in self._unreached)

    @property
    def panel_width(self) -> int:
        """Columns that go through a graph together, but 4 to 8.

        One by one, columns cost the same in any panel, and a narrow one finds eigenvalues in fewer
        products; 4 for multiplicities.
        """
        return min(max(4, self._columns), 8)

    @property
    def differentiated(self) -> bool:
        """It is."""
        return True

    @property
    def dense_cost(self) -> float:
        """N; half of it where many columns go through a graph together, and most of it is calls."""
        return self.size / 2 if self._columns >= MANY else self.size

    @property
    def samples(self) -> int:
        """Number of samples in one pass."""
        return self._samples

    @property
    def weight(self) -> float:
        """Sum of the terms' weights where the loss is a `WeightedMean`, else `samples`."""
        return self._weight

    @property
    def strategy(self) -> Strategy:
        """How products are taken."""
        if self._kept is None:
            return "rebuilt graph" if self._columns == 1 else "rebuilt graph, vmap"
        return "kept graph" if self._columns == 1 else "kept graph, vmap"

    def matmul(self, panel: Tensor) -> Tensor:
        """H V for V (size, width); same shape.

        Raises:
            ValueError: if parameters or data have changed.
        """
        calls = self._kept is None or self._calls_back
        module = self._observed.module
        # Within a probing nothing changes them.
        written = not self._observed.active and marks(module) != self._marks
        with self._observed.still() if calls else self._observed.quiet():
            if written or _versions(module) != self._versions:
                raise ValueError(
                    "model: expected the parameters of the operator's construction, got changed "
                    "ones: make a new operator after a step"
                )
            rows = ordinary(panel.detach()).mT
            result = torch.zeros_like(rows)
            spans = column_spans(len(rows), self._columns)
            for graph in self._again() if self._kept is None else self._kept:
                for some in spans:
                    result[some] += self._guarded(graph, rows[some])
            if self._reduction == "mean":
                result /= self._weight
        return result.mT

    def forms(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """u^T H_l u  of the part H_l that every unit has in the matrix, and the units' weights.

        Args:
            vectors: u, (N, k).

        Returns:
            (n, k) and (n,) float64; the matrix is the mean of the H_l with these weights.

        Raises:
            ValueError: if the loss has no units, see `InformationOperator`.
            RuntimeError: if an operation lacks a derivative that this takes.
        """
        panel = ordinary(vectors.detach())
        forms, weights = [], []
        with self._observed.still():
            taken = self._forms_of(panel)
            for batch in self._batches:
                for part in self._parts(batch):
                    found = [
                        self._observed.evaluated(partial(taken, part, panel[:, some]), self._placed)
                        for some in column_spans(panel.shape[1], _TOGETHER)
                    ]
                    forms.append(torch.cat([own for own, _ in found], dim=1))
                    weights.append(found[0][1])
        return torch.cat(forms), torch.cat(weights)

    @abstractmethod
    def _forms_of(self, vectors: Tensor) -> Forms:
        """What takes the forms of a batch."""

    def _pieces(self, vector: Tensor) -> list[Tensor]:
        """A vector by leaf."""
        pieces = torch.split(vector, [leaf.numel() for leaf in self._leaves])
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    @abstractmethod
    def _graph(self, outputs: Any, targets: Any, samples: int) -> Graph:
        """The part of one batch in n times the matrix (in the matrix, for a sum)."""

    @property
    def _variables(self) -> str:
        """What the second derivative is taken in."""
        return f"block {self._block.name!r}"

    def _total(self, outputs: Any, targets: Any, samples: int) -> tuple[Tensor, float]:
        """Sum over samples of their losses, and what the batch counts by."""
        if self._reduction == "sum":
            return scalar_loss(self._loss(outputs, targets)), samples
        return self._observed.total(outputs, targets, samples)

    def _units(
        self, outputs: Any, targets: Any, samples: int, *, check: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Loss of every sample or term, and weights if they are not equal."""
        if self._observed.weighted_mean is not None and self._reduction == "mean":
            return self._observed.terms(outputs, targets)
        losses = sample_losses(
            self._loss,
            outputs,
            targets,
            self._reduction,
            check=check or self._first,
            since=self._since,
        )
        if len(losses) != samples:
            raise ValueError(
                f"data: expected as many samples in the inputs as in the targets ({samples}), "
                f"got {len(losses)}"
            )
        return losses, None

    def _gradient(
        self,
        values: Sequence[Tensor],
        weights: Sequence[Tensor],
        *,
        differentiable: bool = True,
        retain: bool = False,
    ) -> tuple[Tensor, ...]:
        """Sum of weights^T d values / d leaf for each leaf, on a graph if wanted; else zeros."""
        found: Sequence[Tensor | None] = [None] * len(self._leaves)
        if not self._samples:
            require_own_ends(values, self._own, self._leaves)
        if any(value.requires_grad for value in values):
            try:
                found = torch.autograd.grad(
                    values,
                    self._leaves,
                    weights,
                    retain_graph=differentiable or retain,
                    create_graph=differentiable,
                    allow_unused=True,
                )
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                raise ValueError(
                    f"loss: expected derivatives in block {self._block.name!r}, got {error}"
                ) from error
        for name, part in zip(self._own, found, strict=True):
            if part is not None:
                self._unreached.discard(name)
        return tuple(
            torch.zeros_like(leaf) if part is None else part
            for part, leaf in zip(found, self._leaves, strict=True)
        )

    def _tell_of_unreached(self) -> None:
        """Let the probe know which of the block's parameters no gradient reaches."""
        self._observed.unreached.update(dict.fromkeys(self.unreached))

    def _replaced(self, chosen: dict[str, Tensor]) -> list[Tensor]:
        """The block's leaves, each put in the place of its parameter."""
        own = self._observed.dtype
        complex_ones = [name for name, parameter in chosen.items() if parameter.is_complex()]
        if complex_ones:
            raise ValueError(
                f"parameters of block {self._block.name!r}: expected real ones, got complex "
                f"{', '.join(complex_ones)}: train what torch.view_as_real gives, or leave them out"
            )
        kinds = {(dtype_of(parameter, own), str(parameter.device)) for parameter in chosen.values()}
        if len(kinds) != 1 or not next(iter(kinds))[0].is_floating_point:
            raise ValueError(
                f"parameters of block {self._block.name!r}: expected one device and one floating "
                f"dtype, got {sorted(map(str, kinds))}"
            )
        leaves = []
        for name, parameter in chosen.items():
            whole = leaf = alias(parameter, own)
            if self._block.rows:
                whole.requires_grad_(False)
                index = torch.tensor(self._block.rows, device=leaf.device)
                leaf = whole[index].requires_grad_()
                whole = whole.index_copy(0, index, leaf)
            self._placed[name] = whole
            leaves.append(leaf)
        return leaves

    def _first_pass(self, strategy: Strategy | None) -> None:
        """Choose a strategy, refuse what cannot work, and keep the graphs if they shall be kept."""
        self._samples, self._weight = 0, 0.0
        self._value, self._scale, held = 0.0, 0.0, 0.0
        keep = strategy is None or strategy.startswith("kept")
        kept: list[Graph] = []
        constant = True
        for batch in self._batches:
            self._require_device(batch)
            if not self._samples:
                per_sample, largest = self._measured(batch)
                self._part = max(1, int(self._memory / per_sample))
                samples = min(self._part, sample_number(batch))
                self._columns = columns_together(strategy, largest * samples, self.device)
            for part in self._parts(batch):
                graph = self._built(part)
                if not self._samples:
                    self._try(graph)
                constant &= graph.constant
                self._samples += graph.samples
                self._weight += graph.weight
                self._value += float(graph.value)
                self._scale += abs(float(graph.value))
                held += per_sample * graph.samples
                if strategy is None and held > self._memory:
                    keep = False
                    kept.clear()
                if keep:
                    kept.append(graph)
        if len(self._unreached) == len(self._own):
            raise ValueError(
                f"loss: expected one that depends on the parameters of block {self._block.name!r}, "
                "got one that does not"
            )
        if not self._weight > 0:
            raise ValueError("loss: expected terms with a weight, got a sum of weights of 0")
        if constant:
            raise ValueError(
                f"loss: expected a second derivative in {self._variables}, got a gradient that "
                "does not depend on any parameter"
            )
        self._kept = kept if keep else None
        self._first = False

    def _again(self) -> Iterator[Graph]:
        """The graphs of another pass."""
        samples, value = 0, 0.0
        for batch in self._batches:
            for part in self._parts(batch):
                graph = self._built(part)
                samples += graph.samples
                value += float(graph.value)
                yield graph
        if samples != self._samples:
            raise ValueError(
                f"data: expected {self._samples} samples on every pass, got {samples} on a later"
            )
        if not abs(value - self._value) <= _SAME * self._scale:
            raise ValueError(
                "data: expected the same samples on every pass, with a loss of "
                f"{self._value / samples:g}, got {value / samples:g} on a later"
            )

    def _built(self, batch: Batch) -> Graph:
        return self._observed.evaluated(
            lambda: self._graph(self._observed.outputs(batch[0]), batch[1], sample_number(batch)),
            self._placed,
        )

    def _guarded(self, graph: Graph, rows: Tensor) -> Tensor:
        """See `_product`; graphs that call the model, as for checkpoints, may write as it does."""
        if not self._calls_back:
            return self._product(graph, rows)
        return self._observed.evaluated(lambda: self._product(graph, rows), self._placed)

    def _product(self, graph: Graph, rows: Tensor) -> Tensor:
        """The graph's part of the products with rows (columns, size); one row goes unvmapped."""
        lead = (len(rows),) if self._columns > 1 else ()
        pieces = torch.split(rows, [leaf.numel() for leaf in self._leaves], dim=-1)
        vectors = [
            piece.reshape((*lead, *leaf.shape))
            for piece, leaf in zip(pieces, self._leaves, strict=True)
        ]
        with SharedProducts() if self._shares else nullcontext():
            products = graph.product(vectors)
        return torch.cat([part.reshape(len(rows), -1) for part in products], dim=-1)

    def _try(self, graph: Graph) -> None:
        """Products with and without vmap: without, if vmap fails, goes one by one or is wrong."""
        columns, self._columns = self._columns, 1
        count = min(self.size, 2)
        phases = torch.arange(count * self.size, dtype=self.dtype, device=self.device)
        rows = phases.cos().view(count, -1)
        try:
            expected = self._observed.evaluated(
                lambda: torch.cat([self._product(graph, row) for row in torch.split(rows, 1)]),
                self._placed,
            )
            self._calls_back = self._observed.changed or self._recomputes(graph, rows[:1])
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"loss: expected a second derivative in {self._variables}, got {error}"
            ) from error
        self._require_sound(graph, rows, expected)
        if columns > 1:
            self._columns = columns
            try:
                with filtered_warnings("error"), SharedProducts() as shared:
                    difference = (self._guarded(graph, rows) - expected).norm()
            except (RuntimeError, UserWarning):
                self._columns = 1
                return
            if not bool(difference <= _SAME * expected.norm()):
                self._columns = 1
            self._shares = self._columns > 1 and shared.largest > CACHE

    def _recomputes(self, graph: Graph, row: Tensor) -> bool:
        """Whether a product calls the model, whose own parameters are not of the copies' dtype."""
        parameters = self._observed.module.parameters()
        if all(p.dtype == dtype_of(p, self._observed.dtype) for p in parameters):
            return False
        try:
            self._product(graph, row)
        except RuntimeError as error:  # of operations on two dtypes
            if is_out_of_memory(error):
                raise
            return True
        return False

    def _require_sound(self, graph: Graph, rows: Tensor, products: Tensor) -> None:
        require_sound(rows, products, self._variables)

    def _measured(self, batch: Batch) -> tuple[float, float]:
        """See `graph_memory`; a loader's batches stay in memory for the graphs built on them."""
        parameters = self._observed.module.parameters()
        known = [*parameters, *self._placed.values(), *self._leaves]
        return graph_memory(self._built, batch, known, carried=self._batches.many)

    def _parts(self, batch: Batch) -> list[Batch]:
        """The batch, divided if its graph would not fit in the memory and its loss allows it."""
        if sample_number(batch) <= self._part:
            return [batch]
        parts = divided(batch, self._part)
        if self._first and not same_in_parts(self._observed, self._total, batch, parts):
            self._part = sample_number(batch)
            return [batch]
        return parts

    def _require_device(self, batch: Batch) -> None:
        module = self._observed.module
        known = {str(p.device) for p in (*module.parameters(), *module.buffers())}
        for leaf in tree_leaves(batch):
            if isinstance(leaf, Tensor) and str(leaf.device) not in known:
                raise ValueError(
                    f"data: expected tensors on {' or '.join(sorted(known))} like the model, "
                    f"got one on {leaf.device}"
                )


def _versions(module: nn.Module) -> list[int]:
    """How often each parameter has been written to, where torch counts it."""
    return [0 if p.is_inference() else p._version for p in module.parameters()]


def _require_choice(name: str, given: Any, known: Sequence[Any]) -> None:
    if given not in known:
        raise ValueError(f"{name}: expected one of {list(known)}, got {given!r}")
