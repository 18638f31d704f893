#!/usr/bin/env bash
# Guess: torch.autocast may stand around the whole training loop; at worst the backward pass runs in
# another precision than it should.
#
# What happens (torch 2.13.0, CPU): within one autocast block each weight is rounded once and the
# rounded copy kept until the block ends. An optimiser's step changes the weight and not the copy:
# every forward pass is that of the first weights, and so are the gradients, along which the weights
# run off. cache_enabled=False, or a block for each pass, is right.
#
# Why it matters: nothing is said and the gradients are finite. Whatever steps and evaluates in one
# block meets it: inner loops, sharpness-aware steps, line searches, and losses at perturbed weights,
# which come out flat.
#
# Source: measured here; the cache in aten/src/ATen/autocast_mode.cpp goes by the tensor and not by
# its version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
from contextlib import nullcontext

import torch


def losses(around_loop, around_pass):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    x = torch.randn(64, 4)
    y = x.sum(1, keepdim=True)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    found = []
    with around_loop:
        for _ in range(6):
            optimiser.zero_grad()
            with around_pass():
                loss = (model(x).float() - y).square().mean()
            found.append(round(loss.item(), 4))
            loss.backward()
            optimiser.step()
    return found


def autocast(**options):
    return torch.autocast("cpu", torch.bfloat16, **options)


print("torch", torch.__version__)
loop = losses(autocast(), nullcontext)
uncached = losses(autocast(cache_enabled=False), nullcontext)
each = losses(nullcontext(), autocast)
print("one block around the loop:", loop)
print("the same without its cache:", uncached)
print("one block for each pass:  ", each)
assert len(set(loop)) == 1, "this has changed"
assert uncached[-1] < 0.2 * uncached[0] and each[-1] < 0.2 * each[0]
PYTHON
