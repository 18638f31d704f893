"""Numbers at the ends of the number range, huge counts and lists, in every key of a specification."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spectrain.answers.dispatch import answer

WORKER = Path(__file__).with_name("extremes.py")
PARTS = 8

MIXTURE = {
    "head": {"kind": "logistic"},
    "directions": 1,
    "gram": [[0.3, 0.1, 0], [0.1, 1, 0], [0, 0, 1]],
    "weights": [0.5, 0.5],
    "labels": [0, 1],
    "snr": 3.0,
    "aspect_ratio": 4.0,
    "matrix": "hessian",
    "block": 0,
}
LINEAR = {"system": "linear", "spectrum": [0.5, 1.0], "target": [2.0, 1.0], "samples": 300}
FLAT = {"system": "flat-minima", "samples_per_dimension": 2.0, "noise": 1.0, "ridge": 0.5}
SPIKED = {"system": "spiked-matrix-tensor", "matrix_noise": 0.3, "tensor_noise": 1.0}


@pytest.mark.parametrize(
    ("base", "change", "told"),
    [
        (
            MIXTURE,
            {"snr": 5e-324},
            "snr: expected a number that the answer can be computed with (o",
        ),
        (
            MIXTURE,
            {"density_points": 10**12},
            "density_points: expected an integer from 0 to 10000",
        ),
        (
            MIXTURE,
            {"eigenvalues": [1] * 200_000},
            "eigenvalues: expected at most 100000, got 200000",
        ),
        (LINEAR, {"spectrum": [1e308, 1.0]}, "spectrum: expected at most 1e+60, got 1e+308"),
        (FLAT, {"ridge": 1e300}, "ridge: expected a number that the answer can be computed with ("),
        (SPIKED, {"order": 10**12}, "order: expected an integer from 3 to 100, got 1000000000000"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(base, change, told):
    with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
        answer("predict", base | change)


def test_the_number_farthest_from_one_is_named_wherever_it_stands():
    with pytest.raises(ValueError, match=r"^gram\[1\]\[1\]: expected a number that the answer"):
        answer("predict", MIXTURE | {"gram": [[0.3, 0.1, 0], [0.1, 1e300, 0], [0, 0, 1e-3]]})


def test_equal_spikes_are_answered():
    for spike in (1e-16, 5.0):
        asked = LINEAR | {"spikes": [spike, spike], "multiplicity": [50, 100]}
        assert json.loads(answer("predict", asked).json)["hessian"]["bulk"]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_number_at_every_end_is_answered_or_refused_by_name(part):
    """In processes with a limit on time and memory: no NaN, no warning, no traceback."""
    done = subprocess.run(
        [sys.executable, str(WORKER), str(part), str(PARTS)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 300
    wrong = [row for row in rows if row[3]]
    assert not wrong, "\n".join(map(str, wrong))
