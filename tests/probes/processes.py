"""What two processes check together, started by torchrun; see test_distributed.py.

Every check returns numbers (or text) of this process; they are saved for the tests to judge.
"""

import contextlib
import copy
import dataclasses
import itertools
import os
import sys
from datetime import timedelta

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from spectrain import GaussianMixture, MixtureTheory, SoftmaxRegression
from spectrain.probes.budget import Budget
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.distributed import SharedOperator, shared
from spectrain.probes.curvature.matrix import Covariance, Hessian
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.curvature.operator import CurvatureOperator
from spectrain.probes.curvature.processes import Processes
from spectrain.probes.krylov.eigenpairs import eigenpairs
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.within_share import WithinShare
from spectrain.theory.quantity import Quantity

N, CUT = 200, 60  # samples, and how many of them the first process has
LOSS = nn.CrossEntropyLoss()
LANCZOS = Measurement(eigenvalues=3, smallest=2, width=4, max_products=48)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)).double()


def whole_batch():
    inputs = torch.randn(N, 9, dtype=torch.float64, generator=generator(2))
    return inputs, torch.randint(3, (N,), generator=generator(3))


def shard(batch):
    part = slice(0, CUT) if distributed.get_rank() == 0 else slice(CUT, None)
    return tuple(tensor[part] for tensor in batch)


def world():
    return Processes(distributed.group.WORLD, torch.device("cpu"))


class Dense(CurvatureOperator):
    batch, size, dtype, device = (), 0, torch.float64, torch.device("cpu")
    own_width = 4

    def __init__(self, matrix):
        self.matrix, self.size = matrix, len(matrix)

    @property
    def panel_width(self):
        return self.own_width

    def matmul(self, panel):
        return self.matrix @ panel


class Kept(list):
    def write(self, record):
        self.append(record)

    def close(self):
        pass


@contextlib.contextmanager
def counted():
    """The number of all-reduces, as a list that grows."""
    calls, reduce = [], distributed.all_reduce
    distributed.all_reduce = lambda *a, **k: calls.append(1) or reduce(*a, **k)
    try:
        yield calls
    finally:
        distributed.all_reduce = reduce


def numbers(value, path=""):
    """All numbers of a record but times, as pairs of where they are and what they are."""
    if dataclasses.is_dataclass(value):
        return [
            pair
            for field in dataclasses.fields(value)
            if field.name != "seconds"
            for pair in numbers(getattr(value, field.name), f"{path}.{field.name}")
        ]
    if isinstance(value, tuple):
        return [pair for item in value for pair in numbers(item, path)]
    if isinstance(value, np.ndarray):
        return [(path, float(item)) for item in value.ravel()]
    return [(path, float(value))] if isinstance(value, int | float) else []


def difference(found, expected):
    """Largest difference of two records, as a share of the largest number or 1, by field."""
    assert found.failure == expected.failure == "", (found.failure, expected.failure)
    largest = {}
    for (path, a), (same, b) in zip(numbers(found), numbers(expected), strict=True):
        assert path == same
        assert np.isnan(a) == np.isnan(b), path
        error = 0.0 if np.isnan(a) else abs(a - b) / max(1, abs(b))
        largest[path] = max(error, largest.get(path, 0.0))
    return largest


def products():
    model, batch = network(), whole_batch()
    errors, reductions = {}, {}
    for kind in (HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator):
        expected = kind(model, LOSS, batch, Block("all"))
        local = kind(model, LOSS, shard(batch), Block("all"))
        operator = shared(local, local.samples, world())
        panel = torch.randn(expected.size, 5, dtype=torch.float64, generator=generator(4))
        exact = expected @ panel
        with counted() as calls:
            found = operator @ panel
        errors[kind.__name__] = float((found - exact).abs().max() / exact.abs().max())
        reductions[kind.__name__] = len(calls)
        whole = expected.dense()
        apart = (operator.dense() - whole).abs().max() / whole.abs().max()
        errors[kind.__name__] = max(errors[kind.__name__], float(apart))
        assert operator.dense_cost == expected.dense_cost
    return errors, reductions


class Spread:
    """No mean over samples: the deviation of the first inputs, and how many there are."""

    name = "spread"

    def __call__(self, model, loss, batch, generator):
        found = np.array([float(batch[0][:, 0].std()), len(batch[0])])
        return [Quantity("spread", found, "unit", (("deviation", "samples"),))]


