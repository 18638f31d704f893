#!/usr/bin/env bash
# Guess: a MetricCollection lets metrics share their counts where these are the same by definition,
# as for accuracy and recall; metrics whose update differs keep their own.
#
# What happens (torchmetrics 1.9.0): it compares the counts after the first batch and merges for good
# what is equal then. Accuracies at thresholds .8 and .9 are one metric from there on if no
# prediction of the first batch lies between them, even after reset(). Apart, or with
# compute_groups=False, they are right.
#
# Why it matters: at the start of a training no prediction is certain, so strict thresholds all count
# nothing and are merged; from then on the curves of all are that of one, without a warning. The same
# goes for metrics of one's own that differ by a filter.
#
# Source: MetricCollection._merge_compute_groups in torchmetrics/collections.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'torchmetrics==1.9.0'
"$folder/env/bin/python" - <<'PYTHON'
import torch
import torchmetrics
from torchmetrics.classification import BinaryAccuracy

labels = torch.tensor([1, 1, 0, 0])
uncertain = torch.tensor([0.6, 0.5, 0.5, 0.4])
trained = torch.tensor([0.85, 0.85, 0.1, 0.1])


def metrics():
    return {"loose": BinaryAccuracy(threshold=0.8), "strict": BinaryAccuracy(threshold=0.9)}


def together(**options):
    """Accuracies of the second epoch."""
    collection = torchmetrics.MetricCollection(metrics(), **options)
    collection.update(uncertain, labels)
    collection.reset()
    collection.update(trained, labels)
    return [value.item() for value in collection.compute().values()]


apart = []
for metric in metrics().values():
    metric.update(trained, labels)
    apart.append(metric.compute().item())
merged, unmerged = together(), together(compute_groups=False)
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
print(f"accuracy at .8 and .9 of the second epoch: apart {apart}")
print(f"in a collection {merged}, with compute_groups=False {unmerged}")
assert apart == unmerged == [1.0, 0.5]
assert merged == [1.0, 1.0], "this has changed"
PYTHON
