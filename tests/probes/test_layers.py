"""Layers as blocks, and the layer table against dense matrices."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature.layers import layer_blocks
from spectrain.probes.layer_table import LayerTable
from spectrain.probes.measured_spectra import measured_spectra
from spectrain.probes.spectral_shares import spectral_shares
from spectrain.theory.protocol import Selection

N = 12


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(3, 4, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.cell(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(3, 4))
        self.encoder = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.encoder(x + self.place).mean(1))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 5)) for _ in "ab")
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.out(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.mix = nn.Linear(4, 4)
        self.out = nn.Linear(4, 6, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(torch.tanh(self.mix(self.embedding(x).mean(1))))


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Linear(4, 5).requires_grad_(False)
        self.body = nn.Sequential(nn.GELU(), nn.Linear(5, 4), nn.Softplus())
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.body(self.features(x)))


def vectors(*shape):
    return lambda g: torch.randn(N, *shape, generator=g, dtype=torch.float64)


def labels(count):
    return lambda g: torch.randint(count, (N,), generator=g)


ENTROPY, SQUARES = nn.CrossEntropyLoss(), nn.MSELoss()
ARCHITECTURES = {
    "perceptron": (
        lambda: nn.Sequential(
            *(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
        ),
        *(vectors(4), labels(2), ENTROPY),
    ),
    "convolutions": (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.Conv2d(3, 2, 2)),
            *(nn.Flatten(), nn.Linear(18, 2)),
        ),
        *(vectors(1, 6, 6), labels(2), ENTROPY),
    ),
    "separable convolutions": (
        lambda: nn.Sequential(
            *(nn.Conv1d(3, 6, 3, groups=3), nn.GroupNorm(2, 6), nn.SiLU(), nn.Conv1d(6, 2, 1)),
            *(nn.AdaptiveAvgPool1d(1), nn.Flatten()),
        ),
        *(vectors(3, 7), labels(2), ENTROPY),
    ),
    "recurrent": (Recurrent, vectors(5, 3), labels(2), ENTROPY),
    "attention": (Attention, vectors(3, 4), labels(2), ENTROPY),
    "residual": (Residual, vectors(4), vectors(2), SQUARES),
    "tied embedding": (
        Tied, lambda g: torch.randint(6, (N, 3), generator=g), labels(6), ENTROPY,
    ),
    "frozen features": (Frozen, vectors(4), vectors(2), SQUARES),
}  # fmt: skip


def built(name):
    make, inputs, targets, loss = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = make().double().eval()
    generator = torch.Generator().manual_seed(1)
    return model, loss, (inputs(generator), targets(generator))


def dense(model, loss, batch):
    """The whole Hessian by torch's own function, and the rows of each parameter."""
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in trained.values()]

    def value(flat):
        placed = {
            name: part.view(parameter.shape)
            for (name, parameter), part in zip(trained.items(), flat.split(sizes), strict=True)
        }
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return loss(functional_call(model, placed, (batch[0],)), batch[1])

    flat = torch.cat([p.detach().flatten() for p in trained.values()])
    # A graph for each row: vectorised it would need rules for every operation.
    matrix = torch.autograd.functional.hessian(value, flat)
    gradient = torch.func.grad(value)(flat)
    ends = np.cumsum(sizes)
    rows = {n: slice(end - size, end) for n, end, size in zip(trained, ends, sizes, strict=True)}
    return matrix, gradient, rows


QUICK = ("perceptron", "tied embedding", "frozen features")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in ARCHITECTURES
    ],
)
def test_the_table_is_that_of_the_dense_matrices_within_its_errors(name):
    model, loss, batch = built(name)
    matrix, gradient, rows = dense(model, loss, batch)
    products = 48
    table = LayerTable(products=products, layer_products=40)
    probe = SpectralProbe(
        *(model, loss, batch), measures=[table],
        measurement=Measurement(eigenvalues=1, smallest=0, density=False, tracking=False),
    )  # fmt: skip
    record = probe(0)
    assert record.failure == ""
    found = {q.name.removeprefix("layer_"): q for q in record.measured.quantities}
    blocks = layer_blocks(model)
    assert found["trace"].axes == (tuple(block.name for block in blocks),)
    total = matrix.trace()
    for place, block in enumerate(blocks):
        own = torch.cat([torch.arange(len(matrix))[rows[name]] for name in block.parameters])
        part = matrix[own][:, own]

        def near(column, expected, errors=6.0, slack=1e-9, place=place):
            quantity = found[column]
            error = float(quantity.errors[place])
            allowed = errors * error + slack * float(matrix.abs().max())
            assert abs(float(quantity.values[place]) - float(expected)) <= allowed, column

        near("trace", part.trace())
        near("trace_share", part.trace() / total)
        if len(matrix) <= products:
            assert not found["trace"].errors[place]
            assert not found["trace_share"].errors[place]
        share = gradient[own].square().sum() / gradient.square().sum()
        assert found["gradient_share"].values[place] == pytest.approx(float(share), rel=1e-6)
        eigenvalues = torch.linalg.eigvalsh(part)
        sizes = eigenvalues.abs().sum()
        near("largest", eigenvalues[-1], 1.0, 1e-6)
        near("smallest", eigenvalues[0], 1.0, 1e-6)
        # Errors over four starts: Student's t with three degrees of freedom.
        near("effective_rank", sizes**2 / eigenvalues.square().sum(), 20.0, 1e-6)
        near("negative_share", -eigenvalues.clamp(max=0).sum() / sizes, 20.0, 1e-6)


