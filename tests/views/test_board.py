import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from spectrain.views.board import board_command

STEPS = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    writer = SummaryWriter(folder / "run")
    for step in range(STEPS):
        writer.add_scalar("measured/loss", step, step)
        writer.add_text("transitions", str(step), step)
        writer.add_image("gram", np.zeros((1, 1, 3), np.uint8), step, dataformats="HWC")
    writer.close()
    process = subprocess.Popen(
        board_command(folder, port=0), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        found = (re.search(r"http://\S+", line) for line in process.stdout)
        yield next(match[0] for match in found if match)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def steps_of(server, route, **query):
    """Steps in one answer of the server, asked again until it has read the files."""
    address = f"{server}data/plugin/{route}?{urllib.parse.urlencode(query)}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                events = json.load(answer)
        except urllib.error.HTTPError:
            events = []
        if len(events) == STEPS:
            break
        time.sleep(0.1)
    return sorted(event["step"] if isinstance(event, dict) else event[1] for event in events)


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("scalars/scalars", {"tag": "measured/loss"}),
        ("text/text", {"tag": "transitions/text_summary"}),
        ("images/images", {"tag": "gram", "sample": 0}),
    ],
)
def test_every_step_arrives(server, route, query):
    assert steps_of(server, route, run="run", **query) == list(range(STEPS))


def test_import_is_light():
    code = (
        "import sys, spectrain.views.board;"
        "assert not {'torch', 'matplotlib', 'tensorboard', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
