"""What Weights & Biases keeps of a run without a network, read back from its file."""

import builtins
import importlib.util
import json
import math
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from spectrain.views.sinks.histograms import BUCKETS, histograms
from spectrain.views.sinks.scalars import scalars
from spectrain.views.sinks.wandb import STEP, WandbSink

needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="needs the extra wandb"
)

# In a process of its own: wandb leaves a service behind, and warnings of its own are not ours.
PROGRAM = """
import pickle, sys

import wandb
from spectrain import WandbSink

with open("records", "rb") as file:
    records = pickle.load(file)
run = None
if sys.argv[1] == "given":
    run = wandb.init(mode="offline", project="näme with blanks", config={"seed": 1})
sink = WandbSink(run, dimension=80)
for record in records:
    sink.run.log({"mine": 1.0})
    sink.write(record)
sink.close()
sink.close()
if run is not None:
    run.log({"mine": 2.0})
    run.finish()
"""


def entries(path):
    """The records of a file in LevelDB's log format, behind a head of 7 bytes."""
    data, place, parts = path.read_bytes(), 7, []
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            yield b"".join(parts)
            parts.clear()


def row(items):
    """Values by key; those of histograms and tables are mappings, each entry an item."""
    found = {}
    for item in items:
        key, *inner = item.nested_key or (item.key,)
        value = json.loads(item.value_json)
        if inner:
            found.setdefault(key, {})["/".join(inner)] = value
        else:
            found[key] = value
    return found


def logged(folder, records, how):
    """What was logged, row by row, and the axes of the charts."""
    from wandb.proto.wandb_internal_pb2 import Record

    (folder / "records").write_bytes(pickle.dumps(records))
    offline = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "HOME": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        cwd=folder,
        env=os.environ | offline | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    rows, axes = [], {}
    for content in entries(path):
        found = Record.FromString(content)
        if found.HasField("history"):
            rows.append(row(found.history.item))
        elif found.HasField("metric"):
            metric = found.metric
            axes[metric.glob_name or metric.name] = metric.step_metric
    return rows, axes


@needs_wandb
def test_what_is_logged_is_what_the_board_shows(tmp_path, records):
    rows, axes = logged(tmp_path, records, "given")
    assert len([row for row in rows if "mine" in row]) == len(records) + 1
    kept = [row for row in rows if STEP in row]
    assert [row[STEP] for row in kept] == [record.step for record in records]
    for row, record in zip(kept, records, strict=True):
        for tag, value in scalars(record, 80).items():
            assert row[tag] == pytest.approx(value), tag
            assert axes[f"{tag.partition('/')[0]}/*"] == STEP
        for tag, histogram in histograms(record).items():
            assert row[tag]["_type"] == "histogram"
            np.testing.assert_allclose(row[tag]["values"], histogram.counts)
            np.testing.assert_allclose(row[tag]["bins"], histogram.edges)
            assert len(row[tag]["values"]) <= BUCKETS
    assert all(math.isfinite(v) for row in kept for v in row.values() if isinstance(v, float))


@needs_wandb
def test_a_run_of_its_own_and_the_timeline_as_a_table(tmp_path, records):
    rows, _ = logged(tmp_path, records, "own")
    tables = [row["timeline"] for row in rows if "timeline" in row]
    assert tables
    (folder,) = tmp_path.glob("wandb/offline-run-*/files")
    table = json.loads((folder / tables[-1]["path"]).read_text())
    assert table["columns"][:3] == ["matrix", "block", "what happened"]
    assert tables[-1]["nrows"] == len(table["data"]) > 1
    assert "an outlier disappears above the bulk (3 → 2)" in [row[2] for row in table["data"]]


def test_without_the_package_the_extra_is_named(monkeypatch):
    actual = builtins.__import__

    def absent(name, *rest):
        if name == "wandb":
            raise ImportError("No module named 'wandb'")
        return actual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'spectrain\[wandb\]'"):
        WandbSink()
