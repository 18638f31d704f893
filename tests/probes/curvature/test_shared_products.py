import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator, InformationOperator
from spectrain.probes.curvature.shared_products import SharedProducts


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("width", [1, 5])
def test_products_with_a_shared_factor(generator, swapped, width):
    shared = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    others = torch.randn(width, 4, 3, dtype=torch.float64, generator=generator)
    expected = torch.stack([shared @ other for other in others])
    with SharedProducts() as seen:
        if swapped:
            found = vmap(lambda other: other.T @ shared.T)(others).mT
        else:
            found = vmap(lambda other: shared @ other)(others)
    torch.testing.assert_close(found, expected)
    assert seen.largest == (6 * 4 * 8 if width > 1 else 0)


def test_products_without_a_shared_factor(generator):
    left, right = torch.randn(2, 5, 3, 3, dtype=torch.float64, generator=generator)
    with SharedProducts() as seen:
        found = torch.bmm(left, right)
    assert torch.equal(found, torch.bmm(left, right))
    assert seen.largest == 0


@pytest.mark.parametrize("kind", [HessianOperator, InformationOperator])
def test_operators_share_data_that_are_larger_than_the_caches(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    data = torch.randn(2000, 300, dtype=torch.float64), torch.randint(3, (2000,))
    several, single = (
        kind(model, functional.cross_entropy, data, Block("all"), strategy=strategy)
        for strategy in ("kept graph, vmap", "kept graph")
    )
    assert several._shares
    assert not single._shares
    panel = torch.randn(several.size, 9, dtype=torch.float64)
    torch.testing.assert_close(several @ panel, single @ panel, rtol=1e-10, atol=1e-14)
