"""The examples of the documents run as they stand, one after the other, in an empty folder."""

import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spectrain.training_arguments import parse_training_arguments

ROOT = Path(__file__).parents[1]


def code_blocks(document, language):
    """The fenced blocks of a language, each with the number of lines before it."""
    text = (ROOT / document).read_text("utf-8")
    pattern = rf"^```{language}\n(.*?)^```$"
    found = re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def run_python(document):
    namespace = {"__name__": "__main__"}
    blocks = code_blocks(document, "python")
    assert blocks
    for before, code in blocks:
        # Blank lines in front make a traceback show the document's own line numbers.
        exec(compile("\n" * before + code, str(ROOT / document), "exec"), namespace)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_runs_and_its_board_has_the_tags_it_names():
    run_python("README.md")
    table = re.findall(r"^\| `(\w+/[\w/]+)` \|", (ROOT / "README.md").read_text("utf-8"), re.M)
    board = EventAccumulator("runs/mixture")
    board.Reload()
    assert table
    assert set(table) <= set(board.Tags()["scalars"])


@pytest.mark.slow
def test_the_how_to_runs():
    run_python("docs/how-to.md")


@pytest.mark.parametrize("code", [code for _, code in code_blocks("docs/how-to.md", "yaml")])
def test_the_configurations_of_the_how_to_can_be_built(code, empty_folder):
    path = empty_folder / "config.yaml"
    path.write_text(code, "utf-8")
    config = parse_training_arguments([str(path)]).config
    system = config.build(torch.Generator().manual_seed(0))
    assert len(system.blocks) == system.model.head.directions
