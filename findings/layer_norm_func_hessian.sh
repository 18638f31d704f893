#!/usr/bin/env bash
# Guess: torch.func.hessian(f) is the Hessian of f, as jacrev(grad(f)) is; it only takes another way
# (forward over reverse mode), which its documentation recommends.
#
# What happens (torch 2.13.0, CPU): for a network with LayerNorm it is wrong by a tenth of its largest
# entry in double precision, without a message. Reverse over reverse mode agrees with central
# differences of the gradient to nine digits.
#
# Why it matters: it is the obvious way to check somebody else's curvature, and LayerNorm is in every
# transformer.
#
# Source: central differences of the gradient decide.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev

torch.manual_seed(0)
network = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)).double()
inputs, labels = torch.randn(20, 5, dtype=torch.float64), torch.randint(3, (20,))
shapes = {name: value.shape for name, value in network.named_parameters()}
point = torch.cat([value.detach().flatten() for value in network.parameters()])


def loss(flat):
    parts = flat.split([shape.numel() for shape in shapes.values()])
    given = {name: part.view(shapes[name]) for name, part in zip(shapes, parts)}
    return nn.functional.cross_entropy(functional_call(network, given, (inputs,)), labels)


slope, step = grad(loss), 1e-5 * torch.eye(len(point), dtype=torch.float64)
differences = torch.stack([(slope(point + e) - slope(point - e)) / 2e-5 for e in step])
scale = differences.abs().max()
found = float((hessian(loss)(point) - differences).abs().max() / scale)
reverse = float((jacrev(slope)(point) - differences).abs().max() / scale)
print("torch", torch.__version__)
print(f"torch.func.hessian: error {found:.1e} of the largest entry")
print(f"reverse over reverse mode: error {reverse:.1e}")
assert found > 0.01 and reverse < 1e-7, "this has changed"
PYTHON
