#!/usr/bin/env bash
# Guess: an operation whose gradient passes gradcheck in double precision can be differentiated
# again, or says that it cannot.
#
# What happens (torch 2.13.0, CPU): the second derivative of the fused kernel behind both weight
# norms (torch._weight_norm along the first dimension) is wrong, without a message: the Hessian of a
# smooth function of it is not symmetric, and off by a sixth of its largest entry. The same formula
# written out, v g / |v|, is right. Values and gradients of the two agree.
#
# Why it matters: Hessian products, sharpness and influence functions of any network with weight
# normalisation are wrong by an amount that looks like a result.
#
# Source: central differences of the gradient decide, which the fused kernel gives rightly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.autograd import gradcheck


def fused(point):
    return torch._weight_norm(point[:12].view(3, 4), point[12:].view(3, 1), 0)


def written_out(point):
    v, g = point[:12].view(3, 4), point[12:].view(3, 1)
    return v * (g / v.norm(dim=1, keepdim=True))


def gradient(weights, point):
    leaf = point.clone().requires_grad_()
    (found,) = torch.autograd.grad(weights(leaf).pow(3).sum(), leaf)
    return found


torch.manual_seed(0)
point = torch.cat([torch.randn(12), torch.rand(3)]).double()
step = 1e-5 * torch.eye(15, dtype=torch.float64)
differences = torch.stack(
    [(gradient(fused, point + e) - gradient(fused, point - e)) / 2e-5 for e in step]
)
print("torch", torch.__version__)
print("gradcheck of the fused kernel:", gradcheck(fused, point.clone().requires_grad_()))
errors = {}
for weights in (fused, written_out):
    hessian = torch.autograd.functional.hessian(lambda x: weights(x).pow(3).sum(), point)
    scale = differences.abs().max()
    errors[weights.__name__] = float((hessian - differences).abs().max() / scale)
    asymmetry = float((hessian - hessian.T).abs().max() / scale)
    print(f"{weights.__name__}: error {errors[weights.__name__]:.1e}, asymmetry {asymmetry:.1e}")
assert errors["fused"] > 0.05 and errors["written_out"] < 1e-8, "this has changed"
PYTHON
