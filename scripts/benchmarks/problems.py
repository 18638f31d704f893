"""Models, losses and data whose curvature is measured, and their spectra by dense algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from spectrain.models.mixture import GaussianMixture
from spectrain.models.softmax_regression import SoftmaxRegression
from spectrain.models.two_layer import TwoLayerNetwork
from spectrain.theory.spectrum import FloatArray

__all__ = [
    "Problem",
    "conv_net",
    "encoder",
    "four_layers",
    "mixture_sample",
    "perceptron",
    "softmax",
    "transformer",
    "two_layer",
]


@dataclass(frozen=True)
class Problem:
    """The Hessian of loss(model(inputs), targets) in all parameters of the model."""

    name: str
    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def hessian(self) -> Tensor:
        """(P, P) float64, from rows in the dtype of the model, each a gradient of a gradient."""
        parameters = list(self.model.parameters())
        value = self.loss(self.model(self.inputs), self.targets)
        gradient = torch.autograd.grad(value, parameters, create_graph=True)
        entries = torch.cat([part.flatten() for part in gradient]).unbind()
        rows = [
            torch.cat(
                [
                    part.flatten()
                    for part in torch.autograd.grad(
                        entry, parameters, retain_graph=True, materialize_grads=True
                    )
                ]
            )
            for entry in entries
        ]
        matrix = torch.stack(rows).double()
        return (matrix + matrix.T) / 2

    @cached_property
    def gradient_covariance(self) -> Tensor:
        """(P, P) float64: covariance of the per-sample gradients, 1/n."""
        parameters = {name: value.detach() for name, value in self.model.named_parameters()}

        def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(functional_call(self.model, values, (x[None],)), y[None])

        found = vmap(grad(loss), (None, 0, 0))(parameters, self.inputs, self.targets)
        gradients = torch.cat([part.flatten(1) for part in found.values()], 1).detach().double()
        gradients -= gradients.mean(0)
        return gradients.T @ gradients / len(gradients)

    @cached_property
    def eigenvalues(self) -> FloatArray:
        """Of the Hessian, ascending."""
        values: FloatArray = torch.linalg.eigvalsh(self.hessian).numpy()
        return values


class _SoftmaxProblem(Problem):
    """Softmax regression, whose Hessian is  sum_l (diag p_l - p_l p_l^T) (x) Y_l Y_l^T / n."""

    @cached_property
    def hessian(self) -> Tensor:
        y = self.inputs.double()
        weight = next(self.model.parameters()).detach().double()
        p = torch.softmax(y @ weight.T, -1)
        factors = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        classes = range(p.shape[1])
        return torch.cat(
            [
                torch.cat([(y.T * factors[:, a, b]) @ y / len(y) for b in classes], 1)
                for a in classes
            ]
        )


def mixture_sample(
    dimension: int, samples: int, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A mixture with orthonormal means, snr 3, float32."""
    means = torch.eye(classes, dimension)
    law = GaussianMixture(means, (1 / classes,) * classes, tuple(range(classes)), 3.0)
    return law.sample(samples, generator)


def softmax(dimension: int = 1000, samples: int = 4000, classes: int = 3) -> Problem:
    """Softmax regression on a mixture, somewhat trained: the spectrum has outliers."""
    generator = torch.Generator().manual_seed(0)
    inputs, targets = mixture_sample(dimension, samples, classes, generator)
    start = (torch.eye(classes, classes) * 1.5).tolist()
    model = SoftmaxRegression(dimension, classes, 0.3, generator, start=start)
    return _SoftmaxProblem("softmax regression", model, nn.CrossEntropyLoss(), inputs, targets)


def two_layer(dimension: int = 100, samples: int = 4000, width: int = 20) -> Problem:
    """A two-layer network with GELU on the XOR of two features."""
    generator = torch.Generator().manual_seed(0)
    inputs, targets = _xor_sample(dimension, samples, generator)
    second = ((-1.0) ** torch.arange(width)).tolist()
    model = TwoLayerNetwork(dimension, second, "gelu", 0.7, generator)
    return Problem("two-layer network", model, nn.BCEWithLogitsLoss(), inputs, targets)


def perceptron(samples: int = 400) -> Problem:
    """A perceptron of 2,041 parameters on the XOR of two features, after some steps of training."""
    inputs, targets = _xor_sample(100, samples, torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(100, 20), nn.GELU(), nn.Linear(20, 1), nn.Flatten(0))
    return _trained(Problem("perceptron", model, nn.BCEWithLogitsLoss(), inputs, targets))


