#!/usr/bin/env bash
# Guess: a custom function whose backward is marked @once_differentiable raises an error when it is
# differentiated twice; that is what the mark is for.
#
# What happens (torch 2.13.0, CPU): only .backward() runs into the error. torch.autograd.grad with
# inputs, which Hessian products are made of, visits the nodes between them alone; the node that would
# raise hangs on detached copies and is not among them. torch.autograd.functional.hessian returns
# zeros for a sum of fourth powers, and where another path goes around the function, its curvature is
# missing without a word.
#
# Why it matters: fused kernels carry this mark so that second derivatives are refused; Hessians,
# sharpness and influence functions of models that use them come out too small instead.
#
# Source: the wrapper in torch/autograd/function.py; the Hessians are known here in closed form.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.autograd.function import Function, once_differentiable
from torch.autograd.functional import hessian


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


x = torch.tensor([1.0, 2.0], dtype=torch.float64)
print("torch", torch.__version__)
alone = hessian(lambda x: Square.apply(x).pow(2).sum(), x)
around = hessian(lambda x: (Square.apply(x) + x**3).sum(), x)
print("fourth powers:", alone.tolist(), "where [[12, 0], [0, 48]] is right")
print("square and cube:", around.tolist(), "where [[8, 0], [0, 14]] is right")
leaf = x.clone().requires_grad_()
(gradient,) = torch.autograd.grad(Square.apply(leaf).pow(2).sum(), leaf, create_graph=True)
try:
    gradient.sum().backward()
    told = "nothing"
except RuntimeError as error:
    told = str(error).splitlines()[0]
print("backward():", told)
assert not alone.any() and around.diagonal().tolist() == [6.0, 12.0], "this has changed"
assert "once_differentiable" in told, "this has changed"
PYTHON
