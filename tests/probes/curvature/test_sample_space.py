"""Information matrix and covariance from per-sample gradients, against matrices made densely."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature import sample_gradients
from spectrain.probes.curvature.batches import divided
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.leave_one_out import removals
from spectrain.probes.curvature.matrix import Covariance, Information
from spectrain.probes.curvature.module_curvature import CovarianceOperator, InformationOperator
from spectrain.probes.curvature.processes import Processes
from spectrain.probes.curvature.sample_gradients import SampleGradients
from spectrain.probes.curvature.sample_space import SampleRows, sample_spaces
from spectrain.probes.curvature.weighted_mean import WeightedMean

SAMPLES = 9
CE = functional.cross_entropy
ALONE = Processes(None, torch.device("cpu"))


class Then(nn.Module):
    """A layer whose output is made logits."""

    def __init__(self, layer, width, call=lambda layer, x: layer(x)):
        super().__init__()
        self.layer, self.call, self.last = layer, call, nn.Linear(width, 3)

    def forward(self, x):
        return self.last(self.call(self.layer, x).flatten(1))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x + torch.tanh(self.inner(x)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return torch.tanh(self.encoder(x)) @ self.decoder.weight


class Several(nn.Module):
    """Outputs by name, of which the loss looks at two."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x):
        hidden = torch.tanh(self.left(x))
        return {"logits": self.right(hidden), "rest": (hidden.square().sum(-1), hidden), "no": None}


class Branches(nn.Module):
    """Code that depends on numbers, which torch.func.vmap refuses."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        hidden = self.inner(x)
        if bool(torch.isfinite(hidden).all()):
            hidden = torch.tanh(hidden)
        return self.last(hidden)


class Writes(nn.Module):
    """Sets an attribute of a weight: its samples are gone through one by one."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x):
        self.last.weight.requires_grad = False
        return self.first(x) + self.last(x)


def two_terms(outputs, targets):
    return CE(outputs["logits"], targets) + 0.5 * outputs["rest"][0].square().mean()


def mlp():
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3))


def frozen():
    model = mlp()
    model[0].bias.requires_grad_(False)
    return model


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip


def normalised():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Linear(5, 3))
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_(1, 2)
    return model


def first(layer, x):
    return layer(x)[0]


def vector(*shape):
    return lambda: torch.randn(SAMPLES, *shape)


def words():
    return torch.randint(6, (SAMPLES, 4))


CASES = {
    "linear": (lambda: nn.Linear(4, 3), vector(4)),
    "mlp": (mlp, vector(4)),
    "convolution": (convolutional, vector(1, 6, 6)),
    "batch norm": (normalised, vector(4)),
    "layer norm": (lambda: Then(nn.LayerNorm(6), 12), vector(2, 6)),
    "group norm": (lambda: Then(nn.GroupNorm(2, 4), 12), vector(4, 3)),
    "embedding": (lambda: Then(nn.Embedding(6, 3), 12), words),
    "attention": (
        lambda: Then(nn.TransformerEncoderLayer(4, 2, 3, batch_first=True), 12),
        vector(3, 4),
    ),
    "rnn": (lambda: Then(nn.RNN(3, 4, batch_first=True), 16, first), vector(4, 3)),
    "gru": (lambda: Then(nn.GRU(3, 4, batch_first=True), 16, first), vector(4, 3)),
    "lstm": (lambda: Then(nn.LSTM(3, 2, batch_first=True), 8, first), vector(4, 3)),
    "tied": (Tied, vector(4)),
    "frozen": (frozen, vector(4)),
    "several outputs": (Several, vector(4), two_terms),
    "weight norm": (lambda: Then(parametrizations.weight_norm(nn.Linear(4, 5)), 5), vector(4)),
    "residual": (Residual, vector(4)),
    "refused by vmap": (Branches, vector(4)),
    "writes": (Writes, vector(4)),
    "squares": (mlp, vector(4), lambda o, t: (o - functional.one_hot(t, 3)).square().mean()),
}


