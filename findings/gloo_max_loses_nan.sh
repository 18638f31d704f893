#!/usr/bin/env bash
# Guess: an all_reduce with MAX of a tensor that is NaN on one process is NaN on all, as torch.max
# of the same numbers is, or it is NaN on none.
#
# What happens (torch 2.13.0, gloo, two processes): it depends on who has the NaN and where in the
# tensor it lies. Of one number the NaN of process 0 is kept and that of process 1 is lost. Of eight
# numbers that are all NaN on process 1 the first four come back as numbers, the rest as NaN. SUM
# keeps every NaN.
#
# Why it matters: "has anybody diverged" and gradient norms of several processes are asked for with
# MAX. A loss that is NaN on one process passes, or stops the training by the accident of its place.
#
# Source: measured here; elementwise max and min in gloo/math.h compare with < and >.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/reduce.py" <<'PYTHON'
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

NAN = float("nan")


def reduced(values, operation):
    tensor = torch.tensor(values)
    dist.all_reduce(tensor, operation)
    return tensor


def work(rank, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    for operation in (dist.ReduceOp.MAX, dist.ReduceOp.SUM):
        one = [reduced([NAN if rank == owner else 1.0], operation) for owner in (0, 1)]
        eight = reduced([NAN if rank == 1 else 1.0] * 8, operation)
        if rank == 0:
            name = str(operation).rpartition(".")[2]
            print(f"{name}: NaN of process 0 {one[0].item()}, of process 1 {one[1].item()}")
            print(f"{name}: eight NaN of process 1 {eight.tolist()}")
            lost = (~eight.isnan()).sum().item()
            if operation == dist.ReduceOp.MAX:
                assert one[0].isnan() and not one[1].isnan() and 0 < lost < 8
            else:
                assert one[0].isnan() and one[1].isnan() and lost == 0
    dist.destroy_process_group()


if __name__ == "__main__":
    print("torch", torch.__version__)
    mp.spawn(work, (sys.argv[1],), 2)
PYTHON
timeout 300 "$folder/env/bin/python" "$folder/reduce.py" "$folder/rendezvous"
