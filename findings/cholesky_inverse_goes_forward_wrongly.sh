#!/usr/bin/env bash
# Guess: where a function of torch has a forward-mode derivative it is that of the function: reverse
# mode has been checked against differences for years, and forward mode is its transpose.
#
# What happens (torch 2.13.0, CPU): the forward-mode derivative of torch.cholesky_inverse, from a
# factor to the inverse of its product, has two matrices in the wrong order. It is right for a
# diagonal factor and wrong for any other, already the first derivative. Reverse mode is right, and
# so torch.func.hessian, whose outer derivative goes forward, is wrong where reverse over reverse
# mode is right.
#
# Why it matters: inverses of Kronecker factors, precision matrices of Laplace approximations and
# Gaussian processes go this way. Jacobians by jacfwd, products by jvp, linearised models and
# Hessians made with them come out plausible and off: here by 7 % in the slope and 19 % in the
# second derivative.
#
# Source: -K^-1 dK K^-1 decides; https://github.com/pytorch/pytorch/issues/196682.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp

torch.manual_seed(0)
full = torch.linalg.cholesky(torch.cov(torch.randn(4, 12, dtype=torch.float64)))
diagonal = full.diagonal().diag()
change = torch.randn(4, 4, dtype=torch.float64).tril()
kernel = full @ full.T
side = torch.randn(4, 4, dtype=torch.float64)
side = side + side.T


def off(found, right):
    return float((found - right).abs().max() / right.abs().max())


def slope_error(factor):
    """Of the derivative along a change of the factor, against the closed form."""
    inverse = torch.linalg.inv(factor @ factor.T)
    right = -inverse @ (change @ factor.T + factor @ change.T) @ inverse
    return off(jvp(torch.cholesky_inverse, (factor,), (change,))[1], right)


def by_factor(t):
    """Sum of entries of (K + t C)^-1 by its Cholesky factor."""
    return torch.cholesky_inverse(torch.linalg.cholesky(kernel + t * side)).sum()


t = torch.zeros((), dtype=torch.float64)
inverse = torch.linalg.inv(kernel)
first = -(inverse @ side @ inverse).sum()
second = 2 * (inverse @ side @ inverse @ side @ inverse).sum()
slopes = {
    "diagonal": slope_error(diagonal),
    "full": slope_error(full),
    "jacfwd": off(jacfwd(by_factor)(t), first),
    "jacrev": off(jacrev(by_factor)(t), first),
}
curvatures = {
    "torch.func.hessian": off(hessian(by_factor)(t), second),
    "reverse over reverse": off(grad(grad(by_factor))(t), second),
}
print("torch", torch.__version__)
print(f"jvp, diagonal factor: error {slopes['diagonal']:.1e}, full factor {slopes['full']:.2f}")
print(f"slope of (K + t C)^-1: jacrev {slopes['jacrev']:.1e}, jacfwd {slopes['jacfwd']:.2f}")
for name, error in curvatures.items():
    print(f"second derivative of it, {name}: error {error:.1e}")
assert max(slopes["diagonal"], slopes["jacrev"], curvatures["reverse over reverse"]) < 1e-9
assert min(slopes["full"], slopes["jacfwd"]) > 0.05, "this has changed"
assert curvatures["torch.func.hessian"] > 0.05, "this has changed"
PYTHON