def made(name, dtype):
    torch.manual_seed(3)
    build, inputs, *rest = CASES[name]
    model, x = build().to(dtype).eval(), inputs()
    x = x.to(dtype) if x.is_floating_point() else x
    return model, (x, torch.randint(3, (SAMPLES,))), rest[0] if rest else CE


def gradients(model, loss, batch, block):
    """Row by row, each sample by itself, (n, N)."""
    chosen = block.resolve(model)
    rows = list(block.rows) or slice(None)
    with sdpa_kernel(SDPBackend.MATH):
        parts = [
            torch.autograd.grad(loss(model(x), y), list(chosen.values()), materialize_grads=True)
            for x, y in divided(batch, 1)
        ]
    return torch.stack([torch.cat([g[rows].reshape(-1) for g in each]) for each in parts])


def blocks(model):
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    shape = dict(model.named_parameters())[names[0]].shape
    return [
        Block("all"),
        Block("first", (names[0],)),
        Block("last two", tuple(names[:-3:-1])),
        Block("rows", (names[0],), (shape[0] - 1, 0)),
    ]


def assert_spectrum(spectrum, matrix, tolerance):
    exact = torch.linalg.eigvalsh(matrix.double()).numpy()
    scale = exact[-1]
    np.testing.assert_allclose(spectrum.density.eigenvalues, exact, atol=tolerance * scale)
    top = [pair.value for pair in spectrum.top]
    np.testing.assert_allclose(top, exact[::-1][: len(top)], atol=tolerance * scale)
    bottom = [pair.value for pair in spectrum.bottom]
    np.testing.assert_allclose(bottom, exact[: len(bottom)], atol=tolerance * scale)
    assert all(pair.error <= 10 * tolerance * scale for pair in (*spectrum.top, *spectrum.bottom))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_all_eigenvalues_are_those_of_the_dense_matrix(name, dtype):
    model, batch, loss = made(name, dtype)
    chosen = blocks(model)
    record = SpectralProbe(
        *(model, loss, batch),
        blocks=chosen,
        matrices=(Information(), Covariance()),
        measurement=Measurement(eigenvalues=4),
    )(0)
    assert record.failure == ""
    assert [track.passes for track in record.tracks] == [0] * 2 * len(chosen)
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    for block in chosen:
        g = gradients(model, loss, batch, block)
        for kind, rows in (("information", g), ("covariance", g - g.mean(0))):
            found = record.measured.spectrum(kind, block.name)
            matrix = rows.double().T @ rows.double() / SAMPLES
            assert_spectrum(found, matrix, tolerance)
            alpha = found.jacobi.diagonal[0]
            assert alpha == pytest.approx(float(matrix.trace()) / len(matrix), rel=1e-5)


def spaces(model, loss, data, chosen, *, centred=False, **options):
    names = tuple(model.state_dict(keep_vars=True))
    names = tuple(n for n, p in model.named_parameters() if p.requires_grad)
    found = SampleGradients(model, loss, data, Block("all of these", names), **options)
    return found, sample_spaces(SampleRows(found, ALONE, centred=centred), chosen)


def eigenvectors_are_those_of(space, matrix):
    """U^T F U is diagonal, U^T U = 1, and vectors of 0 are in its kernel."""
    scale = float(matrix.abs().max())
    values = space.eigen[0]
    places = [len(values) - 1, len(values) - 2]
    u = space.vectors(places)
    torch.testing.assert_close(u.T @ u, torch.eye(2, dtype=u.dtype), atol=1e-10, rtol=0)
    torch.testing.assert_close(matrix @ u, u * values[places], atol=1e-11 * scale, rtol=0)
    torch.testing.assert_close(space @ u, matrix @ u, atol=1e-11 * scale, rtol=0)
    torch.testing.assert_close(space.dense(), matrix, atol=1e-11 * scale, rtol=0)
    if space.zeros:
        k = space.kernel(2, torch.Generator().manual_seed(0))
        torch.testing.assert_close(k.T @ k, torch.eye(2, dtype=u.dtype), atol=1e-10, rtol=0)
        torch.testing.assert_close(matrix @ k, 0 * k, atol=1e-11 * scale, rtol=0)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("sizes", [(9,), (4, 5), (1, 2, 6)])