def _xor_sample(dimension: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    signs = 2.0 * torch.randint(2, (samples, 2), generator=generator) - 1
    inputs = 0.5 * torch.randn(samples, dimension, generator=generator)
    inputs[:, :2] += signs
    return inputs, (signs.prod(-1) > 0).float()


def conv_net(samples: int = 1000) -> Problem:
    """Two convolutions and a linear layer on rendered digits, after some steps of training."""
    inputs, targets = _digits(samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10),
        )
    return _trained(Problem("conv net", model, nn.CrossEntropyLoss(), inputs, targets))


class _TransformerBlock(nn.Module):
    """Rows of the image as words; attention written out, as fused it has no second derivative."""

    def __init__(self, channels: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(8, channels)
        self.place = nn.Parameter(0.1 * torch.randn(8, channels))
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.classify = nn.Linear(channels, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 1, 8, 8) -> logits (n, 10)."""
        x = self.embed(images.flatten(1, 2)) + self.place
        parts = self.qkv(self.first(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        x = x + self.down(functional.gelu(self.up(self.second(x))))
        return self.classify(x.mean(1))


def transformer(samples: int = 500) -> Problem:
    """One block of attention and perceptron on rendered digits, after some steps of training."""
    inputs, targets = _digits(samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _TransformerBlock()
    return _trained(Problem("transformer block", model, nn.CrossEntropyLoss(), inputs, targets))


def four_layers(samples: int = 200, steps: int = 60) -> Problem:
    """Two convolutions and two linear layers, 38,282 parameters, after some steps of training."""
    inputs, targets = _digits(samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.Tanh(),
            nn.Linear(64, 10),
        )
    problem = Problem("conv net", model, nn.CrossEntropyLoss(), inputs, targets)
    return _trained(problem, steps)


class _Encoder(nn.Module):
    """A layer of torch's own transformer on the rows of the image as words."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.1, batch_first=True)
        self.classify = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 1, 8, 8) -> logits (n, 10)."""
        logits: Tensor = self.classify(self.layer(self.embed(images.flatten(1, 2))).mean(1))
        return logits


def encoder(samples: int = 200, steps: int = 60) -> Problem:
    """A transformer of 9,162 parameters on rendered digits, after some steps of training."""
    inputs, targets = _digits(samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        problem = Problem("transformer", _Encoder(), nn.CrossEntropyLoss(), inputs, targets)
        return _trained(problem, steps)


def _trained(problem: Problem, steps: int = 60) -> Problem:
    optimiser = torch.optim.Adam(problem.model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        problem.loss(problem.model(problem.inputs), problem.targets).backward()
        optimiser.step()
    optimiser.zero_grad()
    return problem


def _digits(samples: int) -> tuple[Tensor, Tensor]:
    """(n, 1, 8, 8) in [0, 1]: digits of the font that matplotlib ships, moved, turned, blurred."""
    glyphs = torch.stack([_glyph(str(digit)) for digit in range(10)])
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(10, (samples,), generator=generator)
    angle = 0.15 * torch.randn(samples, generator=generator)
    scale = 1.1 + 0.1 * torch.randn(samples, generator=generator)
    shift = 0.12 * torch.randn(samples, 2, 1, generator=generator)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    turned = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
    grid = functional.affine_grid(
        torch.cat([turned, shift], -1), [samples, 1, 32, 32], align_corners=False
    )
    images = functional.grid_sample(glyphs[targets], grid, align_corners=False)
    images = functional.avg_pool2d(images, 4)
    return images + 0.05 * torch.randn(images.shape, generator=generator), targets


def _glyph(digit: str) -> Tensor:
    """(1, 32, 32) in [0, 1]."""
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(resources.files("matplotlib") / "mpl-data/fonts/ttf/DejaVuSans.ttf"))
    font.set_size(28, 72)
    font.set_text(digit)
    font.draw_glyphs_to_bitmap()
    bitmap: FloatArray = np.asarray(font.get_image(), dtype=float) / 255
    image = torch.zeros(1, 32, 32)
    height, width = bitmap.shape
    top, left = (32 - height) // 2, (32 - width) // 2
    image[0, top : top + height, left : left + width] = torch.from_numpy(bitmap)
    return image
