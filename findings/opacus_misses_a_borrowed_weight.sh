#!/usr/bin/env bash
# Guess: Opacus refuses what it cannot take apart into samples; where it wraps a network and trains
# it, without noise and clipping, it takes the steps that plain SGD takes.
#
# What happens (opacus 1.6.0, torch 2.13.0): gradients of single samples are gathered by hooks of
# the modules. A weight that is also used outside its module, as in
# F.linear(x, self.embedding.weight), the tied output layer of language models, is differentiated
# there without a hook: that share is missing from grad_sample, and the step is made of grad_sample.
# The .grad of the same pass is whole. Validation passes and no warning is of this. Tied as
# self.output.weight = self.embedding.weight, or with grad_sample_mode="ew", it is right.
#
# Why it matters: the larger share of the embedding's gradient is the one left out. The network
# learns worse, which is put down to privacy; norms, variances and gradient covariances taken from
# grad_sample are those of another loss.
#
# Source: torch.autograd.grad, one sample at a time, decides; the hooks are in
# opacus/grad_sample/grad_sample_module.py, https://github.com/meta-pytorch/opacus.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'opacus==1.6.0'
"$folder/env/bin/python" - <<'PYTHON'
import warnings
from importlib.metadata import version

import torch
from opacus import PrivacyEngine
from opacus.validators import ModuleValidator
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")  # of hooks and of insecure random numbers


class Model(nn.Module):
    """Predicts a word from two, with one table for all three."""

    def __init__(self, borrowed):
        super().__init__()
        self.embedding, self.middle = nn.Embedding(9, 4), nn.Linear(4, 4)
        self.output = None
        if not borrowed:
            self.output = nn.Linear(4, 9, bias=False)
            self.output.weight = self.embedding.weight

    def forward(self, words):
        x = torch.tanh(self.middle(self.embedding(words).mean(1)))
        return F.linear(x, self.embedding.weight) if self.output is None else self.output(x)


words, answers = torch.arange(12).view(6, 2) % 9, torch.arange(6)


def errors(borrowed, mode="hooks"):
    """Relative errors in what the table gets: samples' gradients, the step, .grad."""
    torch.manual_seed(0)
    model = Model(borrowed).double()
    table = model.embedding.weight
    start = table.detach().clone()
    losses = F.cross_entropy(model(words), answers, reduction="none")
    right = torch.stack([torch.autograd.grad(x, table, retain_graph=True)[0] for x in losses])
    assert not ModuleValidator.validate(model, strict=False)
    private, optimiser, _ = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        data_loader=DataLoader(TensorDataset(words, answers), batch_size=6),
        noise_multiplier=0.0,
        max_grad_norm=1e9,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    F.cross_entropy(private(words), answers).backward()
    samples, whole = table.grad_sample, table.grad  # "ew" makes no .grad
    whole = None if whole is None else whole.clone()
    optimiser.step()
    mean, step = right.mean(0), start - table.detach()
    pairs = {"grad_sample": (samples, right), "the step": (step, mean), ".grad": (whole, mean)}
    return {
        name: float((a - b).norm() / b.norm()) for name, (a, b) in pairs.items() if a is not None
    }


print("opacus", version("opacus"), "torch", torch.__version__)
CASES = {"borrowed weight": (True,), "tied modules": (False,), "borrowed, ew": (True, "ew")}
found = {name: errors(*arguments) for name, arguments in CASES.items()}
for name, errors in found.items():
    print(f"{name}: errors " + ", ".join(f"of {part} {x:.2g}" for part, x in errors.items()))
wrong = found["borrowed weight"]
assert wrong.pop(".grad") < 1e-9 and min(wrong.values()) > 0.5, "this has changed"
assert all(max(found[name].values()) < 1e-9 for name in ("tied modules", "borrowed, ew"))
PYTHON
