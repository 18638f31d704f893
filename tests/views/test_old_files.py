"""A run that version 1 recorded is shown as any other."""

import json
import runpy
from pathlib import Path

import pytest

from spectrain.figures.catalogue import drawings_of_run
from spectrain.probes.records.record_file import RECORDS, load
from spectrain.views.export import arrays
from spectrain.views.plugin.messages import moment
from spectrain.views.plugin.run_index import RunIndex
from spectrain.views.report import report
from spectrain.views.sinks.scalars import scalars

MAKER = Path(__file__).parents[1] / "probes/records/test_version1.py"


@pytest.fixture
def folder(tmp_path):
    runpy.run_path(str(MAKER))["old_file"](tmp_path / RECORDS)
    return tmp_path


def test_an_old_run_has_figures_report_numbers_and_a_tab(folder):
    run = load(folder)
    (record,) = run.records
    drawings = drawings_of_run(run)
    assert set(drawings) == {"quantities", "gram-entries", "matrix-maps"}
    for draw in drawings.values():
        draw(2).draw_without_rendering()
    assert "Gram, x0·x0 (worst)" in report(run, "old")
    assert arrays(run)["forecast/gram/x0.mu0:standard_error"].tolist() == [0.2]
    answer = json.loads(RunIndex(folder / RECORDS).history("", "", 0, 0))
    assert answer["quantities"]["gram"]["axes"] == 2
    assert answer["directions"] == ["x0", "μ0"]
    assert answer["records"][0]["heading"]["numbers"]["loss"] == [0.7, 0.01, 0.69, None, 0.68, None]
    assert [each["name"] for each in moment(record, "", "")["quantities"]] == ["loss", "gram"]
    found = scalars(record, 9)
    assert found["band/gram/x0.mu0/upper"] == 0.5 + 2 * 0.2
    assert "band/gram/mu0.mu0/upper" not in found  # no training changes it
