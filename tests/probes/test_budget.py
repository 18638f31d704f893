"""A budget ends a probing early, with what it has; want of memory costs its part alone."""

import gc
import queue
import weakref

import pytest
import torch
from torch import nn

from spectrain import Block, Measurement, SpectralProbe
from spectrain.probes import budget as budget_module
from spectrain.probes.budget import Budget
from spectrain.probes.curvature.matrix import GaussNewton, Hessian
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.curvature.out_of_memory import is_out_of_memory
from spectrain.probes.records.codec import decode, encode

WANTED = Measurement(eigenvalues=2, smallest=1, density=False, width=4, max_products=200)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 3)).double()


def batch():
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(30, 12, dtype=torch.float64, generator=g)
    return inputs, torch.randint(3, (30,), generator=g)


def probe(**options):
    # The information matrix of few samples takes no products.
    options = {"measurement": WANTED, "matrices": (Hessian(), GaussNewton())} | options
    return SpectralProbe(model(), nn.CrossEntropyLoss(), batch(), **options)


def exact():
    return torch.linalg.eigvalsh(
        HessianOperator(model(), nn.CrossEntropyLoss(), batch(), Block("all")).dense()
    )


def test_products_that_run_out_end_a_probing_with_what_it_has():
    record = probe(budget=Budget(products=24))(0)
    assert not record.failures
    assert [(each.part, each.matrix) for each in record.early] == [
        ("spectra", "hessian"),
        ("spectra", "gauss-newton"),
    ]
    assert "no more than 12 products, by the budget of products" in record.early[0].reason
    top = record.measured.spectrum("hessian", "all").top
    # Ritz values lie below the eigenvalues, and within their residual of one.
    assert all(pair.value <= exact()[-1] + 1e-9 for pair in top)
    assert min(abs(exact() - top[0].value)) <= top[0].error
    assert top[0].error > 1e-3 * top[0].value
    assert decode(encode(record)).early == record.early


def test_a_budget_that_is_not_used_up_changes_nothing():
    bounded = probe(budget=Budget(seconds=1e6, products=10**6, memory=2**30))(0)
    free = probe()(0)
    assert not bounded.early
    for one, other in zip(bounded.measured.spectra, free.measured.spectra, strict=True):
        assert [pair.value for pair in one.top] == [pair.value for pair in other.top]


class Clock:
    """Advances by a second whenever it is looked at."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1.0
        return self.now


def test_time_that_runs_out_ends_a_probing_with_what_it_has(monkeypatch):
    monkeypatch.setattr(budget_module, "time", Clock())
    # Hessian and Gauss-Newton matrix share the time: the first ends after some products.
    record = probe(budget=Budget(seconds=12))(0)
    assert [(each.matrix, "not begun" in each.reason) for each in record.early] == [
        ("hessian", False),
        ("gauss-newton", False),
    ]
    assert len(record.measured.spectra) == 2
    assert record.measured.loss > 0
    late = probe(budget=Budget(seconds=0.5))(0)
    assert all(each.reason == "not begun: the 0.5 s of the budget are spent" for each in late.early)
    assert not late.measured.spectra
    assert late.measured.loss == record.measured.loss


def test_draws_that_time_does_not_allow_are_left_out(monkeypatch):
    monkeypatch.setattr(budget_module, "time", Clock())
    measurement = Measurement(
        eigenvalues=1, smallest=0, density=False, width=2, max_products=8, draws=3, tracking=False
    )
    drawn = SpectralProbe(
        *(model(), nn.CrossEntropyLoss(), lambda generator: batch()),
        matrices=[Hessian()],
        measurement=measurement,
        budget=Budget(seconds=9),
    )(0, thorough=True)
    assert {each.part for each in drawn.early} >= {"draws"}
    assert not drawn.failures
    assert len(drawn.measured.spectra[0].top[0].draws) < 3


def test_memory_bounds_the_basis():
    size = sum(p.numel() for p in model().parameters())
    # Room for 16 vectors beside seven panels of four.
    record = probe(budget=Budget(memory=(16 + 7 * 4) * size * 8))(0)
    assert "no more than 16 products, by the budget of memory" in record.early[0].reason
    assert record.measured.spectrum("hessian", "all").top
    nothing = probe(budget=Budget(memory=1000))(0)
    assert "do not hold 3 vectors" in nothing.early[0].reason
    assert not nothing.measured.spectra
    assert not nothing.failures


@pytest.mark.parametrize("name", ["seconds", "products", "memory"])
def test_bad_budgets_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected a positive number, got 0"):
        Budget(**{name: 0})


def python():
    raise MemoryError


def device():
    raise torch.OutOfMemoryError("CUDA out of memory")


def cpu():
    torch.empty(2**60, dtype=torch.uint8)


# Something that a probing does not put back.
HELD = queue.SimpleQueue()


class Greedy(nn.Module):
    """Holds a large tensor, as a graph does, when memory runs out in its backward pass."""

    def __init__(self, fail):
        super().__init__()
        self.fail, self.inner, self.calls = fail, model(), 0

    def forward(self, x):
        outputs = self.inner(x)
        if torch.is_grad_enabled() and outputs.requires_grad:
            large = torch.zeros(1000)
            HELD.put(weakref.ref(large))
            self.fail()
        return outputs


@pytest.mark.parametrize(
    "fail", [device, *(pytest.param(each, marks=pytest.mark.slow) for each in (python, cpu))]
)
def test_memory_that_runs_out_is_recorded_and_let_go(fail):
    while not HELD.empty():
        HELD.get()
    probe = SpectralProbe(Greedy(fail), nn.CrossEntropyLoss(), batch(), measurement=WANTED)
    gc.disable()
    try:
        with pytest.warns(RuntimeWarning, match="could not have"):
            record = probe(0)
        assert not HELD.empty()
        while not HELD.empty():
            assert HELD.get()() is None
    finally:
        gc.enable()
    assert {each.part for each in record.failures} >= {"spectra"}
    assert record.measured.loss > 0
    reasons = " ".join(each.reason for each in record.failures)
    assert any(word in reasons for word in ("MemoryError", "OutOfMemoryError", "memory"))


def test_errors_of_memory_are_known():
    with pytest.raises(RuntimeError) as caught:
        cpu()
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("no derivative"))
