"""`spectrain ensemble`, and what figures, report, tab and export make of its means."""

import csv
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from spectrain.cli import main
from spectrain.ensemble_arguments import parse_ensemble_arguments
from spectrain.probes.records.record_file import load
from spectrain.views.figures.number_panel import draw_series, series_of
from spectrain.views.plugin.messages import heading

SMALL = """
system: low-rank
size: 12
eigenvalues: [1.0, 0.5]
factors: 3
measurements: 60
steps: 20
epochs: 2
scale: 1.0e-3
dtype: float64
probe: {eigenvalues: 3, smallest: 4}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(SMALL)
    return str(path)


def test_combinations_of_values_are_parsed_as_flags_are(config):
    given = "--seeds 3 --vary learning_rate 0.1 0.05 --vary probe.smallest 2 3 --seed 5"
    asked = parse_ensemble_arguments([config, *given.split()])
    found = [(each.learning_rate, each.probe.smallest, each.seed) for each in asked.configs]
    assert found == [(0.1, 2, 5), (0.1, 3, 5), (0.05, 2, 5), (0.05, 3, 5)]
    assert (asked.seeds, str(asked.folder)) == (3, "runs/low-rank-ensemble")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "seeds: expected a number of runs, at least 1, got None"),
        ("--seeds 0", "seeds: expected a number of runs, at least 1, got 0"),
        ("--seeds 2 --vary seed 1 2", "vary: expected a key of the configuration"),
        ("--seeds 2 --vary scale", "vary: expected a key of the configuration"),
        ("--seeds 2 --vary scale 1 --vary scale 2", "vary: expected every key once"),
        ("--seeds 2 --vary scale -1", "scale: expected a positive number"),
        ("--seeds 2 --vary scales 1", "scales"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_nothing_is_written(
    given, expected, config, tmp_path, capsys
):
    folder = str(tmp_path / "runs")
    assert main(["ensemble", config, "--folder", folder, *given.split()]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_views_show_means_and_bands(config, tmp_path, capsys):
    folder = tmp_path / "runs"
    asked = ["ensemble", config, "--folder", str(folder), "--seeds", "3"]
    assert main(asked) == 0
    assert "1 x 3 runs" in capsys.readouterr().out
    assert main(asked) == 2
    assert main([*asked, "--resume"]) == 0
    (last,) = load(folder).records[-1:]
    values = [
        load(folder / "members" / f"seed-{seed}.jsonl").records[-1].measured.loss
        for seed in range(3)
    ]
    mean, deviation = np.mean(values), np.std(values, ddof=1)

    assert main(["export", str(folder)]) == 0
    with (folder / "records.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "measured"]
    (loss,) = [row for row in rows if row["quantity"] == "loss" and int(row["step"]) == last.step]
    assert float(loss["value"]) == pytest.approx(mean)
    assert float(loss["standard_error"]) == pytest.approx(deviation / 3**0.5)
    assert float(loss["band_upper"]) == pytest.approx(mean + 2 * deviation)

    numbers = json.loads(json.dumps(heading(last)))["numbers"]["loss"]
    assert numbers[0] == pytest.approx(mean)
    assert numbers[6] == pytest.approx(deviation)

    series = series_of(load(folder).records, "loss")["loss"]
    assert series.runs[-1] == pytest.approx(2 * deviation)
    figure, axes = plt.subplots()
    draw_series(axes, np.arange(3.0), [series])
    assert len(axes.collections) >= 2
    plt.close(figure)


@pytest.mark.slow
def test_figures_and_report_are_drawn_of_an_ensemble(tmp_path):
    folder = str(tmp_path / "runs")
    flags = "--system softmax-mixture --dimension 40 --epochs 2 --time 2 --seeds 3"
    assert main(["ensemble", *flags.split(), "--folder", folder]) == 0
    assert main(["figures", folder]) == 0
    assert main(["report", folder]) == 0
    drawn = {path.stem for path in (tmp_path / "runs" / "figures").glob("*.png")}
    assert len(drawn) > 3
    assert (tmp_path / "runs" / "report.html").stat().st_size > 10_000
