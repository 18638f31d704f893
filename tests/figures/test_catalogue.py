"""Which figures there are: those of any run, and those that a system adds."""

import sys
from types import ModuleType

import pytest
from matplotlib.figure import Figure

from spectrain.figures.catalogue import (
    drawings_of_run,
    drawings_without_run,
    report_texts,
    run_figures,
    system_figures,
)
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.record_file import Run
from spectrain.theory.quantity import Quantity
from spectrain.training.config import TrainingConfig
from spectrain.training.systems import SYSTEMS
from spectrain.views.figures.figure import RunFigure, SystemFigure
from spectrain.views.figures.run_figures import RUN_FIGURES

ABACUS = "abacus_figures"
LOSS = Quantity.number("loss", 1.0, "loss")
EMPTY = Run({"system": "abacus"}, ())
PROBED = Run({"system": "abacus"}, (Record(0, measured=Geometry((LOSS,))),))


class AbacusConfig(TrainingConfig):
    """A system with figures of its own."""

    system = "abacus"
    figures = ABACUS


@pytest.fixture
def abacus(monkeypatch):
    module = ModuleType(ABACUS)
    beads = RunFigure("beads", "Beads", "", lambda run: bool(run.records), lambda *_: Figure())
    module.RUN_FIGURES = (beads,)
    module.REPORT_TEXTS = ("Counted.",)
    module.system_figures = lambda quick: (SystemFigure(f"frame-{quick}", lambda _: Figure()),)
    monkeypatch.setitem(sys.modules, ABACUS, module)
    monkeypatch.setitem(SYSTEMS, "abacus", AbacusConfig)


def test_a_system_adds_its_figures_to_those_of_any_run(abacus):
    names = [figure.name for figure in run_figures(PROBED)]
    assert names == [*(figure.name for figure in RUN_FIGURES), "beads"]
    assert report_texts(PROBED) == ("Counted.",)
    first, *_, last = drawings_without_run()
    assert (first, last) == ("static-transition", "frame-False")
    assert list(drawings_without_run(quick=True))[-1] == "frame-True"
    assert list(drawings_without_run(["frame-False"])) == ["frame-False"]


def test_a_figure_is_left_out_where_the_run_lacks_what_it_shows_unless_asked_for(abacus):
    assert list(drawings_of_run(EMPTY)) == []
    assert list(drawings_of_run(PROBED)) == ["quantities", "beads"]
    assert list(drawings_of_run(EMPTY, ["beads", "spectra"])) == ["beads", "spectra"]
    for draw in drawings_of_run(EMPTY, ["beads", "spectra"]).values():
        assert isinstance(draw(2), Figure)


@pytest.mark.parametrize("config", [{}, {"system": "softmax"}, {"system": 3}, {"system": ["a"]}])
def test_a_run_of_no_known_system_has_the_figures_of_any_run(config):
    assert run_figures(Run(config, ())) == RUN_FIGURES
    assert report_texts(Run(config, ())) == ()


def test_unknown_names_are_refused(abacus):
    with pytest.raises(ValueError, match=r"only: expected figures of a run, .*got \['frame-False'"):
        drawings_of_run(PROBED, ["beads", "frame-False"])
    with pytest.raises(ValueError, match=r"only: expected figures that need no run, .*\['beads'\]"):
        drawings_without_run(["beads"])


def test_no_two_figures_have_one_name():
    runs = [Run({"system": system}, ()) for system in SYSTEMS]
    for names in (
        [figure.name for figure in system_figures(quick=True)],
        *([figure.name for figure in run_figures(run)] for run in runs),
    ):
        assert len(set(names)) == len(names)
