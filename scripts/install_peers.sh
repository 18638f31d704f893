#!/bin/sh
# Install the curvature libraries that `scripts/benchmark.py curvature` compares with, for a Python
# that has the package: scripts/install_peers.sh [PYTHON], .venv/bin/python if none is given.
#
# Without their dependencies, which would bring another build of torch; the few they need besides
# are named here. PyHessian's release lacks torch.eig, which torch has dropped: the benchmark puts
# one in its place.
set -eu
exec "${1:-.venv/bin/python}" -m pip install --no-deps \
    pyhessian==0.1 \
    hessian-eigenthings==1.0.0a5 \
    curvlinops-for-pytorch==3.0.1 \
    backpack-for-pytorch==1.7.1 einconv einops opt-einsum unfoldNd linear_operator jaxtyping wadler-lindig
