"""The edge of stability: full-batch gradient descent on digits, arXiv 2103.00065."""

import numpy as np
import pytest
import torch
from torch import nn

from spectrain import Measurement, SpectralProbe
from spectrain.probes.curvature.matrix import Hessian

LEAN = Measurement(eigenvalues=1, smallest=0, density=False, tracking=False)


@pytest.mark.slow
def test_sharpness_rises_to_two_over_the_learning_rate_and_hovers_there():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    inputs = torch.tensor(images[:500], dtype=torch.float32) / 16
    inputs -= inputs.mean(0)
    targets = nn.functional.one_hot(torch.tensor(labels[:500]), 10).float()
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
    )
    loss, rate = nn.MSELoss(), 2.0
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    probe = SpectralProbe(
        *(model, loss, (inputs, targets)), matrices=[Hessian()], measurement=LEAN,
        sample_kind="training", learning_rate=optimiser,
    )  # fmt: skip
    sharpness, losses = {}, {}
    for step in range(1251):
        if step % 50 == 0:
            measured = probe(step).measured
            found = measured.quantity("sharpness")
            assert float(found.threshold) == pytest.approx(2 / rate)
            sharpness[step] = float(found.values) / float(found.threshold)
            losses[step] = float(measured.quantity("loss").values)
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        optimiser.step()
    # Progressive sharpening: it rises all the way from below.
    rise = [sharpness[step] for step in range(50, 451, 50)]
    assert sharpness[0] < 0.7
    assert all(np.diff(rise) > 0)
    # Then it hovers, where a quadratic would diverge, and the loss goes on falling.
    late = [share for step, share in sharpness.items() if step >= 700]
    assert max(abs(share - 1) for share in late) < 0.1
    assert losses[1250] < 0.7 * losses[700] < 0.7 * losses[450]
