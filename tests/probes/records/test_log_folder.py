"""A probe's own folder: one training's records, with none twice."""

import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe, load

BATCH = torch.ones(6, 3), torch.zeros(6, 2)


def probe(folder):
    torch.manual_seed(0)
    measurement = Measurement(2, density=False)
    return SpectralProbe(
        nn.Linear(3, 2), nn.MSELoss(), BATCH, logdir=folder, measurement=measurement
    )


def steps(folder):
    return [record.step for record in load(folder).records]


def test_records_behind_the_state_are_dropped_and_taken_again(tmp_path):
    with probe(tmp_path) as first:
        first(0)
        first(1)
        state = first.state_dict()
        first(2)  # before it was killed
    with probe(tmp_path) as second:
        second.load_state_dict(state)
        second(2)
        second(3)
        second.load_state_dict(state)
        second(2)
    assert steps(tmp_path) == [0, 1, 2]


def test_the_records_of_another_training_are_refused_and_kept(tmp_path):
    with probe(tmp_path) as first:
        first(0)
    with probe(tmp_path) as second, pytest.raises(ValueError, match="logdir: expected a folder wi"):
        second(0)
    assert steps(tmp_path) == [0]


def test_a_probing_behind_the_end_is_not_written_and_says_so(tmp_path):
    with probe(tmp_path) as first:
        first(0)
    with pytest.warns(RuntimeWarning, match=r"expected records before .* was closed"):
        assert first(1).step == 1
    assert steps(tmp_path) == [0]
