#!/usr/bin/env bash
# Guess: dist.reduce gives the process dst the sum and leaves the tensors of the others, who only
# send, as they were.
#
# What happens (torch 2.13.0, gloo, two processes): the sender's tensor is written over, in part. Of
# a thousand counts some come back as they were and the others hold the sum; a single number comes
# back untouched, and so a small test passes.
#
# Why it matters: of counts that run on (a confusion matrix, samples seen, second moments) and are
# reduced for a report every epoch, some are added more than once from the second report on, and the
# sums look like any other. Reduce a copy.
#
# Source: measured here; the documentation says who receives the result, and nothing of the others.
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


def report(seen, rank):
    """The sum over both processes; process 0 hands in a copy, process 1 its own tensor."""
    total = seen.clone() if rank == 0 else seen
    dist.reduce(total, dst=0)
    return total


def work(rank, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    for size in (1, 1000):
        seen = torch.zeros(size)
        for epoch in (1, 2, 3):
            seen += 1
            total = report(seen, rank)
            right = 2.0 * epoch
            if rank == 0:
                off, largest = (total != right).sum().item(), total.max().item()
                print(f"{size} counts, report {epoch}: {off} are not {right}, largest {largest}")
                if size == 1 or epoch == 1:
                    assert off == 0, "this has changed"
                else:
                    assert off > 0 and largest > right, "this has changed"
    dist.destroy_process_group()


if __name__ == "__main__":
    print("torch", torch.__version__)
    mp.spawn(work, (sys.argv[1],), 2)
PYTHON
timeout 300 "$folder/env/bin/python" "$folder/reduce.py" "$folder/rendezvous"
