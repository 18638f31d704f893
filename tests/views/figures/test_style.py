import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from spectrain.theory.direction import Direction
from spectrain.views.figures import style


def drawn():
    figure, panels = style.new_figure(1, 1, 1.0, width=2.0)
    panels[0, 0].plot([0, 1], [0, 1], label="measured")
    style.legend_below(figure)
    return figure


def test_users_settings_come_back():
    before = dict(matplotlib.rcParams)
    with style.paper():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


def test_save_writes_both_formats_and_nothing_else(tmp_path):
    png, pdf = style.save(drawn(), tmp_path / "new" / "phi=0.5")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert sorted(tmp_path.glob("new/*")) == [pdf, png]
    assert png.name == "phi=0.5.png"


def test_a_saved_picture_is_matplotlibs_own(tmp_path):
    """Laid out once for both formats, without what Matplotlib draws to lay it out."""

    def mapped():
        figure = drawn()
        figure.colorbar(figure.axes[0].imshow([[0, 1000], [1, 2]]), ax=figure.axes[0])
        figure.supylabel("a label of all rows")
        return figure

    figure, again = mapped(), mapped()
    engine, dpi = figure.get_layout_engine(), figure.dpi
    png, _ = style.save(figure, tmp_path / "ours")
    assert (figure.get_layout_engine(), figure.dpi) == (engine, dpi)
    with style.paper():
        again.savefig(tmp_path / "theirs.png")
    np.testing.assert_array_equal(imread(png), imread(tmp_path / "theirs.png"))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    png, _ = style.save(drawn(), tmp_path / "figure")
    old = png.read_bytes()

    def broken(self, file, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", broken)
    with pytest.raises(OSError, match="disk full"):
        style.save(drawn(), tmp_path / "figure")
    assert png.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_picture_of_somebody_else_stays(tmp_path, suffix):
    for _ in range(2):  # one of ours is replaced
        style.save(drawn(), tmp_path / "own")
    other = tmp_path / f"figure.{suffix}"
    drawn().savefig(other)
    kept = other.read_bytes()
    with pytest.raises(ValueError, match="output: expected a new file or a former picture"):
        style.save(drawn(), tmp_path / "figure")
    assert other.read_bytes() == kept
    assert sorted(tmp_path.glob("figure.*")) == [other]


def test_equal_figures_give_equal_files(tmp_path):
    first = style.save(drawn(), tmp_path / "a")
    second = style.save(drawn(), tmp_path / "b")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_an_svg_is_the_same_again_and_has_no_date():
    assert style.svg(drawn()) == style.svg(drawn())
    assert b"dc:date" not in style.svg(drawn())


def test_pixels_are_bytes_of_the_figure():
    values = style.pixels(drawn(), dpi=50)
    assert values.shape == (50, 100, 3)
    assert values.dtype == np.uint8
    assert values.min() < 128 < values.max()


def test_a_lone_point_is_drawn_as_a_dash():
    _, panels = style.new_figure(1, 1, 1.0)
    y = np.array([1.0, np.nan, 2.0, 3.0])
    style.draw_line(panels[0, 0], np.arange(4.0), y, color="black")
    _, dash = panels[0, 0].lines
    assert dash.get_xdata().tolist() == [0.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 100.0], "log"), ([1.0, 5.0], "linear"), ([-1.0, 100.0], "linear"), ([], "linear")],
)
def test_scale_for_is_logarithmic_only_for_wide_positive_numbers(values, expected):
    assert style.scale_for(np.array(values), 10) == expected


def test_directions_have_mathematical_names():
    assert style.symbol(Direction("x0", "x_{0}", True)) == "$x_{0}$"
    assert style.symbol(Direction("mu12", r"\mu_{12}", False)) == r"$\mu_{12}$"
    assert style.symbol(Direction("teacher", "", False)) == "teacher"


def test_names_are_no_formulas_and_have_an_end():
    assert style.symbol(Direction("a$b$", "", True)) == r"a\$b\$"
    assert style.heading(2, "Hessian", "$_", "t = 1") == r"Hessian, \$_, t = 1"
    assert style.heading(1, "Hessian", "a", "t = 1") == "Hessian\na, t = 1"
    assert style.heading(2, "Hessian", 500 * "a") == f"Hessian, {21 * 'a'}…"


def test_long_names_along_an_axis_are_cut_where_they_are_told_apart():
    def cut(*names):
        return style.axis_names(names, [Direction("x0", "x_{0}", True)])

    assert cut("encoder attention", "decoder attention") == ["encoder att…", "decoder att…"]
    assert cut("second_layer.0", "second_layer.1") == ["…ond_layer.0", "…ond_layer.1"]
    layers = cut("layer.0.linear.weight", "layer.0.linear.bias", "layer.1.linear.weight")
    assert layers == ["layer.0…ight", "layer.0…bias", "layer.1…ight"]
    assert cut("x0", "short") == ["$x_{0}$", "short"]


def lightness(color):
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_measured_and_predicted_differ_in_grey_print():
    bulk, line, point = (
        lightness(look["color"]) for look in (style.BULK, style.PREDICTED, style.MEASURED)
    )
    assert point < 0.15 < line < 0.6 < bulk


def test_no_global_figures():
    code = "import sys, spectrain.views.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
