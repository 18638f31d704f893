"""Losses with weights of their own, against loops over single terms."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature import losses
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)
from spectrain.probes.curvature.weighted_mean import WeightedMean, weighted_mean_of
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

ALL = Block("all")
CLASSES = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)


class Tokens(nn.Module):
    """Logits (n, 3, T) of inputs (n, T, 4)."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))

    def forward(self, x):
        return self.net(x).mT


def tokens():
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.randn(12, 5, 4, generator=g, dtype=torch.float64)
    y = torch.randint(3, (12, 5), generator=g)
    lengths = torch.randint(0, 6, (12, 1), generator=g)
    y = torch.where(torch.arange(5) < lengths, y, 9)
    assert (y == 9).all(1).any()  # one sequence is all padding
    return Tokens().double(), x, y


def samples():
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    x = torch.randn(17, 4, generator=g, dtype=torch.float64)
    return model, x, torch.randint(3, (17,), generator=g)


def gradient(value, model):
    found = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in found])


def oracle(model, losses, weights):
    """sum w g g^T / sum w and sum w g / sum w, one backward pass a term."""
    used = [i for i in range(len(weights)) if weights[i] > 0]
    rows = torch.stack([gradient(losses[i], model) for i in used])
    shares = weights[used] / weights.sum()
    return (rows.mT * shares) @ rows, rows.mT @ shares


def dense_hessian(model, value):
    parameters = list(model.parameters())
    slope = torch.autograd.grad(value, parameters, create_graph=True)
    flat = torch.cat([part.reshape(-1) for part in slope])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


def dense(kind, model, loss, data, **options):
    return kind(model, loss, data, ALL, **options).dense()


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


CLASSIFIERS = {
    "class": nn.CrossEntropyLoss(weight=CLASSES),
    "module": nn.CrossEntropyLoss(weight=CLASSES, ignore_index=2),
    "smooth": nn.CrossEntropyLoss(weight=CLASSES, ignore_index=1, label_smoothing=0.2),
    "partial": partial(functional.cross_entropy, weight=CLASSES, ignore_index=0),
    "plain": functional.cross_entropy,
    "likelihood": nn.NLLLoss(weight=CLASSES, ignore_index=2),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_matrices_of_weighted_losses_of_torch(name):
    model, x, y = samples()
    loss = CLASSIFIERS[name]
    if name == "likelihood":
        model.append(nn.LogSoftmax(-1))
    settings = dict(loss.keywords) if isinstance(loss, partial) else dict(vars(loss))
    weights = getattr(loss, "weight", settings.get("weight"))
    weights = torch.ones(3, dtype=torch.float64) if weights is None else weights
    w = weights[y] * (y != settings.get("ignore_index", -100))
    # A batch of one sample: its own weight cancels.
    single = [loss(model(x[i : i + 1]), y[i : i + 1]) for i in range(len(x))]
    information, slope = oracle(model, single, w)
    value = loss(model(x), y)
    close(slope, gradient(value, model))
    close(dense(HessianOperator, model, loss, (x, y)), dense_hessian(model, value))
    close(dense(InformationOperator, model, loss, (x, y)), information)
    close(dense(CovarianceOperator, model, loss, (x, y)), information - slope.outer(slope))


ENTRYWISE = {
    "squares": nn.MSELoss(),
    "absolute": nn.L1Loss(),
    "huber": nn.HuberLoss(delta=0.4),
    "smooth": partial(functional.smooth_l1_loss, beta=0.3),
    "logits": functional.binary_cross_entropy_with_logits,
    "weighted logits": nn.BCEWithLogitsLoss(weight=CLASSES, pos_weight=CLASSES),
    "shares": nn.BCELoss(),
}


@pytest.mark.parametrize("name", ENTRYWISE)
def test_means_over_entries_are_known_without_being_taken_apart(name, monkeypatch):
    model, x, y = samples()
    loss = ENTRYWISE[name]
    if name == "shares":
        model.append(nn.Sigmoid())
    t = functional.one_hot(y, 3).to(x)
    single = [loss(model(x[i : i + 1]), t[i : i + 1]) for i in range(len(x))]
    information, slope = oracle(model, single, torch.ones(len(x), dtype=torch.float64))
    value = loss(model(x), t)
    monkeypatch.delattr(losses, "vmap")
    close(slope, gradient(value, model))
    close(dense(HessianOperator, model, loss, (x, t)), dense_hessian(model, value))
    close(dense(InformationOperator, model, loss, (x, t)), information)
    halves = [(x[:2], t[:2]), (x[2:], t[2:])]
    close(dense(InformationOperator, model, loss, halves), information)


@pytest.mark.parametrize(
    "loss",
    [
        nn.MSELoss(reduction="sum"),
        partial(functional.l1_loss, reduction="sum"),
        nn.SoftMarginLoss(),
        type("Own", (nn.MSELoss,), {"forward": lambda self, o, t: (o - t).sum()})(),
    ],
)
def test_other_losses_are_not_known(loss):
    assert weighted_mean_of(loss) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [HessianOperator, GaussNewtonOperator, InformationOperator, CovarianceOperator]
)
def test_batches_of_unequal_weight_are_pooled(kind):
    model, x, y = samples()
    order = y.argsort()
    x, y = x[order], y[order]
    loss = nn.CrossEntropyLoss(weight=CLASSES, ignore_index=1)
    whole = dense(kind, model, loss, (x, y))
    first, last = int((y < 1).sum()), int((y < 2).sum())
    # The batch in the middle has no weight.
    batches = [(x[a:b], y[a:b]) for a, b in ((0, first), (first, last), (last, len(y)))]
    close(dense(kind, model, loss, batches), whole)
    for strategy in ("kept graph", "rebuilt graph"):
        close(dense(kind, model, loss, (x, y), memory=200, strategy=strategy), whole)
    operator = kind(model, loss, batches, ALL)
    assert operator.samples == len(y)
    assert operator.weight == float((CLASSES[y] * (y != 1)).sum())


