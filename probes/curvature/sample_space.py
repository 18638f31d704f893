"""Second moments of the samples' gradients, diagonalised in the space of samples or parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from .block import Block
from .distributed import Processes
from .leave_one_out import removals
from .operator import CurvatureOperator
from .sample_gradients import SampleGradients

__all__ = ["MOST", "SampleSpace", "sample_spaces"]

# Rows of the smaller of the two spaces beyond which its eigenproblem takes longer than products.
MOST = 1024
# Columns of G that the Gram matrix is summed over at once, and strips of its lower half.
_COLUMNS = 2**14
_STRIPS = 4

# Columns of G: neighbours, or chosen ones.
_Columns = tuple[slice, ...] | Tensor


class SampleRows:
    """B, (n, N):  row l is sqrt(w_l) (g_l - g),  w_l the weights, summing to 1;  g = 0 uncentred.

    Every process has its own samples' rows of G, (n_r, N): those of all are one after another.

    Args:
        gradients: of this process's samples.
        processes: that share the samples.
        centred: whether g is the weighted mean of the gradients; otherwise 0.
        lent: whether the samples are borrowed, and count by nothing.
    """

    def __init__(
        self,
        gradients: SampleGradients,
        processes: Processes,
        *,
        centred: bool,
        lent: bool = False,
    ) -> None:
        self.gradients, self.processes = gradients, processes
        counting = slice(0, 0) if lent else slice(None)
        self._gradients = gradients.rows[counting]
        weight = 0.0 if lent else gradients.weight
        numbers = processes.gather([len(self._gradients), weight])
        lengths = [int(number) for number in numbers[:, 0]]
        start = sum(lengths[: processes.rank])
        self.samples = sum(lengths)
        self.own = slice(start, start + lengths[processes.rank])
        self.weights = gradients.weights[counting] / float(numbers[:, 1].sum())
        self.mean: Tensor | None = None
        if centred:
            self.mean = processes.sum(self.weights @ self._gradients)
        self.roots = self.weights.sqrt()[:, None]

    @cached_property
    def all_weights(self) -> Tensor:
        """w, (n,) float64, of the samples of all processes."""
        return self.gathered(self.weights[:, None].double())[:, 0]

    def part(self, columns: slice | Tensor) -> Tensor:
        """This process's rows of some columns of B."""
        found = self.centred(columns)
        return self.roots * found

    def centred(self, columns: slice | Tensor) -> Tensor:
        """Likewise, without the weights: rows g_l - g."""
        found = self._gradients[:, columns]
        return found if self.mean is None else found - self.mean[columns]

    def gathered(self, own: Tensor) -> Tensor:
        """The rows of all processes, (n, ...), from those of this one."""
        if self.processes.alone:
            return own
        every = own.new_zeros(self.samples, *own.shape[1:])
        every[self.own] = own
        return self.processes.sum(every)


