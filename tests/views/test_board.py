import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RECORDS, RecordFile
from spectrain.views import board, serving
from spectrain.views.board import board_command, can_open, compared_runs, tab_address

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


def make_run(folder):
    folder.mkdir(parents=True)
    file = RecordFile(folder / RECORDS)
    file.write(Record(0))
    file.close()
    return folder


def test_runs_to_compare_are_named_from_their_common_folder(tmp_path, monkeypatch):
    a, b, c = (make_run(tmp_path / name) for name in ("a", "deep/er/b", "größe c:1"))
    assert compared_runs([a, b]) == {"a": a, "deep/er/b": b}
    assert compared_runs([c, a]) == {"größe c_1": c, "a": a}
    inner = make_run(a / "inner")
    assert compared_runs([a, inner]) == {"a": a, "a/inner": inner}
    monkeypatch.chdir(tmp_path)
    assert compared_runs(["a", "deep/er/b"]) == {"a": a, "deep/er/b": b}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "two run folders or more, got 1"),
        (["a", "nothing"], "expected run folders, with a records.jsonl in each, got"),
        (["a", "missing"], "expected run folders, with a records.jsonl in each, got"),
        (["a", "./a"], "expected different run folders"),
        (["a", "b,c"], "expected paths without commas"),
        (["d:1", "d_1"], "expected names without colons"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, names, message):
    (tmp_path / "nothing").mkdir()
    for name in ("a", "b,c", "d:1", "d_1"):
        make_run(tmp_path / name)
    with pytest.raises(ValueError, match=f"^compare: {message}|^compare: .*{message}"):
        compared_runs([f"{tmp_path}/{name}" for name in names])


def test_the_address_of_the_tab_holds_names_as_they_are():
    assert tab_address("http://localhost:6006/") == "http://localhost:6006/#spectrain"
    names = ["a b", "größe/λ", "<b>&=#%\"'"]
    address = tab_address("http://localhost:6006/", names)
    tab, key, value = re.split("[&=]", urllib.parse.urlsplit(address).fragment)
    assert (tab, key) == ("spectrain", "p.spectrain.runs")
    assert json.loads(urllib.parse.unquote(value)) == names


@pytest.mark.parametrize(
    ("environment", "platform", "is_terminal", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "darwin", True, True),
        ({}, "linux", True, False),
        ({"DISPLAY": ":0"}, "linux", False, False),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", True, False),
    ],
)
def test_a_browser_is_opened_where_somebody_looks(environment, platform, is_terminal, expected):
    assert can_open(environment, platform, is_terminal) == expected


def test_a_port_that_is_taken_is_a_failure(tmp_path):
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "spectrain", "board", str(tmp_path), "--port", port]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 1
    assert port in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize("is_opened", [True, False])
def test_the_address_is_printed_and_opened(monkeypatch, capsys, is_opened):
    opened = []

    class Server:
        def get_url(self):
            return "http://localhost:1234/"

    class Board:
        def __init__(self, server_class):
            self.server_class = server_class

        def configure(self, arguments):
            assert arguments == ["spectrain board", "--logdir=x"]

        def main(self):
            return 0 if isinstance(self.server_class(None, None), Server) else 1

    program = SimpleNamespace(
        TensorBoard=Board,
        create_port_scanning_werkzeug_server=lambda application, flags: Server(),
    )
    monkeypatch.setattr(serving, "program", program)
    monkeypatch.setattr(serving, "can_open", lambda *_: True)
    monkeypatch.setattr(serving.webbrowser, "open", opened.append)
    assert serving.serve(["--logdir=x"], [], is_opened) == 0
    address = "http://localhost:1234/#spectrain"
    assert capsys.readouterr().out == f"Spectrum: {address}\n"
    assert opened == [address] * is_opened


def test_runs_from_two_folders_are_served_and_nothing_else(tmp_path):
    a, b = make_run(tmp_path / "one" / "run"), make_run(tmp_path / "two" / "<b>run</b> ü")
    make_run(tmp_path / "one" / "other")
    command = [sys.executable, "-m", "spectrain", "board", "--compare", str(a), str(b)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--no_browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "CI": "1"},
    )
    try:
        address = process.stdout.readline().removeprefix("Spectrum: ").strip()
        server, chosen = address.split("#")
        names = ["one/run", "two/<b>run</b> ü"]
        assert json.loads(urllib.parse.unquote(chosen.partition("=")[2])) == names

        def ask(route, **query):
            query = urllib.parse.urlencode(query)
            route = f"{server}data/plugin/spectrain/{route}?{query}"
            try:
                with urllib.request.urlopen(route, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                return json.load(error)

        assert [run["name"] for run in ask("runs")["runs"]] == names
        for name in names:
            assert len(ask("history", run=name)["records"]) == 1
        for name in ("one/other", "one/run/../other", "other", "..", str(tmp_path / "one/other")):
            assert ask("history", run=name).get("records") is None
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_run_is_known_by_its_data_file():
    assert board._RECORDS == RECORDS


def test_import_is_light():
    code = (
        "import sys, spectrain.views.board;"
        "assert not {'torch', 'matplotlib', 'tensorboard', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