@pytest.mark.parametrize("per", ["sample", "term"])
def test_information_of_sequences_and_of_tokens(per):
    model, x, y = tokens()
    loss = nn.CrossEntropyLoss(ignore_index=9)
    each = functional.cross_entropy(model(x), y, ignore_index=9, reduction="none")
    w = (y != 9).double()
    if per == "sample":
        each, w = (each * w).sum(1) / w.sum(1).clamp(min=1), w.sum(1)
    information, _ = oracle(model, each.flatten(), w.flatten())
    own = WeightedMean(
        lambda o, t: (functional.cross_entropy(o, t.clamp(max=2), reduction="none"), t != 9), per
    )
    for known in (WeightedMean(loss, per), own):
        close(dense(InformationOperator, model, known, (x, y)), information)
        close(known(model(x), y), loss(model(x), y))
        batches = [(x[:5], y[:5]), (x[5:], y[5:])]
        close(dense(InformationOperator, model, known, batches), information)
    if per == "sample":
        close(dense(InformationOperator, model, loss, (x, y)), information)


def test_weights_that_come_with_the_targets():
    model, x, y = samples()
    g = torch.Generator().manual_seed(4)
    w = torch.rand(len(y), generator=g, dtype=torch.float64)

    def terms(outputs, targets):
        labels, weights = targets
        return functional.cross_entropy(outputs, labels, reduction="none"), weights

    each = functional.cross_entropy(model(x), y, reduction="none")
    information, slope = oracle(model, each, w)
    loss = WeightedMean(terms)
    close(dense(InformationOperator, model, loss, (x, (y, w))), information)
    close(gradient(loss(model(x), (y, w)), model), slope)
    with pytest.raises(ValueError, match="finite weights of at least 0"):
        HessianOperator(model, loss, (x, (y, -w)), ALL)
    with pytest.raises(ValueError, match="weights that are constants"):
        HessianOperator(model, WeightedMean(lambda o, t: (o, o)), (x, y), ALL)
    with pytest.raises(ValueError, match="terms with a weight"):
        HessianOperator(model, loss, (x, (y, 0 * w)), ALL)
    with pytest.raises(ValueError, match="per: expected 'sample' or 'term'"):
        WeightedMean(terms, "token")


def zero_head():
    model, x, y = samples()
    for parameter in model[2].parameters():
        nn.init.zeros_(parameter)
    return model, x, y


