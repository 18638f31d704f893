"""What a probe can be given as its sample: the same numbers, and a training that never notices."""

import functools
import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from spectrain import Block, Measurement, SpectralProbe, WeightedMean
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.loaded import loaded

SMALL = Measurement(eigenvalues=2, smallest=1, density=False)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()


def pairs(n=24, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, dtype=torch.float64, generator=g), torch.randint(3, (n,), generator=g)


def probed(sample, loss=None, module=None, **options):
    options.setdefault("measurement", SMALL)
    probe = SpectralProbe(
        module or model(), loss or nn.CrossEntropyLoss(), sample, on_failure="raise", **options
    )
    return probe(0)


def numbers(record):
    """Loss, its error, accuracy, and both ends of both spectra."""
    found = [q.values for q in record.measured.quantities]
    found += [q.errors for q in record.measured.quantities]
    for spectrum in record.measured.spectra:
        found.append(np.array([pair.value for pair in (*spectrum.top, *spectrum.bottom)]))
    found += [track.top.gradient for track in record.tracks]
    return found


def assert_same(one, other):
    for a, b in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


class ByName(nn.Module):
    """Takes a batch's fields by name, but not its labels."""

    def __init__(self):
        super().__init__()
        self.inner = model()

    def forward(self, features, scale=1.0):
        return self.inner(features) * scale


X, Y = pairs()
BATCHES = [(X[:10], Y[:10]), (X[10:20], Y[10:20]), (X[20:], Y[20:])]
DATA = TensorDataset(X, Y)


@pytest.mark.parametrize(
    "sample",
    [
        BATCHES,
        [list(batch) for batch in BATCHES],
        DATA,
        Subset(ConcatDataset([DATA, DATA]), range(24)),
        DataLoader(DATA, batch_size=7),
        DataLoader(DATA, batch_size=7, shuffle=True, num_workers=2, drop_last=True),
        DataLoader(
            DATA,
            batch_size=None,
            sampler=SequentialSampler(range(24)),
            collate_fn=lambda b: (b[0][None], b[1][None]),
        ),
        lambda generator: BATCHES,
    ],
    ids=[
        "list",
        "list of lists",
        "dataset",
        "subset",
        "loader",
        "workers",
        "unbatched",
        "function",
    ],
)
def test_all_of_the_samples_give_what_one_batch_of_them_gives(sample):
    assert_same(probed(sample), probed((X, Y)))


def test_micro_batches_agree_in_every_matrix_and_quantity():
    from spectrain.probes.curvature.matrix import Covariance, GaussNewton, Hessian, Information

    matrices = (Hessian(), Information(), GaussNewton(), Covariance())
    weighted = nn.CrossEntropyLoss(torch.tensor([1.0, 3.0, 0.2], dtype=torch.float64))
    assert_same(
        probed(BATCHES, weighted, matrices=matrices), probed((X, Y), weighted, matrices=matrices)
    )


def test_a_dictionary_gives_the_model_what_its_forward_takes_and_the_loss_all():
    fields = {"features": X, "labels": Y, "scale": torch.tensor(2.0, dtype=torch.float64)}

    def loss(outputs, batch):
        return functional.cross_entropy(outputs, batch["labels"])

    halves = [
        {**fields, "features": X[part], "labels": Y[part]} for part in (slice(9), slice(9, 24))
    ]
    expected = probed(
        ({"features": X, "scale": fields["scale"]}, Y), nn.CrossEntropyLoss(), ByName()
    )
    for sample in (fields, halves):
        found = probed(sample, loss, ByName())
        for a, b in zip(found.measured.spectra, expected.measured.spectra, strict=True):
            assert [p.value for p in a.top] == pytest.approx([p.value for p in b.top], rel=1e-9)
    with pytest.raises(ValueError, match=r"sample: .*forward takes, got \['pixels', 'labels'\]"):
        probed({"pixels": X, "labels": Y}, loss, ByName())


class Data(SimpleNamespace):
    """Like that of torch_geometric, as far as a probe looks."""

    def to_dict(self):
        return dict(vars(self))

    def to(self, device):
        return Data(**{name: value.to(device) for name, value in vars(self).items()})


class Convolution(nn.Module):
    def __init__(self, fields):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
        if not fields:
            self.forward = self.whole

    def forward(self, x, edge_index):
        source, target = edge_index
        for layer in (self.first, self.second):
            h = layer(x)
            x = torch.tanh(h.index_add(0, target, h[source]))
        return x

    def whole(self, data):
        return Convolution.forward(self, data.x, data.edge_index)


def on_nodes(outputs, data):
    return functional.cross_entropy(outputs, data.y, reduction="none"), data.mask.double()


