"""When a probing is due: prescribed trainings with prescribed clocks, losses and records."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe, fit
from spectrain.probes.records.record import Geometry, Record, Transition
from spectrain.probes.records.track import Followed, Track
from spectrain.probes.schedules import AtSteps, EveryEpochs, EverySteps, Logarithmic
from spectrain.probes.triggers import LossSpike, SharpnessCrossing, TransitionNear
from spectrain.probes.within_share import WithinShare
from spectrain.theory.spectrum import Bulk, Edge, Eigenpair, Spectrum


def due_steps(schedule, steps):
    """Those of range(steps) at which it is due; each is probed."""
    found = []
    for step in range(steps):
        if schedule.due(step):
            schedule.begun()
            schedule.probed(Record(step))
            found.append(step)
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (EverySteps(4), [0, 4, 8, 12, 16]),
        (Logarithmic(2), [0, 1, 4, 10]),
        (AtSteps([7, 3, 12]), [3, 7, 12]),
        (AtSteps([7]) | EverySteps(10), [0, 7, 10]),
    ],
)
def test_steps_at_which_a_probing_is_due(schedule, expected):
    assert due_steps(schedule, 20) == expected


def test_logarithmic_steps_are_evenly_spaced():
    steps = due_steps(Logarithmic(5), 10_001)
    expected = sorted({0, *(math.ceil(10 ** (k / 5) - 1e-9) for k in range(21))})
    assert steps == expected


def test_a_loop_that_asks_rarely_misses_none():
    schedule = EverySteps(10) | AtSteps([33])
    assert [step for step in range(0, 60, 7) if schedule.due(step)] == [0, 14, 21, 35, 42, 56]


def test_epochs_whole_and_in_part():
    schedule = EveryEpochs(0.5)
    assert [i for i in range(9) if schedule.due(i, i / 6)] == [0, 3, 6]
    with pytest.raises(ValueError, match="epoch: expected the number of epochs finished, got none"):
        schedule.due(10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: EverySteps(3) | Logarithmic(4),
        lambda: AtSteps([2, 9]) | EverySteps(5),
        lambda: WithinShare(0.2, EverySteps(2), clock=iter(range(10_000)).__next__),
    ],
)
def test_a_state_goes_on_where_it_was(make):
    whole = due_steps(make(), 30)
    first, second = make(), make()
    begun = due_steps(first, 13)
    second.load_state_dict(first.state_dict())
    rest = []
    for step in range(13, 30):
        if second.due(step):
            second.begun()
            second.probed(Record(step))
            rest.append(step)
    if isinstance(first, WithinShare):  # another clock: the intervals are what they were
        assert 0 <= (rest[0] - begun[-1]) <= 2 * (whole[-1] - whole[-2])
    else:
        assert begun + rest == whole


def test_a_jump_of_the_loss_is_seen_once():
    schedule = LossSpike(factor=3, window=10)
    losses = [1 + 0.1 * (-1) ** i for i in range(40)]
    losses[5] = 9.0  # too early to be known as a jump
    losses[25], losses[26], losses[27] = 4.0, 5.0, math.nan
    assert [i for i, loss in enumerate(losses) if schedule.due(i, loss=loss)] == [25]
    assert schedule.due(60, loss=math.nan)
    restored = LossSpike(factor=3, window=10)
    restored.load_state_dict(schedule.state_dict())
    assert [restored.due(s, loss=8.0) for s in (61, 71)] == [False, True]
    with pytest.raises(ValueError, match="loss: expected that of the last batch, got none"):
        schedule.due(80)
    assert not LossSpike().due(0)  # before the first batch


def record(step, stability):
    nothing = Followed(*(np.zeros(0),) * 4)
    return Record(step, tracks=(Track("hessian", "all", nothing, nothing, stability),))


def test_near_the_edge_of_stability_records_are_denser():
    schedule = EverySteps(100) | SharpnessCrossing(10, margin=0.06)
    found = []
    for step in range(601):
        if schedule.due(step):
            # Within the margin of 1 from 188 to 212, and beyond it afterwards.
            schedule.probed(record(step, step / 200))
            found.append(step)
    assert found == [0, 100, 200, 210, 220, 300, 400, 500, 600]


def test_a_crossing_between_two_records_is_near():
    schedule = SharpnessCrossing(10, margin=0.01)
    schedule.probed(record(0, 0.5))
    assert not schedule.due(50)
    schedule.probed(record(100, 1.5))
    assert (schedule.due(109), schedule.due(110)) == (False, True)
    schedule.probed(record(110, 1.5))
    assert not schedule.due(300)
    schedule.probed(record(400, math.nan))
    assert not schedule.due(500)


def predicted(*outliers, transitions=()):
    edges = [Edge(v, "square-root", math.nan, math.nan, 0.0) for v in (0.0, 1.0)]
    pairs = tuple(Eigenpair(v, 0.0, math.nan, np.zeros(0)) for v in outliers)
    spectrum = Spectrum("hessian", "all", 100, pairs, (), bulk=Bulk(*edges))
    return Record(0, predicted=Geometry(spectra=(spectrum,)), transitions=transitions)


@pytest.mark.parametrize(
    ("known", "near"),
    [
        (predicted(3.0, 1.5), False),
        (predicted(3.0, 1.05), True),  # about to go into the bulk
        (predicted(3.0, 2.8), True),  # about to meet
        (predicted(3.0, 2.99), False),  # one by symmetry
        (predicted(), False),
        (Record(0), False),
        (
            predicted(3.0, transitions=(Transition("hessian", "all", "top", "appears", 0, 1),)),
            True,
        ),
    ],
)
def test_near_a_predicted_transition(known, near):
    schedule = TransitionNear(5)
    schedule.probed(known)
    assert (schedule.due(4), schedule.due(5)) == (False, near)


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("share", "cost"), [(0.05, 3.0), (0.2, 0.7), (0.5, 30.0)])
def test_probings_keep_within_their_share(share, cost):
    clock = Clock()
    schedule = WithinShare(share, EverySteps(1), clock=clock)
    probed, spent = [], 0.0
    for step in range(2000):
        if schedule.due(step):
            allowed = schedule.seconds
            schedule.begun()
            took = min(cost, allowed)
            early = ("half",) if took < cost else ()
            clock.now += took
            spent += took
            schedule.probed(SimpleNamespace(step=step, early=early))
            probed.append(step)
            # The first is paid off; after that the bound holds after every probing.
            if len(probed) > 1:
                assert spent <= share * clock.now * (1 + 1e-9)
                assert schedule.share == pytest.approx(spent / clock.now)
        clock.now += 1.0
    assert len(probed) > 3
    # Not much less than allowed either: one more probing would have been too much.
    assert spent + cost > share * clock.now - cost


def test_dearer_probings_end_early_until_the_interval_has_grown():
    clock = Clock()
    schedule = WithinShare(0.1, clock=clock)
    found = []
    for step in range(3000):
        if schedule.due(step):
            cost, allowed = (1.0 if step < 500 else 4.0), schedule.seconds
            schedule.begun()
            clock.now += min(cost, allowed)
            early = cost > allowed
            schedule.probed(SimpleNamespace(step=step, early=("cut",) if early else ()))
            found.append((step, early))
        clock.now += 1.0
    cut = [step for step, early in found if early]
    # 1.5^4 > 4: at most four are cut, the first ones that are dear.
    assert 1 <= len(cut) <= 4
    assert cut == [step for step, _ in found if step >= 500][: len(cut)]
    intervals = np.diff([step for step, _ in found])
    assert 9 <= intervals[5] <= 11
    assert 36 <= intervals[-1] <= 40


def test_what_is_due_waits_for_its_time():
    clock = Clock()
    schedule = WithinShare(0.1, AtSteps([0, 5]), clock=clock)
    assert schedule.due(0)
    schedule.begun()
    clock.now += 9.0
    schedule.probed(Record(0))
    found = []
    for step in range(1, 300):
        clock.now += 1.0
        if schedule.due(step):
            found.append((step, schedule.seconds))
            schedule.begun()
            schedule.probed(Record(step))
    # (0.1 T - 9) / 0.9 = 9 seconds at T = 171
    assert [step for step, _ in found] == [162]
    assert found[0][1] == pytest.approx((0.1 * 171 - 9) / 0.9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EverySteps(0), "steps: expected at least 1, got 0"),
        (lambda: EveryEpochs(0), "epochs: expected a positive number, got 0"),
        (lambda: Logarithmic(0), "per_decade: expected at least 1, got 0"),
        (lambda: AtSteps([]), "steps: expected some of at least 0"),
        (lambda: AtSteps([-1, 2]), r"steps: .* got \[-1, 2\]"),
        (lambda: LossSpike(1.0), "factor: expected more than 1, got 1.0"),
        (lambda: LossSpike(window=3), "window: expected at least 10, got 3"),
        (lambda: SharpnessCrossing(0), "steps: expected at least 1, got 0"),
        (lambda: TransitionNear(1, 0.0), "margin: expected a positive share, got 0.0"),
        (lambda: WithinShare(1.0), "share: expected a number between 0 and 1, got 1.0"),
    ],
)
def test_bad_schedules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def small_probe(**options):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    batch = torch.randn(8, 3), torch.randint(2, (8,))
    measurement = Measurement(eigenvalues=1, smallest=1, density=False)
    return SpectralProbe(model, nn.CrossEntropyLoss(), batch, measurement=measurement, **options)


class Steps:
    def __init__(self):
        self.steps = []

    def write(self, record):
        self.steps.append(record.step)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, [0, 4, 8]),
        (EverySteps(3), [0, 3, 6]),
        (EverySteps(4) | EveryEpochs(1), [0, 4, 8]),
        (AtSteps([2, 7]), [2, 7]),
        (EveryEpochs(0.5) | LossSpike(), [0, 4, 8]),
    ],
)
def test_a_probe_in_the_provided_loop_keeps_its_schedule(every, expected):
    sink = Steps()
    probe = small_probe(every=every, sinks=[sink])
    model = probe.setup.model
    fit(
        *(model, probe.setup.loss, [probe.setup.sample] * 8),
        torch.optim.SGD(model.parameters(), 0.1),
        epochs=2,
        steps_per_epoch=4,
        callbacks=[probe],
    )
    assert sink.steps == expected


def test_a_probe_in_a_loop_of_ones_own_goes_on_from_its_state():
    probe, again = small_probe(every=EverySteps(3)), small_probe(every=EverySteps(3))
    steps = [r.step for step in range(5) if (r := probe.maybe(step))]
    again.load_state_dict(probe.state_dict())
    steps += [r.step for step in range(5, 10) if (r := again.maybe(step))]
    assert steps == [0, 3, 6, 9]


def test_the_share_is_recorded():
    clock, batch = Clock(), (torch.randn(8, 3), torch.randint(2, (8,)))

    def sample(generator):
        clock.now += 2.0
        return batch

    schedule = WithinShare(0.5, clock=clock)
    probe = SpectralProbe(nn.Linear(3, 2), nn.CrossEntropyLoss(), sample, every=schedule)
    assert probe.maybe(0).share == 1.0  # nothing but a probing so far
    clock.now += 1.0
    assert probe.maybe(1) is None
    clock.now += 10.0
    assert probe.maybe(2).share == pytest.approx(4 / 15)
    assert math.isnan(small_probe()(0).share)
