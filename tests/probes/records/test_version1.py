"""Files of version 1 in the words of today's records."""

import base64
import json
import math
import zlib

import numpy as np
import pytest

from spectrain.probes.records.record_file import RecordFile, load


def array(values):
    values = np.array(values, dtype="<f8")
    data = base64.b64encode(values.tobytes()).decode()
    return {"$array": "<f8", "shape": list(values.shape), "data": data}


NAN, NONE = {"$number": "nan"}, array(np.zeros((0, 0)))
GRAM, BAND = [[1.0, 0.5], [0.5, 2.0]], [[0.1, 0.2], [0.2, math.nan]]


def geometry(**fields):
    given = {
        "gram": NONE,
        "loss": NAN,
        "loss_error": NAN,
        "accuracy": NAN,
        "accuracy_error": NAN,
        "spectra": [],
        "gram_band": NONE,
    }
    return {"$type": "Geometry", **given, **fields}


def old_file(path):
    record = {
        "$type": "Record",
        "step": 7,
        "epoch": 1.0,
        "time": 0.5,
        "directions": ["x0", "mu0"],
        "measured": geometry(gram=array(GRAM), loss=0.7, loss_error=0.01),
        "predicted": geometry(loss=0.69, loss_error=1e-6),
        "forecast": geometry(gram=array(GRAM), gram_band=array(BAND), loss=0.68),
        "transitions": [],
        "tracks": [],
        "operator": "head",
        "failure": "ValueError: something",
        "seconds": {"loss": 0.1},
    }
    header = {"format": "spectrain-records", "version": 1, "config": {"dimension": 9}}
    body = json.dumps(record, separators=(",", ":")).encode()
    line = b'{"crc32":"%08x","record":%b}\n' % (zlib.crc32(body), body)
    path.write_bytes(json.dumps(header).encode() + b"\n" + line)


def test_a_record_of_version_1_is_read_in_todays_words(tmp_path):
    old_file(tmp_path / "records.jsonl")
    run = load(tmp_path)
    assert run.dimension == 9
    (record,) = run.records
    assert (record.step, record.time, record.clock) == (7, 0.5, "time t = steps × c/d")
    assert record.directions == ("x0", "mu0")
    assert [each.trained for each in record.reference] == [True, False]
    assert [each.symbol for each in record.reference] == ["x_{0}", r"\mu_{0}"]
    assert [kind.name for kind in record.matrices] == ["hessian", "information"]
    np.testing.assert_array_equal(record.measured.gram, GRAM)
    np.testing.assert_array_equal(record.forecast.gram_band, BAND)
    assert record.measured.quantity("gram").axes == (("x0", "mu0"),) * 2
    assert (record.measured.loss, record.measured.loss_error) == (0.7, 0.01)
    assert (record.forecast.loss, math.isnan(record.forecast.loss_error)) == (0.68, True)
    assert math.isnan(record.measured.accuracy)
    assert record.failure == "ValueError: something"
    assert [source.arxiv for source in record.sources] == ["2502.15655", "2206.04030"]


def test_a_file_of_version_1_is_not_gone_on_with(tmp_path):
    path = tmp_path / "records.jsonl"
    old_file(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"version of .*expected 2 to go on with it, got 1"):
        RecordFile(path)
    assert path.read_bytes() == before
