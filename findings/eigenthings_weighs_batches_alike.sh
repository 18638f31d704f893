#!/usr/bin/env bash
# Guess: the Hessian of a mean loss over a data set does not depend on how the data are cut into
# batches; a library that takes a DataLoader weighs a short last batch by its samples.
#
# What happens (hessian-eigenthings 1.0.0a5): every batch weighs alike. Of 9 samples in batches of 8
# the last sample counts as much as the eight before it; with one outlier among the data the largest
# eigenvalue is off by a factor.
#
# Why it matters: DataLoader keeps the short batch unless told otherwise, so almost every measured
# spectrum is that of another loss, and it changes with batch_size. Use drop_last or one batch.
#
# Source: measured here; HessianOperator sums the batches' products and divides by their number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' \
    'hessian-eigenthings==1.0.0a5'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from hessian_eigenthings.loss_fns import supervised_loss
from hessian_eigenthings.operators import HessianOperator
from torch.utils.data import DataLoader, TensorDataset

x = torch.ones(9, 1, dtype=torch.float64)
x[-1] = 3.0
model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
loss = supervised_loss(torch.nn.MSELoss())


def curvature(size):
    data = DataLoader(TensorDataset(x, torch.zeros_like(x)), batch_size=size)
    return HessianOperator(model, data, loss).matvec(torch.ones(1, dtype=torch.float64)).item()


truth = 2 * x.square().mean().item()
whole, cut = curvature(9), curvature(8)
print("hessian-eigenthings", version("hessian-eigenthings"), "torch", torch.__version__)
print(f"second derivative {truth:.4f}; one batch {whole:.4f}; batches of 8 and 1 {cut:.4f}")
assert abs(whole - truth) < 1e-9
assert abs(cut - (2 * 1 + 2 * 9) / 2) < 1e-9
PYTHON
