import io
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.models.mixture import GaussianMixture
from spectrain.probes.records.atomic import write_atomically
from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RecordFile, read_records
from spectrain.training.callbacks import Callback
from spectrain.training.checkpoint import Checkpoint, Checkpointer, earlier
from spectrain.training.data import FreshSamples
from spectrain.training.loop import fit
from spectrain.training.seal import seal, sealed


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
        records.truncate(checkpoint.offset)
        checkpoint.restore(parts)
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


def archive(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_a_seal_breaks_with_every_bit_and_every_byte_that_is_missing():
    whole = seal(archive({"weights": torch.arange(40.0)}))
    assert sealed(whole)
    assert torch.load(io.BytesIO(whole), weights_only=True)["weights"][39] == 39.0
    assert zipfile.ZipFile(io.BytesIO(whole)).testzip() is None
    bits = np.random.default_rng(0).choice(8 * len(whole), 500, replace=False)
    for bit in [*bits, *range(8 * len(whole) - 700, 8 * len(whole))]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not sealed(bytes(damaged))
    for length in range(len(whole)):
        assert not sealed(whole[:length])


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (archive({"epoch": 1}), "one of an older version, or of another program"),
        (b"a text of somebody", "another file"),
        (b"\x80\x04K\x01.", "another file"),
    ],
)
def test_what_was_never_a_checkpoint_is_refused_in_words(tmp_path, data, got):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"expected a checkpoint with a checksum, got {got}; go"):
        Checkpoint.read(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("lost", ["damaged", "cut", "gone"])
def test_a_run_goes_on_from_the_earlier_checkpoint_bit_for_bit(tmp_path, lost):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    expected, file = train(whole, 4)
    file.close()
    train(parted, 3)[1].close()
    path = parted / "checkpoint.pt"
    data = path.read_bytes()
    path.unlink()
    if lost != "gone":
        path.write_bytes(data[:-100] if lost == "cut" else data[:200] + b"x" + data[201:])
    reason = "is not there" if lost == "gone" else "is damaged"
    with pytest.warns(RuntimeWarning, match=f"{reason}; .* the earlier checkpoint, of epoch 2"):
        model, file = train(parted, 4, resume=True)
    file.close()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    assert (parted / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


def test_without_a_whole_checkpoint_it_says_so(tmp_path):
    train(tmp_path, 2)[1].close()
    path = tmp_path / "checkpoint.pt"
    for file in (path, earlier(path)):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"got none: checkpoint.pt is damaged, checkpoint.earlier.pt is damaged"
    ):
        Checkpoint.read(path)


@pytest.mark.parametrize("links", [True, False])
def test_the_former_content_stays_where_it_is_asked_to(tmp_path, monkeypatch, links):
    path, former = tmp_path / "file", tmp_path / "former"
    if not links:

        def fail(*_):
            raise PermissionError("no hard links")

        monkeypatch.setattr("pathlib.Path.hardlink_to", fail)
    for content in (b"1", b"2", b"3"):
        write_atomically(path, lambda file, c=content: file.write(c), former=former)
    assert (path.read_bytes(), former.read_bytes()) == (b"3", b"2")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "former"]
