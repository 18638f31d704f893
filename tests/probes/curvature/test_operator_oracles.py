"""All four matrices against those that torch.func forms entry by entry."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian as autograd_hessian
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

from spectrain.probes.curvature.batches import divided
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import (
    CovarianceOperator,
    GaussNewtonOperator,
    HessianOperator,
    InformationOperator,
)

# torch.func.hessian, the oracle, loads deprecated parts of torch.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

KINDS = {
    "hessian": HessianOperator,
    "gauss-newton": GaussNewtonOperator,
    "information": InformationOperator,
    "covariance": CovarianceOperator,
}
SAMPLES = 7


class Tied(nn.Module):
    """Encoder and decoder share a matrix."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 3)
        self.decoder = nn.Linear(4, 3, bias=False)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return torch.tanh(self.encoder(x)) @ self.decoder.weight


class Named(nn.Module):
    """Two inputs by name, two outputs of different kinds, one of which no loss looks at."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, a, b):
        hidden = torch.tanh(self.left(a))
        return {"logits": hidden + self.right(b), "rest": (hidden.square().sum(-1), hidden)}


def two_terms(outputs, targets):
    labels, number = targets["labels"], targets["number"]
    squares = (outputs["rest"][0] - number).square().mean()
    return functional.cross_entropy(outputs["logits"], labels) + 0.5 * squares


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 3, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3)
    )


def normalised():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.GELU(), nn.Linear(3, 3))
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_(1, 2)
    return model


def summed(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="sum")


def smoothed(outputs, targets):
    return functional.cross_entropy(outputs, targets, label_smoothing=0.2)


def weighted(outputs, targets):
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=outputs.dtype)
    return functional.cross_entropy(outputs, targets, weight=weight)


def sum_of_squares(outputs, targets):
    return (outputs - targets).square().sum()


def case(model, loss, inputs=None, targets=None, **options):
    """A model, a loss, one batch; options: reduction, loader (batch size), block, kinds."""
    options = {"reduction": "mean", "loader": 0, "block": Block("all"), "kinds": KINDS} | options
    return SimpleNamespace(model=model, loss=loss, inputs=inputs, targets=targets, **options)


def mlp(last=3):
    return lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, last))


def vector(*shape):
    return lambda: torch.randn(SAMPLES, *shape)


def labels():
    return torch.randint(3, (SAMPLES,))


def named_inputs():
    return {"b": torch.randn(SAMPLES, 3), "a": torch.randn(SAMPLES, 4)}


def named_targets():
    return {"labels": labels(), "number": torch.randn(SAMPLES)}


CROSS = functional.cross_entropy
CASES = {
    "softmax": case(lambda: nn.Linear(4, 3), CROSS),
    "two-layer": case(mlp(), CROSS),
    "two-layer, batches": case(mlp(), CROSS, loader=3),
    "squares": case(mlp(2), functional.mse_loss, targets=vector(2)),
    "sum of squares, batches": case(
        mlp(2), sum_of_squares, targets=vector(2), reduction="sum", loader=4
    ),
    "sum": case(mlp(), summed, reduction="sum"),
    "smoothed labels": case(mlp(), smoothed, loader=2),
    "weighted classes": case(mlp(), weighted, kinds=("hessian", "gauss-newton")),
    "convolution": case(convolutional, CROSS, vector(1, 4, 4)),
    "attention": case(Attention, CROSS, vector(3, 4)),
    "batch norm": case(normalised, CROSS, loader=5),
    "tied": case(Tied, functional.mse_loss, targets=vector(4)),
    "tied, by the other name": case(
        Tied, functional.mse_loss, targets=vector(4), block=Block("decoder", ("decoder.*",))
    ),
    "named inputs, tree of outputs": case(Named, two_terms, named_inputs, named_targets),
    "pattern": case(mlp(), CROSS, block=Block("weights", ("*.weight",))),
    "rows": case(mlp(), CROSS, loader=3, block=Block("units", ("0.weight",), (2, 0))),
}


def flat(model, block):
    """The block's parameters as a vector, and the model at such a vector."""
    chosen = {name: p.detach() for name, p in block.resolve(model).items()}
    rows = list(block.rows) or slice(None)

    def at(vector):
        sizes = [p[rows].numel() for p in chosen.values()]
        pieces = zip(chosen.items(), vector.split(sizes), strict=True)
        whole = {}
        for (name, parameter), piece in pieces:
            index = torch.arange(len(parameter))[rows]
            whole[name] = parameter.index_copy(0, index, piece.view_as(parameter[rows]))
        return whole

    return torch.cat([p[rows].flatten() for p in chosen.values()]), at


