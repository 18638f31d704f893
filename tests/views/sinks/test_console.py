import io
import math
import subprocess
import sys
from dataclasses import replace

from tqdm import tqdm

from spectrain.probes.records.record import Failure, Geometry, Record
from spectrain.theory.quantity import Quantity
from spectrain.views.sinks.console import ConsoleSink


def lines(records):
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    for record in records:
        sink.write(record)
    sink.close()
    return stream.getvalue().splitlines()


def test_a_record_is_a_line_below_a_head(records):
    titles, names, *body = lines(records)
    assert len(body) == len(records)
    assert [title.strip() for title in titles.split(" | ")] == [
        "measured/theory",
        "",
        "",
        "Gram",
        *(f"{letter} class {i}" for letter in "HI" for i in (0,)),
        *(f"{letter} class {i}" for i in (1, 2) for letter in "HI"),
    ]
    assert names.split(" | ")[0].split() == ["step", "t"]
    for record, line in zip(records, body, strict=True):
        cells = [cell.split() for cell in line.split(" | ")]
        measured, predicted = record.measured.spectra[0], record.predicted.spectra[0]
        assert cells[0] == [str(record.step), f"{record.time:.4g}"]
        assert cells[1] == [f"{record.measured.loss:#.4g}/{record.predicted.loss:#.4g}"]
        assert cells[2] == [f"{record.measured.accuracy:#.4g}/{record.forecast.accuracy:#.4g}"]
        top = f"{measured.top[0].value:#.3g}/{predicted.top[0].value:#.3g}"
        assert cells[4][0] == top
        assert cells[4][1].endswith(f"/{len(predicted.top) + len(predicted.bottom)}")


def test_columns_are_aligned(records):
    printed = lines(records)
    bars = [[i for i, letter in enumerate(line) if letter == "|"] for line in printed]
    assert bars.count(bars[0]) == len(printed)


def test_without_theory_nothing_is_said_of_predictions(records):
    bare = replace(records[0], time=math.nan, predicted=None, forecast=None)
    titles, names, line = lines([bare])
    assert "/" not in line
    assert "Gram" not in titles
    assert names.split(" | ")[0].split() == ["step", "epoch"]


def test_numbers_of_a_whole_spectrum_have_no_column(records):
    bare = replace(records[0], predicted=None, forecast=None)
    trace = Quantity.number("hessian_trace", 1.0, "loss")
    more = replace(
        bare, measured=replace(bare.measured, quantities=(*bare.measured.quantities, trace))
    )
    assert lines([more]) == lines([bare])


def test_failures_are_one_line_and_the_head_is_printed_when_it_changes(records):
    failed = Record(5, failures=(Failure("", "ValueError: a\n  b"),))
    printed = lines([records[0], failed, records[1], replace(records[2], forecast=None)])
    assert printed[3] == "       5 | failed: ValueError: a b"
    assert [line.startswith("measured/theory") for line in printed] == [
        *(True, False, False),
        *(False, False),
        *(True, False, False),
    ]


def test_a_record_with_nothing_is_a_line():
    assert lines([Record(0, measured=Geometry())]) == [
        "",
        "    step",
        "       0",
    ]


def test_any_records_will_do(any_records):
    assert len(lines(any_records)) >= len(any_records)


def test_letters_that_the_stream_does_not_have_cost_no_line():
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="ascii")
    ConsoleSink(stream).write(Record(3, failures=(Failure("", "ValueError: größer"),)))
    assert content.getvalue().decode("ascii") == "       3 | failed: ValueError: gr??er\n"


def test_a_progress_bar_stays_below(records, capsys):
    with tqdm(total=3, file=sys.stdout, ncols=40) as bar:
        ConsoleSink().write(records[0])
        bar.update()
    printed = capsys.readouterr().out
    # Whatever the bar wrote, the line begins where it was wiped out.
    row = next(line for line in printed.splitlines() if line.split()[:1] == ["0"])
    assert row.count(" | ") == 9


def test_lines_come_out_of_a_pipe_at_once(records):
    program = """
import os, sys
from spectrain.probes.records.record import Record
from spectrain.views.sinks.console import ConsoleSink
ConsoleSink().write(Record(12))
os._exit(0)  # nothing that waits in a buffer is written
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1].startswith("      12")
