"""Modules and losses of torch.nn, against double backward and differences of the gradient.

`python -m pytest -m slow -s tests/probes/curvature/test_sweep.py` prints the table.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator, InformationOperator

ALL = Block("all")
SAMPLES = 6
CE = functional.cross_entropy


class Around(nn.Module):
    """Something between two layers: inputs (n, 4) are made features of this shape."""

    def __init__(self, middle, shape, call=None):
        super().__init__()
        self.first = nn.Linear(4, int(torch.tensor(shape).prod()))
        self.middle, self.shape, self.call = middle, shape, call
        torch.manual_seed(1)
        was, self.training = self.training, False
        self.eval()
        with torch.no_grad():
            width = self.features(torch.zeros(3, 4)).shape[-1]
        self.train(was)
        self.last = nn.Linear(width, 3)

    def features(self, x):
        x = torch.tanh(self.first(x)).view(-1, *self.shape) * 1.3 + 0.11
        x = self.middle(x) if self.call is None else self.call(self.middle, x)
        return x.flatten(1)

    def forward(self, x):
        return self.last(self.features(x))


def first(module, x):
    return module(x)[0]


def itself(module, x):
    return module(x, x)


def attention(module, x):
    return module(x, x, x, need_weights=False)[0]


def batch_first(module, x):
    return module(x)[0]


FLAT, LINE, IMAGE = (4,), (2, 6), (2, 4, 4)
N = nn
PLAIN = [
    "ELU",
    "Hardshrink",
    "Hardtanh",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "PReLU",
    "ReLU",
    "ReLU6",
    "RReLU",
    "SELU",
    "CELU",
    "GELU",
    "Sigmoid",
    "SiLU",
    "Mish",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Identity",
    "Dropout",
    "AlphaDropout",
    "FeatureAlphaDropout",
    "Flatten",
    "Hardsigmoid",
]
# Name: (module, shape of its input[, how it is called]).
MODULES = {
    **{f"{name}": (lambda name=name: getattr(N, name)(), FLAT) for name in PLAIN},
    "GELU tanh": (lambda: N.GELU(approximate="tanh"), FLAT),
    "Threshold": (lambda: N.Threshold(0.1, 0.2), FLAT),
    "GLU": (lambda: N.GLU(-1), FLAT),
    "Softmin": (lambda: N.Softmin(-1), FLAT),
    "Softmax": (lambda: N.Softmax(-1), FLAT),
    "LogSoftmax": (lambda: N.LogSoftmax(-1), FLAT),
    "Softmax2d": (N.Softmax2d, IMAGE),
    "Linear": (lambda: N.Linear(4, 3), FLAT),
    "Linear without bias": (lambda: N.Linear(4, 3, bias=False), FLAT),
    "Bilinear": (lambda: N.Bilinear(4, 4, 2), FLAT, itself),
    "BatchNorm1d": (lambda: N.BatchNorm1d(4), FLAT),
    "BatchNorm1d plain": (lambda: N.BatchNorm1d(4, affine=False), FLAT),
    "BatchNorm1d of lines": (lambda: N.BatchNorm1d(2), LINE),
    "BatchNorm2d": (lambda: N.BatchNorm2d(2), IMAGE),
    "BatchNorm2d untracked": (lambda: N.BatchNorm2d(2, track_running_stats=False), IMAGE),
    "LayerNorm": (lambda: N.LayerNorm(4), FLAT),
    "LayerNorm of lines": (lambda: N.LayerNorm(6), LINE),
    "RMSNorm": (lambda: N.RMSNorm(4), FLAT),
    "GroupNorm": (lambda: N.GroupNorm(2, 4), FLAT),
    "InstanceNorm1d": (lambda: N.InstanceNorm1d(2, affine=True), LINE),
    "InstanceNorm2d": (lambda: N.InstanceNorm2d(2, track_running_stats=True), IMAGE),
    "LocalResponseNorm": (lambda: N.LocalResponseNorm(2), LINE),
    "CrossMapLRN2d": (lambda: N.CrossMapLRN2d(2), IMAGE),
    "Dropout1d": (N.Dropout1d, LINE),
    "Dropout2d": (N.Dropout2d, IMAGE),
    "Conv1d": (lambda: N.Conv1d(2, 2, 3), LINE),
    "Conv1d circular": (lambda: N.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), LINE),
    "Conv1d reflect": (lambda: N.Conv1d(2, 2, 3, padding=1, padding_mode="reflect"), LINE),
    "Conv1d groups": (lambda: N.Conv1d(2, 2, 3, groups=2), LINE),
    "Conv1d dilated": (lambda: N.Conv1d(2, 2, 2, dilation=2), LINE),
    "Conv1d strided": (lambda: N.Conv1d(2, 2, 2, stride=2), LINE),
    "ConvTranspose1d": (lambda: N.ConvTranspose1d(2, 1, 2), LINE),
    "Conv2d": (lambda: N.Conv2d(2, 2, 3), IMAGE),
    "ConvTranspose2d": (lambda: N.ConvTranspose2d(2, 1, 2), IMAGE),
    "Conv3d": (lambda: N.Conv3d(1, 1, 2), (1, 2, 3, 3)),
    "ConvTranspose3d": (lambda: N.ConvTranspose3d(1, 1, 2), (1, 2, 2, 2)),
    "MaxPool1d": (lambda: N.MaxPool1d(2), LINE),
    "MaxPool2d": (lambda: N.MaxPool2d(2), IMAGE),
    "MaxPool3d": (lambda: N.MaxPool3d(2), (1, 2, 2, 4)),
    "AvgPool1d": (lambda: N.AvgPool1d(2), LINE),
    "AvgPool2d": (lambda: N.AvgPool2d(2), IMAGE),
    "AvgPool3d": (lambda: N.AvgPool3d(2), (1, 2, 2, 4)),
    "LPPool1d": (lambda: N.LPPool1d(2, 2), LINE),
    "LPPool2d": (lambda: N.LPPool2d(2, 2), IMAGE),
    "AdaptiveAvgPool1d": (lambda: N.AdaptiveAvgPool1d(2), LINE),
    "AdaptiveAvgPool2d": (lambda: N.AdaptiveAvgPool2d(2), IMAGE),
    "AdaptiveMaxPool1d": (lambda: N.AdaptiveMaxPool1d(2), LINE),
    "AdaptiveMaxPool2d": (lambda: N.AdaptiveMaxPool2d(2), IMAGE),
    "FractionalMaxPool2d": (lambda: N.FractionalMaxPool2d(2, output_size=2), IMAGE),
    "ReflectionPad1d": (lambda: N.ReflectionPad1d(1), LINE),
    "ReplicationPad1d": (lambda: N.ReplicationPad1d(1), LINE),
    "CircularPad1d": (lambda: N.CircularPad1d(1), LINE),
    "ZeroPad1d": (lambda: N.ZeroPad1d(1), LINE),
    "ConstantPad1d": (lambda: N.ConstantPad1d(1, 0.5), LINE),
    "ReflectionPad2d": (lambda: N.ReflectionPad2d(1), IMAGE),
    "ReplicationPad2d": (lambda: N.ReplicationPad2d(1), IMAGE),
    "PixelShuffle": (lambda: N.PixelShuffle(2), (4, 2, 2)),
    "PixelUnshuffle": (lambda: N.PixelUnshuffle(2), IMAGE),
    "ChannelShuffle": (lambda: N.ChannelShuffle(2), (4, 2, 2)),
    "Unfold": (lambda: N.Unfold(2), IMAGE),
    "Fold": (lambda: N.Fold((3, 3), 2), (4, 4)),
    "Unflatten": (lambda: N.Unflatten(1, (2, 2)), FLAT),
    "Upsample nearest": (lambda: N.Upsample(scale_factor=2), LINE),
    "Upsample linear": (lambda: N.Upsample(scale_factor=2, mode="linear"), LINE),
    "Upsample bilinear": (lambda: N.Upsample(scale_factor=1.5, mode="bilinear"), IMAGE),
    "Upsample bicubic": (lambda: N.Upsample(scale_factor=1.5, mode="bicubic"), IMAGE),
    "RNN tanh": (lambda: N.RNN(6, 2, batch_first=True), LINE, first),
    "RNN relu": (lambda: N.RNN(6, 2, nonlinearity="relu", batch_first=True), LINE, first),
    "LSTM": (lambda: N.LSTM(6, 2, batch_first=True), LINE, first),
    "LSTM projected": (lambda: N.LSTM(6, 3, proj_size=2, batch_first=True), LINE, first),
    "GRU": (lambda: N.GRU(6, 2, batch_first=True), LINE, first),
    "GRU both ways": (lambda: N.GRU(6, 1, bidirectional=True, batch_first=True), LINE, first),
    "RNNCell": (lambda: N.RNNCell(4, 2), FLAT),
    "LSTMCell": (lambda: N.LSTMCell(4, 2), FLAT, first),
    "GRUCell": (lambda: N.GRUCell(4, 2), FLAT),
    "MultiheadAttention": (lambda: N.MultiheadAttention(4, 2, batch_first=True), (3, 4), attention),
    "TransformerEncoderLayer": (
        lambda: N.TransformerEncoderLayer(4, 2, 3, batch_first=True),
        (3, 4),
    ),
    "TransformerEncoderLayer norm first": (
        lambda: N.TransformerEncoderLayer(4, 2, 3, batch_first=True, norm_first=True),
        (3, 4),
    ),
    "TransformerDecoderLayer": (
        lambda: N.TransformerDecoderLayer(4, 2, 3, batch_first=True),
        (3, 4),
        itself,
    ),
    "weight_norm": (lambda: parametrizations.weight_norm(N.Linear(4, 3)), FLAT),
    "weight_norm last": (lambda: parametrizations.weight_norm(N.Linear(4, 3), dim=-1), FLAT),
    "weight_norm Conv1d": (lambda: parametrizations.weight_norm(N.Conv1d(2, 2, 3)), LINE),
    "spectral_norm": (lambda: parametrizations.spectral_norm(N.Linear(4, 3)), FLAT),
    "orthogonal": (lambda: parametrizations.orthogonal(N.Linear(4, 4)), FLAT),
    "CosineSimilarity": (N.CosineSimilarity, LINE, lambda m, x: m(x, x.square())),
    "PairwiseDistance": (N.PairwiseDistance, LINE, lambda m, x: m(x, x.square())),
}
STOCHASTIC = {"RReLU", "Dropout", "AlphaDropout", "FeatureAlphaDropout", "Dropout1d", "Dropout2d"}
BY_MODE = {
    *STOCHASTIC,
    *(name for name in MODULES if "Norm" in name and name[0] in "BI"),
    *(name for name in MODULES if name.startswith("Transformer")),
    "spectral_norm",
}


def signs(y):
    return 2.0 * (y > 0) - 1


def probabilities(o):
    return functional.softmax(o, -1)


CLASSES = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)
# Name: (of (outputs (n, 3), labels (n,)), has it an information matrix).
LOSSES = {
    "MSELoss": (lambda o, t: N.MSELoss()(o, functional.one_hot(t, 3).to(o)), True),
    "L1Loss": (lambda o, t: N.L1Loss()(o.tanh(), functional.one_hot(t, 3).to(o)), True),
    "SmoothL1Loss": (lambda o, t: N.SmoothL1Loss()(o, functional.one_hot(t, 3).to(o)), True),
    "HuberLoss": (lambda o, t: N.HuberLoss()(o, functional.one_hot(t, 3).to(o)), True),
    "CrossEntropyLoss": (N.CrossEntropyLoss(), True),
    "CrossEntropyLoss weight": (N.CrossEntropyLoss(weight=CLASSES), True),
    "CrossEntropyLoss ignore": (N.CrossEntropyLoss(ignore_index=1), True),
    "CrossEntropyLoss smooth": (N.CrossEntropyLoss(weight=CLASSES, label_smoothing=0.1), True),
    "CrossEntropyLoss weight in a function": (lambda o, t: CE(o, t, weight=CLASSES), False),
    "CrossEntropyLoss probabilities": (
        lambda o, t: CE(o, 0.8 * functional.one_hot(t, 3).to(o) + 0.1),
        True,
    ),
    "NLLLoss": (lambda o, t: N.NLLLoss()(o.log_softmax(-1), t), True),
    "PoissonNLLLoss": (lambda o, t: N.PoissonNLLLoss()(o[:, 0], t.to(o)), True),
    "GaussianNLLLoss": (lambda o, t: N.GaussianNLLLoss()(o[:, 0], t.to(o), o[:, 1].exp()), True),
    "KLDivLoss": (
        lambda o, t: N.KLDivLoss(reduction="batchmean")(
            o.log_softmax(-1), 0.8 * functional.one_hot(t, 3).to(o) + 0.1
        ),
        True,
    ),
    "BCELoss": (lambda o, t: N.BCELoss()(o[:, 0].sigmoid(), (t > 0).to(o)), True),
    "BCEWithLogitsLoss": (lambda o, t: N.BCEWithLogitsLoss()(o[:, 0], (t > 0).to(o)), True),
    "BCEWithLogitsLoss pos_weight": (
        lambda o, t: N.BCEWithLogitsLoss(pos_weight=CLASSES)(o, functional.one_hot(t, 3).to(o)),
        True,
    ),
    "MarginRankingLoss": (
        lambda o, t: N.MarginRankingLoss()(o[:, 0].exp(), o[:, 1], signs(t)),
        True,
    ),
    "HingeEmbeddingLoss": (lambda o, t: N.HingeEmbeddingLoss()(o[:, 0].exp(), signs(t)), True),
    "SoftMarginLoss": (lambda o, t: N.SoftMarginLoss()(o[:, 0], signs(t)), True),
    "MultiLabelSoftMarginLoss": (
        lambda o, t: N.MultiLabelSoftMarginLoss()(o, functional.one_hot(t, 3).to(o)),
        True,
    ),
    "MultiLabelMarginLoss": (
        lambda o, t: N.MultiLabelMarginLoss()(o.exp(), functional.one_hot(t, 3)),
        None,
    ),
    "MultiMarginLoss": (lambda o, t: N.MultiMarginLoss()(o.exp(), t), None),
    "MultiMarginLoss squares": (N.MultiMarginLoss(p=2), None),
    "CosineEmbeddingLoss": (lambda o, t: N.CosineEmbeddingLoss()(o, o.exp(), signs(t)), True),
    "TripletMarginLoss": (lambda o, t: N.TripletMarginLoss()(o, o.exp(), o.sin()), True),
    "contrastive": (lambda o, t: CE(o @ o.mT, torch.arange(len(o))), False),
    "root mean square": (lambda o, t: (o[:, 0] - t).square().mean().sqrt(), False),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), False),
}
# Where a power iteration under no_grad moves with the parameters: a gradient takes it as constant,
# and so does its derivative, but not a difference of gradients.
CONSTANT = {("spectral_norm", "train")}
# What torch has no second derivative of, or none that is right.
REFUSED = {
    "CrossMapLRN2d",
    "Hardsigmoid",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "MultiMarginLoss squares",
}


def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, 4, generator=g, dtype=torch.float64)
    return x, torch.tensor([0, 1, 2, 2, 1, 0])


def flat(parts):
    return torch.cat([part.reshape(-1) for part in parts])


def gradient(model, loss, x, y, **options):
    torch.manual_seed(5)
    parameters = list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):  # of the others there is no second derivative
        value = loss(model(x), y)
    return flat(
        torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True, **options)
    )


def double_backward(model, loss, x, y):
    slope = gradient(model, loss, x, y, create_graph=True)
    rows = []
    for entry in slope:
        rows.append(
            flat(
                torch.autograd.grad(
                    entry,
                    list(model.parameters()),
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            )
            if entry.requires_grad
            else torch.zeros_like(slope)
        )
    return torch.stack(rows).detach()


def differences(model, loss, x, y, directions, step=1e-6):
    """H times each direction, (N, k)."""
    sizes = [parameter.numel() for parameter in model.parameters()]
    columns = []
    for direction in directions.mT:
        ends = []
        for sign in (1, -1):
            # Running statistics and power iterations go on with every forward pass.
            moved = copy.deepcopy(model)
            parts = torch.split(direction, sizes)
            for parameter, part in zip(moved.parameters(), parts, strict=True):
                parameter.data += sign * step * part.view_as(parameter)
            ends.append(gradient(moved, loss, x, y))
        columns.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(columns, 1)


def apart(found, expected):
    scale = float(expected.abs().max())
    return float((found - expected).abs().max()) / scale if scale else float(found.abs().max())


def compared(model, loss, mode, informed):
    """What is measured, and how far from the two oracles, as a line of the table."""
    x, y = data()
    model.double().train(mode == "train")
    twin = copy.deepcopy(model)
    torch.manual_seed(5)
    try:
        found = HessianOperator(model, loss, (x, y), ALL, mode=mode).dense()
    except ValueError as error:
        return "refused", str(error), "", ""
    by_backward = apart(found, double_backward(copy.deepcopy(twin), loss, x, y))
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(len(found), 3, generator=g, dtype=torch.float64)
    by_differences = apart(found @ directions, differences(twin, loss, x, y, directions))
    information = "-"
    # Without running statistics the samples of a batch are coupled: none can be taken alone.
    coupled = any(
        isinstance(part, nn.modules.batchnorm._BatchNorm) and not part.track_running_stats
        for part in model.modules()
    )
    if mode == "eval" and not coupled:
        try:
            matrix = InformationOperator(model, loss, (x, y), ALL).dense()
        except ValueError as error:
            information = "refused: " + str(error)[:60]
        else:
            assert informed is not False
            weights = torch.ones(SAMPLES, dtype=torch.float64)
            if isinstance(loss, nn.CrossEntropyLoss):
                weights = (CLASSES if loss.weight is not None else weights[:3])[y]
                weights = weights * (y != loss.ignore_index)
            rows = [
                gradient(twin, loss, x[i : i + 1], y[i : i + 1])
                for i in range(SAMPLES)
                if weights[i]
            ]
            rows = torch.stack(rows).detach()
            shares = weights[weights > 0] / weights.sum()
            information = apart(matrix, (rows.mT * shares) @ rows)
    return "measured", by_backward, by_differences, information


def table():
    """Lines (kind, name, mode, ...)."""
    for name, (make, shape, *call) in MODULES.items():
        for mode in ("eval", "train") if name in BY_MODE else ("eval",):
            torch.manual_seed(0)
            yield "module", name, mode, *compared(Around(make(), shape, *call), CE, mode, True)
    for name, (loss, informed) in LOSSES.items():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
        yield "loss", name, "eval", *compared(model, loss, "eval", informed)


def shown(value):
    return value if isinstance(value, str) else f"{value:.0e}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_module_and_loss_is_right_or_refused():
    lines, wrong = [], []
    for line in table():
        lines.append(line)
        kind, name, mode, status, backward, quotient, information = line
        print(
            f"{kind:7}{name:40}{mode:6}{status:9}", *map(shown, (backward, quotient, information))
        )
        if status == "refused":
            if name not in REFUSED:
                wrong.append(line)
            continue
        # weight norm is compared with differences alone: torch's own double backward is wrong.
        right = backward < 1e-8 or name.startswith("weight_norm")
        same = quotient < 1e-4 or (name, mode) in CONSTANT
        if not (right and same) or (not isinstance(information, str) and information > 1e-8):
            wrong.append(line)
    assert len(lines) >= 120
    assert wrong == []