def oracle(kind, model, loss, batches, block, reduction):
    """The matrix by its definition, from dense derivatives."""
    vector, at = flat(model, block)

    def outputs_at(vector, inputs):
        arguments = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
        return functional_call(model, at(vector), *arguments)

    def loss_at(vector, batch):
        return loss(outputs_at(vector, batch[0]), batch[1])

    numbers = [len(leaf) for leaf in map(first_leaf, batches)]
    if kind in ("information", "covariance"):
        gradients = torch.stack(
            [jacrev(loss_at)(vector, sample) for batch in batches for sample in divided(batch, 1)]
        )
        if kind == "covariance":
            gradients = gradients - gradients.mean(0)
        return gradients.T @ gradients / (sum(numbers) if reduction == "mean" else 1)
    result = 0
    for batch, number in zip(batches, numbers, strict=True):
        weight = number / sum(numbers) if reduction == "mean" else 1
        if kind == "hessian":
            matrix = (
                # torch.func is wrong for LayerNorm.
                autograd_hessian(lambda v, batch=batch: loss_at(v, batch), vector)
                if any(isinstance(part, nn.LayerNorm) for part in model.modules())
                else hessian(loss_at)(vector, batch)
            )
        else:
            outputs = outputs_at(vector, batch[0])
            leaves, tree = torch.utils._pytree.tree_flatten(outputs)
            sizes, ends = [o.numel() for o in leaves], torch.cat([o.flatten() for o in leaves])

            def of_outputs(ends, leaves=leaves, tree=tree, sizes=sizes, batch=batch):
                parts = ends.split(sizes)
                shaped = [part.view_as(o) for part, o in zip(parts, leaves, strict=True)]
                return loss(torch.utils._pytree.tree_unflatten(shaped, tree), batch[1])

            def joined(vector, inputs=batch[0]):
                leaves = torch.utils._pytree.tree_leaves(outputs_at(vector, inputs))
                return torch.cat([o.flatten() for o in leaves])

            jacobian = jacrev(joined)(vector)
            matrix = jacobian.T @ hessian(of_outputs)(ends.detach()) @ jacobian
        result = result + weight * matrix
    return result


def first_leaf(batch):
    return torch.utils._pytree.tree_leaves(batch[1])[0]


