#!/usr/bin/env bash
# Guess: np.dot(a, v) and a @ v are the same call of BLAS for two-dimensional a, strided or not: both
# know leading dimensions.
#
# What happens (numpy 2.4.6, CPU): for a view of a wider array np.dot first copies all of it, even
# with out=; matmul passes the leading dimension on and allocates nothing. A product of 150 rows took
# six times as long.
#
# Why it matters: arrays that grow in place are multiplied through views of what is filled.
#
# Source: the memory that NumPy itself reports to tracemalloc decides.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'numpy==2.4.6'
"$folder/env/bin/python" - <<'PYTHON'
import tracemalloc

import numpy as np

wide = np.random.default_rng(0).standard_normal((300, 300))
view, vector, out = wide[:150, :150], np.ones(150), np.empty(150)


def allocated(product):
    product(view, vector, out=out)
    tracemalloc.start()
    product(view, vector, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


dot, matmul = allocated(np.dot), allocated(np.matmul)
print(f"view of {view.nbytes} bytes: np.dot allocates {dot}, np.matmul {matmul}")
assert dot > view.nbytes > 10 * matmul
PYTHON
