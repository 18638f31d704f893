"""The probe in a loop of accelerate."""

import pytest
import torch

from spectrain import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # of the library on machines without a GPU
]


@pytest.fixture
def accelerate(loops):
    """What makes an accelerator; its state is global, and taken back."""
    loops.needs("accelerate")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    def reset():
        AcceleratorState._reset_state(True)
        GradientState._reset_state()

    reset()
    yield lambda **settings: Accelerator(cpu=True, **settings)
    reset()


def probe(loops, accelerator, parts, **given):
    """Prepare the parts and make their probe."""
    from spectrain.training.integrations.accelerate import AcceleratedProbe

    parts.model, parts.optimiser, parts.train = accelerator.prepare(
        parts.model, parts.optimiser, parts.train
    )
    given = {"every": loops.STEPS, "sample_kind": "held-out", **given}
    return AcceleratedProbe(
        *(parts.model, parts.optimiser, parts.loss, parts.sample), measurement=loops.SMALL, **given
    )


def epoch(accelerator, parts, after_step=lambda: None):
    for inputs, targets in parts.train:
        with accelerator.accumulate(parts.model):
            accelerator.backward(parts.loss(parts.model(inputs), targets))
            parts.optimiser.step()
            parts.optimiser.zero_grad()
        after_step()


def test_it_measures_what_a_probe_called_by_hand_measures(loops, reference, accelerate):
    accelerator, parts, kept = accelerate(), loops.training(), loops.Kept()
    with probe(loops, accelerator, parts, sinks=[kept]):
        for _ in range(loops.EPOCHS):
            epoch(accelerator, parts)
    assert [loops.numbers(record) for record in kept.records] == reference.numbers
    assert torch.equal(loops.weights(parts.model), reference.weights)
    assert kept.closed == 1


def test_steps_that_only_accumulate_gradients_are_none(loops, accelerate):
    accelerator = accelerate(gradient_accumulation_steps=3)
    parts, kept = loops.training(), loops.Kept()
    with probe(loops, accelerator, parts, every=1, sinks=[kept]):
        for _ in range(2):
            epoch(accelerator, parts)
    assert [record.step for record in kept.records] == [0, 1, 2]


def test_under_mixed_precision_the_model_itself_is_measured(loops, reference, accelerate):
    """The weights before the first step have no rounding in them: nor has their curvature."""
    accelerator = accelerate(mixed_precision="bf16")
    parts, kept = loops.training(), loops.Kept()
    with probe(loops, accelerator, parts, sinks=[kept]):
        wrapped = parts.model.forward
        epoch(accelerator, parts)
        assert parts.model.forward is wrapped
    assert loops.numbers(kept.records[0]) == reference.numbers[0]
    assert loops.numbers(kept.records[1]) != reference.numbers[1]


def test_saved_states_restore_it_and_records_go_on_without_gap_or_repeat(
    loops, reference, accelerate, tmp_path
):
    accelerator, parts = accelerate(), loops.training()
    mine = probe(loops, accelerator, parts, logdir=tmp_path / "spectrum")
    accelerator.register_for_checkpointing(mine)
    with mine:
        for number in range(3):
            epoch(accelerator, parts)
            if number == 1:
                accelerator.save_state(tmp_path / "saved")
    assert [record.step for record in load(tmp_path / "spectrum").records] == [0, 3, 6, 9]

    accelerator, parts = accelerate(), loops.training()
    mine = probe(loops, accelerator, parts, logdir=tmp_path / "spectrum")
    accelerator.register_for_checkpointing(mine)
    accelerator.load_state(tmp_path / "saved")
    with mine:
        for _ in range(2):
            epoch(accelerator, parts)
    assert [
        loops.numbers(each) for each in load(tmp_path / "spectrum").records
    ] == reference.numbers
    assert torch.equal(loops.weights(parts.model), reference.weights)


def test_trackers_have_the_numbers_of_every_probing(loops, reference, accelerate, tmp_path):
    from accelerate.tracking import GeneralTracker

    from spectrain.training.integrations.accelerate import TrackerSink

    class Tracker(GeneralTracker):
        name, requires_logging_directory, tracker = "kept", False, None

        def store_init_configuration(self, values):
            pass

        def log(self, values, step=None, **_):
            rows[step] = values

    rows = {}
    accelerator, parts = accelerate(log_with=[Tracker()]), loops.training()
    accelerator.init_trackers("run")
    with probe(loops, accelerator, parts, sinks=[TrackerSink(accelerator)]):
        epoch(accelerator, parts)
    tag = "measured/hessian/all/top_1"
    found = {step: row[tag] for step, row in rows.items()}
    assert found == {each["step"]: each[tag] for each in reference.numbers[:2]}


def test_the_training_has_the_same_bits_without_it(loops, accelerate):
    found = []
    for probed in (False, True):
        parts = loops.training(dropout=0.4, shuffle=True)
        accelerator = accelerate()
        mine = probe(loops, accelerator, parts, every=1)
        torch.manual_seed(5)
        if probed:
            with mine:
                epoch(accelerator, parts)
        else:
            epoch(accelerator, parts)
        found.append((loops.weights(parts.model), torch.rand(4)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