def converted(tree, dtype):
    return torch.utils._pytree.tree_map(
        lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, tree
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, given in CASES.items() for kind in given.kinds]
)
def test_against_dense_oracles(name, kind, dtype):
    given = CASES[name]
    torch.manual_seed(1)
    model = given.model().to(dtype)
    data = converted(((given.inputs or vector(4))(), (given.targets or labels)()), dtype)
    batches = divided(data, given.loader) if given.loader else [data]
    operator = KINDS[kind](
        model,
        given.loss,
        batches if given.loader else data,
        given.block,
        reduction=given.reduction,
    )
    assert model.training
    assert operator.samples == SAMPLES
    assert operator.semidefinite == (kind != "hessian")
    found = operator @ torch.eye(operator.size, dtype=dtype)
    with sdpa_kernel(SDPBackend.MATH):
        expected = oracle(kind, model.eval(), given.loss, batches, given.block, given.reduction)
    scale = expected.abs().max().item()
    assert scale > 1e-3
    accuracy = 100 * torch.finfo(dtype).eps * scale
    torch.testing.assert_close(found, expected.detach(), atol=accuracy, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name, given in CASES.items() if given.kinds is KINDS for kind in KINDS],
)
def test_samples_forms_have_that_of_the_matrix_as_their_mean(name, kind, dtype):
    """sum_l w_l u'H_l u = u'H u; the Hessian's are taken along curves, and those of each sample."""
    given = CASES[name]
    if given.reduction == "sum":
        pytest.skip("no mean over samples")
    torch.manual_seed(2)
    model = given.model().to(dtype)
    data = converted(((given.inputs or vector(4))(), (given.targets or labels)()), dtype)
    batches = divided(data, given.loader) if given.loader else data
    operator = KINDS[kind](model, given.loss, batches, given.block)
    u = torch.linalg.qr(torch.randn(operator.size, 3, dtype=dtype)).Q
    forms, weights = operator.forms(u)
    accuracy = 100 * torch.finfo(dtype).eps
    expected = (u * (operator @ u)).sum(0).double()
    scale = float(forms.abs().max())
    found = weights @ forms / weights.sum()
    torch.testing.assert_close(found, expected, atol=accuracy * scale, rtol=0)
    if kind == "hessian":
        with operator._observed.still():
            assert operator._is_curved(u)
    if kind != "covariance":
        alone = KINDS[kind](model, given.loss, divided(data, 1)[-1], given.block)
        own = (u * (alone @ u)).sum(0).double()
        torch.testing.assert_close(forms[-1], own, atol=accuracy * scale, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "strategy", ["kept graph", "kept graph, vmap", "rebuilt graph", "rebuilt graph, vmap"]
)
@pytest.mark.parametrize("size", [0, 3])
def test_strategies_agree(kind, strategy, size):
    torch.manual_seed(0)
    model = mlp()().double()
    data = torch.randn(SAMPLES, 4, dtype=torch.float64), labels()
    given = divided(data, size) if size else data
    operator = KINDS[kind](model, CROSS, given, Block("all"), strategy=strategy)
    plain = KINDS[kind](model, CROSS, given, Block("all"))
    assert operator.strategy == strategy
    panel = torch.randn(operator.size, 11, dtype=torch.float64)
    torch.testing.assert_close(operator @ panel, plain @ panel, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_too_large_for_the_memory_is_divided(kind):
    torch.manual_seed(0)
    model = mlp()().double()
    data = torch.randn(200, 4, dtype=torch.float64), torch.randint(3, (200,))
    panel = torch.randn(27, 3, dtype=torch.float64)
    whole = KINDS[kind](model, CROSS, data, Block("all"))
    assert whole.strategy == "kept graph, vmap"
    small = KINDS[kind](model, CROSS, data, Block("all"), memory=10_000)
    assert small.strategy == "rebuilt graph, vmap"
    assert small._part < 200
    assert small.samples == 200
    torch.testing.assert_close(small @ panel, whole @ panel, rtol=1e-12, atol=1e-14)


def test_a_loss_that_is_no_mean_of_its_parts_is_not_divided():
    torch.manual_seed(0)
    model = mlp()().double()
    data = torch.randn(200, 4, dtype=torch.float64), torch.randint(3, (200,))
    panel = torch.randn(27, 3, dtype=torch.float64)
    whole = HessianOperator(model, weighted, data, Block("all"))
    small = HessianOperator(model, weighted, data, Block("all"), memory=10_000)
    assert small.strategy == "rebuilt graph, vmap"
    torch.testing.assert_close(small @ panel, whole @ panel, rtol=1e-12, atol=1e-14)


def test_short_last_batch_weighs_what_it_holds():
    """N = 1030 in batches of 128: an unweighted mean gives the last six samples 21 times theirs."""
    torch.manual_seed(0)
    inputs = torch.randn(1030, 5, dtype=torch.float64)
    inputs[-6:] *= 5
    dataset = TensorDataset(inputs, torch.randint(3, (1030,)))
    model = nn.Linear(5, 3, dtype=torch.float64)
    loader = DataLoader(dataset, batch_size=128)
    found, expected = (
        torch.linalg.eigvalsh(
            HessianOperator(model, CROSS, data, Block("all")) @ torch.eye(18, dtype=torch.float64)
        )
        for data in (loader, dataset.tensors)
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    parts = [
        HessianOperator(model, CROSS, tuple(batch), Block("all"))
        @ torch.eye(18, dtype=torch.float64)
        for batch in loader
    ]
    unweighted = torch.linalg.eigvalsh(torch.stack(parts).mean(0))
    assert unweighted[-1] > 1.3 * expected[-1]


def test_shuffled_batches_give_the_same_matrix():
    torch.manual_seed(0)
    dataset = TensorDataset(torch.randn(23, 4, dtype=torch.float64), torch.randint(3, (23,)))
    loader = DataLoader(dataset, batch_size=5, shuffle=True)
    model = mlp()().double()
    operator = CovarianceOperator(model, CROSS, loader, Block("all"), strategy="rebuilt graph")
    whole = CovarianceOperator(model, CROSS, dataset.tensors, Block("all"))
    panel = torch.randn(27, 2, dtype=torch.float64)
    torch.testing.assert_close(operator @ panel, whole @ panel, rtol=1e-12, atol=1e-14)


def test_covariance_and_mean_make_the_second_moment():
    torch.manual_seed(0)
    model = mlp()().double()
    data = torch.randn(SAMPLES, 4, dtype=torch.float64), labels()
    panel = torch.randn(27, 3, dtype=torch.float64)
    second, covariance = (
        kind(model, CROSS, data, Block("all")) @ panel
        for kind in (InformationOperator, CovarianceOperator)
    )
    value = CROSS(model.eval()(data[0]), data[1])
    mean = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])
    torch.testing.assert_close(second - covariance, mean[:, None] * (mean @ panel))


