#!/usr/bin/env bash
# Guess: whether a function of torch has a second derivative does not depend on how many rows it is
# called with.
#
# What happens (torch 2.13.0): torch.cdist has one for 26 rows and more, where the distances are
# formed by a matrix product, and raises "derivative ... is not implemented" for 25 and fewer.
#
# Why it matters: a Hessian-vector product, a gradient penalty or forces work on the whole batch and
# fail on the last, shorter one, or in the small test and not in the run.
#
# Source: measured here; compute_mode of torch.cdist documents the limit of 25 for speed only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch


def second_derivative(rows):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(torch.cdist(x, y).sum(), x, create_graph=True)
    try:
        torch.autograd.grad(gradient.square().sum(), x)
    except RuntimeError as error:
        return str(error)
    return "there is one"


print("torch", torch.__version__)
found = {rows: second_derivative(rows) for rows in (2, 25, 26, 40)}
for rows, answer in found.items():
    print(f"{rows} rows: {answer}")
assert all("not implemented" in found[rows] for rows in (2, 25))
assert all(found[rows] == "there is one" for rows in (26, 40))
PYTHON