def distributed_data_parallel():
    """A wrapped model shares by itself; two probings, so that tracks are compared as well."""
    model, batch = network(), whole_batch()
    blocks = [Block("all"), Block("unit", ("0.weight",), (1, 2, 3, 4, 5, 6, 7))]
    options = {"blocks": blocks, "measurement": LANCZOS, "measures": [Spread()]}
    together = SpectralProbe(DistributedDataParallel(model), LOSS, shard(batch), **options)
    alone = SpectralProbe(model, LOSS, batch, **options)
    found = []
    for step in range(2):
        found.append(difference(together(step), alone(step)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1.01
    return {path: max(each[path] for each in found) for path in found[0]}


def estimate():
    """What each process is told; its trial products are common."""
    ddp = DistributedDataParallel(network())
    found = SpectralProbe(ddp, LOSS, shard(whole_batch()), measurement=LANCZOS).estimate()
    return found.passes, found.storage["basis"]


def head():
    """Hand-written products, with sampling errors, traces and overlaps."""
    law = GaussianMixture(torch.eye(3, 60, dtype=torch.float64), (0.4, 0.3, 0.3), (0, 1, 2), 3.0)
    model = SoftmaxRegression(60, 3, 0.5, generator(), torch.float64)
    theory = MixtureTheory(law, model.head, N / 60)
    options = {"theory": theory, "sample_kind": "training", "measurement": LANCZOS}
    batch = law.sample(N, generator(5))
    loss = model.head.criterion
    found = SpectralProbe(
        model, loss, shard(batch), process_group=distributed.group.WORLD, **options
    )(0)
    assert found.operator == "head"
    return difference(found, SpectralProbe(model, loss, batch, **options)(0))


class Bounded(nn.Module):
    """Has no memory for the graph of more than so many samples."""

    def __init__(self, most):
        super().__init__()
        self.inner, self.most = network(), most

    def forward(self, x):
        outputs = self.inner(x)
        if outputs.requires_grad and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs


def memory():
    """Where one process runs out of memory, all take smaller parts; the whole is as it was."""
    last = distributed.get_rank() == distributed.get_world_size() - 1
    options = {"measurement": LANCZOS}
    found = SpectralProbe(
        DistributedDataParallel(Bounded(30 if last else N)), LOSS, shard(whole_batch()), **options
    )(0)
    alone = SpectralProbe(Bounded(N), LOSS, whole_batch(), **options)(0)
    assert 0 < found.micro_batch < N
    alike = processes_alike(found.micro_batch)
    return difference(dataclasses.replace(found, micro_batch=0), alone), alike


def processes_alike(number):
    """Whether all processes have this number."""
    found = [torch.zeros(1) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, torch.tensor([float(number)]))
    return len({float(each) for each in found}) == 1


class Running(nn.Module):
    """Takes off a running mean that it keeps whatever the mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(9, dtype=torch.float64))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return x - self.mean


def trained(probed):
    """Everything that a distributed training leaves behind on this process."""
    model = nn.Sequential(Running(), *network())
    torch.manual_seed(10 + distributed.get_rank())
    wrapped = DistributedDataParallel(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    probe = SpectralProbe(wrapped, LOSS, shard(whole_batch()), measurement=LANCZOS)
    inputs, targets = shard(whole_batch())
    kept = []
    for step in range(3):
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=step == 1):
            LOSS(wrapped(inputs), targets).backward()
            if probed:
                assert probe(step).failure == ""
        kept += [parameter.grad.clone() for parameter in model.parameters()]
        optimiser.step()
        kept += [torch.get_rng_state(), torch.rand(1)]
    kept += [torch.tensor(model[0].calls), *model.buffers()]
    return kept + [parameter.detach().clone() for parameter in model.parameters()]


def agreed_width():
    """Shards of different sizes may suit panels of different widths; panels must be equal."""
    local = Dense(torch.diag(torch.arange(1.0, 101, dtype=torch.float64)))
    local.own_width = 3 + distributed.get_rank()
    pairs = eigenpairs(shared(local, 1, world()), largest=1, generator=generator())
    return float(pairs.values), pairs.products / pairs.passes


def zero_bits():
    pairs = zip(trained(False), trained(True), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Failing(Dense):
    def matmul(self, panel):
        if distributed.get_rank() == 1:
            raise OSError("out of luck")
        return super().matmul(panel)


def failures():
    """The reasons on this process when only the other one fails, and what comes after."""
    model, (inputs, targets) = DistributedDataParallel(network()), shard(whole_batch())
    broken = {}

    def sample(_):
        if distributed.get_rank() == 1 and broken.get("sample"):
            raise OSError("no data today")
        if distributed.get_rank() == 1 and broken.get("data"):
            return inputs * float("nan"), targets
        return inputs, targets

    kept = Kept()
    probe = SpectralProbe(model, LOSS, sample, sinks=[kept], measurement=LANCZOS)
    reasons = []
    for name in ("sample", "data", "nothing"):
        broken.clear()
        broken[name] = True
        reasons.append(probe(len(reasons)).failure)
    operator = SharedOperator(Failing(torch.eye(3, dtype=torch.float64)), 5, world())
    try:
        operator @ torch.ones(3, 1, dtype=torch.float64)
    except (OSError, RuntimeError) as error:
        reasons.append(f"{type(error).__name__}: {error}")
    return reasons, len(kept)


class Full:
    """A sink whose disk is full."""

    def write(self, record):
        raise OSError("disk full")

    def close(self):
        pass


def broken_sink():
    probe = SpectralProbe(
        DistributedDataParallel(network()),
        LOSS,
        shard(whole_batch()),
        sinks=[Full()],
        on_failure="raise",
    )
    try:
        probe(0)
    except (OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def draws():
    """First inputs drawn by each process: shards must be independent, the first one's as alone."""
    seen = []

    def sample(source):
        seen.append(torch.randn(1, generator=source).item())
        return shard(whole_batch())

    SpectralProbe(DistributedDataParallel(network()), LOSS, sample, measurement=LANCZOS)(0)
    SpectralProbe(network(), LOSS, sample, measurement=LANCZOS)(0)
    return seen


def kept_share():
    """Steps of the probings, by clocks that differ: a schedule, and a budget of time."""
    clock = itertools.count(step=1 + 7 * distributed.get_rank()).__next__
    probe = SpectralProbe(
        DistributedDataParallel(network()),
        *(LOSS, shard(whole_batch())),
        measurement=LANCZOS,
        every=WithinShare(0.2, clock=clock),
        budget=Budget(seconds=1e-9 if distributed.get_rank() else 60.0),
    )
    records = [record for step in range(60) if (record := probe.maybe(step)) is not None]
    return [(r.step, len(r.early), len(r.measured.spectra), r.failure) for r in records]


def fully_sharded():
    """Parameters in two halves, gathered into a skeleton without memory of its own."""
    model, batch = network(), whole_batch()
    with torch.device("meta"):
        skeleton = copy.deepcopy(model).to("meta")
    expected = SpectralProbe(copy.deepcopy(model), LOSS, batch, measurement=LANCZOS)(0)
    fully_shard(model, mesh=distributed.init_device_mesh("cpu", (2,)))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = SpectralProbe(
        model,
        LOSS,
        shard(batch),
        measurement=LANCZOS,
        process_group=distributed.group.WORLD,
        skeleton=skeleton,
        learning_rate=optimiser,
    )
    found = probe(0)
    stability = found.tracks[0].stability / found.measured.spectra[0].top[0].value
    quantities = tuple(each for each in found.measured.quantities if each.name != "sharpness")
    same = dataclasses.replace(
        found,
        measured=dataclasses.replace(found.measured, quantities=quantities),
        tracks=tuple(dataclasses.replace(track, stability=float("nan")) for track in found.tracks),
    )
    freed = all(parameter.is_meta for parameter in skeleton.parameters())
    return difference(same, expected), stability, freed


def message(make):
    """What it is refused with."""
    try:
        make()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def differences():
    """What each process is told of settings, blocks, shapes, dtypes and weights of its own."""
    rank, group = distributed.get_rank(), distributed.group.WORLD
    last = rank == distributed.get_world_size() - 1

    def probe(model=None, **options):
        model = network() if model is None else model
        options = {"measurement": LANCZOS, "process_group": group, **options}
        return SpectralProbe(model, LOSS, whole_batch(), **options)

    narrow = nn.Sequential(nn.Linear(9, 7), nn.Tanh(), nn.Dropout(0.3), nn.Linear(7, 3)).double()
    frozen = network()
    frozen[0].bias.requires_grad_(not last)
    found = {
        "seed": message(lambda: probe(seed=rank)),
        "eigenvalues": message(lambda: probe(measurement=Measurement(eigenvalues=3 + last))),
        "blocks": message(lambda: probe(blocks=[Block("all"), Block("b", (f"{3 * last}.bias",))])),
        "number of blocks": message(lambda: probe(blocks=[Block("all"), Block("b")][: 1 + last])),
        "shapes": message(lambda: probe(narrow if last else network())),
        "dtypes": message(lambda: probe(network().float() if last else network())),
        "frozen": message(lambda: probe(frozen)),
        "only one is wrong": message(lambda: probe(seed=-1 if last else 0)),
    }
    model, kept = network(), Kept()
    watched = probe(model, sinks=[kept])
    with torch.no_grad():
        model[3].weight[2, 1] *= 1 + last * 2**-52
    found["weights"] = watched(0).failure
    found["step"] = message(lambda: watched(rank).failure) + watched(rank).failure
    found["estimate"] = message(watched.estimate)
    model.load_state_dict(network().state_dict())
    return found, watched(1).failure, [record.failure for record in kept]


def empty_share():
    """Records where all processes but one have no sample, against those of that one alone."""
    rank, ends = distributed.get_rank(), distributed.get_world_size() - 1
    model, batch = network(), whole_batch()
    options = {
        "matrices": [Hessian(), Covariance()],
        "measurement": Measurement(eigenvalues=3, smallest=2, width=4, max_products=48, draws=2),
        "check_first": True,
    }
    empty = tuple(tensor[:0] for tensor in batch)
    own = batch if rank == ends else empty
    group = {"process_group": distributed.group.WORLD}
    found = SpectralProbe(model, LOSS, own, **options, **group)
    alone = SpectralProbe(model, LOSS, batch, **options)
    differences = [difference(found(step), alone(step)) for step in range(2)]
    law = GaussianMixture(torch.eye(3, 60, dtype=torch.float64), (0.4, 0.3, 0.3), (0, 1, 2), 3.0)
    head = SoftmaxRegression(60, 3, 0.5, generator(), torch.float64)
    loss = head.head.criterion
    options = {
        "theory": MixtureTheory(law, head.head, N / 60),
        "sample_kind": "training",
        "measurement": LANCZOS,
    }
    batch = law.sample(N, generator(5))
    empty = tuple(tensor[:0] for tensor in batch)
    of_head = SpectralProbe(head, loss, batch if rank == ends else empty, **options, **group)(0)
    assert of_head.operator == "head"
    differences.append(difference(of_head, SpectralProbe(head, loss, batch, **options)(0)))
    nothing = SpectralProbe(head, loss, empty, **options, **group)(0).failure
    return differences, found.estimate().passes, nothing


def skipped():
    """The reasons where the last process does not call, and calls later; its training goes on."""
    group = distributed.new_group(timeout=timedelta(seconds=3))
    kept = Kept()
    sinks = {"sinks": [kept], "measurement": LANCZOS}
    probe = SpectralProbe(network(), LOSS, shard(whole_batch()), process_group=group, **sinks)
    last = distributed.get_rank() == distributed.get_world_size() - 1
    reasons = [probe(0).failure]
    if not last:
        reasons.append(probe(1).failure)
    # As of a training, in the same group: it must not be taken for the probe's.
    total = torch.ones(1000)
    distributed.all_reduce(total)
    reasons.append(probe(2).failure)
    again = SpectralProbe(network(), LOSS, shard(whole_batch()), process_group=group)
    return reasons, float(total.mean()), len(kept), again(0).failure


def dies():
    """The reasons where the last process ends within a probing, and of the next one."""
    last = distributed.get_rank() == distributed.get_world_size() - 1
    group = distributed.new_group(timeout=timedelta(seconds=20))
    kept, probings = Kept(), []

    def sample(_):
        if last and probings:
            os._exit(0)
        return whole_batch()

    options = {"sinks": [kept], "measurement": LANCZOS, "process_group": group}
    probe = SpectralProbe(network(), LOSS, sample, **options)
    for step in range(3):
        probings.append(probe(step).failure)
    return probings, len(kept)


CHECKS = [
    differences,
    empty_share,
    skipped,
    products,
    distributed_data_parallel,
    head,
    memory,
    estimate,
    zero_bits,
    failures,
    broken_sink,
    draws,
    agreed_width,
    kept_share,
    fully_sharded,
]
ONLY_IF_NAMED = [dies]


def main(folder, *names):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(seconds=100))
    found = {}
    for check in [each for each in CHECKS + ONLY_IF_NAMED if each.__name__ in names] or CHECKS:
        try:
            found[check.__name__] = check()
        except Exception as error:
            found[check.__name__] = f"{type(error).__name__}: {error}"
            raise
        finally:
            torch.save(found, f"{folder}/{distributed.get_rank()}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
