"""The first batch of a loader, and what its taking leaves behind: nothing."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from spectrain.training.integrations.first_batch import first_batch


class Noisy(Dataset):
    """Augments with every generator there is."""

    def __len__(self):
        return 12

    def __getitem__(self, place):
        return place, random.random(), np.random.random(), torch.rand(2)  # noqa: NPY002


def first(loader):
    return next(iter(loader))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("own", [False, True])
def test_it_is_the_batch_that_the_loader_gives_first_and_the_training_gets_it_again(own, workers):
    def loader():
        generator = torch.Generator().manual_seed(3) if own else None
        data = TensorDataset(torch.arange(12.0)[:, None], torch.arange(12))
        return DataLoader(
            data, batch_size=4, shuffle=True, generator=generator, num_workers=workers
        )

    taken = loader()
    torch.manual_seed(0)
    found = first_batch(taken)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(after, torch.get_rng_state())
    for one, other in zip(first_batch(taken), found, strict=True):
        assert torch.equal(one, other)
    if workers:
        assert taken._iterator is None
    else:
        for one, other in zip(found, first(taken), strict=True):
            assert torch.equal(one, other)


def test_no_generator_is_ahead_behind_it():
    loader = DataLoader(Noisy(), batch_size=3, sampler=RandomSampler(Noisy()))

    def draws():
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    found = []
    for taken in (False, True):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        if taken:
            first_batch(loader)
        found.append(draws())
    assert found[0] == found[1]


def test_a_loader_without_batches_of_its_own_gives_one_item():
    data = [torch.full((2, 3), float(place)) for place in range(4)]
    loader = DataLoader(data, batch_size=None)
    assert torch.equal(first_batch(loader), first(loader))


class Stream(IterableDataset):
    def __iter__(self):
        raise AssertionError("an item is lost to the training")


@pytest.mark.parametrize(
    "loader", [DataLoader(Stream()), DataLoader([], batch_size=2), [(1, 2)], None]
)
def test_what_cannot_be_read_unnoticed_is_refused_with_what_to_pass(loader):
    with pytest.raises(ValueError, match=r"sample: expected .* pass sample="):
        first_batch(loader)
