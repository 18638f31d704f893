#!/usr/bin/env bash
# Guess: the second derivative of torch.sinc at 0 is -pi^2/3, as its first derivative there is right;
# or it is at least the same number by torch.autograd.grad and by torch.func.hessian.
#
# What happens (torch 2.13.0): torch.autograd.grad twice gives NaN, torch.func.hessian gives 0, and
# gradcheck of the first derivative passes.
#
# Why it matters: windows, band-limited filters and sinc layers have a tap at 0 by construction. One
# way loses the whole Hessian-vector product to NaN, the other answers with a curvature that is
# missing and looks like any other number.
#
# Source: measured here; the backward formula of sinc masks its own value at 0, not its derivative.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import math

import torch

zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
assert torch.autograd.gradcheck(torch.sinc, zero)
(slope,) = torch.autograd.grad(torch.sinc(zero), zero, create_graph=True)
(twice,) = torch.autograd.grad(slope, zero)
functional = torch.func.hessian(torch.sinc)(zero.detach())
step = 1e-4
differences = (torch.sinc(zero + step) - 2 * torch.sinc(zero) + torch.sinc(zero - step)) / step**2
print("torch", torch.__version__)
print(f"autograd twice {twice.item()}, torch.func.hessian {functional.item()}")
print(f"differences {differences.item():.6f}, -pi^2/3 {-(math.pi**2) / 3:.6f}")
assert abs(differences.item() + math.pi**2 / 3) < 1e-5
assert twice.isnan() and functional == 0
PYTHON
