#!/usr/bin/env bash
# Guess: torch.special.ndtr is there because (1 + erf(x / sqrt 2)) / 2 loses the lower tail, as
# SciPy's function of the same name is; in float64 it has some fifteen digits at -9, where the value
# is 1e-19.
#
# What happens (torch 2.13.0): it is that formula. Three digits are left at -8, and at -9 it is 0.
# erfc(-x / sqrt 2) / 2 and exp(log_ndtr(x)) of the same library have all digits.
#
# Why it matters: the logarithm of a probit likelihood, a tail probability or an error rate becomes
# -inf, and a ratio of two of them NaN, for arguments that are nothing unusual.
#
# Source: measured here, beside SciPy 1.17.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1'
"$folder/env/bin/python" - <<'PYTHON'
import torch
from scipy.special import ndtr

print("torch", torch.__version__)
for x, most in ((-3.0, 1e-14), (-8.0, 0.5), (-9.0, 1.0)):
    h = torch.tensor(x, dtype=torch.float64)
    truth = float(ndtr(x))
    found = torch.special.ndtr(h).item()
    by_erfc = torch.special.erfc(-h * 0.5**0.5).item() / 2
    by_log = torch.special.log_ndtr(h).exp().item()
    off = abs(found / truth - 1)
    print(f"{x}: ndtr {found:.6e}, erfc {by_erfc:.6e}, log_ndtr {by_log:.6e}, SciPy {truth:.6e}")
    assert off <= most
    assert abs(by_erfc / truth - 1) < 1e-12
    assert abs(by_log / truth - 1) < 1e-12
    if x == -8.0:
        assert off > 1e-3
    if x == -9.0:
        assert found == 0
PYTHON
