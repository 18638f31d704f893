"""Tensors along curves against derivatives in reverse, operation by operation."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.probes.curvature.curve import Curves

IMAGE = (2, 4, 6, 6)  # samples, channels, height, width


def of(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


A, B, ROW = of((3, 4), 11), of((4, 5), 12), of((4,), 13)
BATCHED = of((3, 4, 2), 14)
KERNEL, SCALE, SHIFT = of((3, 4, 3, 3), 15), of((4,), 16), of((4,), 17)
MEAN, VARIANCE = of((4,), 18), of((4,), 19).square() + 0.5
INDEX = torch.tensor([2, 0, 2])

OPERATIONS = {
    "transposed": ((3, 4), lambda x: x.t().unsqueeze(0).squeeze(0)),
    "permuted": ((2, 3, 4), lambda x: x.permute(2, 0, 1).transpose(0, 1)),
    "viewed": ((2, 6), lambda x: x.view(3, 4).reshape(4, 3).flatten()),
    "view of what lies otherwise": ((3, 4), lambda x: x.t().reshape(2, 6)),
    "sliced": ((3, 4), lambda x: x[1:, 2]),
    "expanded": ((3, 1), lambda x: x.expand(3, 4) * A),
    "joined": ((3, 4), lambda x: torch.cat([x, A, 2 * x])),
    "stacked": ((3, 4), lambda x: torch.stack([x, A])),
    "split": ((3, 4), lambda x: torch.split(x, 2, 1)[1] * x.chunk(2, 1)[0]),
    "gathered": ((3, 4), lambda x: x.gather(0, INDEX[None])),
    "selected": ((3, 4), lambda x: x.index_select(0, INDEX)),
    "looked up": ((3, 4), lambda x: functional.embedding(INDEX, x)),
    "indexed": ((3, 4), lambda x: x[INDEX]),
    "summed": ((3, 4), lambda x: x.sum() + x.sum(0) + x.mean(1, keepdim=True)),
    "plus": ((3, 4), lambda x: 2 + x + A - ROW),
    "minus": ((3, 4), lambda x: A - x),
    "with a factor": ((3, 4), lambda x: torch.add(A, x, alpha=3) + torch.sub(A, x, alpha=3)),
    "times": ((3, 4), lambda x: x * A * x * 3),
    "divided": ((3, 4), lambda x: A / (x.square() + 1) + x / 3),
    "vector": ((4,), lambda x: A @ x + x @ x),
    "matrix": ((3, 4), lambda x: (x @ B).t() @ x),
    "batched matrices": ((3, 2, 4), lambda x: torch.bmm(x, BATCHED) @ x),
    "affine": ((5, 4), lambda x: functional.linear(A, x, x.sum(1))),
    "affine with factors": ((3, 4), lambda x: torch.addmm(x @ B, x, B, beta=2, alpha=3)),
    "convolution": (IMAGE, lambda x: functional.conv2d(x, KERNEL, SCALE[:3], padding=1, stride=2)),
    "kernel": ((3, 4, 3, 3), lambda k: functional.conv2d(of(IMAGE, 20), k, k.sum((1, 2, 3)))),
    "largest of windows": (IMAGE, lambda x: functional.max_pool2d(x, 2)),
    "mean of windows": (IMAGE, lambda x: functional.avg_pool2d(x, 2)),
    "mean of all": (IMAGE, lambda x: functional.adaptive_avg_pool2d(x, 1)),
    "relu": ((3, 4), lambda x: x.relu() * x),
    "gelu": ((3, 4), functional.gelu),
    "gelu by tanh": ((3, 4), lambda x: functional.gelu(x, approximate="tanh")),
    "silu": ((3, 4), functional.silu),
    "mish": ((3, 4), functional.mish),
    "glu": ((3, 4), lambda x: functional.glu(x, 1)),
    "elu": ((3, 4), functional.elu),
    "leaky": ((3, 4), lambda x: functional.leaky_relu(x, 0.1) * x),
    "softplus": ((3, 4), functional.softplus),
    "tanh": ((3, 4), torch.tanh),
    "sigmoid": ((3, 4), torch.sigmoid),
    "exponential": ((3, 4), torch.exp),
    "logarithm": ((3, 4), lambda x: (x.square() + 1).log().sqrt()),
    "power": ((3, 4), lambda x: x**3 + (x.square() + 1) ** 0.3),
    "sine": ((3, 4), lambda x: x.sin() + x.cos()),
    "softmax": ((3, 4), lambda x: torch.softmax(x, 1)),
    "logarithm of softmax": ((3, 4), lambda x: torch.log_softmax(x, 0)),
    "cross entropy": ((3, 4), lambda x: functional.cross_entropy(x, INDEX, reduction="none")),
    "cross entropy of weighted classes": (
        (3, 4, 2),
        lambda x: functional.cross_entropy(x, INDEX[:, None].expand(3, 2), SCALE, ignore_index=0),
    ),
    "binary cross entropy": (
        (3, 4),
        lambda x: functional.binary_cross_entropy_with_logits(
            x, A.sigmoid(), ROW.square(), pos_weight=ROW.exp(), reduction="none"
        ),
    ),
    "binary cross entropy, its mean": (
        (3, 4), lambda x: functional.binary_cross_entropy_with_logits(x, A.sigmoid())
    ),
    "binary cross entropy of shares": (
        (3, 4), lambda x: functional.binary_cross_entropy(x.sigmoid(), A.sigmoid(), ROW.square())
    ),
    "squares": ((3, 4), lambda x: functional.mse_loss(x, A, reduction="none")),
    "squares of a curve's difference": ((3, 4), lambda x: functional.mse_loss(x, x * x)),
    "squares of a single number": (
        (1,), lambda x: functional.mse_loss(x.expand(3, 4), A) + functional.mse_loss(x, A[0, :1])
    ),
    "absolute": ((3, 4), lambda x: functional.l1_loss(x, A, reduction="none") * x),
    "smooth absolute": ((3, 4), lambda x: functional.smooth_l1_loss(x, A, reduction="none")),
    "one or other": ((3, 4), lambda x: torch.where(A > 0, x * x, 0.0) + torch.where(x > 0, A, x)),
    "layer norm": ((3, 4), lambda x: functional.layer_norm(x, (4,), SCALE, SHIFT)),
    "layer norm's own": ((4,), lambda w: functional.layer_norm(A, (4,), w, w * w)),
    "group norm": (IMAGE, lambda x: functional.group_norm(x, 2, SCALE, SHIFT)),
    "batch norm, running": (
        IMAGE, lambda x: functional.batch_norm(x, MEAN, VARIANCE, SCALE, SHIFT, False)
    ),
    "batch norm, of the batch": (
        IMAGE, lambda x: functional.batch_norm(x, None, None, SCALE, SHIFT, True)
    ),
    "attention": (
        (2, 3, 4), lambda x: functional.scaled_dot_product_attention(x, 2 * x, x.sin())
    ),
    "sorted": ((3, 4), lambda x: x.sort(1).values * x),
    "within bounds": ((3, 4), lambda x: x.clamp(-0.5, 0.5) * x),
    "where": ((3, 4), lambda x: torch.where(A > 0, x * x, x)),
    "masked": ((3, 4), lambda x: x.masked_fill(A > 0, 2.0) * x),
    "written to": ((3, 4), lambda x: (2 * x).mul_(x).add_(A).relu_()),
    "in float32": ((3, 4), lambda x: x.float().double() * x),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_along_curves_is_differentiated_twice(name):
    """w.f(x + t x' + t^2 x''/2) and its derivatives at 0, for random w, and two curves at once."""
    shape, function = OPERATIONS[name]
    x, firsts = of(shape), [of(shape, 1), of(shape, 2)]
    seconds = [of(shape, 3), None]
    with torch.no_grad():
        found = function(Curves(x, list(firsts), list(seconds)))
    assert isinstance(found, Curves)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if "float32" in name else {"atol": 1e-9, "rtol": 1e-9}
    for k, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        bend = 0 if second is None else t**2 / 2 * second
        along = function(x + t * first + bend)
        torch.testing.assert_close(found.value, along.detach(), **tolerance)
        for seed in (4, 5):
            w = of(along.shape, seed)
            (rate,) = torch.autograd.grad((w * along).sum(), t, create_graph=True)
            (curved,) = torch.autograd.grad(
                rate + 0 * t, t, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            expected = torch.stack([rate.detach(), curved])
            own = torch.stack([(w * found.first[k]).sum(), (w * found.curvature(k)).sum()])
            torch.testing.assert_close(own, expected, **tolerance)


def test_what_reads_the_memory_finds_a_constant():
    """A tensor that is given these as its data has the values: nothing can reach past them."""
    x = of((3,))
    kept = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)
    with torch.no_grad():
        kept.data = 0.5 * Curves(x, [torch.ones_like(x)], [None])
        torch.testing.assert_close(kept.mul(2), x, atol=0, rtol=0)


@pytest.mark.parametrize(
    "function",
    [lambda c: torch.zeros(3, dtype=torch.float64).copy_(c), lambda c: of((3,)).set_(c)],
    ids=["copy_", "set_"],
)
def test_a_plain_tensor_is_not_written_to(function):
    with torch.no_grad(), pytest.raises(NotImplementedError, match="along curves"):
        function(Curves(of((3,)), [of((3,), 1)], [None]))