def test_equal_losses_with_unequal_weights_are_told_apart_by_gradients():
    model, x, y = zero_head()
    known = nn.CrossEntropyLoss(weight=CLASSES)
    with pytest.raises(ValueError, match="gradient in the outputs"):
        InformationOperator(model, lambda *pair: known(*pair) * 1.0, (x, y), ALL)
    each = functional.cross_entropy(model(x), y, reduction="none")
    information, _ = oracle(model, each, CLASSES[y])
    close(dense(InformationOperator, model, known, (x, y)), information)


class Own(nn.Module):
    """A model that takes its own loss."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x, y):
        logits = self.layer(x)
        return {"logits": logits, "loss": functional.cross_entropy(logits, y), "hidden": None}


def test_a_mean_that_the_model_has_taken_has_no_information_matrix():
    _, x, y = samples()
    model, data = Own(), ((x, y), y)
    with pytest.raises(ValueError, match="a mean that the model has taken"):
        InformationOperator(model, lambda o, t: o["loss"], data, ALL)

    def loss(o, t):
        return functional.cross_entropy(o["logits"], t)

    own = dense(HessianOperator, model, lambda o, t: o["loss"], data)
    close(own, dense(HessianOperator, model, loss, data))
    each = functional.cross_entropy(model.layer(x), y, reduction="none")
    information, _ = oracle(model, each, torch.ones(len(y), dtype=torch.float64))
    close(dense(InformationOperator, model, loss, data), information)


def contrastive(o, t):
    return functional.cross_entropy(o @ o.mT, torch.arange(len(o)))


def root_mean_square(o, t):
    return (o - t[:, None]).square().mean().sqrt()


def masked(o, t):
    return functional.cross_entropy(o[t > 0], t[t > 0])


def by_name(o, t):
    return {17: functional.cross_entropy(o, t)}[len(o)]


@pytest.mark.parametrize("loss", [contrastive, root_mean_square, masked, by_name])
def test_losses_coupled_over_the_batch_have_a_hessian_alone(loss):
    model, x, y = samples()
    close(dense(HessianOperator, model, loss, (x, y)), dense_hessian(model, loss(model(x), y)))
    close(
        dense(HessianOperator, model, loss, (x, y), memory=100),
        dense_hessian(model, loss(model(x), y)),
    )
    with pytest.raises(ValueError, match=r"loss: expected .*WeightedMean"):
        InformationOperator(model, loss, (x, y), ALL)
    record = SpectralProbe(model, loss, (x, y), measurement=Measurement(density=False))
    with pytest.warns(RuntimeWarning, match="information"):
        found = record(0)
    assert [spectrum.matrix for spectrum in found.measured.spectra] == ["hessian"]


def test_the_record_says_what_the_information_is_of_and_how_well_the_loss_is_known():
    model, x, y = tokens()
    loss = WeightedMean(nn.CrossEntropyLoss(ignore_index=9), per="term")
    record = SpectralProbe(model, loss, (x, y), measurement=Measurement(density=False))(0)
    assert record.failure == ""
    assert record.per == "term"
    each = functional.cross_entropy(model(x), y, ignore_index=9, reduction="none")[y != 9].detach()
    assert record.measured.loss == pytest.approx(float(each.mean()), rel=1e-12)
    assert record.measured.loss_error == pytest.approx(
        float(each.std()) / math.sqrt(len(each)), rel=1e-9
    )
    plain = SpectralProbe(*(model, loss.function, (x, y)), measurement=Measurement(density=False))(
        0
    )
    assert plain.per == "sample"
    assert plain.measured.loss == pytest.approx(record.measured.loss)


class Attends(nn.Module):
    """Mixes features by a mask (T, T) that has as many rows as the batch has samples."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x, mask):
        weights = (x @ x.mT).masked_fill(mask, -9.0).softmax(-1)
        return self.layer((weights @ x).mean(1))


@pytest.mark.parametrize("zero", [True, False])
def test_what_has_no_sample_axis_is_not_cut(zero):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(16, 16, 4, generator=g, dtype=torch.float64)
    mask, y = torch.rand(16, 16, generator=g) < 0.5, torch.randint(3, (16,), generator=g)
    model = Attends()
    if zero:
        nn.init.zeros_(model.layer.weight)
    loss = functional.cross_entropy
    found = dense(HessianOperator, model, loss, ((x, mask), y), memory=300)
    close(found, dense_hessian(model, loss(model(x, mask), y)))