def test_batches_of_different_sizes(sizes, centred):
    model, (x, y), loss = made("mlp", torch.float64)
    data = list(zip(x.split(sizes), y.split(sizes), strict=True))
    chosen = [*blocks(model), Block("bias", ("0.bias",))]
    _, found = spaces(model, loss, data, chosen, centred=centred)
    kind = CovarianceOperator if centred else InformationOperator
    for block, space in zip(chosen, found, strict=True):
        eigenvectors_are_those_of(space, kind(model, loss, data, block).dense())


def tokens(outputs, targets):
    losses = functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none")
    return losses, (targets != 0).to(losses.dtype) * (1 + targets)


@pytest.mark.parametrize("per", ["sample", "term"])
@pytest.mark.parametrize("centred", [False, True])
def test_weighted_means_of_tokens(per, centred):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Embedding(5, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    data = [(torch.randint(5, (n, 4)), torch.randint(3, (n, 4))) for n in (3, 5)]
    loss = WeightedMean(tokens, per=per)
    chosen = [Block("all"), Block("last", ("2.*",)), Block("rows", ("0.weight",), (4, 1))]
    rows, found = spaces(model, loss, data, chosen, centred=centred)
    assert len(rows.rows) == (32 if per == "term" else 8)
    kind = CovarianceOperator if centred else InformationOperator
    for block, space in zip(chosen, found, strict=True):
        eigenvectors_are_those_of(space, kind(model, loss, data, block).dense())


def test_class_weights_of_torch():
    model, batch, _ = made("mlp", torch.float64)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0]).double(), ignore_index=1)
    _, (space,) = spaces(model, loss, batch, [Block("all")])
    eigenvectors_are_those_of(space, InformationOperator(model, loss, batch, Block("all")).dense())


class Penalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


def coupled():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.GELU())


@pytest.mark.parametrize("what", ["penalty", "coupled", "large"])
def test_what_has_no_gradients_of_single_samples_is_multiplied_as_before(what):
    torch.manual_seed(5)
    model = (coupled() if what == "coupled" else Penalised()).double()
    samples = 1100 if what == "large" else SAMPLES
    batch = torch.randn(samples, 4).double(), torch.randint(3, (samples,))
    weights = list(model.parameters())

    def loss(o, t):
        penalty = 0.1 * sum(p.square().sum() for p in weights) if what == "penalty" else 0.0
        return CE(o, t) + penalty

    if what == "large":
        model = nn.Sequential(nn.Linear(4, 400), nn.Tanh(), nn.Linear(400, 3)).double()
    record = SpectralProbe(
        model, loss, batch, matrices=(Information(),), measurement=Measurement(density=False)
    )(0)
    assert record.failure == ""
    assert record.tracks[0].passes > 0
    expected = InformationOperator(model, loss, batch, Block("all"))
    u = expected @ torch.ones(expected.size, 1).double()
    assert torch.isfinite(u).all()
    if what != "large":
        exact = torch.linalg.eigvalsh(expected.dense())[-1]
        assert record.measured.spectra[0].top[0].value == pytest.approx(float(exact), rel=1e-9)


def test_the_rows_are_within_the_memory_or_refused(monkeypatch):
    """G takes half of it; samples go through together as far as the other half holds."""
    model, batch, loss = made("convolution", torch.float64)
    size = sum(p.numel() for p in model.parameters())
    full = SampleGradients(model, loss, batch, Block("all"))
    needed = 2 * SAMPLES * size * 8
    with pytest.raises(ValueError, match=r"data: expected gradients within \d+ bytes"):
        SampleGradients(model, loss, batch, Block("all"), memory=needed - 2)
    seen = []

    def watched(function):
        def called(samples, slopes):
            seen.append(len(samples[0]))
            return torch.func.vmap(function)(samples, slopes)

        return called

    monkeypatch.setattr(sample_gradients, "vmap", watched)
    part = SampleGradients(model, loss, batch, Block("all"), memory=needed)
    torch.testing.assert_close(part.rows, full.rows)
    assert max(seen) * 3 * size * 8 <= needed / 2
    assert sum(seen) == SAMPLES


