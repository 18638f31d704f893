"""The probe in Lightning's trainer."""

import csv

import pytest
import torch

from spectrain import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # Lightning's advice is not about us
]


def module(parts):
    from lightning.pytorch import LightningModule

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = parts.model

        def forward(self, inputs):
            return self.net(inputs)

        def training_step(self, batch, index):
            inputs, targets = batch
            return parts.loss(self(inputs), targets)

        def validation_step(self, batch, index):
            inputs, targets = batch
            self.log("val_loss", parts.loss(self(inputs), targets))

        def configure_optimizers(self):
            return parts.optimiser

    return Module()


def trainer(folder, callbacks, epochs, **settings):
    from lightning.pytorch import Trainer

    settings = {"logger": False, "enable_checkpointing": False, **settings}
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


@pytest.fixture
def lightning(loops):
    loops.needs("lightning")


@pytest.fixture
def callback(lightning, loops):
    from spectrain.training.integrations.lightning import SpectrumCallback

    return lambda parts, **arguments: SpectrumCallback(
        parts.loss, measurement=loops.SMALL, **arguments
    )


def fit(parts, folder, callbacks, epochs, checkpoint=None, **settings):
    found = trainer(folder, callbacks, epochs, **settings)
    found.fit(module(parts), parts.train, parts.held_out, ckpt_path=checkpoint)
    return found


def test_it_measures_what_a_probe_called_by_hand_measures(loops, reference, callback, tmp_path):
    parts, kept = loops.training(), loops.Kept()
    fit(parts, tmp_path, [callback(parts, sinks=[kept])], loops.EPOCHS)
    assert [loops.numbers(record) for record in kept.records] == reference.numbers
    assert [record.epoch for record in kept.records] == list(range(loops.EPOCHS + 1))
    assert torch.equal(loops.weights(parts.model), reference.weights)
    assert kept.closed == 1


def test_the_training_has_the_same_bits_without_it(loops, callback, tmp_path):
    found = []
    for probed in (False, True):
        parts = loops.training(dropout=0.4, shuffle=True)
        torch.manual_seed(5)
        fit(parts, tmp_path, [callback(parts, every=2)] if probed else [], 2)
        found.append((loops.weights(parts.model), torch.rand(4)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_checkpoints_and_early_stopping_monitor_it_and_the_logger_has_every_probing(
    loops, reference, callback, tmp_path
):
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    tag = "measured/hessian/all/top_1"
    expected = [each[tag] for each in reference.numbers]
    best = ModelCheckpoint(tmp_path, monitor=tag, mode="max", filename="{step}")
    stopping = EarlyStopping(tag, patience=1, mode="max", check_on_train_epoch_end=True)
    logger = CSVLogger(tmp_path)
    parts = loops.training()
    found = fit(
        *(parts, tmp_path, [callback(parts), best, stopping], loops.EPOCHS),
        logger=logger,
        enable_checkpointing=True,
    )
    seen = expected[1 : found.current_epoch + 1]
    assert float(best.best_model_score) == pytest.approx(max(seen), rel=1e-6)
    falling = [k for k in range(2, len(expected)) if expected[k] <= max(expected[1:k])]
    assert found.current_epoch == (falling[0] if falling else loops.EPOCHS)
    with open(logger.experiment.metrics_file_path, newline="") as file:
        rows = {int(row["step"]): float(row[tag]) for row in csv.DictReader(file) if row[tag]}
    assert rows == {k * loops.STEPS: expected[k] for k in range(found.current_epoch + 1)}


@pytest.mark.parametrize("steps", [4, 6])
def test_a_training_that_is_gone_on_with_has_its_records_without_gap_or_repeat(
    loops, callback, tmp_path, steps
):
    """A checkpoint in the middle of an epoch, and one at its end; two more steps are lost.

    In the middle of an epoch Lightning begins the loader anew: the training is then another.
    """
    from lightning.pytorch.callbacks import ModelCheckpoint

    saved = ModelCheckpoint(tmp_path, every_n_train_steps=steps, filename="at", save_top_k=1)
    parts = loops.training()
    arguments = {"every": 2, "logdir": tmp_path / "spectrum"}
    fit(
        *(parts, tmp_path, [callback(parts, **arguments), saved], -1),
        max_steps=steps + 2,
        enable_checkpointing=True,
    )
    assert load(tmp_path / "spectrum").records[-1].step == steps + 2
    parts = loops.training()
    resumed = [callback(parts, **arguments)]
    fit(parts, tmp_path, resumed, -1, str(tmp_path / "at.ckpt"), max_steps=10)

    whole, kept = loops.training(), loops.Kept()
    fit(whole, tmp_path, [callback(whole, every=2, sinks=[kept])], -1, max_steps=10)
    records = load(tmp_path / "spectrum").records
    assert [record.step for record in records] == [0, 2, 4, 6, 8, 10]
    same = len(records) if steps == 6 else 3
    expected = [loops.numbers(record) for record in kept.records[:same]]
    assert [loops.numbers(record) for record in records[:same]] == expected
    assert torch.equal(loops.weights(parts.model), loops.weights(whole.model)) == (steps == 6)


def test_what_the_training_fails_with_comes_through_and_sinks_are_closed(loops, callback, tmp_path):
    parts, kept = loops.training(), loops.Kept()
    broken = module(parts)
    broken.training_step = lambda *batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path, [callback(parts, sinks=[kept])], 1).fit(
            broken, parts.train, parts.held_out
        )
    assert kept.closed == 1
    assert [record.step for record in kept.records] == [0]


def test_without_a_loader_for_validation_a_sample_is_asked_for(loops, callback, tmp_path):
    parts = loops.training()
    with pytest.raises(ValueError, match="sample: expected"):
        trainer(tmp_path, [callback(parts)], 1).fit(module(parts), parts.train)
