from itertools import islice

import pytest
import torch

from spectrain.models.mixture import GaussianMixture
from spectrain.training.data import FixedData, FreshSamples, FullBatch

LAW = GaussianMixture(torch.eye(2, 5), (0.5, 0.5), (0, 1), snr=2.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(count):
    """Samples whose inputs tell which they are."""
    return torch.arange(count).reshape(count, 1), torch.arange(count)


def fresh(batch_size):
    return FreshSamples(LAW.sample, batch_size, generator())


def fixed(batch_size):
    return FixedData(*numbered(10), batch_size, generator())


def test_fresh_samples_follow_the_law_and_never_repeat():
    batches = list(islice(fresh(16), 200))
    inputs = torch.cat([batch[0] for batch in batches])
    targets = torch.cat([batch[1] for batch in batches])
    assert all(batch[0].shape == (16, 5) for batch in batches)
    assert len(torch.unique(inputs, dim=0)) == len(inputs)
    # 3200 samples: about 1600 of each component, noise of variance 1/2 in each coordinate.
    for label in (0, 1):
        mean = inputs[targets == label].mean(0)
        assert (mean - LAW.means[label]).abs().max() < 4 * (0.5 / 1600) ** 0.5


@pytest.mark.parametrize("batch_size", [1, 3, 10, 20])
def test_fixed_data_is_seen_once_a_pass_in_a_new_order(batch_size):
    data = fixed(batch_size)
    steps = -(-10 // batch_size)
    passes = [[label for _, y in islice(data, steps) for label in y.tolist()] for _ in range(3)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len({tuple(order) for order in passes}) == 3


def test_inputs_and_targets_stay_together():
    for inputs, targets in islice(fixed(3), 20):
        assert torch.equal(inputs[:, 0], targets)


@pytest.mark.parametrize("make", [fresh, fixed])
@pytest.mark.parametrize("taken", [0, 1, 4, 700])
def test_a_restored_place_gives_the_same_batches(make, taken):
    data = make(3)
    for _ in range(taken):
        next(data)
    state = data.state_dict()
    expected = list(islice(data, 500))
    other = make(3)
    next(other)
    for _ in range(2):
        other.load_state_dict(state)
        for (x, y), (u, v) in zip(islice(other, 500), expected, strict=True):
            assert torch.equal(x, u)
            assert torch.equal(y, v)


def test_a_state_taken_right_after_restoring_is_the_same_place():
    data = fresh(3)
    next(data)
    other = fresh(3)
    other.load_state_dict(data.state_dict())
    assert other.state_dict()["position"] == 1
    assert torch.equal(other.state_dict()["generator"], data.state_dict()["generator"])


def test_the_full_batch_comes_at_every_step():
    data = FullBatch(*numbered(4))
    batches = list(islice(data, 3))
    assert all(torch.equal(targets, torch.arange(4)) for _, targets in batches)
    data.load_state_dict(data.state_dict())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="batch_size: expected at least 1"):
        fresh(0)
    with pytest.raises(ValueError, match="inputs, targets: expected equally many"):
        FixedData(torch.zeros(3, 1), torch.zeros(2), 1, generator())
    with pytest.raises(ValueError, match="inputs, targets"):
        FixedData(torch.zeros(0, 1), torch.zeros(0), 1, generator())


@pytest.mark.parametrize("size", [1, 3, 700, 2000])
def test_batches_together_are_the_batches_one_by_one(size):
    """Also over the ends of chunks, and wherever the source is left and taken up again."""

    def made():
        def draw(count, generator):
            return torch.randn(count, 2, generator=generator), torch.arange(count)

        return FreshSamples(draw, size, torch.Generator().manual_seed(0))

    alone, joined = made(), made()
    for count in (1, 2, 400, 1500 // size + 1):
        one_by_one = [next(alone) for _ in range(count)]
        inputs, targets = joined.together(count)
        assert torch.equal(inputs, torch.cat([each for each, _ in one_by_one]))
        assert torch.equal(targets, torch.cat([each for _, each in one_by_one]))
        again = made()
        again.load_state_dict(joined.state_dict())
        expected = next(alone)[0]
        assert torch.equal(next(again)[0], expected)
        assert torch.equal(next(joined)[0], expected)
