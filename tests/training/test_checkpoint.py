import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.models.mixture import GaussianMixture
from spectrain.probes.records.atomic import write_atomically
from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RecordFile, read_records
from spectrain.training.callbacks import Callback
from spectrain.training.checkpoint import Checkpoint, Checkpointer
from spectrain.training.data import FreshSamples
from spectrain.training.loop import fit


class Recorder(Callback):
    def __init__(self, model, file):
        self.model = model
        self.file = file

    def on_epoch_end(self, step, epoch):
        self.file.write(Record(step=step, operator=str(self.model.weight.sum().item())))


def train(folder, epochs, resume=False):
    torch.manual_seed(0)
    model = nn.Linear(5, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    law = GaussianMixture(torch.eye(2, 5), (0.5, 0.5), (0, 1), snr=2.0)
    data = FreshSamples(law.sample, 2, torch.Generator().manual_seed(1))
    parts = {"model": model, "optimiser": optimiser, "data": data}
    records = RecordFile(folder / "records.jsonl")
    finished = 0
    if resume:
        checkpoint = Checkpoint.read(folder / "checkpoint.pt")
        checkpoint.restore(parts, records)
        finished = checkpoint.epoch
    fit(
        model,
        functional.cross_entropy,
        data,
        optimiser,
        epochs=epochs,
        steps_per_epoch=7,
        callbacks=[
            Recorder(model, records),
            Checkpointer(folder / "checkpoint.pt", parts, records),
        ],
        finished_epochs=finished,
    )
    return model, records


def test_a_restored_run_is_the_uninterrupted_one_bit_for_bit(tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    expected, file = train(whole, 4)
    file.close()
    _, file = train(parted, 2)
    # What a killed run wrote after its last checkpoint is void.
    file.write(Record(step=99))
    file.close()
    model, file = train(parted, 4, resume=True)
    file.close()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    assert (parted / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()
    assert [record.step for record in read_records(whole / "records.jsonl")] == [7, 14, 21, 28]


def test_no_file_is_no_checkpoint(tmp_path):
    assert Checkpoint.read(tmp_path / "checkpoint.pt") is None


def test_a_failed_write_leaves_the_former_content(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    write_atomically(path, lambda file: file.write(b"new"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"new"


def test_no_checkpoint_goes_beyond_a_record_that_is_not_on_the_disk(tmp_path, monkeypatch):
    """Else a run that goes on from there would never have that record."""
    records = RecordFile(tmp_path / "records.jsonl")
    path = tmp_path / "checkpoint.pt"
    checkpointer = Checkpointer(path, {}, records)

    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(OSError, match="disk full"):
            records.write(Record(step=7))
        with pytest.raises(OSError, match="disk full"):
            checkpointer.on_epoch_end(7, 1)
    assert not path.exists()
    checkpointer.on_epoch_end(14, 2)
    records.close()
    assert Checkpoint.read(path).offset == records.path.stat().st_size
    assert [record.step for record in read_records(records.path)] == [7]
