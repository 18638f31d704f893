"""What the documents refer to is there."""

import re
from pathlib import Path

import pytest

from spectrain.figures.catalogue import figure_names
from spectrain.probes.records.codec import schema
from spectrain.training.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def anchors(document):
    """Anchors of the headings, as they are made from the text."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_reference_names_every_field_of_a_record():
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    names = {name for kind, content in schema().items() for name in (kind, *content)}
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_reference_names_every_configuration_key(system):
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    config = SYSTEMS[system]
    keys = set()
    for key, value in config().to_dict().items():
        keys |= {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_the_gallery_shows_what_its_commands_draw():
    text = (ROOT / "docs/gallery.md").read_text("utf-8")
    drawn = re.findall(r"^spectrain figures.* --only (.+)$", text, flags=re.MULTILINE)
    names = [name for command in drawn for name in command.split()]
    assert sorted(re.findall(r"\(images/gallery/(.+)\.png\)", text)) == sorted(names)
    of_runs, without_run = figure_names()
    assert set(names) <= {*of_runs, *without_run}
    trained = set(re.findall(r"^spectrain train --system (\S+)", text, flags=re.MULTILINE))
    assert trained <= set(SYSTEMS)