class SampleSpace(CurvatureOperator):
    """F = B^T B  of a block with n samples and N parameters, one of which is small.

    B B^T = Y L Y^T (n, n) has all eigenvalues of F but N - n zeros, and u = B^T y / sqrt(lambda);
    where N <= n, F itself is diagonalised. The sums are those of `SampleRows`: over the samples of
    all processes, which have the same eigenpairs. The information matrix, or the centred covariance
    of the gradients.

    Args:
        rows: of all parameters of G.
        columns: the block's.
        shapes: of the block's parameters.
        gram: B B^T of the block, (n, n) float64; None if N <= n.
    """

    def __init__(
        self,
        rows: SampleRows,
        columns: _Columns,
        shapes: tuple[tuple[int, ...], ...],
        gram: Tensor | None,
    ) -> None:
        self._rows, self._columns, self._shapes, self._gram = rows, columns, shapes, gram
        self._matrix = None if gram is not None else rows.gathered(self._own_rows())

    @property
    def batch(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def size(self) -> int:
        """N."""
        return sum(torch.Size(shape).numel() for shape in self._shapes)

    @property
    def dtype(self) -> torch.dtype:
        """That of the parameters."""
        return self._rows.gradients.dtype

    @property
    def device(self) -> torch.device:
        """That of the parameters."""
        return self._rows.gradients.device

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of the block's parameters."""
        return self._shapes

    @property
    def semidefinite(self) -> bool:
        """True."""
        return True

    @property
    def samples(self) -> int:
        """n, of all processes."""
        return self._rows.samples

    @property
    def dense_cost(self) -> float:
        """Nothing is left to differentiate."""
        return 0.0

    def matmul(self, panel: Tensor) -> Tensor:
        """B^T (B V) for V (N, width); same shape."""
        if self._matrix is not None:
            return self._matrix.mT @ (self._matrix @ panel)
        return self._pulled(self._pushed(panel))

    def dense(self) -> Tensor:
        """F, (N, N)."""
        if self._matrix is not None:
            return self._matrix.mT @ self._matrix
        return super().dense()

    def traces(self) -> Tensor:
        """Tr F, ()."""
        return self.eigen[0].sum()

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """All eigenvalues but N - n certain zeros, ascending (r,), r = min(n, N); eigenvectors.

        These are (r, r) float64, in the space of samples or of parameters, whichever is smaller.

        Raises:
            ValueError: if a number is not finite.
        """
        matrix = self.dense().double() if self._gram is None else self._gram
        if not bool(torch.isfinite(matrix).all()):
            raise ValueError("operator: expected finite products, got NaN or infinity")
        values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
        return values, vectors

    @property
    def counted(self) -> Tensor:
        """Places of the samples, of all processes, whose weight is not 0."""
        return self._rows.all_weights.nonzero()[:, 0]

    def eigenvalues_of(self, chosen: Tensor) -> Tensor:
        """Eigenvalues on some of the samples alone, ascending, min(m, N) of them, float64.

        Args:
            chosen: (m,) places of samples, in any order.
        """
        roots = self._rows.all_weights[chosen].sqrt()[:, None]
        weight = roots.square().sum()
        if self._gram is None:
            assert self._matrix is not None
            rows = self._matrix[chosen].double()
            if self._rows.mean is not None:  # about their own mean
                rows = rows - roots * (roots.mT @ rows / weight)
            part = rows.mT @ rows if len(rows) > self.size else rows @ rows.mT
        else:
            part = self._gram[chosen][:, chosen]
            if self._rows.mean is not None:
                part = part - roots * (roots.mT @ part / weight)
                part = part - (part @ roots / weight) * roots.mT
        found: Tensor = torch.linalg.eigvalsh((part + part.mT) / (2 * weight))
        return found

    @property
    def zeros(self) -> int:
        """N - n, eigenvalues that are 0 for want of samples; 0 if there are as many samples."""
        return self.size - len(self.eigen[0])

    def vectors(self, places: Sequence[int]) -> Tensor:
        """Orthonormal eigenvectors of some of `eigen`, none of them zero, (N, k)."""
        values, vectors = (part[..., list(places)] for part in self.eigen)
        chosen = vectors.to(self.dtype)
        if self._gram is None or not len(places):
            return chosen if self._gram is None else chosen.new_empty(self.size, 0)
        found = self._pulled(chosen[self._rows.own] / values.sqrt().to(self.dtype))
        frame, triangle = torch.linalg.qr(found)
        signs: Tensor = torch.where(triangle.diagonal() < 0, -1.0, 1.0)
        oriented: Tensor = frame * signs.to(frame.dtype)
        return oriented

    def kernel(self, count: int, generator: torch.Generator) -> Tensor:
        """Orthonormal vectors of the eigenvalue 0, (N, count), where N > n.

        On a few more columns than there are samples, chosen at random, they are orthogonal to every
        row; without so many columns, they have the least eigenvalues of F on all of them.
        """
        chosen = min(self.size, self._rows.samples + count)
        places = torch.randperm(self.size, device=generator.device, generator=generator)[:chosen]
        places = places.sort().values.to(self.device)
        part = self._rows.gathered(self._rows.part(self._index()[places])).double()
        if chosen < self._rows.samples + count:
            found = torch.linalg.eigh(part.mT @ part).eigenvectors[:, :count]
        else:
            # The last columns of the complete Q.
            reflections, scales = torch.geqrf(part.mT)
            last = torch.eye(chosen, dtype=part.dtype, device=part.device)[:, chosen - count :]
            found = torch.ormqr(reflections, scales, last)
        vectors = torch.zeros(self.size, count, dtype=self.dtype, device=self.device)
        vectors[places] = found.to(self.dtype)
        return vectors

    def errors(self, places: Sequence[int]) -> Tensor:
        """Standard error over the draw of the samples of some of `eigen`, (k,) float64.

        (n / (n - 1) sum_l (I_l - mean)^2)^(1/2),  I_l = (1 - w_l) (lambda - lambda_(-l)):

        lambda_(-l) is exactly the eigenvalue of the same rank without sample l, from a rank-one
        change in the eigenbasis, see `leave_one_out.removals`. Meant for outliers; too large at the
        edge of a bulk. Units are taken to be drawn independently. NaN for a single one.
        """
        values, vectors = self.eigen
        rows = self._rows
        if self._gram is None:
            assert self._matrix is not None
            coordinates = self._matrix.double() @ vectors
        else:
            coordinates = vectors * values.clamp_min(0.0).sqrt()
        weights = rows.all_weights
        if rows.mean is not None:
            # Without a sample the mean is another one, too.
            coordinates = coordinates / (1 - weights).clamp_min(1e-12).sqrt()[:, None]
        counted = weights > 0
        number = int(counted.sum())
        if number < 2:
            return values.new_full((len(places),), torch.nan)
        coordinates, weights = coordinates[counted], weights[counted]
        changes = removals(values, coordinates, places)
        changes = changes - weights[:, None] * values[list(places)]
        spread = (changes - changes.mean(0)).square().sum(0).sqrt()
        errors: Tensor = spread * (number / (number - 1)) ** 0.5
        return errors

    def _own_rows(self) -> Tensor:
        if isinstance(self._columns, Tensor):
            return self._rows.part(self._columns)
        return torch.cat([self._rows.part(part) for part in self._columns], dim=1)

    def _pushed(self, panel: Tensor) -> Tensor:
        """This process's rows of B V."""
        rows, result, start = self._rows, None, 0
        for part in self._parts():
            found = rows.gradients.rows[:, part]
            chosen = panel[start : start + found.shape[1]]
            start += found.shape[1]
            # Rows of vectors times G^T: twice as fast as G times columns.
            pushed = (chosen.mT.contiguous() @ found.mT).mT
            if rows.mean is not None:
                pushed = pushed - rows.mean[part] @ chosen
            result = pushed if result is None else result + pushed
        assert result is not None
        return rows.roots * result

    def _pulled(self, own: Tensor) -> Tensor:
        """B^T Z, (N, k), from this process's rows of Z."""
        rows = self._rows
        weighted = rows.roots * own
        found = []
        for part in self._parts():
            pulled = (weighted.mT @ rows.gradients.rows[:, part]).mT
            if rows.mean is not None:
                pulled = pulled - rows.mean[part, None] * weighted.sum(0)
            found.append(pulled)
        return rows.processes.sum(torch.cat(found))

    def _index(self) -> Tensor:
        """Of the block's columns in G, (N,)."""
        if isinstance(self._columns, Tensor):
            return self._columns
        return torch.cat(
            [torch.arange(part.start, part.stop, device=self.device) for part in self._columns]
        )

    def _parts(self) -> Sequence[slice | Tensor]:
        return (self._columns,) if isinstance(self._columns, Tensor) else self._columns


def sample_spaces(rows: SampleRows, blocks: Sequence[Block]) -> list[SampleSpace | None]:
    """The matrix of each block, from one pass over G; None for one that no gradient reaches.

    Args:
        rows: of a G in which all parameters of the blocks are whole.
        blocks: in any order, which may share parameters.
    """
    gradients = rows.gradients
    where, known = gradients.columns(), gradients.parameters
    unreached = set(gradients.unreached)
    chosen: list[tuple[_Columns, tuple[tuple[int, ...], ...]] | None] = []
    for block in blocks:
        names = tuple(block.resolve(gradients.module))
        if set(names) <= unreached:
            chosen.append(None)
            continue
        gradients.tell_of(names)
        if block.rows:
            shape = known[names[0]].shape
            length = shape[1:].numel()
            first = where[names[0]].start
            starts = torch.tensor(block.rows, device=gradients.device)[:, None] * length
            index = (first + starts + torch.arange(length, device=gradients.device)).reshape(-1)
            chosen.append((index, ((len(block.rows), *shape[1:]),)))
        else:
            parts = tuple(where[name] for name in names)
            chosen.append((parts, tuple(tuple(known[name].shape) for name in names)))
    sizes = [0 if c is None else sum(torch.Size(s).numel() for s in c[1]) for c in chosen]
    grams = {
        place: torch.zeros(rows.samples, rows.samples, dtype=torch.float64, device=gradients.device)
        for place, size in enumerate(sizes)
        if size > rows.samples
    }
    for place in grams:
        each = chosen[place]
        assert each is not None
        if isinstance(each[0], Tensor):
            for index in torch.split(each[0], _COLUMNS):
                grams[place] += _gram(rows, index)
    for part in where.values():
        wanted = [
            place
            for place in grams
            if (each := chosen[place]) and not isinstance(each[0], Tensor) and part in each[0]
        ]
        if wanted:
            for start in range(part.start, part.stop, _COLUMNS):
                gram = _gram(rows, slice(start, min(start + _COLUMNS, part.stop)))
                for place in wanted:
                    grams[place] += gram
    roots = rows.all_weights.sqrt()
    for gram in grams.values():
        gram *= roots[:, None] * roots
    if not rows.processes.alone:
        # Equal to the last bit: eigenvectors of each process must be those of all.
        first = rows.processes.rank == 0
        grams = {place: rows.processes.sum(gram * first) for place, gram in grams.items()}
    return [
        None if each is None else SampleSpace(rows, *each, grams.get(place))
        for place, each in enumerate(chosen)
    ]


def _gram(rows: SampleRows, columns: slice | Tensor) -> Tensor:
    """Sum over some columns of (g_l - g)(g_m - g), float64 from products in the dtype of G."""
    part = rows.gathered(rows.centred(columns))
    gram = part.new_empty(len(part), len(part))
    for strip in range(_STRIPS):
        first, end = (len(part) * edge // _STRIPS for edge in (strip, strip + 1))
        lower = part[first:end] @ part[:end].mT
        gram[first:end, :end] = lower
        gram[:first, first:end] = lower[:, :first].mT
    return gram.double()
