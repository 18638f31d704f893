#!/usr/bin/env bash
# Guess: the second derivative of a log-determinant along a direction is the same whichever modes it
# is taken by; if one of them were wrong, it would be so for some exotic function.
#
# What happens (torch 2.13.0, CPU): the forward-mode rules of logdet, slogdet, det and
# torch.linalg.solve work with the factors that the forward pass left, and those are constants to a
# second differentiation. Forward over forward mode gives exactly 0 for log det A, half of the right
# value for the solution of A x = b, and loses a term for det A. Reverse over forward mode, which is
# backward() through a jvp, is wrong likewise. torch.func.hessian (forward over reverse) and reverse
# over reverse mode are right, and so are all of them through torch.linalg.inv.
#
# Why it matters: Gaussian likelihoods, normalising flows, determinantal wave functions and implicit
# layers are made of these. Their Laplacians and Hessians by nested jvp, and losses that contain a
# jvp and are trained, lack curvature without a word. First derivatives are right, and the checks of
# second ones that torch ships do not take these two ways.
#
# Source: closed forms decide; https://github.com/pytorch/pytorch/issues/192540.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.func import grad, jvp

generator = torch.Generator().manual_seed(0)
matrix, way = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
matrix = matrix + 4 * torch.eye(4, dtype=torch.float64)
b = torch.ones(4, dtype=torch.float64)
turn = torch.linalg.inv(matrix) @ way  # A^-1 V
trace = turn.trace()
FUNCTIONS = {
    "logdet": torch.logdet,
    "det": torch.linalg.det,
    "solve": lambda a: torch.linalg.solve(a, b).sum(),
    "inv": lambda a: (torch.linalg.inv(a) @ b).sum(),
}
# d^2/dt^2 of f(A + t V) at 0
solution = (2 * turn @ turn @ torch.linalg.inv(matrix) @ b).sum()
RIGHT = {
    "logdet": -(turn @ turn).trace(),
    "det": torch.linalg.det(matrix) * (trace**2 - (turn @ turn).trace()),
    "solve": solution,
    "inv": solution,
}


def forward(function, at):
    return jvp(function, (at,), (way,))[1]


def backward(function, at):
    return (grad(function)(at) * way).sum()


def twice(function, inner, outer):
    """Second derivative along the direction, the inner derivative and the outer one by mode."""
    return (outer(lambda a: inner(function, a), matrix) / RIGHT[name]).item()


print("torch", torch.__version__)
print("second derivatives along a direction, as multiples of the right ones")
for name, function in FUNCTIONS.items():
    found = {
        "forward over forward": twice(function, forward, forward),
        "reverse over forward": twice(function, forward, backward),
        "forward over reverse": twice(function, backward, forward),
        "reverse over reverse": twice(function, backward, backward),
    }
    print(f"{name}: " + ", ".join(f"{way} {ratio:.6f}" for way, ratio in found.items()))
    wrong = {"logdet": 0.0, "det": (trace**2 * torch.linalg.det(matrix) / RIGHT["det"]).item()}
    expected = wrong.get(name, 0.5 if name == "solve" else 1.0)
    ratios = list(found.values())
    assert all(abs(ratio - expected) < 1e-9 for ratio in ratios[:2]), "this has changed"
    assert all(abs(ratio - 1) < 1e-9 for ratio in ratios[2:])
PYTHON
