import csv
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from spectrain.cli import main
from spectrain.probes.records.record import Failure, Record
from spectrain.probes.records.record_file import RecordFile, Run
from spectrain.views.export import FORMATS, arrays, export
from spectrain.views.sinks.scalars import safe, scalars


def named(record, block):
    """The record with another name of one block."""

    def rename(geometry):
        spectra = tuple(
            replace(one, block=block if one.block == "class 0" else one.block)
            for one in geometry.spectra
        )
        return replace(geometry, spectra=spectra)

    parts = ("measured", "predicted", "forecast")
    return replace(record, **{part: rename(getattr(record, part)) for part in parts})


@pytest.fixture(scope="module")
def run(records):
    shown = [named(record, 'größe "1",\n<b>') for record in records[:3]]
    failed = Record(
        shown[1].step,
        shown[1].epoch,
        shown[1].time,
        failures=(Failure("", "boom: ∞\n, again"),),
    )
    return Run({"dimension": 80}, (shown[0], failed, shown[2]))


def assert_same_table(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        if column.dtype.kind == "f":
            # Bit for bit, NaN in the same places.
            values = np.array(found[name], np.float64)
            np.testing.assert_array_equal(values, column)
            assert np.array_equal(np.signbit(values), np.signbit(column)) or np.isnan(column).any()
        else:
            assert list(found[name]) == column.tolist()


def test_csv_comes_back_exactly(run, tmp_path):
    export(run, tmp_path / "new" / "r.csv", "csv")
    with (tmp_path / "new" / "r.csv").open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    found = dict(zip(head, zip(*lines, strict=True), strict=True))
    found["step"] = [int(step) for step in found["step"]]
    assert_same_table(found, run.table())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.csv"]


def test_parquet_comes_back_exactly(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'parquet'")
    export(run, tmp_path / "r.parquet", "parquet")
    assert_same_table(parquet.read_table(tmp_path / "r.parquet").to_pydict(), run.table())
    export(Run({}, ()), tmp_path / "r.parquet", "parquet")
    assert parquet.read_table(tmp_path / "r.parquet").schema.field("value").type == "double"


def test_a_filter_of_a_parquet_file_keeps_what_is_not_known(run, tmp_path):
    """NaN is not below anything: a reader must not tell from the range of the others."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'parquet'")
    compute = pytest.importorskip("pyarrow.compute")
    export(run, tmp_path / "r.parquet", "parquet")
    unknown = np.isnan(run.table()["error"])
    assert unknown.any()
    assert not unknown.all()
    found = parquet.read_table(tmp_path / "r.parquet", filters=~(compute.field("error") < math.inf))
    assert len(found) == unknown.sum()


def test_a_table_is_a_data_frame(run):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame(run.table())
    assert len(frame) == len(run.table()["step"])
    assert frame.loc[frame["quantity"] == "loss", "value"].iloc[0] == run.records[0].measured.loss


def test_npz_has_an_array_over_the_steps_for_each_quantity(run, tmp_path):
    export(run, tmp_path / "r.npz", "npz")
    with np.load(tmp_path / "r.npz") as file:
        found = dict(file)
    assert set(found) == set(arrays(run))
    np.testing.assert_array_equal(found["step"], [record.step for record in run.records])
    assert found["failure"].tolist() == [record.failure for record in run.records]
    name = 'measured/hessian/größe "1",\n<b>/top_1'
    first, _, last = (
        record.measured.spectrum("hessian", 'größe "1",\n<b>') for record in run.records
    )
    assert found[name][0] == first.top[0].value
    assert np.isnan(found[name][1])
    assert found[f"{name}:standard_error"][2] == last.top[0].sampling_error


def test_npz_has_the_densities_that_are_drawn(run):
    found = arrays(run)
    for kind in ("measured", "predicted"):
        density = getattr(run.records[2], kind).spectrum("hessian", "class 1").density
        for part in ("points", "values", "errors", "cumulative", "cumulative_errors"):
            array = found[f"{kind}/hessian/class 1/density/{part}"]
            np.testing.assert_array_equal(array[2, : len(density.points)], getattr(density, part))
    assert np.isnan(found["measured/hessian/class 1/density/points"][1]).all()


def test_the_table_has_every_number_of_the_board(records):
    record = records[3]
    table = Run({}, (record,)).table()
    lines = zip(*(table[name].tolist() for name in table), strict=True)
    by_tag = {}
    for line in (dict(zip(table, values, strict=True)) for values in lines):
        parts = (line["kind"], line["matrix"], safe(line["block"]), line["quantity"])
        tag = "/".join(part for part in parts if part)
        by_tag[tag] = line
    for tag, value in scalars(record, 80).items():
        kind, _, rest = tag.partition("/")
        # Summaries of what the table has, and the clock.
        if kind in ("error", "seconds", "band") or (kind == "measured" and tag.endswith("_edge")):
            continue
        if kind == "detection":
            assert by_tag[f"predicted/{rest}/detection"]["value"] == value
        elif tag in by_tag:
            assert by_tag[tag]["value"] == value
        else:
            # What the board shows as predicted though the dynamics alone give it.
            assert by_tag[tag.replace("predicted/", "forecast/", 1)]["value"] == value


@pytest.mark.parametrize("form", ["csv", "npz"])
def test_any_records_can_be_exported_and_give_the_same_bytes(form, any_records, tmp_path):
    for name in ("a", "b"):
        export(Run({}, any_records), tmp_path / name, form)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_export_leaves_the_old_file(run, tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    export(run, path, "csv")
    old = path.read_bytes()

    def broken(run):
        def write(file):
            file.write(b"half")
            raise OSError("disk full")

        return write

    monkeypatch.setitem(FORMATS, "csv", broken)
    with pytest.raises(OSError, match="disk full"):
        export(run, path, "csv")
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_formats_and_absent_extras_are_named(run, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"format: expected one of \['csv', 'npz', 'parquet'\]"):
        export(run, tmp_path / "r.xls", "xls")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'spectrain\[parquet\]'"):
        export(run, tmp_path / "r.parquet", "parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_beside_the_data_file(run, tmp_path, capsys):
    file = RecordFile(tmp_path / "records.jsonl")
    file.write(run.records[0])
    file.close()
    assert main(["export", str(tmp_path)]) == 0
    assert main(["export", str(tmp_path / "records.jsonl"), "--format", "npz"]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "records.csv"),
        str(tmp_path / "records.npz"),
    ]
    assert main(["export", str(tmp_path), "--output", str(tmp_path / "ä b.csv")]) == 0
    assert (tmp_path / "ä b.csv").read_bytes() == (tmp_path / "records.csv").read_bytes()
    assert main(["export", str(tmp_path), "--format", "xls"]) == 2
    assert "format" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "npz", "parquet"])
def test_a_file_that_no_export_wrote_stays(run, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"r.{form}"
    for content in (b"step,loss\n1,2\n", b"PK\x03\x04", b"PAR1", b"\x00" * 5000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"output: expected a new file, or one that an export"):
            export(run, path, form)
        assert path.read_bytes() == content
    path.write_bytes(b"")
    export(run, path, form)
    written = path.read_bytes()
    export(run, path, form)
    assert path.read_bytes() == written


def test_a_run_is_not_written_over_by_its_own_export_or_report(run, tmp_path, capsys):
    path = tmp_path / "records.jsonl"
    file = RecordFile(path, {"seed": 1})
    file.write(run.records[0])
    file.close()
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    for output in (path, tmp_path / "config.yaml", tmp_path):
        for command in (["export"], ["export", "--format", "npz"], ["report"]):
            arguments = [command[0], str(tmp_path), *command[1:], "--output", str(output)]
            assert main(arguments) == 2
            assert "output: expected a new file" in capsys.readouterr().err
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
