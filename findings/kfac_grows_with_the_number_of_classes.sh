#!/usr/bin/env bash
# Guess: cross-entropy takes classes as numbers or as probabilities; what is certain is the same in
# both, so loss, gradient and curvature are, and a library that accepts both has one matrix for them.
#
# What happens (curvlinops-for-pytorch 3.0.1): with targets as probabilities the Kronecker factors
# (KFAC and EKFAC, of type 2 and by Monte Carlo) come out too large by the number of classes: the
# entries of the targets are counted as terms of the mean. The Gauss-Newton matrix is right for
# both, and so are the factors for classes as numbers, or with num_per_example_loss_terms=1.
#
# Why it matters: mixup, label smoothing by hand and distillation have such targets. With a thousand
# classes the curvature is a thousand times too large: Laplace posteriors are narrow, natural steps
# and influence functions small, and the damping that was tuned for the one kind of target does
# nothing for the other.
#
# Source: measured here, on a model where the factors are exact and known in closed form;
# curvlinops/kfac.py counts the terms, https://github.com/f-dangel/curvlinops.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' \
    'curvlinops-for-pytorch==3.0.1'
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from curvlinops import EKFACLinearOperator, GGNLinearOperator, KFACLinearOperator

OPERATORS = {
    "Gauss-Newton": (GGNLinearOperator, {}),
    "KFAC, type 2": (KFACLinearOperator, {"fisher_type": "type-2"}),
    "EKFAC, type 2": (EKFACLinearOperator, {"fisher_type": "type-2"}),
    "KFAC, terms given": (
        KFACLinearOperator,
        {"fisher_type": "type-2", "num_per_example_loss_terms": 1},
    ),
}


def curvature(name, classes, certain):
    """Second derivative by the first logit's weight, and the right one: all p are 1 / classes."""
    labels = torch.arange(6) % classes
    inputs = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    model = torch.nn.Linear(1, classes, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    targets = torch.eye(classes, dtype=torch.float64)[labels] if certain else labels
    kind, options = OPERATORS[name]
    data, parameters = [(inputs, targets)], list(model.parameters())
    operator = kind(model, torch.nn.CrossEntropyLoss(), parameters, data, **options)
    first = torch.eye(classes, dtype=torch.float64)[0]
    p = 1 / classes
    return (operator @ first)[0].item(), p * (1 - p) * inputs.square().mean().item()


print("curvlinops", version("curvlinops-for-pytorch"), "torch", torch.__version__)
for classes in (2, 6):
    for name in OPERATORS:
        (numbers, right), (probabilities, _) = (curvature(name, classes, x) for x in (False, True))
        print(
            f"{classes} classes, {name}: by number {numbers:.4f}, by probability "
            f"{probabilities:.4f}, right {right:.4f}"
        )
        factor = classes if name.endswith("type 2") else 1
        assert abs(numbers / right - 1) < 1e-9
        assert abs(probabilities / right - factor) < 1e-9, "this has changed"
PYTHON
