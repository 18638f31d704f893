import numpy as np

from spectrain.training.systems import SoftmaxMixtureConfig
from spectrain.training.systems.mixture_sweeps import count_maps, snr_sweep

CONFIG = SoftmaxMixtureConfig(dimension=60)


def test_thresholds_are_where_the_predicted_count_changes():
    sweep = snr_sweep(CONFIG, np.array([0.5, 8.0]))
    assert all(0 < threshold.error < 1e-4 for threshold in sweep.thresholds)
    for matrix in ("hessian", "information"):
        values = [t.value for t in sweep.thresholds if t.matrix == matrix]
        assert values == sorted(values)
        assert values
        assert values[0] > 0.5
        assert values[-1] < 8


def test_predicted_counts_have_boundaries_at_the_thresholds():
    fine = (np.geomspace(0.5, 8, 9), np.array([2.0, CONFIG.aspect_ratio, 8.0]))
    coarse = (np.array([6.0]), np.array([CONFIG.aspect_ratio]))
    predicted, measured = count_maps(CONFIG, "hessian", fine, coarse)
    assert predicted.counts.shape == (3, 9)
    assert measured.boundaries == ()
    sweep = snr_sweep(CONFIG, np.array([0.5, 8.0]))
    places = [
        (point[0], error)
        for line in predicted.boundaries
        for point, error in zip(line.points, line.errors, strict=True)
        if point[1] == CONFIG.aspect_ratio
    ]
    thresholds = [t.value for t in sweep.thresholds if t.matrix == "hessian"]
    assert len(places) == len(thresholds) == predicted.counts[1, -1] - predicted.counts[1, 0]
    for (place, error), threshold in zip(sorted(places), thresholds, strict=True):
        assert abs(place - threshold) < error
