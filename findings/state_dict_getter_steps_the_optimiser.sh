#!/usr/bin/env bash
# Guess: get_optimizer_state_dict reads; a checkpoint written before the first step leaves the
# training as it was.
#
# What happens (torch 2.13.0): an optimiser that has no state yet is stepped once, with gradients of
# zero and a learning rate of zero, so that there is something to read. Adam's counter then stands at
# 1, and its first real step corrects the bias of two: it is .744 of what it would be. RAdam's is
# about half. Rprop takes its step sizes from the learning rate of zero and moves by 1e-6 where 1e-2
# was asked. Hooks of the optimiser are called for a step that nobody made. get_state_dict does all
# this too; optimizer.state_dict() does not.
#
# Why it matters: a run that writes a checkpoint at step 0 trains otherwise than one that does not,
# with Rprop from a standstill. Whoever counts steps by a hook is off by one.
#
# Source: _init_optim_state in torch/distributed/checkpoint/state_dict.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, get_state_dict


def first_step(kind, read=None):
    """How far the weight goes in its first step, and how many steps a hook has seen by then."""
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.ones_(model.weight)
    optimiser, seen = kind(model.parameters(), lr=1e-2), []
    optimiser.register_step_post_hook(lambda *_: seen.append(1))
    if read:
        read(model, optimiser)
    before = model.weight.item()
    model(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    optimiser.step()
    return abs(model.weight.item() - before), len(seen)


print("torch", torch.__version__)
ratios = {}
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.RAdam, torch.optim.Rprop):
    plain, one = first_step(kind)
    read, two = first_step(kind, get_optimizer_state_dict)
    assert first_step(kind, get_state_dict) == (read, two)
    assert first_step(kind, lambda model, optimiser: optimiser.state_dict()) == (plain, one)
    ratios[kind.__name__] = read / plain
    print(f"{kind.__name__}: first step {plain:.2e}, after reading the state {read:.2e}")
    assert (one, two) == (1, 2), "this has changed"
print("steps that a hook has seen:", one, "and", two)
# a step of Adam's second count and first moments, of which one is zero
second = (0.1 / (1 - 0.9**2)) / (0.001 / (1 - 0.999**2)) ** 0.5
assert abs(ratios["SGD"] - 1) < 1e-9
assert abs(ratios["Adam"] - second) < 1e-6, "this has changed"
assert ratios["RAdam"] < 0.6 and ratios["Rprop"] < 1e-3, "this has changed"
PYTHON
