"""Filters for a block: the training's own warnings are given as without it."""

import warnings

import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature.filtered_warnings import filtered_warnings


def test_warnings_are_ignored_inside_and_filters_are_as_before():
    before = list(warnings.filters)
    with filtered_warnings("ignore", UserWarning):
        warnings.warn("of the block", UserWarning, stacklevel=1)
    assert warnings.filters == before
    with filtered_warnings("error"), pytest.raises(UserWarning, match="of the block"):
        warnings.warn("of the block", UserWarning, stacklevel=1)


def test_what_is_warned_of_once_is_not_warned_of_after_every_probing():
    model, batch = nn.Linear(3, 2), (torch.randn(8, 3), torch.randn(8, 2))
    probe = SpectralProbe(model, nn.MSELoss(), batch, measurement=Measurement(2, density=False))
    probe(0)  # what it imports may set filters
    probe(1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for step in range(3):
            warnings.warn("of the training", UserWarning, stacklevel=1)
            probe(step)
    assert [str(each.message) for each in told] == ["of the training"]


def test_a_loss_of_single_samples_warns_of_nothing():
    """A standard deviation of one sample, which torch warns of."""

    def loss(outputs, targets):
        return ((outputs - targets) / targets.std()).square().mean()

    batch = torch.randn(8, 3), torch.randn(8, 1)
    probe = SpectralProbe(nn.Linear(3, 1), loss, batch, measurement=Measurement(2, density=False))
    with pytest.warns(RuntimeWarning, match="unless they depend on each other"):
        assert probe(0).measured.spectra[0].matrix == "hessian"
