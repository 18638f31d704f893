"""The examples of docs/integrations.md run as they stand, in an empty folder."""

import re
from pathlib import Path

import pytest

from spectrain import load

DOCUMENT = Path(__file__).parents[3] / "docs/integrations.md"
TEXT = DOCUMENT.read_text("utf-8")


def blocks(heading):
    """The Python blocks below a heading, with the number of lines in front of each."""
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL):
        above = re.findall(r"^#+ (.+)$", TEXT[: match.start()], flags=re.MULTILINE)[-1]
        if above == heading:
            found.append((TEXT.count("\n", 0, match.start(1)), match[1]))
    return found


def run(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = re.search(r"^# (.+)$", TEXT, flags=re.MULTILINE)[1]
    namespace = {"__name__": "__main__"}
    own = blocks(heading)
    assert len(own) == 1
    for before, code in [*blocks(first), *own]:
        exec(compile("\n" * before + code, str(DOCUMENT), "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_any_loop(tmp_path, monkeypatch):
    run("Any loop", tmp_path, monkeypatch)
    assert [record.step for record in load("runs/attached").records] == [0, 2, 4]


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("heading", "library", "folder", "steps"),
    [
        ("Lightning", "lightning", "runs/lightning", [0, 4, 8]),
        ("Trainer of transformers", "transformers", "runs/trainer/spectrum", [0, 2]),
        ("PyTorch-Ignite", "ignite", "runs/ignite", [0, 2, 4]),
        ("accelerate", "accelerate", None, None),
    ],
)
def test_with_a_library(loops, heading, library, folder, steps, tmp_path, monkeypatch):
    loops.needs(library)
    namespace = run(heading, tmp_path, monkeypatch)
    if folder is None:
        assert namespace["probe"].step == 2
    else:
        records = load(folder).records
        assert [record.step for record in records] == steps
        assert not any(record.failures for record in records)
