#!/usr/bin/env bash
# Guess: a sample whose label is -100, which nn.CrossEntropyLoss leaves out, has no part in the
# curvature of that loss; a library that refuses every ignore_index but this one knows what it means.
#
# What happens (backpack-for-pytorch 1.7.1): gradients leave it out, second-order extensions do not.
# Diagonals of the Hessian and of the Gauss-Newton matrix count the ignored samples like any other
# and divide by all.
#
# Why it matters: -100 is how padding and unlabelled pixels are marked. Natural gradients, pruning
# scores and Laplace approximations see the padding, and change with its amount and content while
# loss and gradient do not.
#
# Source: measured here, beside torch.func.hessian and the closed form; the second derivatives in
# backpack/core/derivatives/crossentropyloss.py do not look at the labels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'backpack-for-pytorch==1.7.1'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from backpack import backpack, extend
from backpack.extensions import DiagGGNExact, DiagHessian

# two samples at 1, two ignored ones at 3; both probabilities are 1/2
inputs = torch.tensor([[1.0], [1.0], [3.0], [3.0]], dtype=torch.float64)
labels = torch.tensor([0, 1, -100, -100])
model = extend(torch.nn.Linear(1, 2, bias=False, dtype=torch.float64))
torch.nn.init.zeros_(model.weight)
loss = extend(torch.nn.CrossEntropyLoss())


def of_weights(weight):
    return torch.nn.functional.cross_entropy(inputs @ weight.T, labels)


def diagonals(rows):
    model.zero_grad()
    with backpack(DiagHessian(), DiagGGNExact()):
        loss(model(inputs[:rows]), labels[:rows]).backward()
    return model.weight.diag_h[0, 0].item(), model.weight.diag_ggn_exact[0, 0].item()


right = torch.func.hessian(of_weights)(model.weight.detach())[0, 0, 0, 0].item()
without, with_ignored = diagonals(2), diagonals(4)
print("backpack", version("backpack-for-pytorch"), "torch", torch.__version__)
print(f"Hessian's first diagonal entry {right}")
print(f"backpack, Hessian and Gauss-Newton: without the ignored samples {without}")
print(f"with them, which should change nothing: {with_ignored}")
assert right == 0.25
assert all(abs(value - right) < 1e-12 for value in without)
assert all(abs(value - 0.25 * 20 / 4) < 1e-12 for value in with_ignored), "this has changed"
PYTHON
