#!/usr/bin/env bash
# Guess: a callback of the Trainer may log numbers of its own with trainer.log(...) at the end of a
# step; the training's own loss, due at the same step, is logged as well.
#
# What happens (transformers 5.24.0): every call of trainer.log takes back control.should_log, the
# flag by which the loss of this step is to be logged, which was raised just before. The loss is
# missing from the logs at every step at which a callback logged, and the next one is averaged over
# both windows.
#
# Why it matters: nothing warns. Curves of the loss have holes exactly where something was measured.
#
# Source: CallbackHandler.on_log in transformers/trainer_callback.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'transformers==5.24.0' 'accelerate==1.15.0'
cd "$folder"
"$folder/env/bin/python" - <<'PYTHON'
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 1)

    def forward(self, x):
        return {"loss": self.line(x).square().mean()}


class Measures(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            trainer.log({"mine": 1.0})


arguments = TrainingArguments(
    "run",
    max_steps=4,
    logging_steps=1,
    save_strategy="no",
    report_to=[],
    use_cpu=True,
    disable_tqdm=True,
)
rows = [{"x": torch.ones(2)}] * 64
trainer = Trainer(Model(), arguments, train_dataset=rows)
trainer.add_callback(Measures())
trainer.train()
steps = [row["step"] for row in trainer.state.log_history if "loss" in row]
print(f"the loss was logged at steps {steps} of 1 to 4; a callback logged at step 2")
assert steps == [1, 3, 4]
PYTHON
