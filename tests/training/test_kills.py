"""Whatever a run is killed at, resuming it leaves what the uninterrupted one leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("kills.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_records_weights_and_event_steps_survive_sixty_kills(tmp_path):
    """At system calls that write, half way through them, and at random times."""
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path), "60", "0"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == [], done.stderr[-4000:]
    assert found["killed"] >= 60
    assert min(found["call"], found["resumed"]) >= 20
    assert found["time"] >= 1
