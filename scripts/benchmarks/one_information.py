"""What the information matrices of one build take; run as a program, in a process of its own.

It uses what every build has.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectrain import Block, Measurement, SpectralProbe
from spectrain.probes.measured_spectra import measured_spectra

from .problems import conv_net

__all__ = ["JOBS", "least", "measure", "panel_seconds"]


class _Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.short = nn.Conv2d(before, after, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, before, h, w) -> (n, after, h / stride, w / stride)."""
        inner = torch.relu(self.norms[0](self.first(x)))
        short = x if self.short is None else self.short(x)
        return torch.relu(self.norms[1](self.second(inner)) + short)


class _Words(nn.Module):
    """A transformer that predicts the next word: four layers of width 128, 875,000 parameters."""

    def __init__(self, words: int = 256, width: int = 128, length: int = 128) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(words, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        """Words (n, length) -> logits (n, words, length)."""
        length = x.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        places = torch.arange(length)
        hidden = self.layers(self.word(x) + self.place(places), mask=mask)
        return self.head(hidden).movedim(-1, 1)


def _digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A conv net of 38,000 parameters on 200 digits."""
    problem = conv_net(200)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return model, problem.inputs, problem.targets


def _words() -> tuple[nn.Module, Tensor, Tensor]:
    """32 sequences of 128 words."""
    text = torch.randint(256, (32, 129))
    return _Words(), text[:, :-1], text[:, 1:]


def _residual() -> tuple[nn.Module, Tensor, Tensor]:
    """ResNet-20 on 512 images of 32 x 32."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [_Residual(a, b) for a, b in pairwise(widths)]
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return model, torch.randn(512, 3, 32, 32), torch.randint(10, (512,))


JOBS: dict[str, Callable[[], tuple[nn.Module, Tensor, Tensor]]] = {
    "digits": _digits,
    "words": _words,
    "residual": _residual,
}


def measure(name: str, layers: int, repeats: int) -> dict[str, float]:
    """Processor seconds of the information matrix of all parameters, and of some layers' beside it.

    Args:
        name: of the job.
        layers: number of weights that are a block of their own.
        repeats: the fastest of so many counts.

    Returns:
        "gradient": of the batch's loss; "matrices": with all that is measured of them; "probing":
        the same in a probing, with losses and tracks (NaN for earlier builds); "value": the largest
        eigenvalue.
    """
    model, x, y, blocks = _job(name, layers)
    parameters = list(model.parameters())

    def gradient() -> object:
        return torch.autograd.grad(functional.cross_entropy(model(x), y), parameters)

    value = _values(model, x, y, blocks)
    probing = _probing(model, x, y, blocks)
    return {
        "gradient": least(gradient, 3 * repeats),
        "matrices": least(lambda: _values(model, x, y, blocks), repeats),
        "probing": math.nan if probing is None else least(probing, repeats),
        "value": value,
    }


def panel_seconds(name: str, layers: int) -> float:
    """Processor seconds of one panel of 16 products with each block's matrix, by multiplying."""
    try:
        from spectrain.probes.curvature.module_curvature import InformationOperator
    except ImportError:
        from spectrain.probes.module_curvature import InformationOperator

    model, x, y, blocks = _job(name, layers)
    taken = 0.0
    for block in blocks:
        operator = InformationOperator(model, nn.CrossEntropyLoss(), (x, y), block)
        panel = torch.randn(operator.size, 16)
        taken += least(lambda operator=operator, panel=panel: operator @ panel, 1)
    return taken


def _job(name: str, layers: int) -> tuple[nn.Module, Tensor, Tensor, list[Block]]:
    """Model, inputs, targets, and the blocks: all parameters, and some layers' weights."""
    torch.manual_seed(0)
    model, x, y = JOBS[name]()
    model.eval()
    weights = [key for key, value in model.named_parameters() if value.ndim > 1]
    layered = (Block(key, (key,)) for key in weights[:: len(weights) // 4][:layers])
    return model, x, y, [Block("all"), *layered]


def _probing(
    model: nn.Module, x: Tensor, y: Tensor, blocks: list[Block]
) -> Callable[[], object] | None:
    """A whole probing of these matrices, where a build does not always probe the Hessian, too."""
    try:
        from spectrain.probes.curvature.matrix import Information
    except ImportError:
        return None
    options: dict[str, Any] = {"blocks": blocks, "matrices": (Information(),)}
    probe = SpectralProbe(model, nn.CrossEntropyLoss(), (x, y), **options, on_failure="raise")
    return lambda: probe(0)


def _values(model: nn.Module, x: Tensor, y: Tensor, blocks: list[Block]) -> float:
    """The largest eigenvalue of all blocks, by what a probing measures of their matrices."""
    loss = nn.CrossEntropyLoss()
    try:
        from spectrain.probes.curvature.matrix import Information
        from spectrain.probes.operators import groups
    except ImportError:
        return max(_spectrum(model, loss, (x, y), block) for block in blocks)
    probe = SpectralProbe(model, loss, (x, y), blocks=blocks, matrices=(Information(),))
    selections: Any = [
        SimpleNamespace(
            matrix="information", block=block.name, parameters=tuple(block.resolve(model)), rows=()
        )
        for block in blocks
    ]
    generator = torch.Generator().manual_seed(0)
    largest = []
    for group in groups(probe.setup, model, (x, y), selections, by_head=False):
        spectra, _, _ = measured_spectra(
            *(group.build(), group.selections, Measurement(), generator, None),
            density=True,
            start=None,
        )
        largest.append(spectra[0].top[0].value)
    return max(largest)


def _spectrum(model: nn.Module, loss: Any, batch: Any, block: Block) -> float:
    """The largest eigenvalue, by what builds did that always probed the Hessian, too."""
    from spectrain.probes.module_curvature import InformationOperator

    operator = InformationOperator(model, loss, batch, block)
    selection: Any = SimpleNamespace(matrix="information", block=block.name)
    generator = torch.Generator().manual_seed(0)
    (found,), _, _ = measured_spectra(
        operator, [selection], Measurement(), generator, None, density=True, start=None
    )
    return found.top[0].value


def least(job: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest call."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        job()
        found.append(time.process_time() - start)
    return min(found)


if __name__ == "__main__":
    job, layers, repeats = sys.argv[1:]
    if repeats == "panel":
        print(json.dumps({"seconds": panel_seconds(job, int(layers))}))
    else:
        print(json.dumps(measure(job, int(layers), int(repeats))))
