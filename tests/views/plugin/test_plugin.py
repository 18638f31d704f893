import argparse
import itertools
import json
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

from spectrain.probes.records.lines import _wrapped, record_line
from spectrain.probes.records.record import Failure, Record
from spectrain.probes.records.record_file import RECORDS, RecordFile, load
from spectrain.theory.quantity import Quantity
from spectrain.views.plugin import run_folders, run_index
from spectrain.views.plugin.hosts import is_known
from spectrain.views.plugin.plugin import SpectrumPlugin
from spectrain.views.plugin.run_folders import NO_FILE, log_folders
from spectrain.views.plugin.run_index import RunIndex

BLOCK = {"matrix": "hessian", "block": "class 0"}


class Tab:
    """The plugin of a log folder, asked as the browser asks it."""

    def __init__(self, logdir, spec=""):
        flags = argparse.Namespace(logdir_spec=spec)
        self.plugin = SpectrumPlugin(base_plugin.TBContext(logdir=str(logdir), flags=flags))
        self.clients = {route: Client(app) for route, app in self.plugin.get_plugin_apps().items()}

    def ask(self, route, code=200, **query):
        answer = self.clients[route].get(route, query_string=query)
        assert answer.status_code == code
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return json.loads(answer.data)

    def history(self, run, first=0, generation=0, **place):
        return self.ask("/history", run=run, first=first, generation=generation, **BLOCK | place)

    def problem(self, run):
        return self.history(run)["problem"]


def changed(geometry, name, **fields):
    """The geometry with other fields of one of its quantities."""
    each = (replace(q, **fields) if q.name == name else q for q in geometry.quantities)
    return replace(geometry, quantities=tuple(each))