class Mixing(nn.Module):
    """Samples look at their neighbours, behind a head that starts at zero."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 3), nn.Linear(3, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        hidden = torch.tanh(self.layer(x))
        return self.head(hidden - hidden.mean(0))


def test_a_batch_whose_samples_are_mixed_is_not_cut_where_it_does_not_show():
    _, x, y = samples()
    model = Mixing().double()
    loss = functional.cross_entropy
    found = dense(HessianOperator, model, loss, (x, y), memory=100)
    close(found, dense_hessian(model, loss(model(x), y)))


class Force(nn.Module):
    """A forward pass that differentiates."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x):
        x = x.clone().requires_grad_()
        return self.scale * torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]


@pytest.mark.filterwarnings("ignore:no gradient of the loss reaches net.2.bias")
def test_forward_that_differentiates_is_measured():
    torch.manual_seed(0)
    _, x, _ = samples()
    model = Force()
    record = SpectralProbe(
        model, functional.mse_loss, (x, x), measurement=Measurement(density=False)
    )(0)
    assert record.failure == ""
    # The last bias is of no consequence: one zero row.
    value = functional.mse_loss(model(x), x)
    kept = [p for name, p in model.named_parameters() if name != "net.2.bias"]
    slope = torch.autograd.grad(value, kept, create_graph=True)
    flat = torch.cat([part.reshape(-1) for part in slope])
    rows = [
        torch.autograd.grad(e, kept, retain_graph=True, allow_unused=True, materialize_grads=True)
        for e in flat
    ]
    matrix = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    top = float(torch.linalg.eigvalsh(matrix)[-1])
    assert record.measured.spectra[0].top[0].value == pytest.approx(top, rel=1e-6)


class Boxes(nn.Module):
    """Of images (n, 4), one box each; the loss takes the targets of every image by name."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()

    def forward(self, x):
        return self.net(x)


def test_nested_targets_count_by_their_images():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    model, x = Boxes(), torch.randn(7, 4, generator=g, dtype=torch.float64)
    targets = [
        {"boxes": torch.randn(k, 2, generator=g, dtype=torch.float64)}
        for k in (3, 1, 7, 2, 2, 1, 4)
    ]

    def each(o, t):
        return torch.stack([(o[i] - part["boxes"]).square().mean() for i, part in enumerate(t)])

    def loss(o, t):
        return each(o, t).mean()

    expected = dense_hessian(model, loss(model(x), targets))
    operator = HessianOperator(model, loss, (x, targets), ALL, memory=300)
    assert operator.samples == 7
    close(operator.dense(), expected)
    batches = [(x[:3], targets[:3]), (x[3:], targets[3:])]
    close(dense(HessianOperator, model, loss, batches), expected)
    information, _ = oracle(model, each(model(x), targets), torch.ones(7, dtype=torch.float64))
    own = WeightedMean(lambda o, t: each(o, t))  # noqa: PLW0108
    close(dense(InformationOperator, model, own, (x, targets)), information)
    with pytest.raises(ValueError, match="vmap"):
        InformationOperator(model, loss, (x, targets), ALL)


def gradient_penalty(o, t):
    """A loss that differentiates: by the inputs that come with the outputs."""
    outputs, x = o
    (slope,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
    return functional.cross_entropy(outputs, t) + slope.square().mean()


class WithInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()

    def forward(self, x):
        x = x.clone().requires_grad_()
        return self.net(x), x


@pytest.mark.filterwarnings("ignore:no gradient of the loss reaches")
def test_a_loss_that_differentiates_is_measured():
    torch.manual_seed(0)
    _, x, y = samples()
    model = WithInputs()
    expected = dense_hessian(model, gradient_penalty(model(x), y))
    for strategy in ("kept graph", "rebuilt graph"):
        close(dense(HessianOperator, model, gradient_penalty, (x, y), strategy=strategy), expected)
    probe = SpectralProbe(model, gradient_penalty, (x, y), measurement=Measurement(density=False))
    with pytest.warns(RuntimeWarning, match="information, all"):
        record = probe(0)
    assert [failure.matrix for failure in record.failures] == ["information"]
