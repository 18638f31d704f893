#!/usr/bin/env bash
# Guess: an optimiser's step reads .grad and leaves it, so it can be logged before or after; at any
# rate foreach=True, a matter of speed, does not decide it.
#
# What happens (torch 2.13.0): SGD with Nesterov's momentum adds the momentum into .grad where it
# runs with foreach, and leaves .grad where it does not. foreach is the default on a GPU and not on
# a CPU.
#
# Why it matters: a step hook, a gradient norm logged after the step, or a second use of .grad is
# right on the CPU and off by a factor (here 2.71 after two steps) on the GPU. Read gradients before
# the step.
#
# Source: measured here; torch.optim.sgd's multi-tensor path adds in place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch


def after_two_steps(foreach):
    weight = torch.nn.Parameter(torch.zeros(2))
    optimiser = torch.optim.SGD([weight], 0.1, momentum=0.9, nesterov=True, foreach=foreach)
    for _ in range(2):
        weight.grad = torch.ones(2)
        optimiser.step()
    return weight.detach(), weight.grad


print("torch", torch.__version__)
plain, fast = after_two_steps(False), after_two_steps(True)
print(f"weights {plain[0].tolist()} and {fast[0].tolist()} (foreach)")
print(f"gradients of 1 after the step: {plain[1].tolist()} and {fast[1].tolist()} (foreach)")
assert torch.allclose(plain[0], fast[0])
assert (plain[1] == 1).all() and torch.allclose(fast[1], torch.full((2,), 2.71))
PYTHON
