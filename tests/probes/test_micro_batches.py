"""Where memory runs out, the same numbers are taken of smaller and smaller parts of the sample."""

import pytest
import torch
from torch import nn

from spectrain.probes.curvature.matrix import GaussNewton, Hessian, Information
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

QUICK = Measurement(eigenvalues=2, smallest=1, density=False, tolerance=1e-6)


def data(samples=21):
    g = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples, 4, generator=g, dtype=torch.float64)
    return inputs, torch.randint(3, (samples,), generator=g)


def on_a_device():
    raise torch.OutOfMemoryError("CUDA out of memory")


def on_the_cpu():
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


class Bounded(nn.Module):
    """Has memory for so many samples, or only for their graph."""

    def __init__(self, most, fail, graphs=False, middle=None):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(4, 5), middle or nn.Tanh(), nn.Linear(5, 3)).double()
        self.most, self.fail, self.graphs = most, fail, graphs

    def forward(self, x):
        outputs = self.inner(x)
        if len(x) > self.most and (outputs.requires_grad or not self.graphs):
            self.fail()
        return outputs


def taken(most, loss=None, mode="eval", **options):
    model = Bounded(most, options.pop("fail", on_a_device), **options)
    probe = SpectralProbe(
        *(model, loss or nn.CrossEntropyLoss(), data()),
        matrices=[Hessian(), Information(), GaussNewton()],
        measurement=QUICK,
        mode=mode,
        learning_rate=torch.optim.SGD(model.parameters(), lr=0.1),
    )
    return probe(0)


def numbers(record):
    return [pair.value for each in record.measured.spectra for pair in (*each.top, *each.bottom)]


@pytest.mark.parametrize(("most", "parts"), [(20, 11), (7, 6), (2, 2), (100, 0)])
@pytest.mark.parametrize("fail", [on_a_device, on_the_cpu])
def test_parts_are_halved_until_they_fit(most, parts, fail):
    record, whole = taken(most, fail=fail), taken(100)
    assert record.failure == ""
    assert (record.micro_batch, whole.micro_batch) == (parts, 0)
    assert numbers(record) == pytest.approx(numbers(whole), rel=1e-9)
    assert record.measured.loss == pytest.approx(whole.measured.loss, rel=1e-12)
    assert len(record.tracks) == 3
    assert record.measured.quantity("sharpness").values == pytest.approx(numbers(whole)[0])
    assert ("micro-batches of" in record.summary()) is bool(parts)


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 9.0]).double()), None]
)
def test_down_to_one_sample_where_two_can_be_compared(loss):
    record, whole = taken(1, loss, graphs=True), taken(100, loss)
    assert record.failure == ""
    assert record.micro_batch == 1
    assert numbers(record) == pytest.approx(numbers(whole), rel=1e-9)


def coupled(outputs, targets):
    return (outputs @ outputs.mT).square().mean()


@pytest.mark.filterwarnings("ignore:the probing at step 0 could not have")
@pytest.mark.parametrize(
    ("loss", "mode", "middle"),
    [(coupled, "eval", None), (None, "train", nn.BatchNorm1d(5)), (None, "train", nn.Dropout())],
)
def test_what_is_no_mean_over_parts_is_not_taken_apart(loss, mode, middle):
    record = taken(8, loss, mode, graphs=True, middle=middle)
    assert record.micro_batch == 0
    assert not record.measured.spectrum("hessian", "all")
    reasons = [each.reason for each in record.failures if each.matrix == "hessian"]
    assert reasons == ["OutOfMemoryError: CUDA out of memory"]


@pytest.mark.filterwarnings("ignore:the probing at step 0 could not have")
def test_what_never_fits_is_recorded():
    record = taken(0, graphs=True)
    assert record.micro_batch == 0
    assert record.measured.loss > 0
    assert {"OutOfMemoryError: CUDA out of memory"} <= {each.reason for each in record.failures}