def test_gauss_newton_is_the_hessian_of_a_linear_model():
    torch.manual_seed(0)
    model = nn.Linear(4, 3, dtype=torch.float64)
    data = torch.randn(SAMPLES, 4, dtype=torch.float64), labels()
    panel = torch.randn(15, 3, dtype=torch.float64)
    full, newton = (
        kind(model, CROSS, data, Block("all")) @ panel
        for kind in (HessianOperator, GaussNewtonOperator)
    )
    torch.testing.assert_close(newton, full)


@pytest.mark.parametrize("strategy", ["kept graph", "kept graph, vmap"])
def test_layer_norm_against_differences_of_the_gradient(strategy):
    """Its batched double backward and its forward-over-reverse are wrong in torch.func."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).double()
    inputs = torch.randn(SAMPLES, 4, dtype=torch.float64)

    def loss(outputs, _):
        return outputs.pow(4).mean()

    operator = HessianOperator(model, loss, (inputs, inputs), Block("all"), strategy=strategy)
    panel = torch.randn(28, 3, dtype=torch.float64)
    vector, at = flat(model, Block("all"))

    def gradient(vector):
        vector = vector.clone().requires_grad_()
        value = loss(functional_call(model, at(vector), (inputs,)), None)
        return torch.autograd.grad(value, vector)[0]

    step = 1e-5
    columns = [
        (gradient(vector + step * v) - gradient(vector - step * v)) / (2 * step) for v in panel.T
    ]
    # The error is of second order in the step.
    torch.testing.assert_close(operator @ panel, torch.stack(columns, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_curvlinops_agrees(kind):
    curvlinops = pytest.importorskip("curvlinops")
    if kind == "covariance":
        pytest.skip("curvlinops has no centred gradient covariance")
    names = {
        "hessian": "HessianLinearOperator",
        "gauss-newton": "GGNLinearOperator",
        "information": "EFLinearOperator",
    }
    torch.manual_seed(0)
    model = mlp()().double().eval()
    batches = divided((torch.randn(SAMPLES, 4, dtype=torch.float64), labels()), 3)
    theirs = getattr(curvlinops, names[kind])(
        model,
        nn.CrossEntropyLoss(),
        list(model.parameters()),
        batches,
        check_deterministic=False,
    )
    ours = KINDS[kind](model, CROSS, batches, Block("all"))
    eye = torch.eye(ours.size, dtype=torch.float64)
    torch.testing.assert_close(ours @ eye, theirs @ eye, rtol=1e-9, atol=1e-12)
