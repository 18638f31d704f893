"""The density of one block, on an axis that shows all of it."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from spectrain.probes.records.record import Geometry, Record
from spectrain.theory.spectrum import Density, Spectrum
from spectrain.views.figures.density_panel import draw_density


def panel(values):
    points = np.linspace(0.0, 1.0, len(values))
    share = np.linspace(0.0, 1.0, len(values))
    density = Density(points, values, 0.01 * values, share, 0 * share)
    axes = Figure().subplots()
    spectrum = Spectrum("hessian", "all", 100, (), (), density=density)
    assert draw_density(axes, Record(0, measured=Geometry((), (spectrum,))), "hessian", "all")
    return axes.get_ylim()


@pytest.mark.parametrize("peak", [1.0, 1e3, 1e6])
def test_a_peak_at_an_edge_hides_no_other_part(peak):
    """A density of 1 with a spike of any height is shown, from two decades below it at least."""
    values = np.ones(200)
    values[0] = peak
    low, high = panel(values)
    assert low <= 0.01
    assert peak < high <= 10 * peak


def test_an_axis_has_an_end():
    values = np.full(200, 1e-9)
    values[0] = 1e9
    low, high = panel(values)
    assert high / low <= 1e13
