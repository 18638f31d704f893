"""Pictures laid out by counting letters: everything is inside, and nothing over another."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from spectrain.views.figures import matrix_maps, spectra, style
from spectrain.views.figures.quick_picture import quick_pixels

KINDS = {
    "spectra": lambda records: spectra(records[-1:]),
    "spectra of several times": spectra,
    "maps": lambda records: matrix_maps(records[-1:], ["gram"]),
}


@pytest.fixture(params=KINDS)
def figure(request, records):
    figure = KINDS[request.param](records)
    pixels = quick_pixels(figure)
    width, height = figure.get_size_inches() * 110
    assert pixels.shape == (int(height), int(width), 3)
    assert pixels.dtype == np.uint8
    return figure


def test_panels_with_their_words_and_the_legend_are_inside_and_apart(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    for one, other in combinations(boxes, 2):
        shared_width = min(one.x1, other.x1) - max(one.x0, other.x0)
        shared_height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert shared_width <= 0 or shared_height <= 0


def test_a_figure_without_panels_is_drawn_as_it_is():
    figure = style.empty_figure("No spectral density to show.")
    assert quick_pixels(figure).min() < 128
