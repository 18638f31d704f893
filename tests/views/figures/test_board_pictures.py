"""Pictures of one record after the other are those of each record alone; their panels stay."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectrain.views.figures import style
from spectrain.views.figures.board_pictures import BoardPictures
from spectrain.views.figures.cell_numbers import write_numbers
from spectrain.views.figures.kept_picture import KeptPicture


def drawn(pictures, record):
    return pictures.spectra(record) | pictures.maps(record)


def scaled(record, factor):
    """The record with another unit of the eigenvalues."""

    def edge(one):
        names = ("value", "finite_size", "detection")
        return replace(one, **{name: factor * getattr(one, name) for name in names})

    def one(spectrum):
        density, bulk = spectrum.density, spectrum.bulk
        return replace(
            spectrum,
            top=tuple(replace(pair, value=factor * pair.value) for pair in spectrum.top),
            bottom=tuple(replace(pair, value=factor * pair.value) for pair in spectrum.bottom),
            density=replace(
                density,
                points=factor * density.points,
                values=density.values / factor,
                errors=density.errors / factor,
            ),
            bulk=bulk and replace(bulk, lower=edge(bulk.lower), upper=edge(bulk.upper)),
        )

    geometries = {
        kind: replace(geometry, spectra=tuple(map(one, geometry.spectra)))
        for kind in ("measured", "predicted")
        if (geometry := getattr(record, kind)) is not None
    }
    return replace(record, **geometries)


def same(one, other):
    assert one.keys() == other.keys() != set()
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_where_axes_change_a_picture_is_that_of_its_record_alone(records):
    pictures = BoardPictures()
    for record in (records[0], scaled(records[1], 10.0), scaled(records[2], 0.1), records[3]):
        assert same(drawn(pictures, record), drawn(BoardPictures(), record))


def test_what_a_record_lacks_is_not_left_from_the_one_before(records):
    """Nor does the legend name it."""
    pictures = BoardPictures()
    without = replace(scaled(records[1], 10.0), predicted=None, forecast=None)
    for record in (records[0], without, records[0]):
        assert same(drawn(pictures, record), drawn(BoardPictures(), record))


def test_the_same_record_gives_the_same_picture(records):
    pictures = BoardPictures()
    assert same(drawn(pictures, records[0]), drawn(pictures, records[0]))


def test_many_blocks_are_drawn_in_a_bounded_number_of_panels(records):
    def many(record, count):
        def named(geometry, place):
            factor = 10.0 ** (place - count // 2)
            return scaled(replace(record, measured=geometry), factor).measured

        one = replace(record.measured, spectra=record.measured.spectra[:2])
        spectra = [
            replace(spectrum, block=f"block {place}")
            for place in range(count)
            for spectrum in named(one, place).spectra
        ]
        return replace(
            record, measured=replace(one, spectra=tuple(spectra)), predicted=None, forecast=None
        )

    pictures, record = BoardPictures(), many(records[0], 12)
    found = drawn(pictures, record)
    assert len(found) == 13
    assert len(pictures._kept) <= 9
    for name in ("block 0", "block 8", "block 11"):
        only = tuple(each for each in record.measured.spectra if each.block == name)
        alone = replace(record, measured=replace(record.measured, spectra=only))
        assert np.array_equal(found[name], BoardPictures().spectra(alone)[name])


def test_axes_that_would_be_almost_the_same_stay(records):
    pictures = BoardPictures()

    def scales(record):
        drawn(pictures, record)
        figures = [picture._picture._figure for picture in pictures._kept.values()]
        return [(axes.get_xlim(), axes.get_ylim()) for each in figures for axes in each.axes]

    first = scales(records[0])
    assert scales(scaled(records[0], 0.99)) == scales(scaled(records[0], 1.01)) == first
    assert scales(scaled(records[0], 2.0)) != first


@pytest.mark.slow
def test_nothing_is_cut_off_while_axes_stay(records):
    figure = Figure(figsize=(4, 3))
    figure.subplots()
    picture = KeptPicture(figure)
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, width = rng.normal(0, 0.1), rng.uniform(0.8, 1.2)
        points = low + width * np.linspace(0, 1, 9)
        picture.pixels([lambda axes, x=points: axes.plot(x, x)])
        for limits in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()):
            assert limits[0] < points.min() < points.max() < limits[1]
            assert limits[1] - limits[0] < 1.7 * width


def test_words_and_panels_are_inside_and_apart(records):
    pictures = BoardPictures()
    for record in records:
        drawn(pictures, record)
    for picture in pictures._kept.values():
        figure = picture._picture._figure
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
        for box in boxes:
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        for one, other in combinations(boxes, 2):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            assert across <= 0 or min(one.y1, other.y1) <= max(one.y0, other.y0)


@pytest.mark.parametrize("word", [".12", "-1.00", "-7e-3", "–", "123.45"])
def test_a_number_has_the_place_and_size_of_a_text(word):
    def text(axes):
        axes.text(0.3, 0.2, word, fontsize=7, ha="center", va="center")

    def shape(axes):
        write_numbers(axes, np.array([[0.3, 0.2]]), [word], ["black"], 7)

    (rows, columns), (other_rows, other_columns) = (inked(draw) for draw in (text, shape))
    for found, expected in ((rows, other_rows), (columns, other_columns)):
        assert abs(found.min() - expected.min()) <= 2
        assert abs(found.max() - expected.max()) <= 2


def inked(draw):
    """Rows and columns of the dark pixels."""
    figure, panels = style.new_figure(1, 1, 2.0, width=3.0)
    panels[0, 0].set(xlim=(-1, 1), ylim=(-1, 1))
    panels[0, 0].set_axis_off()
    draw(panels[0, 0])
    return np.nonzero(style.pixels(figure).min(-1) < 245)
