#!/usr/bin/env bash
# Guess: a library that is given the loss function, class weights and all, makes its Gauss-Newton
# matrix, its Monte Carlo Fisher matrix and its Kronecker factors of that loss; for cross-entropy the
# first two agree.
#
# What happens (curvlinops-for-pytorch 3.0.1): only the Gauss-Newton matrix has the weights. The
# Fisher matrix and the Kronecker factors of type 2 are those of the loss without them, and the
# factors by Monte Carlo are neither.
#
# Why it matters: classes are weighted because they are rare; here the rare one has half of the loss
# and a tenth of the curvature. Natural gradients, Laplace approximations and pruning scores come out
# of the wrong matrix without a word.
#
# Source: measured here, on a model where all of them are exact and known in closed form.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' \
    'curvlinops-for-pytorch==3.0.1'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from curvlinops import FisherMCLinearOperator, GGNLinearOperator, KFACLinearOperator

# nine samples of class 0 along the first input, one of class 1 along the second
labels = torch.tensor([0] * 9 + [1])
inputs = torch.eye(2, dtype=torch.float64)[labels]
model = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
torch.nn.init.zeros_(model.weight)  # both probabilities are 1/2, whatever label is drawn
weights = torch.tensor([1.0, 9.0], dtype=torch.float64)
OPERATORS = {
    "Gauss-Newton": (GGNLinearOperator, {}),
    "Fisher, Monte Carlo": (FisherMCLinearOperator, {"mc_samples": 10}),
    "Kronecker, type 2": (KFACLinearOperator, {"fisher_type": "type-2"}),
    "Kronecker, Monte Carlo": (KFACLinearOperator, {"fisher_type": "mc", "mc_samples": 10}),
}


def shares(name, weight):
    """Curvature of class 0's logit along each input: that input's weight in the loss over 4."""
    operator, options = OPERATORS[name]
    loss = torch.nn.CrossEntropyLoss(weight)
    parameters = list(model.parameters())
    matrix = operator(model, loss, parameters, [(inputs, labels)], **options)
    dense = matrix @ torch.eye(4, dtype=torch.float64)
    return [round(dense[i, i].item(), 6) for i in (0, 1)]


print("curvlinops", version("curvlinops-for-pytorch"), "torch", torch.__version__)
print("closed form: without weights [0.225, 0.025], with weights [0.125, 0.125]")
found = {}
for name in OPERATORS:
    plain, found[name] = shares(name, None), shares(name, weights)
    print(f"{name}: without weights {plain}, with weights {found[name]}")
    assert plain == [0.225, 0.025]
assert found["Gauss-Newton"] == [0.125, 0.125]
assert found["Fisher, Monte Carlo"] == [0.225, 0.025], "this has changed"
assert found["Kronecker, type 2"] == [0.225, 0.025], "this has changed"
assert found["Kronecker, Monte Carlo"] not in ([0.225, 0.025], [0.125, 0.125])
PYTHON
