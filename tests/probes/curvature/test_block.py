import pytest
import torch
from torch import nn

from spectrain.probes.curvature.block import Block


def network():
    return nn.Sequential(
        nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 3, bias=False))
    )


def test_patterns():
    model = network()

    def names(*patterns):
        return list(Block("b", patterns).resolve(model))

    assert names() == ["0.weight", "0.bias", "1.0.weight", "1.0.bias", "1.1.weight"]
    assert names("1.*") == ["1.0.weight", "1.0.bias", "1.1.weight"]
    assert names("*.bias", "0.*") == ["0.bias", "1.0.bias", "0.weight"]
    assert names("1.?.weight", "1.0.weight") == ["1.0.weight", "1.1.weight"]


def test_unknown_patterns_name_the_known_parameters():
    with pytest.raises(
        ValueError, match=r"block 'b': expected names among \['0.bias', .*got \['encoder.\*'\]"
    ):
        Block("b", ("0.*", "encoder.*")).resolve(network())


def test_tied_parameters_are_there_once():
    model = network()
    model.twin = nn.Linear(4, 5)
    model.twin.weight = model[0].weight
    assert list(Block("b").resolve(model)).count("0.weight") == 1
    assert list(Block("b", ("twin.*",)).resolve(model)) == ["0.weight", "twin.bias"]
    assert list(Block("b", ("twin.weight", "0.weight")).resolve(model)) == ["0.weight"]


def test_frozen_parameters():
    model = network()
    model[1].requires_grad_(False)
    assert list(Block("b").resolve(model)) == ["0.weight", "0.bias"]
    assert list(Block("b", ("*.weight",)).resolve(model)) == ["0.weight"]
    with pytest.raises(ValueError, match="block 'b': expected at least one parameter that requir"):
        Block("b", ("1.*",)).resolve(model)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="at least one parameter that requires a gradient"):
        Block("b").resolve(model)


def test_rows():
    model = network()
    assert list(Block("b", ("0.w*",), (0, 4)).resolve(model)) == ["0.weight"]
    with pytest.raises(ValueError, match=r"rows of block 'b': expected 0 <= row < 5, got 5"):
        Block("b", ("0.weight",), (5,)).resolve(model)
    with pytest.raises(ValueError, match="rows of block 'b': expected one parameter"):
        Block("b", ("0.*",), (0,)).resolve(model)
    with pytest.raises(ValueError, match="rows of block 'b': expected each row once"):
        Block("b", ("0.weight",), (1, 1)).resolve(model)
    with pytest.raises(ValueError, match="rows: expected one parameter"):
        Block("b", (), (0,))
    scalar = nn.Module()
    scalar.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ValueError, match="expected 0 <= row < 0, got 0"):
        Block("b", ("scale",), (0,)).resolve(scalar)
