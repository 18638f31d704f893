"""A probe on the steps of an optimiser."""

import pytest
import torch

from spectrain import AtSteps, LossSpike, attach, load


def attached(loops, parts, **arguments):
    arguments = {"every": loops.STEPS, "sample_kind": "held-out", **arguments}
    return attach(
        *(parts.model, parts.optimiser, parts.loss, parts.sample),
        measurement=loops.SMALL,
        **arguments,
    )


def test_it_measures_what_a_probe_called_by_hand_measures(loops, reference):
    parts, kept = loops.training(), loops.Kept()
    with attached(loops, parts, sinks=[kept]):
        for _ in range(loops.EPOCHS):
            loops.steps(parts)
    assert [loops.numbers(record) for record in kept.records] == reference.numbers
    assert torch.equal(loops.weights(parts.model), reference.weights)
    assert kept.closed == 1


def test_the_training_has_the_same_bits_without_it(loops):
    found = []
    for probed in (False, True):
        parts = loops.training(dropout=0.4, shuffle=True)
        torch.manual_seed(5)
        probe = attached(loops, parts, every=1) if probed else None
        for _ in range(2):
            loops.steps(parts)
        if probe is not None:
            probe.close()
        found.append((loops.weights(parts.model), torch.rand(4)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_several_probes_on_one_model_measure_alike_and_each_comes_off_alone(loops, reference):
    parts, one, other = loops.training(), loops.Kept(), loops.Kept()
    first = attached(loops, parts, sinks=[one])
    with attached(loops, parts, sinks=[other]):
        loops.steps(parts)
        first.close()
        loops.steps(parts)
    loops.steps(parts)
    assert [loops.numbers(record) for record in one.records] == reference.numbers[:2]
    assert [loops.numbers(record) for record in other.records] == reference.numbers[:3]
    first.close()
    assert (one.closed, other.closed) == (1, 1)
    assert not parts.optimiser._optimizer_step_post_hooks


def test_what_the_training_fails_with_comes_through_and_files_are_closed(loops):
    parts, kept = loops.training(), loops.Kept()
    with pytest.raises(ZeroDivisionError), attached(loops, parts, sinks=[kept]):
        loops.steps(parts, lambda: 1 / 0)
    assert kept.closed == 1
    assert not parts.optimiser._optimizer_step_post_hooks


@pytest.mark.parametrize(
    "killed", [5, pytest.param(4, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)]
)
def test_a_training_that_is_gone_on_with_has_its_records_without_gap_or_repeat(
    loops, reference, tmp_path, killed
):
    """The checkpoint is of the first epoch's end; steps behind it were taken, and are lost."""
    parts = loops.training()
    with attached(loops, parts, logdir=tmp_path, every=2) as probe:
        loops.steps(parts)
        checkpoint = {
            "model": {k: v.clone() for k, v in parts.model.state_dict().items()},
            "optimiser": torch.optim.SGD.state_dict(parts.optimiser),
            "probe": probe.state_dict(),
        }
        checkpoint["optimiser"]["state"] = {
            k: {n: t.clone() for n, t in v.items()}
            for k, v in checkpoint["optimiser"]["state"].items()
        }
        torch.save(checkpoint, tmp_path / "checkpoint.pt")
        count = iter(range(4, 100))

        class KilledError(Exception):
            pass

        def die():
            if next(count) == killed:
                raise KilledError

        with pytest.raises(KilledError):
            loops.steps(parts, die)
    assert load(tmp_path).records[-1].step == killed - killed % 2

    parts = loops.training()
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    parts.model.load_state_dict(checkpoint["model"])
    parts.optimiser.load_state_dict(checkpoint["optimiser"])
    with attached(loops, parts, logdir=tmp_path, every=2, state=checkpoint["probe"]):
        for _ in range(loops.EPOCHS - 1):
            loops.steps(parts)

    whole, kept = loops.training(), loops.Kept()
    with attached(loops, whole, sinks=[kept], every=2):
        for _ in range(loops.EPOCHS):
            loops.steps(whole)
    records = load(tmp_path).records
    assert [record.step for record in records] == [0, 2, 4, 6, 8, 10, 12]
    assert [loops.numbers(r) for r in records] == [loops.numbers(r) for r in kept.records]


def test_a_folder_with_the_records_of_another_training_is_refused_before_any_step(loops, tmp_path):
    parts = loops.training()
    with attached(loops, parts, logdir=tmp_path):
        loops.steps(parts)
    before = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(ValueError, match="logdir: expected a folder without records"):
        attached(loops, parts, logdir=tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert not parts.optimiser._optimizer_step_post_hooks


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_that_only_reads_the_state_is_none(loops, momentum):
    """torch's distributed checkpoint steps an optimiser without state, at a rate of 0."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    parts, kept = loops.training(), loops.Kept()
    parts.optimiser = torch.optim.SGD(parts.model.parameters(), lr=0.3, momentum=momentum)
    with attached(loops, parts, every=1, sinks=[kept]) as probe:
        get_optimizer_state_dict(parts.model, parts.optimiser)
        assert probe.step == 0
        loops.steps(parts)
        assert probe.step == loops.STEPS
    assert [record.step for record in kept.records] == list(range(loops.STEPS + 1))


def test_a_step_at_a_rate_of_zero_counts_where_there_are_gradients(loops):
    """As the first one of a warm-up."""
    parts = loops.training()
    parts.optimiser.param_groups[0]["lr"] = 0.0
    with attached(loops, parts, every=100) as probe:
        loops.steps(parts)
        assert probe.step == loops.STEPS


@pytest.mark.parametrize("every", [0, -3])
def test_a_number_of_steps_below_one_is_refused(loops, every):
    with pytest.raises(ValueError, match="every: expected at least 1"):
        attached(loops, loops.training(), every=every)


def test_what_is_no_optimiser_is_refused_before_anything_is_probed(loops):
    parts, kept = loops.training(), loops.Kept()
    parts.optimiser = parts.model
    with pytest.raises(ValueError, match=r"optimizer: expected .*, got Sequential"):
        attached(loops, parts, sinks=[kept])
    assert kept.records == []


def test_a_schedule_says_when_to_probe(loops):
    parts, kept = loops.training(), loops.Kept()
    with attached(loops, parts, every=AtSteps([1, 4]), sinks=[kept]):
        for _ in range(loops.EPOCHS):
            loops.steps(parts)
    assert [record.step for record in kept.records] == [1, 4]
    with pytest.raises(ValueError, match="every: expected a schedule that reads no loss"):
        attached(loops, parts, every=LossSpike())