def write(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    file = RecordFile(folder / RECORDS)
    for record in records:
        file.write(record)
    file.close()
    return folder / RECORDS


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine, too, one request reads a whole file."""
    monkeypatch.setattr(run_index, "_PATIENCE", 1e9)
    monkeypatch.setattr(run_folders, "_FRESH", -1e9)


@pytest.fixture
def logs(tmp_path, records):
    write(tmp_path / "one", records)
    return tmp_path


@pytest.fixture
def tab(logs):
    return Tab(logs)


def test_tensorboard_finds_the_plugin():
    found = entry_points(group="tensorboard_plugins")
    if "spectrain" not in found.names:
        pytest.skip("installed before the entry point was there")
    assert found["spectrain"].load() is SpectrumPlugin


def test_tensorboard_starts_without_importing_torch():
    program = (
        "import sys, spectrain.views.plugin.plugin;"
        "sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_page_is_its_own_modules(tab):
    page = tab.plugin.frontend_metadata()
    assert page.tab_name == "Spectrum"
    answer = tab.clients[page.es_module_path].get(page.es_module_path)
    assert answer.mimetype == "application/javascript"
    assert b"export async function render" in answer.data
    for route, client in tab.clients.items():
        if route.endswith(".js"):
            text = client.get(route).text
            assert "innerHTML" not in text
            imported = re.findall(r'"\./([^"]+)"', text)
            assert {f"/{name}" for name in imported} <= set(tab.clients)


def test_runs_are_named_by_their_folders(logs, tab, records):
    names = ["a b", "größe/λ", "<b>run</b>", "one"]
    for name in names[:3]:
        write(logs / name, records[:1])
    (logs / "events only").mkdir()
    (logs / "events only" / "events.out.tfevents.1.x").touch()
    (logs / "nothing").mkdir()
    runs = {run["name"]: run["problem"] for run in tab.ask("/runs")["runs"]}
    assert set(runs) == {*names, "events only"}
    assert "no data file" in runs["events only"]
    for name in names:
        assert runs[name] == tab.problem(name) == ""


def test_history_holds_the_numbers_of_the_file(tab, records):
    answer = tab.history("one")
    assert answer["read"] == answer["size"]
    assert [item["heading"]["step"] for item in answer["records"]] == [r.step for r in records]
    for item, record in zip(answer["records"], records, strict=True):
        measured = record.measured.spectrum("hessian", "class 0")
        predicted = record.predicted.spectrum("hessian", "class 0")
        shown = item["history"]
        assert [pair[0] for pair in shown["measured"]["top"]] == [p.value for p in measured.top]
        assert [pair[2] for pair in shown["predicted"]["top"]] == [p.overlap for p in predicted.top]
        assert shown["predicted"]["bulk"]["top"]["finiteSize"] == predicted.bulk.upper.finite_size
        assert len(item["heading"]["transitions"]) == len(record.transitions)


def test_parts_of_a_number_are_told_along_time(tab, logs, records):
    """Those of each kind with the heading of every step; which number they add up to beside it."""
    names = ("bias", "noise")

    def parts(step):
        values = np.array([1 / (1 + step), math.nan if step else -0.5])
        return Quantity("loss_parts", values, "loss", (names,), total="loss")

    written = [
        replace(
            each,
            forecast=replace(
                each.forecast, quantities=(*each.forecast.quantities, parts(each.step))
            ),
        )
        for each in records
    ]
    write(logs / "split", written)
    assert load(logs / "split").records[0].forecast.quantity("loss_parts").total == "loss"
    answer = tab.history("split")
    about = answer["quantities"]["loss_parts"]
    assert (about["axes"], about["parts"], about["total"]) == (1, list(names), "loss")
    assert about["entries"] is None  # they are drawn over time as areas
    assert answer["quantities"]["loss"]["parts"] is None
    for item, record in zip(answer["records"], written, strict=True):
        expected = [1 / (1 + record.step), None if record.step else -0.5]
        assert item["heading"]["parts"] == {"loss_parts": {"forecast": expected}}


def test_without_a_block_the_first_is_told(tab):
    answer = tab.history("one", matrix="", block="")
    assert [answer["matrix"], answer["block"]] == answer["blocks"][0] == ["hessian", "class 0"]


def test_a_moment_holds_the_numbers_of_the_file(tab, logs):
    record = load(logs / "one").records[2]
    answer = tab.ask("/record", run="one", step=record.step, **BLOCK)
    measured = record.measured.spectrum("hessian", "class 0")
    shown = {each["name"]: each for each in answer["quantities"]}
    assert shown["gram"]["measured"]["values"] == record.measured.gram.tolist()
    assert shown["gram"]["forecast"]["values"] == record.forecast.gram.tolist()
    assert shown["gram"]["axes"] == [["x0", "x1", "x2", "μ0", "μ1", "μ2"]] * 2
    assert shown["gram"]["predicted"] is None
    assert shown["loss"]["measured"]["errors"] == record.measured.loss_error
    assert answer["measured"]["density"]["values"] == measured.density.values.tolist()
    predicted = record.predicted.spectrum("hessian", "class 0").density
    drawn = [None if np.isnan(value) else value for value in predicted.curve]
    assert answer["predicted"]["density"]["values"] == drawn
    assert answer["predicted"]["density"]["errors"] == predicted.errors.tolist()
    assert answer["measured"]["jacobi"]["alpha"] == measured.jacobi.diagonal.tolist()
    assert (
        answer["measured"]["jacobi"]["betaErrors"] == measured.jacobi.off_diagonal_errors.tolist()
    )
    for shown, pair in zip(answer["measured"]["top"], measured.top, strict=True):
        assert shown["value"] == pair.value
        assert shown["residual"] == pair.error
        assert shown["error"] == pair.sampling_error
        assert shown["alignment"] == pair.alignment.tolist()


def test_any_record_is_shown(tmp_path, any_records):
    write(tmp_path / "run", any_records)
    tab = Tab(tmp_path)
    answer = tab.history("run")
    assert len(answer["records"]) == len(any_records)
    assert bool(answer["problem"]) == (not any_records)
    for record in any_records:
        moment = tab.ask("/record", run="run", step=record.step, **BLOCK)
        assert moment["step"] == record.step
        assert moment["failure"] == record.failure


def test_what_json_cannot_hold_is_unknown(tmp_path, records):
    gram = np.full((6, 6), np.nan)
    broken = replace(
        records[0], time=np.inf, measured=changed(records[0].measured, "gram", values=gram)
    )
    write(tmp_path / "run", [broken])
    moment = Tab(tmp_path).ask("/record", run="run", step=0, **BLOCK)
    assert moment["time"] is None
    (shown,) = (each for each in moment["quantities"] if each["name"] == "gram")
    assert shown["measured"]["values"] == [[None] * 6] * 6


def test_a_spectrum_that_failed_alone_is_told_from_the_whole(tmp_path, records):
    alone = replace(records[0], failures=(Failure("spectra", "boom", "hessian", "class 9"),))
    whole = Record(5, failures=(Failure("sample", "boom"),))
    write(tmp_path / "run", [alone, whole])
    found = [each["heading"] for each in Tab(tmp_path).history("run")["records"]]
    assert [each["failures"] for each in found] == [[["hessian", "class 9"]], []]
    assert [each["isFailed"] for each in found] == [False, True]


def test_only_what_is_new_is_sent(logs, tab, records):
    first = tab.history("one")
    again = tab.history("one", first=len(records), generation=first["generation"])
    assert again["records"] == []
    write(logs / "one", [replace(records[-1], step=9999)])
    grown = tab.history("one", first=len(records), generation=first["generation"])
    assert [item["heading"]["step"] for item in grown["records"]] == [9999]
    assert grown["generation"] == first["generation"]
    assert tab.ask("/record", run="one", step=9999, **BLOCK)["step"] == 9999


def test_a_file_that_was_cut_and_went_on_is_read_anew(logs, tab, records):
    first = tab.history("one")
    path = logs / "one" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    write(logs / "one", [replace(record, epoch=0.5) for record in records[2:]] * 2)
    answer = tab.history("one", first=len(records), generation=first["generation"])
    assert answer["generation"] != first["generation"]
    assert answer["first"] == 0
    assert len(answer["records"]) == 2 + 2 * (len(records) - 2)


@pytest.mark.parametrize("cut", [1, 40, 3000])
def test_a_line_that_is_being_written_is_waited_for(logs, tab, records, cut):
    path = logs / "one" / RECORDS
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    answer = tab.history("one")
    assert answer["problem"] == ""
    assert answer["read"] == answer["size"]
    assert len(answer["records"]) == len(records) - 1
    path.write_bytes(whole)
    assert len(tab.history("one", generation=answer["generation"])["records"]) == len(records)


def test_what_precedes_a_damage_is_shown_with_where_it_is(logs, tab):
    path = logs / "one" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"1", b"2", 40)
    path.write_bytes(b"".join(lines))
    for _ in range(2):
        answer = tab.history("one")
        assert len(answer["records"]) == 2
        assert f"from byte {sum(map(len, lines[:3]))} on" in answer["problem"]


def test_files_without_records_say_so(logs, tab):
    write(logs / "new", [])
    (logs / "strange").mkdir()
    (logs / "strange" / RECORDS).write_text("<script>alert(1)</script>\n", "utf-8")
    (logs / "empty").mkdir()
    (logs / "empty" / RECORDS).touch()
    assert "no record yet" in tab.problem("new")
    assert "no record yet" in tab.problem("empty")
    assert "expected a file of format" in tab.problem("strange")
    assert "no data file" in tab.problem("never there")


def test_a_run_that_is_deleted_while_it_is_open(logs, tab, records):
    generation = tab.history("one")["generation"]
    (logs / "one" / RECORDS).unlink()
    answer = tab.history("one", first=len(records), generation=generation)
    assert "gone" in answer["problem"]
    assert answer["records"] == []
    assert tab.ask("/record", run="one", step=0, **BLOCK)["problem"]
    assert tab.ask("/runs")["problem"]


def test_a_step_that_is_not_there(tab):
    assert "no record of step 7" in tab.ask("/record", run="one", step=7, **BLOCK)["problem"]


@pytest.mark.parametrize(
    "name", ["..", "../secret", "one/../../secret", "/etc", "a\0b", "link", "one/../link"]
)
@pytest.mark.parametrize("route", ["/history", "/record"])
def test_nothing_outside_the_log_folder_is_served(tmp_path, records, route, name):
    write(tmp_path / "secret", records[:1])
    write(tmp_path / "logs" / "one", records[:1])
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "secret")
    answer = Tab(tmp_path / "logs").ask(route, code=400, run=name, **BLOCK)
    assert set(answer) == {"problem"}
    assert answer["problem"].startswith("run: expected a folder below the log folder")


def test_a_data_file_that_is_a_link_out_of_the_log_folder_is_not_served(tmp_path, records):
    secret = write(tmp_path / "secret", records[:1])
    (tmp_path / "logs" / "run").mkdir(parents=True)
    (tmp_path / "logs" / "run" / RECORDS).symlink_to(secret)
    Tab(tmp_path / "logs").ask("/history", code=400, run="run", **BLOCK)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", {}),
        ("/a:b/c", {"": "/a:b/c"}),
        ("one:/a,two:/b:c", {"one": "/a", "two": "/b:c"}),
        ("/x/a,/x/b", {"a": "/x/a", "b": "/x/b"}),
        ("one:relative", {"one": "relative"}),
    ],
)
def test_several_log_folders_are_read_as_tensorboard_reads_them(spec, expected):
    assert {name: str(path) for name, path in log_folders("", spec).items()} == expected
    assert {name: str(path) for name, path in log_folders("/logs", spec).items()} == {"": "/logs"}


def test_runs_of_several_log_folders(tmp_path, records):
    write(tmp_path / "a", records[:1])
    write(tmp_path / "a" / "inner", records[:2])
    write(tmp_path / "b" / "run", records[:3])
    tab = Tab("", f"one:{tmp_path / 'a'},two:{tmp_path / 'b'}")
    assert tab.plugin.is_active()
    counts = {"one": 1, "one/inner": 2, "two/run": 3}
    assert [run["name"] for run in tab.ask("/runs")["runs"]] == list(counts)
    for name, count in counts.items():
        assert len(tab.history(name)["records"]) == count


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a", "three", "one/..", "one/../b/run", "one//etc", "one/link", "two/../a"],
)
def test_nothing_outside_several_log_folders_is_served(tmp_path, records, name):
    for place in ("a", "b/run"):
        write(tmp_path / place, records[:1])
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "run")
    tab = Tab("", f"one:{tmp_path / 'a'},two:{tmp_path / 'b'}")
    answer = tab.ask("/history", code=400, run=name, **BLOCK)
    assert answer["problem"].startswith("run: expected a folder below the log folder")


@pytest.mark.parametrize("value", ["-1", "x", "1e3", "9" * 30])
def test_numbers_are_numbers(tab, value):
    for route, name in (("/record", "step"), ("/history", "first"), ("/history", "generation")):
        problem = tab.ask(route, code=400, run="one", **BLOCK | {name: value})["problem"]
        assert problem.startswith(f"{name}: expected")


def test_unknown_blocks_have_no_numbers(tab):
    place = {"matrix": "<b>", "block": "'"}
    assert all(item["history"] is None for item in tab.history("one", **place)["records"])
    moment = tab.ask("/record", run="one", step=0, **place)
    assert moment["measured"] is moment["predicted"] is None


def test_a_log_folder_that_is_not_there(tmp_path):
    tab = Tab(tmp_path / "later")
    assert not tab.plugin.is_active()
    assert "no run" in tab.ask("/runs")["problem"]


def test_without_a_log_folder():
    tab = Tab("")
    assert not tab.plugin.is_active()
    assert "--logdir" in tab.ask("/runs")["problem"]
    tab.ask("/history", code=400, run="one")


def test_the_tab_is_active_with_a_data_file(tab):
    assert tab.plugin.is_active()


def test_a_long_file_is_read_in_several_requests(logs, records, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(run_index, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(run_index, "_PATIENCE", 2.0)
    index = RunIndex(logs / "one" / RECORDS)
    generation, known = 0, 0
    while True:
        answer = json.loads(index.history("hessian", "class 0", known, generation))
        generation, known = answer["generation"], answer["first"] + len(answer["records"])
        if answer["read"] == answer["size"]:
            break
        assert known < len(records)
    assert known == len(records)


def test_a_run_without_anything_measured(tmp_path):
    write(tmp_path / "run", [Record(0), Record(1)])
    answer = Tab(tmp_path).history("run", matrix="", block="")
    assert answer["blocks"] == []
    assert [item["history"] for item in answer["records"]] == [None, None]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(logs, tab):
    (logs / "one" / RECORDS).chmod(0)
    assert "cannot be read" in tab.problem("one")


@pytest.mark.parametrize("place", [30, -1])
def test_records_behind_a_damaged_header_are_shown_with_a_notice(tmp_path, records, place):
    """The last byte damaged, header and first record are one line."""
    path = write(tmp_path / "run", records)
    content = bytearray(path.read_bytes())
    content[(content.index(b"\n") + 1 + place) if place < 0 else place] ^= 1
    path.write_bytes(content)
    tab = Tab(tmp_path)
    answer = tab.history("run")
    assert "header of its data file is damaged" in answer["problem"]
    assert [each["heading"]["step"] for each in answer["records"]] == [r.step for r in records]
    for record in records[:2]:
        assert tab.ask("/record", run="run", step=record.step, **BLOCK)["step"] == record.step


@pytest.mark.parametrize("route", ["/runs", "/history", "/record", "/index.js"])
def test_only_reading_is_answered(tab, route):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = tab.clients[route].open(route, method=method)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_pipe_in_the_place_of_a_data_file_is_not_waited_for(tmp_path, records):
    write(tmp_path / "good", records[:1])
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / RECORDS)
    (tmp_path / "folder" / RECORDS).mkdir(parents=True)
    tab = Tab(tmp_path)
    problems = {run["name"]: run["problem"] for run in tab.ask("/runs")["runs"]}
    assert problems == {"good": "", "pipe": NO_FILE, "folder": NO_FILE}
    for run in ("pipe", "folder"):
        answer = tab.ask("/history", 400, run=run, **BLOCK)
        assert answer["problem"].startswith("run: expected one with a file records.jsonl, got")


@pytest.mark.parametrize("route", ["/runs", "/history", "/record", "/index.js"])
def test_another_host_is_refused(tab, route):
    """As that of a page which has pointed a name of its own at this machine."""
    for host in ("evil.example", "localhost.evil.example", "10.0.0.5", "evil.example:6006"):
        answer = tab.clients[route].get(route, headers={"Host": host})
        assert answer.status_code == 403
        assert f"got {host!r}" in json.loads(answer.data)["problem"]


@pytest.mark.parametrize(
    ("host", "bound", "bind_all", "known"),
    [
        ("localhost", None, False, True),
        ("LOCALHOST.:6006", None, False, True),
        ("a.localhost:6006", None, False, True),
        ("127.0.0.1:6006", None, False, True),
        ("[::1]:6006", None, False, True),
        ("::1", None, False, True),
        ("10.0.0.5", None, False, False),
        ("10.0.0.5:1", "10.0.0.5", False, True),
        ("machine:6006", "machine", False, True),
        ("machine:6006", "other", False, False),
        ("machine.evil.example", "machine", False, False),
        ("10.0.0.5:6006", None, True, True),
        ("[fe80::1]:6006", "::", False, True),
        ("10.0.0.5:6006", "0.0.0.0", False, True),
        ("evil.example", "0.0.0.0", False, False),
        ("evil.example", None, True, False),
        ("proxy.example", None, False, True),
        ("second.example:443", None, False, True),
        ("", None, False, False),
    ],
)
def test_which_hosts_are_known(monkeypatch, host, bound, bind_all, known):
    monkeypatch.setenv("SPECTRAIN_HOSTS", "proxy.example, Second.example:8443,")
    assert is_known(host, bound, bind_all) is known


def test_a_line_without_an_end_is_not_read_whole(tmp_path, records, monkeypatch):
    path = write(tmp_path / "run", records[:2])
    with path.open("ab") as file:
        file.write(b"x" * 300_000)
    monkeypatch.setattr(run_index, "LONGEST", 200_000)
    answer = Tab(tmp_path).history("run")
    assert "expected lines of at most 200000 bytes" in answer["problem"]
    assert len(answer["records"]) == 2


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "content", [DEEP, DEEP + b"\n", b"\0" * 1000, b"{}\n" * 9, b'"text"\n', b"\xff\xfe\n"]
)
def test_a_file_of_something_else_is_listed_as_broken(tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RECORDS).write_bytes(content)
    tab = Tab(tmp_path)
    assert tab.ask("/runs")["runs"] == [{"name": "run", "problem": ""}]
    assert tab.problem("run")
    assert "problem" in tab.ask("/record", run="run", step=0, **BLOCK)


def changes(value):
    """The value with each of its parts, at any depth, replaced by something of another kind."""
    yield from ([], {}, "text", 3.5, None, True, {"$type": "Record"})
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: each for other, each in value.items() if other != key}
            for changed_part in itertools.islice(changes(part), 60):
                yield {**value, key: changed_part}
    elif isinstance(value, list) and value:
        for changed_part in itertools.islice(changes(value[0]), 60):
            yield [changed_part, *value[1:]]


@pytest.mark.slow
def test_records_of_a_wrong_shape_are_told_and_never_an_error(tmp_path, records):
    """Whole by their checksum; each is either shown or said to be broken."""
    path = write(tmp_path / "run", records[:1])
    start, content = path.read_bytes(), json.loads(record_line(records[1]))["record"]
    bodies = [
        DEEP,
        *(json.dumps(each).encode() for each in itertools.islice(changes(content), 400)),
    ]
    broken = 0
    for body in bodies:
        path.write_bytes(start + _wrapped(body))
        answer = Tab(tmp_path).history("run")
        broken += bool(answer["problem"])
        assert len(answer["records"]) == 2 - bool(answer["problem"])
    assert broken > 200


def test_one_walk_is_for_all_requests(logs, monkeypatch):
    walks, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda path: walks.append(path) or walk(path))
    monkeypatch.setattr(run_folders, "_FRESH", 1e9)
    tab = Tab(logs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tab.ask("/runs"), range(40)))
    assert all(each == found[0] for each in found)
    assert tab.plugin.is_active()
    assert len(walks) == 1


def read_in_parts(tab, run, **place):
    """Records of a run as a page collects them, and after how many requests."""
    found, requests, answer = [], 0, {"read": 0, "size": 1, "generation": 0}
    while answer["read"] < answer["size"]:
        answer = tab.history(run, len(found), answer["generation"], **place)
        assert answer["problem"] == ""
        found = found[: answer["first"]] + answer["records"]
        requests += 1
    return found, requests


@pytest.fixture
def hurried(monkeypatch):
    """A request reads a line or two of a file."""
    clock = itertools.count()
    monkeypatch.setattr(run_index, "monotonic", lambda: next(clock))
    monkeypatch.setattr(run_index, "_PATIENCE", 3)


def test_each_block_is_told_the_same_whichever_was_asked_for_first(tab, records):
    """Lines are read again for another block; what is told does not depend on the order."""
    blocks = tab.history("one")["blocks"]
    assert len(blocks) == 6
    told = {
        place: tab.history("one", matrix=place[0], block=place[1])["records"]
        for place in map(tuple, blocks)
    }
    for matrix, block in blocks[::-1]:
        fresh = Tab(tab.plugin._folders.roots[""])
        answer = fresh.history("one", matrix=matrix, block=block)
        assert answer["records"] == told[matrix, block]
        assert answer["blocks"] == blocks
        for item, record in zip(answer["records"], records, strict=True):
            spectrum = record.measured.spectrum(matrix, block)
            values = [pair[0] for pair in item["history"]["measured"]["top"]]
            assert values == [pair.value for pair in spectrum.top]


def test_a_block_is_read_in_parts_and_goes_on_where_another_request_stopped(logs, records, hurried):
    tab = Tab(logs)
    first, requests = read_in_parts(tab, "one")
    assert requests > 2
    other = {"matrix": "information", "block": "class 2"}
    second, requests = read_in_parts(tab, "one", **other)
    assert requests > 1
    assert [item["heading"] for item in second] == [item["heading"] for item in first]
    assert second != first
    assert read_in_parts(tab, "one", **other) == (second, 1)
    write(logs / "one", [replace(records[-1], step=10_000)])
    assert len(read_in_parts(tab, "one", **other)[0]) == len(records) + 1
    assert len(read_in_parts(tab, "one")[0]) == len(records) + 1


def test_a_block_that_some_records_have_is_nothing_at_the_others(tmp_path, records):
    rare = tuple(
        replace(
            record,
            measured=replace(record.measured, spectra=record.measured.spectra[: 2 if i % 2 else 6]),
            predicted=None,
            forecast=None,
        )
        for i, record in enumerate(records)
    )
    write(tmp_path / "rare", rare)
    answer = Tab(tmp_path).history("rare", matrix="hessian", block="class 2")
    there = [item["history"] is not None for item in answer["records"]]
    assert there == [i % 2 == 0 for i in range(len(records))]
    nothing = Tab(tmp_path).history("rare", matrix="hessian", block="no such block")
    assert [item["history"] for item in nothing["records"]] == [None] * len(records)


def test_a_block_of_a_wrong_shape_is_told_where_it_is_asked_for(tmp_path, records):
    path = write(tmp_path / "run", records[:2])
    header, *lines = path.read_bytes().splitlines(keepends=True)
    content = json.loads(lines[1])["record"]
    content["measured"]["spectra"][4]["top"] = "text"
    path.write_bytes(header + lines[0] + _wrapped(json.dumps(content).encode()))
    tab = Tab(tmp_path)
    assert tab.problem("run") == ""
    spectrum = records[0].measured.spectra[4]
    place = {"matrix": spectrum.matrix, "block": spectrum.block}
    answer = tab.history("run", **place)
    assert f"cannot be read from byte {len(header) + len(lines[0])} on" in answer["problem"]
    assert len(answer["records"]) == 1
    assert "problem" in tab.ask("/record", run="run", step=records[1].step, **place)
    assert tab.problem("run") == ""
