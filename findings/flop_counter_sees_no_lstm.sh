#!/usr/bin/env bash
# Guess: torch's FlopCounterMode counts the products of every layer, or says what it left out.
#
# What happens (torch 2.13.0, CPU): an nn.LSTM counts 0 operations and an nn.GRU of the same sizes
# counts its products; a matrix times a vector counts 0, the same vector as a matrix of one column
# counts. Nothing is said.
#
# Why it matters: budgets and utilisation of recurrent models come out as those of the layers around
# the LSTM, and a product with one vector, what Krylov methods are made of, looks free.
#
# Source: measured here; the registry in torch.utils.flop_counter has neither fused LSTMs nor mv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode


def counted(job):
    with FlopCounterMode(display=False) as counter:
        job()
    return counter.get_total_flops()


x, matrix, vector = torch.ones(5, 2, 8), torch.ones(64, 32), torch.ones(32)
lstm, gru = torch.nn.LSTM(8, 16), torch.nn.GRU(8, 16)
found = {
    "LSTM": counted(lambda: lstm(x)),
    "GRU": counted(lambda: gru(x)),
    "matrix times vector": counted(lambda: matrix @ vector),
    "matrix times one column": counted(lambda: matrix @ vector[:, None]),
}
print("torch", torch.__version__, found)
assert found["LSTM"] == 0 and found["GRU"] > 0
assert found["matrix times vector"] == 0
assert found["matrix times one column"] == 2 * 64 * 32
PYTHON
