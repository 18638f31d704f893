#!/usr/bin/env bash
# Guess: LoRA adapters that were trained on the feed-forward layers of nn.TransformerEncoderLayer are
# in effect in eval mode as in train mode; the layer has no dropout here, so outputs are equal.
#
# What happens (peft 0.21.2, torch 2.13.0): in eval mode the layer takes its fused path, which does
# not call linear1 and linear2 but reads their .weight and .bias; a LoRA layer answers with those of
# the frozen layer below it. The training fits the targets, and the evaluation has the loss of the
# model before any training. merge_and_unload brings the trained model back, and so does
# torch.backends.mha.set_fastpath_enabled(False).
#
# Why it matters: nothing is said. Fine-tuning looks useless by its validation loss, early stopping
# and selection follow it, and deployed adapters do nothing. Because the frozen weights ask for no
# gradient, the path is taken without torch.no_grad() too.
#
# Source: measured here; TransformerEncoderLayer.forward in torch/nn/modules/transformer.py and the
# property weight of BaseTunerLayer in peft/tuners/tuners_utils.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'peft==0.21.2' \
    'transformers==5.24.0' 'accelerate==1.15.0'
"$folder/env/bin/python" - <<'PYTHON'
import peft
import torch
from torch import nn

torch.manual_seed(0)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


inputs, targets = torch.randn(4, 5, 8), torch.randn(4, 1)


def loss(model):
    return (model(inputs) - targets).square().mean()


network = Network()
untrained = loss(network).item()
model = peft.get_peft_model(network, peft.LoraConfig(r=4, target_modules=["linear1", "linear2"]))
model.train()
adapters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimiser = torch.optim.Adam(adapters, 1e-2)
for _ in range(300):
    optimiser.zero_grad()
    loss(model).backward()
    optimiser.step()
trained = loss(model).item()
model.eval()
evaluated = loss(model).item()
torch.backends.mha.set_fastpath_enabled(False)
slowly = loss(model).item()
torch.backends.mha.set_fastpath_enabled(True)
merged = loss(model.merge_and_unload().eval()).item()
print("peft", peft.__version__, "torch", torch.__version__)
print(f"loss before the training {untrained:.4f}")
print(f"after it: train mode {trained:.1e}, eval mode {evaluated:.4f}")
print(f"eval mode without the fast path {slowly:.1e}, with the adapters merged {merged:.1e}")
assert max(trained, slowly, merged) < 1e-3 < untrained
assert abs(evaluated - untrained) < 1e-4, "this has changed"
PYTHON
