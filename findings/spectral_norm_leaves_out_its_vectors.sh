#!/usr/bin/env bash
# Guess: a layer with torch's spectral norm, its power iteration converged, is the function
# x -> x W^T / sigma(W), and so are its derivatives: gradients agree, and what is differentiated
# once more agrees as well.
#
# What happens (torch 2.13.0, CPU): value and gradient are those of W / sigma(W) to rounding. The
# second derivative is not, in train mode and in eval mode: the singular vectors in
# sigma = u^T W v are buffers, constants to autograd, which leaves out how they turn with W. To first
# order that changes nothing; to second order the entries of the Hessian are off by more than the
# largest of them, and its largest eigenvalue by 15 %. Nothing says so. In train mode differences of
# the layer's own gradients are those of the exact function, since every pass moves the buffers; in
# eval mode the buffers stay, and differences agree with the wrong matrix.
#
# Why it matters: sharpness, Hessian products, influence functions and second-order optimisers of
# networks with spectral normalisation (discriminators, Lipschitz networks) see another curvature
# than the one that training meets. A check against differences in eval mode does not tell.
#
# Source: torch.linalg.matrix_norm(W, 2), which is differentiable twice, and central differences.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

torch.manual_seed(0)
layer = parametrizations.spectral_norm(
    nn.Linear(4, 3, bias=False).double(), n_power_iterations=50
)
inputs, targets = torch.randn(20, 4).double(), torch.randn(20, 3).double()
for _ in range(20):
    layer(inputs)  # converge
name = "parametrizations.weight.original"
start = dict(layer.named_parameters())[name].detach().clone()


def library(weight):
    return (functional_call(layer, {name: weight}, inputs) - targets).square().mean()


def exact(weight):
    normed = weight / torch.linalg.matrix_norm(weight, 2)
    return (inputs @ normed.T - targets).square().mean()


def gradient(loss, weight):
    leaf = weight.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf), leaf)[0].flatten()


def differences(loss):
    steps = 1e-5 * torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    return torch.stack(
        [(gradient(loss, start + e) - gradient(loss, start - e)) / 2e-5 for e in steps]
    )


def hessian(loss):
    return torch.autograd.functional.hessian(loss, start).view(12, 12)


def apart(found, right):
    return float((found - right).abs().max() / right.abs().max())


right = hessian(exact)
print("torch", torch.__version__)
print(f"exact, autograd and differences: {apart(differences(exact), right):.1e} apart")
for mode in ("eval", "train"):
    layer.train(mode == "train")
    found = hessian(library)
    slopes = apart(gradient(library, start), gradient(exact, start))
    top = float(torch.linalg.eigvalsh(found)[-1] / torch.linalg.eigvalsh(right)[-1])
    own = apart(differences(library), right)
    print(
        f"{mode}: gradient {slopes:.1e}, Hessian {apart(found, right):.2f} from the exact one, "
        f"largest eigenvalue {top:.2f} of it; differences of its gradients {own:.1e} from it"
    )
    assert slopes < 1e-10 and apart(found, right) > 0.5 and top > 1.1, "this has changed"
    assert (own < 1e-6) == (mode == "train"), "this has changed"
PYTHON
