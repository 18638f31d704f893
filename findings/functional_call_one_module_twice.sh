#!/usr/bin/env bash
# Guess: torch.func.functional_call is functional: it runs a module with other tensors in the place
# of its parameters, and afterwards the module holds its own parameters again.
#
# What happens (torch 2.13.0): a module that is registered twice in another one (one block used at
# two depths) keeps the tensors of the call. Its weight is no longer the nn.Parameter that the
# optimiser has, so its gradient stays None and the training goes on without it, silently. Two
# modules that share a parameter come back all right, and so does this one with tie_weights=False.
#
# Why it matters: everything that differentiates a model functionally (Hessians, ensembles,
# per-sample gradients) calls it, in the middle of a training.
#
# Source: torch/nn/utils/stateless.py swaps a slot once for each of its names, so that the second
# swap takes the call's tensor for the module's own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.func import functional_call


def kept(block, model, **options):
    """Whether the block holds its own parameter after a functional call of the model."""
    own = block.weight
    other = {name: value.detach().clone() for name, value in model.named_parameters()}
    functional_call(model, other, torch.ones(1, 4), **options)
    return block.weight is own


torch.manual_seed(0)
print("torch", torch.__version__)
block = nn.Linear(4, 4)
twice = kept(block, nn.Sequential(block, nn.Tanh(), block))
print("one module under two names holds its own parameter afterwards:", twice)
block = nn.Linear(4, 4)
untied = kept(block, nn.Sequential(block, nn.Tanh(), block), tie_weights=False)
print("with tie_weights=False:", untied)
first, second = nn.Linear(4, 4), nn.Linear(4, 4)
second.weight = first.weight
tied = kept(first, nn.Sequential(first, second))
print("two modules that share a parameter:", tied)
assert (twice, untied, tied) == (False, True, True), "this has changed"
PYTHON
