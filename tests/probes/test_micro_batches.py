"""Where memory runs out, the same numbers are taken of smaller and smaller parts of the sample."""

import pytest
import torch
from torch import nn

from spectrain.probes.curvature.matrix import GaussNewton, Hessian, Information
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe

QUICK = Measurement(eigenvalues=2, smallest=1, density=False, tolerance=1e-6)
MATRICES = [Hessian(), Information(), GaussNewton()]


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


def taken(most, loss=None, mode="eval", matrices=MATRICES, **options):
    model = Bounded(most, options.pop("fail", on_a_device), **options)
    probe = SpectralProbe(
        *(model, loss or nn.CrossEntropyLoss(), data()),
        matrices=matrices,
        measurement=QUICK,
        mode=mode,
        learning_rate=torch.optim.SGD(model.parameters(), lr=0.1),
    )
    return probe(0)


def numbers(record):
    return [pair.value for each in record.measured.spectra for pair in (*each.top, *each.bottom)]


@pytest.fixture(scope="module")
def whole():
    return taken(100)


@pytest.mark.parametrize(
    ("most", "parts", "fail"),
    [
        (7, 6, on_the_cpu),
        pytest.param(2, 2, on_a_device, marks=pytest.mark.slow),
        (100, 0, on_a_device),
    ],
)
def test_parts_are_halved_until_they_fit(most, parts, fail, whole):
    record = taken(most, fail=fail)
    assert record.failure == ""
    assert (record.micro_batch, whole.micro_batch) == (parts, 0)
    assert numbers(record) == pytest.approx(numbers(whole), rel=1e-9)
    assert record.measured.loss == pytest.approx(whole.measured.loss, rel=1e-12)
    assert len(record.tracks) == 3
    assert record.measured.quantity("sharpness").values == pytest.approx(numbers(whole)[0])
    assert ("micro-batches of" in record.summary()) is bool(parts)


@pytest.mark.slow
def test_down_to_one_sample_where_two_can_be_compared(whole):
    record = taken(1, graphs=True)
    assert record.failure == ""
    assert record.micro_batch == 1
    assert numbers(record) == pytest.approx(numbers(whole), rel=1e-9)


def test_parts_count_by_their_weights():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 9.0]).double())
    record, whole = (taken(most, loss, matrices=[Hessian()]) for most in (8, 100))
    assert (record.micro_batch, record.failure) == (6, "")
    assert numbers(record) == pytest.approx(numbers(whole), rel=1e-9)


def coupled(outputs, targets):
    return (outputs @ outputs.mT).square().mean()


@pytest.mark.filterwarnings("ignore:the probing at step 0 could not have")
@pytest.mark.parametrize(
    ("loss", "mode", "middle"),
    [(coupled, "eval", None), (None, "train", nn.BatchNorm1d(5)), (None, "train", nn.Dropout())],
)
def test_what_is_no_mean_over_parts_is_not_taken_apart(loss, mode, middle):
    record = taken(8, loss, mode, [Hessian()], graphs=True, middle=middle)
    assert record.micro_batch == 0
    assert not record.measured.spectrum("hessian", "all")
    reasons = [each.reason for each in record.failures if each.matrix == "hessian"]
    assert reasons == ["OutOfMemoryError: CUDA out of memory"]


@pytest.mark.filterwarnings("ignore:the probing at step 0 could not have")
def test_what_never_fits_is_recorded_and_halved_once():
    calls = []

    def fail():
        calls.append(0)
        on_a_device()

    record = taken(0, fail=fail, graphs=True, matrices=[Hessian(), GaussNewton()])
    assert record.micro_batch == 0
    assert record.measured.loss > 0
    reasons = [each.reason for each in record.failures if each.part == "spectra"]
    assert reasons == ["OutOfMemoryError: CUDA out of memory"] * 2
    # At 21, 11, 6, 3, 2 and 1 samples of a Hessian; then once each. Its graph is tried twice.
    assert len(calls) <= 2 * (6 + 3)
