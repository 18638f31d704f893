#!/usr/bin/env bash
# Guess: random_plane evaluates the loss on an even grid of a plane around the model, out to the
# given distance; a loss that is linear in the weights comes out as a tilted plane.
#
# What happens (loss-landscapes 3.0.6): the grid is walked to and fro, and every other row begins one
# cell late, so that neighbouring rows are set off against each other by a cell. A linear loss comes
# out as a zigzag. And the distance divides the length of the directions: with 4 the picture covers a
# quarter of what it covers with 1.
#
# Why it matters: valleys get teeth and round basins a grain, which read as roughness of the loss; a
# wider look shows a smaller, hence flatter, neighbourhood. planar_interpolation walks in the same
# way and its zigzag is the same.
#
# Source: measured here; random_plane in loss_landscapes/main.py, where add_ comes before the
# evaluation on the way there and sub_ before it on the way back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'loss-landscapes==3.0.6'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
from loss_landscapes import planar_interpolation, random_plane
from loss_landscapes.metrics import Metric


class Linear(Metric):
    """The sum of all weights."""

    def __call__(self, model):
        return sum(float(weight.sum()) for weight in model.get_module_parameters())


def network(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(4, 3)


def plane(distance):
    torch.manual_seed(9)
    return random_plane(network(0), Linear(), distance, steps=6, deepcopy_model=True)


def along(grid):
    """Steps down the rows and along a row, of each row."""
    return np.diff(grid, axis=0)[:, 0], np.diff(grid, axis=1)[:, 0]


print("loss-landscapes", version("loss-landscapes"), "torch", torch.__version__)
interpolated = planar_interpolation(
    network(0), network(1), network(2), Linear(), steps=6, deepcopy_model=True
)
for name, grid in {"random_plane": plane(1), "planar_interpolation": interpolated}.items():
    down, right = along(grid)
    print(f"{name}, a linear loss: steps along the rows {right.round(3).tolist()}")
    print(f"{name}, a linear loss: steps from row to row {down.round(3).tolist()}")
    assert np.allclose(right, right[0], atol=1e-4)
    # each step should be the same one; they alternate by a cell
    assert np.allclose(np.diff(down), np.array([2, -2, 2, -2]) * right[0], atol=1e-3)
one, four = (abs(along(plane(distance))[1][0]) for distance in (1, 4))
print(f"a cell at distance 1: {one:.4f}, at distance 4: {four:.4f}")
assert abs(four / one - 1 / 4) < 1e-3, "this has changed"
PYTHON
