"""Linear models side by side are the runs one after the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrain.training.config import ProbeConfig
from spectrain.training.run import run
from spectrain.training.systems.kernel import KernelConfig
from spectrain.training.systems.linear import CovarianceConfig, LinearConfig

LITTLE = ProbeConfig(eigenvalues=1, smallest=0, density=False)
SETTINGS = {"epochs": 2, "steps": 12, "probe": LITTLE, "dtype": "float64", "batch_size": 4}
COVARIANCE = CovarianceConfig(dimension=30)


@pytest.mark.parametrize(
    "config",
    [
        LinearConfig(covariance=COVARIANCE, samples=40, weight_decay=0.1, **SETTINGS),
        LinearConfig(covariance=COVARIANCE, samples=40, algorithm="gd", features=20, **SETTINGS),
        LinearConfig(
            covariance=COVARIANCE, samples=40, algorithm="shuffled", features=20, **SETTINGS
        ),
        LinearConfig(
            covariance=replace(COVARIANCE, rotated=True, test_rotation=0.5),
            samples=None,
            algorithm="one-pass",
            schedule=((3, 0.5), (9, 0.1)),
            **SETTINGS,
        ),
        KernelConfig(samples=40, dimension=4, algorithm="sgd", **SETTINGS),
    ],
    ids=["sgd", "gd", "shuffled", "one-pass", "kernel"],
)
def test_each_is_the_run_of_its_configuration(tmp_path, config):
    configs = [replace(config, seed=seed) for seed in (0, 3)]
    configs[1] = replace(configs[1], lr=0.7 * config.learning_rate())
    (found,) = configs[0].build(_generator()).runs(configs, [0, 12, 24])
    assert found.name == "test_loss"
    for row, one in zip(found.values, configs, strict=True):
        records = run(one, tmp_path / str(one.seed)).records
        expected = [float(each.measured.quantity("test_loss").values) for each in records]
        np.testing.assert_allclose(row, expected, rtol=1e-9)


def test_runs_that_differ_in_more_than_seed_and_rate_are_refused():
    config = LinearConfig(covariance=COVARIANCE, samples=40, **SETTINGS)
    other = replace(config, samples=50)
    with pytest.raises(ValueError, match=r"^samples: expected the same"):
        config.build(_generator()).runs([config, other], [1])


def _generator():

    return torch.Generator().manual_seed(0)