def test_removals_are_those_of_the_matrix_without_the_term():
    g = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 7, dtype=torch.float64, generator=g) * torch.arange(1, 8)
    rows[3] = 0.0
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    places = [0, 3, 6]
    found = removals(values, rows @ vectors, places)
    exact = [
        (values - torch.linalg.eigvalsh(rows.T @ rows - torch.outer(a, a)))[places] for a in rows
    ]
    torch.testing.assert_close(found, torch.stack(exact), rtol=1e-5, atol=1e-9)


def test_removals_of_small_terms_beside_equal_eigenvalues():
    """The series, and where it does not hold: eigenvalues that are equal or nearly so."""
    g = torch.Generator().manual_seed(1)
    values = torch.tensor([0.0, 1.0, 1.0, 1.1, 4.0, 4.0 + 1e-9, 9.0, 20.0], dtype=torch.float64)
    frame = torch.linalg.qr(torch.randn(300, 8, dtype=torch.float64, generator=g)).Q
    coordinates = frame * values.sqrt()
    places = range(8)
    found = removals(values, coordinates, places)
    exact = [values - torch.linalg.eigvalsh(values.diag() - torch.outer(a, a)) for a in coordinates]
    torch.testing.assert_close(found, torch.stack(exact), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dimension", [3, 60])
def test_errors_are_those_of_leaving_samples_out(dimension, centred):
    """Standard error from the eigenvalues of the matrix without each sample, made densely."""
    torch.manual_seed(6)
    model = nn.Linear(dimension, 1, bias=False).double()
    x, y = torch.randn(20, dimension).double(), torch.randn(20, 1).double()
    weights = torch.rand(20).double()
    weights[4] = 0.0

    def terms(o, t):
        return (o - t[0]).square()[:, 0], t[1]

    loss = WeightedMean(terms)
    _, (space,) = spaces(model, loss, (x, (y, weights)), [Block("all")], centred=centred)
    kind = CovarianceOperator if centred else InformationOperator
    top = []
    kept = [i for i in range(20) if i != 4]
    for i in kept:
        rest = [j for j in range(20) if j != i]
        part = (x[rest], (y[rest], weights[rest]))
        top.append(torch.linalg.eigvalsh(kind(model, loss, part, Block("all")).dense())[-1])
    change = (1 - weights[kept] / weights.sum()) * (space.eigen[0][-1] - torch.stack(top))
    expected = (change - change.mean()).square().sum().sqrt() * math.sqrt(19 / 18)
    (found,) = space.errors([len(space.eigen[0]) - 1])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [100, 400])
def test_errors_cover_the_spread_over_draws(samples):
    """Of an outlier and of the second one, n/d = 1 and 4: 200 draws."""
    dimension = 100
    torch.manual_seed(7)
    model = nn.Linear(dimension, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    scales = torch.ones(dimension).double()
    scales[0], scales[1] = 6.0, 4.0
    values, errors = [], []
    for _ in range(200):
        x = torch.randn(samples, dimension).double() * scales
        y = torch.randn(samples, 1).double().sign()
        _, (space,) = spaces(model, nn.MSELoss(), (x, y), [Block("all")])
        count = len(space.eigen[0])
        values.append(space.eigen[0][-2:])
        errors.append(space.errors([count - 2, count - 1]))
    spread, mean = torch.stack(values).std(0), torch.stack(errors).mean(0)
    # The spread of 200 draws is known to 5 %; the errors' mean to less.
    torch.testing.assert_close(mean / spread, torch.ones(2).double(), atol=0.15, rtol=0)