@pytest.mark.parametrize("fields", [True, False])
def test_a_graph_is_a_sample(fields):
    g = torch.Generator().manual_seed(2)
    edges = torch.randint(24, (2, 60), generator=g)
    graph = Data(x=X, edge_index=edges, y=Y, mask=torch.arange(24) < 15)
    net = Convolution(fields)
    record = probed(graph, WeightedMean(on_nodes, per="term"), net)
    # The same by hand, over the masked nodes.
    inputs = (X, edges) if fields else (graph,)

    def by_hand(outputs, targets):
        return functional.cross_entropy(outputs[:15], targets[:15])

    exact = HessianOperator(net, by_hand, (inputs, Y), Block("all")).dense()
    values = torch.linalg.eigvalsh(exact)
    spectrum = record.measured.spectrum("hessian", "all")
    assert [p.value for p in spectrum.top] == pytest.approx(values.flip(0)[:2].tolist(), rel=1e-6)
    with pytest.raises(ValueError, match="max_samples: expected whole graphs"):
        probed(graph, WeightedMean(on_nodes), net, max_samples=5)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [((X, Y), X[:13]), (BATCHES, X[:13]), (lambda generator: (X, Y), X[:13])],
)
def test_at_most_so_many_samples_of_what_is_given(sample, expected):
    assert_same(probed(sample, max_samples=13), probed((expected, Y[:13])))


class Numbered(Dataset):
    """Items that say their index, drawn on with every generator that people use."""

    def __init__(self, n=40):
        self.n, self.calls, self.seen = n, 0, []
        self.own = np.random.default_rng(3)
        self.scratch = torch.zeros(2)

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.calls += 1
        self.seen.append(index)
        self.scratch += 1
        noise = random.random() + np.random.rand() + self.own.random()  # noqa: NPY002
        x = torch.full((4,), float(index), dtype=torch.float64) + torch.rand(4) + noise
        return x, index % 3


def indices_of(batches):
    return [int(i) for x, _ in batches for i in x.long()]


def test_a_part_of_an_ordered_loader_is_drawn_at_random_and_stays():
    ordered = DataLoader(TensorDataset(torch.arange(500), torch.arange(500)), batch_size=16)
    source = loaded(ordered, 50)
    one, again, other = source.read(7, 0), source.read(7, 0), source.read(8, 0)
    assert [len(x) for x, _ in one] == [16, 16, 16, 2]
    assert indices_of(one) == indices_of(again) != indices_of(other)
    assert len(set(indices_of(one))) == 50
    # Uniform on 500: the mean of 50 without replacement is within five standard errors.
    assert abs(np.mean(indices_of(one)) - 249.5) < 5 * 500 / 12**0.5 / 50**0.5


def test_the_law_of_the_sampler_is_that_of_the_sample():
    weights = torch.zeros(40)
    weights[[3, 5]] = 1.0
    data = TensorDataset(torch.arange(40), torch.arange(40))
    drawn = loaded(DataLoader(data, 8, sampler=WeightedRandomSampler(weights, 100)), 20).read(0, 0)
    assert set(indices_of(drawn)) == {3, 5}
    part = torch.utils.data.SubsetRandomSampler([1, 2, 30])
    assert sorted(indices_of(loaded(DataLoader(data, 2, sampler=part), 20).read(0, 0))) == [
        1,
        2,
        30,
    ]
    shares = [
        indices_of(
            loaded(
                DataLoader(data, 4, sampler=torch.utils.data.DistributedSampler(data, 2, rank)), 64
            ).read(0, 0)
        )
        for rank in range(2)
    ]
    assert sorted(shares[0] + shares[1]) == list(range(40))


class Lengths(Sampler):
    """A batch sampler of the user's, with a state of its own."""

    def __init__(self, n):
        self.n, self.passes = n, 0

    def __iter__(self):
        self.passes += 1
        order = np.random.permutation(self.n).tolist()  # noqa: NPY002
        yield from (order[i : i + 6] for i in range(0, self.n, 6))


class Rows(IterableDataset):
    def __init__(self, n=40):
        self.n, self.passes = n, 0
        self.own = torch.Generator().manual_seed(8)

    def __iter__(self):
        self.passes += 1
        for index in torch.randperm(self.n, generator=self.own).tolist():
            yield torch.full((4,), index / 10, dtype=torch.float64) + torch.rand(4), index % 3


def loaders():
    numbered = Numbered()
    yield "shuffled", DataLoader(numbered, 8, shuffle=True)
    yield (
        "own generator",
        DataLoader(numbered, 8, shuffle=True, generator=torch.Generator().manual_seed(5)),
    )
    yield "sampler", DataLoader(numbered, 8, sampler=RandomSampler(numbered, replacement=True))
    yield "batch sampler", DataLoader(numbered, batch_sampler=Lengths(40))
    yield "iterable", DataLoader(Rows(), batch_size=8)
    yield "subset", DataLoader(Subset(numbered, range(3, 33)), 5, shuffle=True)


def trained(loader, sample):
    """Weights after three epochs, with the loader's own data, and what generators say then."""
    torch.manual_seed(9)
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    net = model()
    optimiser = torch.optim.SGD(net.parameters(), 0.05)
    probe = None
    if sample is not None:
        options = {"measurement": SMALL, "max_samples": 20, "on_failure": "raise"}
        probe = SpectralProbe(net, nn.CrossEntropyLoss(), sample, **options)
    losses, step = [], 0
    for _ in range(2):
        for inputs, targets in loader:
            if probe is not None and step in (1, 6):  # between the batches of an epoch
                losses.append(probe(step).measured.loss)
            optimiser.zero_grad()
            functional.cross_entropy(net(inputs), targets).backward()
            optimiser.step()
            step += 1
    drawn = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    assert probe is None or (len(losses) > 1 and len(set(losses)) == len(losses))
    return [p.detach().clone() for p in net.parameters()], drawn