def test_layers_modules_and_depths():
    model = built("attention")[0]
    names = [block.name for block in layer_blocks(model)]
    assert names == [
        *("place", "encoder.self_attn", "encoder.self_attn.out_proj", "encoder.linear1"),
        *("encoder.linear2", "encoder.norm1", "encoder.norm2", "out"),
    ]
    assert [block.name for block in layer_blocks(model, "modules")] == ["place", "encoder", "out"]
    assert layer_blocks(model, 1) == layer_blocks(model, "modules")
    assert len(layer_blocks(model, 2)) == 7
    for layers in ("layers", "modules", 2):
        held = [name for block in layer_blocks(model, layers) for name in block.parameters]
        assert sorted(held) == sorted(name for name, _ in model.named_parameters())
    tied = layer_blocks(built("tied embedding")[0])
    assert [block.name for block in tied] == ["embedding", "mix"]
    assert [block.name for block in layer_blocks(built("frozen features")[0])] == ["body.1", "out"]


def test_a_probe_takes_the_spectrum_of_each_layer():
    model, loss, batch = built("perceptron")
    matrix, _, rows = dense(model, loss, batch)
    probe = SpectralProbe(model, loss, batch, blocks="layers", learning_rate=lambda _: 0.1)
    record = probe(0)
    own = torch.cat([torch.arange(len(matrix))[rows[name]] for name in ("2.weight", "2.bias")])
    eigenvalues = torch.linalg.eigvalsh(matrix[own][:, own])
    top = record.measured.spectrum("hessian", "2").top[0].value
    assert top == pytest.approx(float(eigenvalues[-1]), rel=1e-6)
    rank = record.measured.quantity("hessian_effective_rank")
    assert rank.axes == (("0", "2", "4"),)
    sizes = eigenvalues.abs().sum()
    assert rank.values[1] == pytest.approx(float(sizes**2 / eigenvalues.square().sum()), rel=1e-6)
    assert record.measured.quantity("sharpness").values[1] == top
    # Semidefinite, though its zeros are computed as numbers of both signs.
    assert record.measured.quantity("information_negative_share") is None
    with pytest.raises(ValueError, match="blocks: expected 'layers', 'modules', or a depth of at"):
        SpectralProbe(model, loss, batch, blocks="layer")
    with pytest.raises(ValueError, match="blocks: expected 'layers', 'modules', or a depth of at"):
        SpectralProbe(model, loss, batch, blocks=0)


def test_shares_of_a_sampled_spectrum_are_within_their_errors(diagonal_operator):
    generator = torch.Generator().manual_seed(0)
    bulk = torch.linspace(-1, 2, 3000, dtype=torch.float64)
    eigenvalues = torch.cat([bulk, torch.tensor([20.0, 35.0])])
    operator = diagonal_operator(eigenvalues)
    (spectrum,), *_ = measured_spectra(
        *(operator, [Selection("hessian", "all", (), ())], Measurement()),
        *(generator, None), density=True, start=None,
    )  # fmt: skip
    found = spectral_shares(spectrum)
    sizes = float(eigenvalues.abs().sum())
    for (value, error), expected in (
        (found.trace, float(eigenvalues.sum())),
        (found.effective_rank, sizes**2 / float(eigenvalues.square().sum())),
        (found.negative_share, float(-eigenvalues.clamp(max=0).sum()) / sizes),
    ):
        assert 0 < error < 0.1 * abs(expected)
        assert abs(value - expected) < 5 * error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"products": 1}, "products: expected at least 2, got 1"),
        ({"layer_products": 5}, "layer_products: expected 0, or at least 8, got 5"),
    ],
)
def test_a_bad_number_of_products_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LayerTable(**options)
