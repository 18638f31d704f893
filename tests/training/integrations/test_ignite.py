"""The probe as a handler of Ignite."""

import pytest
import torch

from spectrain import load

pytestmark = pytest.mark.integration


@pytest.fixture
def run(loops):
    """Train with a handler (and others that are given the engine), from a checkpoint or not."""
    loops.needs("ignite")
    from ignite.engine import Engine, Events

    from spectrain.training.integrations.ignite import SpectrumHandler

    def train(parts, epochs, others=lambda engine, handler: None, event=None, state=None, **given):
        def update(engine, batch):
            inputs, targets = batch
            parts.optimiser.zero_grad()
            parts.loss(parts.model(inputs), targets).backward()
            parts.optimiser.step()

        engine = Engine(update)
        handler = SpectrumHandler(
            *(parts.model, parts.loss, parts.sample),
            measurement=loops.SMALL,
            sample_kind="held-out",
            **given,
        )
        handler.attach(engine, event(Events) if event else None)
        others(engine, handler)
        if state:
            engine.load_state_dict(state["engine"])
            handler.load_state_dict(state["probe"])
        engine.run(parts.train, max_epochs=epochs)

    return train


def test_it_measures_what_a_probe_called_by_hand_measures(loops, reference, run):
    parts, kept = loops.training(), loops.Kept()
    run(parts, loops.EPOCHS, sinks=[kept])
    assert [loops.numbers(record) for record in kept.records] == reference.numbers
    assert [record.epoch for record in kept.records] == list(range(loops.EPOCHS + 1))
    assert torch.equal(loops.weights(parts.model), reference.weights)
    assert kept.closed == 1


def test_it_goes_by_the_event_it_is_attached_to(loops, run):
    parts, kept = loops.training(), loops.Kept()
    run(parts, 2, event=lambda events: events.ITERATION_COMPLETED(every=2), sinks=[kept])
    assert [record.step for record in kept.records] == [0, 2, 4, 6]


def test_a_training_that_is_gone_on_with_has_its_records_without_gap_or_repeat(
    loops, reference, run, tmp_path
):
    from ignite.engine import Events
    from ignite.handlers import Checkpoint, DiskSaver

    parts = loops.training()

    def others(engine, handler):
        saved = {
            "model": parts.model,
            "optimiser": parts.optimiser,
            "engine": engine,
            "probe": handler,
        }
        saver = DiskSaver(tmp_path / "saved", require_empty=False)
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), Checkpoint(saved, saver))
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=3), lambda engine: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run(parts, loops.EPOCHS, others, logdir=tmp_path)
    assert [record.step for record in load(tmp_path).records] == [0, 3, 6, 9]

    (path,) = (tmp_path / "saved").iterdir()
    state = torch.load(path, weights_only=True)
    parts = loops.training()
    parts.model.load_state_dict(state["model"])
    parts.optimiser.load_state_dict(state["optimiser"])
    run(parts, loops.EPOCHS, logdir=tmp_path, state=state)
    assert [loops.numbers(each) for each in load(tmp_path).records] == reference.numbers
    assert torch.equal(loops.weights(parts.model), reference.weights)


@pytest.mark.parametrize("handled", [False, True])
def test_what_the_training_fails_with_is_raised_unless_others_handle_it(loops, run, handled):
    """Ignite raises nothing once there is a handler; two probes are two."""
    from ignite.engine import Events

    from spectrain.training.integrations.ignite import SpectrumHandler

    parts, kept, told = loops.training(), [loops.Kept(), loops.Kept()], []

    def others(engine, handler):
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: 1 / 0)
        if handled:
            engine.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, e: told.append(e))
        second = SpectrumHandler(
            *(parts.model, parts.loss, parts.sample), measurement=loops.SMALL, sinks=[kept[1]]
        )
        second.attach(engine)

    if handled:
        run(parts, 1, others, sinks=[kept[0]])
        assert [type(error) for error in told] == [ZeroDivisionError]
    else:
        with pytest.raises(ZeroDivisionError):
            run(parts, 1, others, sinks=[kept[0]])
    assert [each.closed for each in kept] == [1, 1]