@pytest.mark.parametrize("kind", [name for name, _ in loaders()])
def test_training_is_bit_for_bit_the_same_with_its_own_loader_as_sample(kind):
    (weights, drawn), (probed_weights, probed_drawn) = (
        trained(loader, loader if observed else None)
        for observed in (False, True)
        for loader in [dict(loaders())[kind]]
    )
    assert all(torch.equal(a, b) for a, b in zip(weights, probed_weights, strict=True))
    assert drawn == probed_drawn


@pytest.mark.slow
@pytest.mark.parametrize("data", [Numbered, Rows])
def test_training_with_workers_is_bit_for_bit_the_same(data):
    def loader():
        return DataLoader(data(), 8, num_workers=1, persistent_workers=True)

    plain, observed = (
        trained(one, one if on else None) for on, one in ((0, loader()), (1, loader()))
    )
    assert all(torch.equal(a, b) for a, b in zip(plain[0], observed[0], strict=True))
    assert plain[1] == observed[1]


def test_reading_leaves_the_dataset_as_it_was():
    data = Numbered()
    state = data.own.bit_generator.state
    first = loaded(DataLoader(data, 8), 20).read(1, 0)
    second = loaded(DataLoader(data, 8), 20).read(1, 0)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))
    assert (data.calls, data.seen, data.scratch.tolist()) == (0, [], [0.0, 0.0])
    assert data.own.bit_generator.state == state


class Jitter:
    """A transform with a generator of its own, as a library's is."""

    def __init__(self):
        self.own = random.Random(4)

    def __call__(self, x):
        return x + self.own.random()


# As if another package had defined it.
Jitter.__module__ = "augmentations.transforms"


def jittered(transform, items):
    return torch.stack([transform(x) for x, _ in items]), torch.stack([y for _, y in items])


def test_transforms_in_a_collate_function_are_put_back():
    transform = Jitter()
    state = transform.own.getstate()
    loader = DataLoader(DATA, 8, collate_fn=functools.partial(jittered, transform))
    first, again = (loaded(loader, 16).read(0, 0) for _ in range(2))
    assert transform.own.getstate() == state
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))


STREAM = iter(range(100))


class Live(IterableDataset):
    """Holds the only way to its items."""

    def __init__(self, stream):
        self.stream = stream

    def __iter__(self):
        for number in self.stream:
            yield torch.full((4,), float(number), dtype=torch.float64), 0


class Shared(IterableDataset):
    def __iter__(self):
        for number in STREAM:
            yield torch.full((4,), float(number), dtype=torch.float64), 0


class Serial(Dataset):
    """A map-style dataset that goes along a stream whatever the index."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.full((4,), float(next(STREAM)), dtype=torch.float64), 0


@pytest.mark.parametrize(
    "data", [Live(i for i in range(9)), Shared(), Serial()], ids=["held", "global", "by index"]
)
def test_a_stream_that_would_be_lost_to_the_training_is_refused(data):
    with pytest.raises(
        ValueError, match=r"sample: expected .* pass batches, .*islice\(loader, n\)"
    ):
        probed(DataLoader(data, 4), max_samples=8)
    if isinstance(data, Live):
        assert next(data.stream) == 0


def test_an_iterator_that_can_be_copied_loses_nothing():
    data = Live(iter(list(range(9))))
    assert probed(DataLoader(data, 4), max_samples=8).measured.loss > 0
    assert next(data.stream) == 0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([], "at least one batch, got none"),
        ([(X, Y), (X, Y, Y)], r"expected \(inputs, targets\), got tuple of 3: "),
        (TensorDataset(X[:0], Y[:0]), "at least one sample, got an empty dataset"),
        (itertools.repeat((X, Y)), r"expected \(inputs, targets\), got repeat: "),
    ],
)
def test_what_is_no_sample_is_refused(sample, message):
    with pytest.raises(ValueError, match=f"sample: .*{message}"):
        SpectralProbe(model(), nn.CrossEntropyLoss(), sample)
    with pytest.raises(ValueError, match="max_samples: expected at least 1, got 0"):
        SpectralProbe(model(), nn.CrossEntropyLoss(), DATA, max_samples=0)


@pytest.mark.parametrize("form", [lambda items: SimpleNamespace(items=items), lambda items: X])
def test_a_loaders_batches_of_another_form_are_named(form):
    probe = SpectralProbe(
        model(), nn.CrossEntropyLoss(), DataLoader(DATA, 8, collate_fn=form), on_failure="raise"
    )
    name = type(form(None)).__name__
    with pytest.raises(
        ValueError, match=rf"sample: expected \(inputs, targets\), got {name}: batches"
    ):
        probe(0)
