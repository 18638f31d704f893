#!/usr/bin/env bash
# Guess: .item() and float() of a DTensor give the number that the tensor stands for, as arithmetic
# on it does, or refuse.
#
# What happens (torch 2.13.0, gloo, two processes): a sum, mean or norm over a dimension that is cut
# among processes is left as a share on each of them until somebody needs the whole. item() and
# float() do not ask for the whole and return the share of this process: another number on each. A
# flag that one process has raised is False on the others by any().item(). full_tensor().item() is
# right.
#
# Why it matters: FSDP2 keeps parameters and gradients as such tensors. Logged losses and norms of
# weights and gradients change with the number of processes, and processes that branch on such a
# number (stop, skip, save) go apart.
#
# Source: https://github.com/pytorch/pytorch/issues/166638; the whole tensor on one process
# decides.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/share.py" <<'PYTHON'
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

VALUES = torch.tensor([1.0, 2.0, 2.0, 4.0, 4.0, 8.0], dtype=torch.float64)
NUMBERS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "norm": torch.linalg.vector_norm,
    "any above 5": lambda x: (x > 5).any(),
}


def work(rank, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    cut = distribute_tensor(VALUES, mesh, [Shard(0)])
    half = VALUES.chunk(2)[rank]
    for name, of in NUMBERS.items():
        whole, found, share = of(VALUES).item(), of(cut), of(half).item()
        item, full = found.item(), found.full_tensor().item()
        print(f"process {rank}, {name}: item() {item:.4f}, full_tensor() {full:.4f}", flush=True)
        assert full == whole
        assert item == share == float(found), "this has changed"
    dist.destroy_process_group()


if __name__ == "__main__":
    print("torch", torch.__version__)
    mp.spawn(work, (sys.argv[1],), 2)
PYTHON
timeout 300 "$folder/env/bin/python" "$folder/share.py" "$folder/rendezvous"
