"""The probe in the Trainer of transformers."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from spectrain import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # advice of the library that is not about us
]


class Rows(Dataset):
    """Samples as mappings, as a collator of transformers wants them."""

    def __init__(self, inputs, labels):
        self.rows = [{"x": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        return self.rows[place]


class Classifier(nn.Module):
    """What the Trainer asks of a module: a loss among its outputs if labels are given."""

    def __init__(self, net, loss):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, x, labels=None):
        logits = self.net(x)
        found = {} if labels is None else {"loss": self.loss(logits, labels)}
        return found | {"logits": logits}


def trainer(loops, parts, folder, epochs, model=None, data=None, **settings):
    from transformers import Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, *given):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    settings = {"save_strategy": "no", "max_grad_norm": 0.0, "logging_steps": 1, **settings}
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **settings,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(parts.optimiser, lambda step: 1.0)
    train, held_out = data or (Rows(*loops.samples(24, 1)), Rows(*loops.samples(16, 2)))
    return InOrder(
        model or Classifier(parts.model, parts.loss),
        arguments,
        train_dataset=train,
        eval_dataset=held_out,
        optimizers=(parts.optimiser, schedule),
    )


@pytest.fixture
def callback(loops):
    loops.needs("transformers")
    loops.needs("accelerate")
    from spectrain.training.integrations.transformers import SpectrumCallback

    return lambda **arguments: SpectrumCallback(measurement=loops.SMALL, **arguments)


def by_logits(outputs, labels):
    return nn.functional.cross_entropy(outputs["logits"], labels)


def test_it_measures_what_a_probe_called_by_hand_measures(loops, reference, callback, tmp_path):
    parts, kept = loops.training(), loops.Kept()
    found = trainer(loops, parts, tmp_path, loops.EPOCHS)
    callback(loss=by_logits, sinks=[kept]).attach(found)
    found.train()
    seen = [loops.numbers(record) for record in kept.records]
    expected = [dict(each) for each in reference.numbers]
    for one, other in zip(seen, expected, strict=True):
        # A loss of torch's own is evaluated as a mean of terms, and knows of accuracy.
        assert one.pop("measured/loss") == pytest.approx(other.pop("measured/loss"), rel=1e-6)
        del other["measured/accuracy"]
    assert seen == expected
    assert torch.equal(loops.weights(parts.model), reference.weights)
    assert kept.closed == 1
    tag = "measured/hessian/all/top_1"
    logged = {row["step"]: row[tag] for row in found.state.log_history if tag in row}
    assert logged == {each["step"]: each[tag] for each in reference.numbers}


def test_the_training_and_its_own_logs_are_the_same_without_it(loops, callback, tmp_path):
    found = []
    for probed in (False, True):
        parts = loops.training(dropout=0.4)
        torch.manual_seed(5)
        mine = trainer(loops, parts, tmp_path, 2, eval_strategy="epoch")
        if probed:
            callback(loss=by_logits, every=2).attach(mine)
        mine.train()
        losses = [row["loss"] for row in mine.state.log_history if "loss" in row]
        found.append((loops.weights(parts.model), torch.rand(4), torch.tensor(losses)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_training_that_is_resumed_has_its_records_without_gap_or_repeat(
    loops, callback, tmp_path
):
    """It dies at step 6, two steps behind the checkpoint of step 4, whose JSON has no tensor."""

    def run(folder, resume=None, dies=False, **arguments):
        from transformers import TrainerCallback

        class Death(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                if dies and state.global_step == 6:
                    raise KeyboardInterrupt

        parts = loops.training()
        mine = trainer(*(loops, parts, folder, loops.EPOCHS), save_strategy="steps", save_steps=4)
        callback(loss=by_logits, every=2, **arguments).attach(mine)
        mine.add_callback(Death())
        mine.train(resume_from_checkpoint=resume)
        return loops.weights(parts.model)

    logdir = tmp_path / "spectrum"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", dies=True, logdir=logdir)
    assert load(logdir).records[-1].step == 6
    resumed = run(tmp_path / "run", resume=str(tmp_path / "run/checkpoint-4"), logdir=logdir)
    kept = loops.Kept()
    assert torch.equal(resumed, run(tmp_path / "whole", sinks=[kept]))
    records = load(logdir).records
    assert [record.step for record in records] == [0, 2, 4, 6, 8, 10, 12]
    assert [loops.numbers(r) for r in records] == [loops.numbers(r) for r in kept.records]


def language_model():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8, "vocab_size": 11}
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def tokens(n, seed):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(11, (n, 6), generator=generator)
    labels = found.clone()
    labels[:, 4:] = (
        -100 * (torch.arange(n) % 2)[:, None] + labels[:, 4:] * (1 - torch.arange(n) % 2)[:, None]
    )
    return [{"input_ids": x, "labels": y} for x, y in zip(found, labels, strict=True)]


def test_a_language_model_is_measured_on_the_loss_it_is_trained_on_also_under_autocast(
    loops, callback, tmp_path
):
    """Loss of the first record: the model's own on the first batch; bf16 changes no number."""
    found = []
    for half in (False, True):
        model, kept = language_model(), loops.Kept()
        parts = loops.training()
        parts.optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        data = (tokens(8, 1), tokens(8, 2))
        mine = trainer(loops, parts, tmp_path, 1, model=model, data=data, bf16=half)
        callback(sinks=[kept]).attach(mine)
        with torch.no_grad():
            batch = mine.data_collator(data[1])
            expected = float(model.eval()(**batch).loss)
        mine.train()
        first = kept.records[0]
        assert not first.failures
        assert loops.numbers(first)["measured/loss"] == pytest.approx(expected, rel=1e-6)
        found.append(loops.numbers(first))
    assert found[0] == found[1]


@pytest.mark.parametrize("given", ["out.loss", None])
def test_the_loss_that_the_model_takes_has_a_hessian_and_no_information_matrix(
    loops, callback, tmp_path, given
):
    """One that is no cross entropy of the labels is left to the model."""
    parts, kept = loops.training(), loops.Kept()
    parts.loss = nn.CrossEntropyLoss(label_smoothing=0.2)
    mine = trainer(loops, parts, tmp_path, 1)
    callback(loss=given, sinks=[kept]).attach(mine)
    mine.train()
    first = kept.records[0]
    assert [each.matrix for each in first.measured.spectra] == ["hessian"]
    assert [failure.matrix for failure in first.failures] == ["information"]


def test_given_as_a_callback_alone_it_asks_for_a_sample_and_merges_into_the_next_logs(
    loops, callback, tmp_path
):
    parts = loops.training()
    mine = trainer(loops, parts, tmp_path, 1)
    mine.add_callback(callback(loss=by_logits))
    with pytest.raises(ValueError, match="sample: expected"):
        mine.train()
    x, y = loops.samples(8, 2)
    mine = trainer(loops, parts, tmp_path, 1)
    mine.add_callback(callback(loss=by_logits, sample=({"x": x}, y), every=1))
    mine.train()
    tag = "measured/hessian/all/top_1"
    assert [row["step"] for row in mine.state.log_history if tag in row] == [1, 2, 3]
