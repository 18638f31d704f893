#!/usr/bin/env bash
# Guess: the weight of a layer with torch's orthogonal parametrization has orthonormal columns
# whatever an optimiser does to the numbers behind it; that is what the parametrization is for.
#
# What happens (torch 2.13.0): by Householder reflections, the default for a weight that is not
# square, the signs of the columns are kept as entries of 1 and -1 among the trained numbers and read
# as whole numbers, cut off towards zero. One step of SGD with any weight decay takes them below 1:
# all singular values are 0 at once, and no gradient brings them back.
#
# Why it matters: weight decay is on in most recipes. The layer is silently dead from the first step
# on, and the network trains around it.
#
# Source: measured here; _Orthogonal.forward in torch/nn/utils/parametrizations.py takes the
# diagonal's integer part.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.nn.utils.parametrizations import orthogonal


def singular_values(weight_decay):
    torch.manual_seed(0)
    layer = orthogonal(torch.nn.Linear(4, 6))
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=weight_decay)
    before = torch.linalg.svdvals(layer.weight.detach())
    layer(torch.randn(8, 4)).square().mean().backward()
    optimiser.step()
    return before, torch.linalg.svdvals(layer.weight.detach())


print("torch", torch.__version__)
_, plain = singular_values(0.0)
before, decayed = singular_values(1e-4)
print(f"singular values before {before.tolist()}")
print(f"after a step without decay {plain.tolist()}, with a decay of 1e-4 {decayed.tolist()}")
one = torch.ones(4)
assert torch.allclose(before, one, atol=1e-5)
assert (decayed == 0).all()
PYTHON
