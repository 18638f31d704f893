#!/usr/bin/env bash
# Guess: a DTensor computes what the whole tensor would. Where a loss comes out right, so does its
# gradient, on any number of processes.
#
# What happens (torch 2.13.0, CPU, gloo): F.mse_loss of two DTensors that are cut along the batch has
# the right value if the pieces are of one size, and a gradient too large by the number of processes.
# Huber's loss and binary cross-entropy do the same. Where the pieces differ in size the value is
# wrong as well. (a - b).square().mean(), the same number, is right in both.
#
# Why it matters: the logged loss is that of one process, and SGD trains at a learning rate that is a
# multiple of what was set; weight decay and clipping stand in another proportion to it.
#
# Source: measured here; DTensor learns how the loss may be cut from its decomposition
# (torch/distributed/tensor/_decompositions.py) and then runs the whole kernel on each piece, which
# divides by the number of its own entries.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/loss.py" <<'PYTHON'
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
from torch.nn import functional as F

LOSSES = {
    "mse_loss": F.mse_loss,
    "huber_loss": F.huber_loss,
    "binary_cross_entropy": F.binary_cross_entropy,
    "written out": lambda a, b: (a - b).square().mean(),
}


def ratios(loss, rows, mesh):
    """Value and gradient of the loss, cut along the rows, as multiples of those of one process."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, rows, 3, generator=generator, dtype=torch.float64)
    whole = a.clone().requires_grad_()
    right = loss(whole, b)
    right.backward()
    cut, target = (distribute_tensor(x, mesh, [Shard(0)]) for x in (a, b))
    cut.requires_grad_()
    found = loss(cut, target)
    found.backward()
    slope = cut.grad.full_tensor()[0, 0] / whole.grad[0, 0]
    return (found.full_tensor() / right).item(), slope.item()


def work(rank, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    for name, loss in LOSSES.items():
        even, uneven = ratios(loss, 8, mesh), ratios(loss, 5, mesh)
        if rank == 0:
            print(f"{name}: 8 rows: value x {even[0]:.4f}, gradient x {even[1]:.4f}")
            print(f"{name}: 5 rows: value x {uneven[0]:.4f}, gradient x {uneven[1]:.4f}")
        right = name == "written out"
        assert abs(even[0] - 1) < 1e-9, "this has changed"
        assert abs(even[1] - (1 if right else 2)) < 1e-9, "this has changed"
        assert (abs(uneven[0] - 1) < 1e-9) == (abs(uneven[1] - 1) < 1e-9) == right
    dist.destroy_process_group()


if __name__ == "__main__":
    print("torch", torch.__version__)
    mp.spawn(work, (sys.argv[1],), 2)
PYTHON
timeout 300 "$folder/env/bin/python" "$folder/loss.py" "$folder/rendezvous"
