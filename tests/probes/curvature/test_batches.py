import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from spectrain.probes.curvature.batches import Batches, divided, sample_number, together


def pair(size):
    return torch.arange(4.0 * size).view(size, 4), torch.arange(size)


def test_a_tuple_is_one_batch_and_a_loader_gives_many():
    data = pair(5)
    assert list(Batches(data)) == [data]
    loader = DataLoader(TensorDataset(*data), batch_size=2)
    batches = Batches(loader)
    for _ in range(2):
        assert [sample_number(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([targets for _, targets in batches]), data[1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((pair(2) for _ in range(2)), "got an iterator \\(generator\\)"),
        (torch.ones(3), "got Tensor"),
        ({"inputs": 1}, "got dict"),
        (TensorDataset(*pair(3)), "got TensorDataset"),
        ((torch.ones(3),), "got a tuple of 1"),
    ],
)
def test_data_that_cannot_be_gone_through_again(data, message):
    with pytest.raises(ValueError, match=f"data: expected a tuple.*{message}"):
        Batches(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least one batch, got none"),
        (DataLoader(TensorDataset(torch.empty(0, 4), torch.empty(0))), "at least one batch"),
        ([torch.ones(3)], "expected batches \\(inputs, targets\\), got Tensor"),
    ],
)
def test_batches_that_are_none(data, message):
    with pytest.raises(ValueError, match=f"data: .*{message}"):
        list(Batches(data))


def test_samples_are_counted_on_the_targets_first():
    scalar = torch.tensor(3.0)
    assert sample_number(({"x": torch.ones(6, 2)}, [torch.ones(3, 2), torch.ones(4)])) == 3
    assert sample_number((torch.ones(6, 2), None)) == 6
    assert sample_number((torch.ones(6, 2), scalar)) == 6
    with pytest.raises(ValueError, match="data: expected tensors with samples"):
        sample_number((scalar, None))
    with pytest.raises(ValueError, match=r"at least one sample, got shape \(0, 2\)"):
        sample_number((torch.ones(6, 2), torch.ones(0, 2)))


def test_parts_share_what_has_no_samples():
    table, scale = torch.ones(7, 7), torch.tensor(2.0)
    batch = ({"x": torch.arange(5), "table": table}, (torch.arange(5), scale, "name"))
    parts = divided(batch, 2)
    assert [len(part[1][0]) for part in parts] == [2, 2, 1]
    assert all(part[0]["table"] is table and part[1][1:] == (scale, "name") for part in parts)
    assert torch.equal(torch.cat([part[0]["x"] for part in parts]), torch.arange(5))


def test_batches_are_put_together_along_their_samples_if_they_fit():
    scale = torch.tensor(2.0)
    parts = [
        ({"x": torch.full((n, 2), n), "scale": scale}, (torch.arange(n), "name")) for n in (2, 3)
    ]
    inputs, (targets, name) = together(parts)
    assert inputs["x"].flatten().tolist() == [2] * 4 + [3] * 6
    assert (float(inputs["scale"]), targets.tolist(), name) == (2.0, [0, 1, 0, 1, 2], "name")
    ragged = [(torch.ones(2, width), torch.ones(2)) for width in (3, 4)]
    others = [(torch.ones(2, 3), torch.ones(2)), (torch.ones(2, 3), (torch.ones(2),))]
    scales = [(torch.ones(2, 3), torch.tensor(float(s))) for s in (1, 2)]
    for batches in (ragged, others, scales):
        with pytest.raises(ValueError, match="sample: expected batches that can be put together"):
            together(batches)


class Noisy(TensorDataset):
    """Augments with every global generator that people use."""

    def __getitem__(self, index):
        inputs, targets = super().__getitem__(index)
        return inputs + random.random() + float(np.random.rand()), targets  # noqa: NPY002


def test_a_pass_leaves_every_generator_as_it_was():
    own = torch.Generator().manual_seed(4)
    loader = DataLoader(Noisy(*pair(5)), batch_size=2, shuffle=True, generator=own)
    states = own.get_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = list(Batches(loader)), list(Batches(loader))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert torch.equal(own.get_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002


def test_a_pass_that_is_broken_off_leaves_every_generator_as_it_was():
    own = torch.Generator().manual_seed(4)
    loader = DataLoader(TensorDataset(*pair(5)), shuffle=True, generator=own)
    before = own.get_state()
    one_pass = iter(Batches(loader))
    next(one_pass)
    one_pass.close()
    assert torch.equal(own.get_state(), before)
