"""The system of the page "Add a system", as it stands there: nothing else is told of it."""

import importlib
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spectrain
from spectrain.cli import main
from spectrain.training.callbacks import Callback
from spectrain.training.run import run
from spectrain.training.systems import SYSTEMS

PAGE = Path(__file__).parents[1] / "docs/add-a-system.md"
CODE = re.search(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[1]
D, PHI, RATE, EPOCHS = 200, 4.0, 1e-3, 3
SPECIFICATION = {
    "system": "isotropic",
    "aspect_ratio": PHI,
    "dimension": float(D),
    "learning_rate": RATE,
    "times": [300, 0, 100.0],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isotropic")
    (folder / "isotropic.py").write_text(CODE, "utf-8")
    return folder


@pytest.fixture(scope="module", autouse=True)
def config(folder):
    """The configuration, registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        config = importlib.import_module("isotropic").IsotropicConfig
        patch.setitem(SYSTEMS, config.system, config)
        yield config
    sys.modules.pop("isotropic")


@pytest.fixture(scope="module")
def trained(folder, config):
    sizes = ["--dimension", str(D), "--epochs", str(EPOCHS), "--seed", "1"]
    assert main(["train", "--system", "isotropic", *sizes, "--folder", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def answer(capsys, monkeypatch):
    def answer(command, specification, status=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(specification)))
        assert main([command, "-", "--json"]) == status
        return capsys.readouterr()

    return answer


def test_it_has_less_than_80_lines_blank_ones_aside():
    assert sum(bool(line.strip()) for line in CODE.splitlines()) < 80


def test_it_is_trained_and_its_loss_is_the_predicted_one(trained):
    """A step multiplies the risk by a random number of variance 2 (2 eta)^2 at most."""
    records = spectrain.load(trained).records
    assert [record.step for record in records] == [0, 100, 200, 300]
    assert [record.failure for record in records] == [""] * 4
    for record in records:
        assert abs(record.measured.loss - record.predicted.loss) < 5 * record.measured.loss_error
        measured, forecast = (
            float(geometry.quantity("risk").values)
            for geometry in (record.measured, record.forecast)
        )
        assert measured == pytest.approx(2 * record.predicted.loss, rel=1e-6)
        spread = 2 * RATE * math.sqrt(2 * record.step)
        assert abs(math.log(measured / forecast)) <= 5 * spread + 1e-6
    first, last = (float(record.measured.quantity("risk").values) for record in records[::3])
    assert last < 0.7 * first


def test_the_hessian_ends_where_the_law_does(trained):
    """Largest and smallest eigenvalue within some units of Tracy and Widom's law of the edges."""
    n = PHI * D
    for record in spectrain.load(trained).records:
        measured = record.measured.spectrum("hessian", "all")
        bulk = record.predicted.spectrum("hessian", "all").bulk
        for pair, edge, sign in (
            (measured.top[0], bulk.upper, 1),
            (measured.bottom[0], bulk.lower, -1),
        ):
            root = 1 + sign / math.sqrt(PHI)
            unit = abs(root) / math.sqrt(n) * abs(1 / math.sqrt(n) + sign / math.sqrt(D)) ** (1 / 3)
            assert edge.value == pytest.approx(root**2)
            assert abs(pair.value - edge.value) < 6 * unit
        assert record.predicted.spectrum("information", "all") is None


def test_a_stopped_run_goes_on_with_its_statistics(tmp_path, config):
    class Stop(Callback):
        def on_epoch_end(self, step, epoch):
            raise InterruptedError

    small = config(dimension=20, epochs=2, steps_per_epoch=10)
    whole = run(small, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(small, tmp_path / "parted", callbacks=[Stop()])
    parted = run(small, tmp_path / "parted", resume=True)
    for result in (whole, parted):
        assert [record.step for record in result.records] == [0, 10, 20]
    assert parted.records[-1].forecast.loss == whole.records[-1].forecast.loss
    assert parted.records[-1].measured.loss == whole.records[-1].measured.loss


@pytest.mark.slow
def test_it_is_drawn_exported_and_reported(trained, capsys):
    assert main(["figures", str(trained)]) == 0
    drawn = {Path(line).stem for line in capsys.readouterr().out.split()}
    assert {"dynamic-transitions", "spectra", "quantities"} <= drawn
    assert not {"gram-entries", "matrix-maps", "overlaps"} & drawn
    assert main(["export", str(trained)]) == 0
    rows = (trained / "records.csv").read_text("utf-8").splitlines()
    assert sum(",risk," in row for row in rows) == 2 * (EPOCHS + 1)
    assert main(["report", str(trained)]) == 0
    page = (trained / "report.html").read_text("utf-8")
    assert "isotropic" in page
    assert "Gaussian mixture" not in page
    assert "2502.15655" not in page


def test_it_agrees_with_the_independent_library(monkeypatch, capsys, config):
    monkeypatch.setattr("spectrain.training.systems.SYSTEMS", {config.system: config})
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("isotropic: Hessian of 400 parameters")


def test_it_answers_on_the_command_line(answer, trained):
    found = json.loads(answer("predict", SPECIFICATION).out)
    assert found == {"edges": [0.25, 2.25], "atom": 0.0, "error": 0.0}
    path = json.loads(answer("dynamics", SPECIFICATION).out)
    assert path["times"] == [300, 0, 100]
    records = spectrain.load(trained).records
    start, *_, end = (float(record.forecast.quantity("risk").values) for record in records)
    assert path["risk"][1] == 1
    assert path["risk"][0] == pytest.approx(end / start, rel=1e-12)


@pytest.mark.parametrize(
    ("command", "changes", "words"),
    [
        ("predict", {"aspect_ratio": 0}, "aspect_ratio: expected a positive number, got 0"),
        ("predict", {"ridge": 1}, "ridge: expected a key among aspect_ratio, got this"),
        ("dynamics", {"times": []}, "times: expected at least 1, got none"),
        ("dynamics", {"times": [0.5]}, "times[0]: expected an integer >= 0, got 0.5"),
        ("dynamics", {"ridge": 1}, "ridge: expected a key among times, learning_rate, dimension"),
        ("dynamics", {"system": "anisotropic"}, '"isotropic", got "anisotropic"'),
    ],
)
def test_it_refuses_by_name(command, changes, words, answer):
    printed = answer(command, SPECIFICATION | changes, status=2)
    assert printed.out == ""
    assert words in printed.err


def test_its_options_are_explained_without_torch(folder):
    program = (
        "import sys\n"
        "from isotropic import IsotropicConfig\n"
        "from spectrain.answers.dispatch import answer\n"
        "from spectrain.cli import main\n"
        "from spectrain.training.systems import SYSTEMS\n"
        "SYSTEMS['isotropic'] = IsotropicConfig\n"
        "try: main(['train', '--system', 'isotropic', '--help'])\n"
        "except SystemExit: pass\n"
        "answer('predict', {'system': 'isotropic', 'aspect_ratio': 1})\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert "--learning_rate" in shown.stdout
